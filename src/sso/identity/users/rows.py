"""What a row of an imported file says: pure functions, without a database.

The options are checked against the columns of the file first (:func:`fit_columns`). Then each row is read
(:func:`read_row`). An optional value that is wrong costs that value: it is left out, and a :class:`Note` says why. What
makes the whole row doubtful rejects the row: a line break in a value of one line, an object where text is expected, an
unknown word in a yes/no column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Literal, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sso import clock
from sso.errors import Refusal, validation_message
from sso.identity.attributes.definitions import Attribute
from sso.identity.attributes.values import Value, ValueRefused, checked_value
from sso.identity.users.codes import country, language_tag, time_zone
from sso.identity.users.identifiers import Kind, is_nothing, normalise_as
from sso.identity.users.records import SchemeUnknown
from sso.identity.users.schemas import BIRTHDATE_FORM, KIND_OF_FIELD, NAME, Profile, check_locale
from sso.platform.security.text import TextRefused, check_line, one_line

COLUMNS = (
    "username", "email", "email_verified", "phone_number", "phone_number_verified", "nik", "nik_verified", "nip",
    "name", "locale", "password_hash", "password_salt", "password_scheme", "local_user_id",
)  # fmt: skip
"""What a row may hold, besides the claims of a profile; each may be missing."""
PROFILE_COLUMNS = tuple(Profile.model_fields)
KNOWN = (*COLUMNS, *PROFILE_COLUMNS)
IDENTIFIERS = tuple(KIND_OF_FIELD.items())
YES_NO = frozenset({"email_verified", "phone_number_verified", "nik_verified"})
MAX_LOCAL_ID = 200

_NEEDED = frozenset({"name", "local_user_id", "password_hash", "password_salt", "password_scheme"}) | YES_NO
"""Columns of which a wrong type rejects the row: without them the person would be another."""
_NOTHING = frozenset({"", "-", "NULL", "\\N"})
"""How databases and spreadsheets write that there is no value."""
_YES = frozenset({"1", "true", "yes", "y", "ya", "t", "\x01"})
_NO = frozenset({"0", "false", "no", "n", "tidak", "f", "\x00"})
"""The last ones are a BIT(1) of MySQL in a dump."""
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.[0-9]{1,9})?)?"
    r" ?(?:Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_ZERO_DATES = frozenset({"0000-00-00", "0001-01-01"})
_FIRST_TIME = datetime(1970, 1, 3, tzinfo=UTC)
"""An application verified nothing before: databases and spreadsheets write 1970-01-01 (in some time zone), 1900-01-01
or 1899-12-30 for nothing."""
_SPREADSHEET = re.compile(r"[0-9]+([.,][0-9]+)?[eE]\+[0-9]+")

TakeHash = Callable[..., str]


class RowRefused(Exception):
    """A row cannot be taken over; the message says why."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something about a person who is taken over nevertheless. ``left out``: a value was not taken; ``warning``: it was
    taken, and is unusual; ``kept``: what the person has here stays (``--update``)."""

    kind: Literal["left out", "warning", "kept"]
    text: str


Columns = Mapping[str, str]
Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Row:
    """Somebody to be taken over. ``number`` is the number of the line, ``order`` that of the row among all rows of the
    file; ``read_as`` is how values were understood that can be understood in several ways; ``employment`` is what the
    personnel office says of an employee."""

    number: int
    name: str
    identifiers: list[tuple[Kind, str, bool]]
    local_user_id: str
    password: str
    locale: str | None
    profile: dict[str, object]
    roles: list[str] = field(default_factory=lambda: ["citizen"])
    notes: tuple[Note, ...] = ()
    read_as: tuple[str, ...] = ()
    has_name: bool = True
    order: int = 0
    employment: dict[str, object] | None = None
    attributes: dict[str, Value] = field(default_factory=dict)

    def stored(self) -> dict[str, object]:
        """Return the row as a proposal keeps it, encrypted."""
        return {
            "name": self.name,
            "identifiers": [list(identifier) for identifier in self.identifiers],
            "password": self.password,
            "locale": self.locale,
            "profile": self.profile,
            "roles": self.roles,
            **({"employment": self.employment} if self.employment is not None else {}),
        }


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is read.

    ``client_id`` is the application whose people they are; ``verified`` the contacts that it has verified itself;
    ``columns`` the names of its columns, by ours; ``format`` and ``encoding`` as in
    :func:`sso.identity.users.readers.read_records`; ``update``: change people who were taken over before; ``hashes``
    names what the password hashes have in common, as a digest; ``attributes`` are those that an import may write.
    """

    client_id: str | None = None
    verified: frozenset[str] = frozenset()
    columns: Mapping[str, str] = field(default_factory=dict)
    format: str = "auto"
    encoding: str | None = None
    update: bool = False
    hashes: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def known(self) -> tuple[str, ...]:
        """Our columns: those that every file may have, and those of attributes."""
        return (*KNOWN, *self.attributes)

    def named(self) -> dict[str, object]:
        """Return what names an import besides the file and the application."""
        return {
            "verified": sorted(self.verified),
            "columns": dict(sorted(self.columns.items())),
            "format": self.format,
            "encoding": self.encoding,
            "update": self.update,
            **({"hashes": self.hashes} if self.hashes else {}),
        }


def as_typed(named: Mapping[str, object]) -> str:
    """Return options as they are typed."""
    words = [f"--verified {kind}" for kind in cast(Sequence[str], named.get("verified", ()))]
    words += [f"--column {ours}={theirs}" for ours, theirs in cast(Columns, named.get("columns", {})).items()]
    format, _, table = str(named.get("format", "auto")).partition(":")
    words += [f"--format {format}"] if format != "auto" else []
    words += [f"--table {table}"] if table else []
    words += [f"--encoding {named['encoding']}"] if named.get("encoding") else []
    words += ["--hash-parameters"] if named.get("hashes") else []
    words += ["--update"] if named.get("update") else []
    return " ".join(words) or "no options"


class OptionsRefused(Refusal):
    """The options do not fit the file; each of ``mistakes`` says why."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self._mistakes = list(mistakes)
        super().__init__("; ".join(self._mistakes))

    @property
    def mistakes(self) -> list[str]:
        """One line for each mistake."""
        return self._mistakes


def check_options(options: Options) -> list[str]:
    """Return what is wrong about options whatever the file holds."""
    wrong = [
        f"--column {ours}={theirs}: {ours!r} is not one of our columns{_near(ours, options.known)}"
        for ours, theirs in options.columns.items()
        if ours not in options.known
    ]
    wrong += [f"--column {ours}=: name a column of the file" for ours, theirs in options.columns.items() if not theirs]
    unknown = sorted(options.verified - {"email", "phone", "nik", "nip"})
    wrong += [f"--verified {kind} is not email, phone, nik or nip" for kind in unknown]
    if options.update and not options.client_id:
        wrong.append("--update needs --from: people are found by the id that the application has for them")
    return wrong


def fit_columns(options: Options, names: Collection[str]) -> tuple[Options, list[str]]:
    """Return the options with the column of the file for each of ours that it has, and the columns that are not read.

    Capital letters, blanks, hyphens and underscores in the names of columns make no difference.

    Args:
        options: as they were given.
        names: the columns of the file.

    Raises:
        OptionsRefused: naming every mistake.
    """
    wrong = check_options(options)
    columns = _find_columns(options, names, wrong)
    if not wrong and not any(column in columns for column, _ in IDENTIFIERS):
        listed = ", ".join(repr(name) for name in sorted(names)[:30]) or "none"
        wrong.append(
            "the file has no column username, email, phone_number or nik to sign in with; name it with --column, for "
            f"example --column email=...; its columns are {listed}"
        )
    elif not wrong:
        for column, kind in IDENTIFIERS:
            if kind in options.verified and column not in columns:
                wrong.append(f"--verified {kind}: the file has no column {column}{_near(column, names)}")
        if options.update and "local_user_id" not in columns:
            wrong.append("--update: the file has no column local_user_id; name it with --column local_user_id=...")
    if wrong:
        raise OptionsRefused(wrong)
    return replace(options, columns=columns), sorted(set(names) - set(columns.values()))


def _find_columns(options: Options, names: Collection[str], wrong: list[str]) -> dict[str, str]:
    """Return the column of the file for each of ours that it has; what is wrong is added to ``wrong``."""
    by_form: dict[str, list[str]] = {}
    for name in names:
        by_form.setdefault(_form(name), []).append(name)
        by_form.setdefault(f"bare {_bare(name)}", []).append(name)
    columns: dict[str, str] = {}
    for ours in options.known:
        theirs = options.columns.get(ours, ours)
        similar = by_form.get(_form(theirs)) or by_form.get(f"bare {_bare(theirs)}", [])
        same = [theirs] if theirs in names else similar
        twice = [] if same else [name for name in names if _form(name).startswith(f"{_form(theirs)}_(column_")]
        if len(same) > 1 or twice:
            several = ", ".join(repr(name) for name in same or twice)
            wrong.append(
                f"{ours}: the file has several such columns: choose with --column {ours}=..., one of {several}"
            )
        elif same:
            columns[ours] = same[0]
        elif ours in options.columns and theirs:
            wrong.append(f"--column {ours}={theirs}: the file has no column {theirs!r}{_near(theirs, names)}")
    return columns


def _form(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().casefold())


def _bare(name: str) -> str:
    return re.sub(r"[\s\-_]+", "", name.casefold())


def _near(name: str, names: Collection[str]) -> str:
    by_form = {_form(column): column for column in names}
    near = get_close_matches(_form(name), by_form, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {by_form[near[0]]!r}?"
    return f"; there are {', '.join(repr(column) for column in sorted(names)[:30])}"


def read_row(
    number: int, given: Mapping[str, object], options: Options, take_hash: TakeHash, notes: Iterable[str] = ()
) -> Row:
    """Return a row, checked and normalised.

    Args:
        number: the number of its line.
        given: what it holds.
        options: how the file is read, as :func:`fit_columns` returns them.
        take_hash: turns a password hash into the form that is kept.
        notes: values that the reader left out.

    Raises:
        RowRefused: saying why.
    """
    all_notes: list[Note] = [Note("left out", note) for note in notes]
    heard: list[str] = []
    own = {ours: theirs for ours, theirs in options.columns.items() if ours not in options.attributes}
    text, nested = _texts(given, own, all_notes)
    identifiers = _identifiers(text, options, all_notes, heard)
    profile = _profile(text, nested, all_notes)
    attributes = _attributes(given, options, all_notes)
    return Row(
        number,
        _name(text, profile),
        identifiers,
        _local_user_id(text.get("local_user_id", "")),
        _password(text, take_hash, all_notes),
        _locale(text.get("locale", ""), all_notes),
        profile,
        notes=tuple(all_notes),
        read_as=tuple(heard),
        has_name="name" in text,
        attributes=attributes,
    )


def line_break_in(given: Mapping[str, object], columns: Mapping[str, str]) -> str:
    """Return which of our columns of one line has a line break in this row; empty where none has."""
    for ours, theirs in columns.items():
        value = given.get(theirs)
        if isinstance(value, str) and ours != "address" and not value.isprintable() and _has_break(value.strip()):
            return ours
    return ""


def _has_break(text: str) -> bool:
    return len(text.splitlines()) > 1


def _texts(
    given: Mapping[str, object], columns: Mapping[str, str], notes: list[Note]
) -> tuple[dict[str, str], dict[str, object]]:
    """Return the values as text by our columns, and the objects ``address`` and ``profile``."""
    text: dict[str, str] = {}
    nested: dict[str, object] = {}
    for ours, theirs in columns.items():
        value = given.get(theirs)
        if value is None or value == "":
            continue
        if isinstance(value, str):
            value = value.strip()
            if value in _NOTHING:
                continue
            if not value.isprintable() and ours != "address" and _has_break(value):
                raise RowRefused(f"{ours}: has a line break")
            text[ours] = value
        elif isinstance(value, dict) and ours in ("address", "profile"):
            nested[ours] = value
        elif isinstance(value, bool) and ours in YES_NO:
            text[ours] = "true" if value else "false"
        elif isinstance(value, int) and not isinstance(value, bool):
            text[ours] = str(value)
        else:
            wrong = f"{ours}: {_type(value)}, not text"
            if ours in _NEEDED or (ours in COLUMNS and isinstance(value, list | dict)):
                raise RowRefused(wrong)
            notes.append(Note("left out", wrong))
    return text, nested


def _attributes(given: Mapping[str, object], options: Options, notes: list[Note]) -> dict[str, Value]:
    """Return the values of attributes; what one cannot have is left out, with a note."""
    values: dict[str, Value] = {}
    for name, attribute in options.attributes.items():
        raw = given.get(options.columns.get(name, ""))
        if isinstance(raw, str) and raw.strip() in _NOTHING:
            continue
        try:
            value = checked_value(attribute, raw)
        except ValueRefused as error:
            notes.append(Note("left out", f"{name}: {error}"))
        else:
            values |= {name: value} if value is not None else {}
    return values


def _type(value: object) -> str:
    if isinstance(value, dict):
        return "is a JSON object"
    if isinstance(value, list):
        return "is a JSON list"
    return "is true or false" if isinstance(value, bool) else "is a number with a fraction or exponent"


def _identifiers(
    text: Mapping[str, str], options: Options, notes: list[Note], heard: list[str]
) -> list[tuple[Kind, str, bool]]:
    identifiers: list[tuple[Kind, str, bool]] = []
    wrong: list[str] = []
    for column, kind in IDENTIFIERS:
        value = text.get(column)
        if value is None or is_nothing(value):
            continue
        try:
            normal = normalise_as(kind, value)
        except ValueError as error:
            wrong.append(f"{column}: {error}")
            continue
        notes += [Note("warning", f"{column}: {message}") for message in normal.warnings]
        verified = kind == "username" or (_is_verified(column, kind, text, options, heard) and normal.provable)
        identifiers.append((kind, normal.value, verified))
    if not identifiers:
        raise RowRefused("; ".join(wrong) or "has no username, e-mail address, phone number or NIK to sign in with")
    notes += [Note("left out", message) for message in wrong]
    return identifiers


def _is_verified(column: str, kind: str, text: Mapping[str, str], options: Options, heard: list[str]) -> bool:
    """Tell whether a contact counts as verified. What the row itself says comes before ``--verified``."""
    name = f"{column}_verified"
    if name not in text:
        return kind in options.verified
    answer, is_time = yes_or_no(name, text[name])
    if is_time:
        heard.append(f"{name}: a time is read as yes" if answer else f"{name}: a zero time is read as no")
    return answer


def yes_or_no(column: str, text: str) -> tuple[bool, bool]:
    """Return what a yes/no column says, and whether it said so with a time (``email_verified_at`` of Laravel).

    Raises:
        RowRefused: when it is neither yes, nor no, nor a time that exists and is past.
    """
    word = text.casefold()
    if word in _YES or word in _NO:
        return word in _YES, False
    match = _TIME.fullmatch(text)
    if match is None:
        raise RowRefused(f"{column}: is not yes or no (yes, true, ya, 1; no, false, tidak, 0) or a time")
    day, time = match.groups()
    if day in _ZERO_DATES and not (time or "").strip("0:"):
        return False, True
    try:
        when = datetime.fromisoformat(f"{day} {time or '00:00'}").replace(tzinfo=UTC)
    except ValueError:
        raise RowRefused(f"{column}: is a time that does not exist") from None
    if when < _FIRST_TIME:
        return False, True
    if when > clock.now() + timedelta(days=1):
        raise RowRefused(f"{column}: is a time in the future")
    return True, True


def _name(text: Mapping[str, str], profile: Mapping[str, object]) -> str:
    """Return the name, or what can stand for it: the parts of the name, the user name, the e-mail before the @."""
    if "name" in text:
        name = " ".join(text["name"].split())
        if not _is_name(name):
            raise RowRefused("name: must have 1 to 200 characters, without <, > and invisible characters")
        return name
    parts = " ".join(
        cast(str, profile[part]) for part in ("given_name", "middle_name", "family_name") if part in profile
    )
    for name in (parts, text.get("username", ""), text.get("email", "").partition("@")[0]):
        if _is_name(name):
            return name
    raise RowRefused("name: is missing, and there is no username or e-mail address to use instead")


def _is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None and text == one_line(text)


def _local_user_id(text: str) -> str:
    if len(text) > MAX_LOCAL_ID:
        raise RowRefused(f"local_user_id: has more than {MAX_LOCAL_ID} characters")
    if _SPREADSHEET.fullmatch(text):
        raise RowRefused("local_user_id: was rewritten by a spreadsheet, and its digits are lost")
    try:
        return check_line(text)
    except TextRefused as error:
        raise RowRefused(f"local_user_id: {error}") from None


def _password(text: Mapping[str, str], take_hash: TakeHash, notes: list[Note]) -> str:
    if "password_hash" not in text:
        return ""
    salt, scheme = text.get("password_salt", ""), text.get("password_scheme", "")
    try:
        return take_hash(text["password_hash"], salt=salt, scheme=scheme)
    except SchemeUnknown as error:
        raise RowRefused(str(error)) from None
    except (ValueError, TypeError) as error:
        notes.append(Note("left out", f"password_hash: {error}; the person comes without a password"))
        return ""


def _locale(text: str, notes: list[Note]) -> str | None:
    """Return the language tag (BCP 47), in its canonical form."""
    if not text:
        return None
    try:
        tag = check_locale(check_line(text))
    except ValueError as error:
        notes.append(Note("left out", f"locale: {error}"))
        return None
    if warning := language_tag(tag).warning:
        notes.append(Note("warning", f"locale: {warning}"))
    return tag


def _profile(text: Mapping[str, str], nested: Mapping[str, object], notes: list[Note]) -> dict[str, object]:
    """Return the claims that can be kept; each other one is left out."""
    claims: dict[str, object] = {name: text[name] for name in PROFILE_COLUMNS if name in text}
    if "address" in claims:
        claims["address"] = {"formatted": claims["address"]}
    elif "address" in nested:
        claims["address"] = dict(cast(Columns, nested["address"]))
    claims |= {
        name: value for name, value in cast(Claims, nested.get("profile", {})).items() if value not in (None, "")
    }
    while claims:
        try:
            profile = Profile.model_validate(claims).model_dump(exclude_none=True)
            notes += _warnings(profile)
            return profile
        except ValidationError as error:
            for problem in error.errors():
                notes.append(Note("left out", f"{'.'.join(map(str, problem['loc']))}: {_message(problem)}"))
                _leave_out(claims, problem["loc"])
    return {}


def _warnings(profile: Mapping[str, object]) -> list[Note]:
    """Return what no table knows; it is kept."""
    address = cast(Columns, profile.get("address", {}))
    codes = [("zoneinfo", time_zone, cast(str | None, profile.get("zoneinfo")))]
    codes.append(("address.country", country, address.get("country")))
    warnings = [(name, read(value).warning) for name, read, value in codes if value and value.strip()]
    return [Note("warning", f"{name}: {warning}") for name, warning in warnings if warning]


def _message(problem: ErrorDetails) -> str:
    if problem["type"] == "string_pattern_mismatch":
        return BIRTHDATE_FORM if problem["loc"][0] == "birthdate" else "must begin with https://"
    return validation_message(problem)


def _leave_out(claims: dict[str, object], where: tuple[int | str, ...]) -> None:
    """Take the value out that a place names: a member of the address, or a whole claim."""
    inside = claims.get(str(where[0]))
    if len(where) > 1 and isinstance(inside, dict):
        inside.pop(where[1], None)
        if inside:
            return
    claims.pop(str(where[0]), None)
