"""What people type to say who they are: an e-mail address, a telephone number, a user name, their NIK or NIP.

A field that is for one kind takes that kind (:func:`normalise_as`). What is typed where any kind may stand has every
meaning that it can have (:func:`meanings`), and only the accounts say which is meant: ``081234567890`` is a user name
and a telephone number. docs/decisions/0041-what-is-typed-is-looked-up.md says why.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from sso.identity.users.codes import place_warning
from sso.identity.users.nip import normal_nip
from sso.platform.security.text import check_line

Kind = Literal["email", "phone", "username", "nik", "nip"]

ORDER: tuple[Kind, ...] = ("username", "email", "phone", "nik")
"""In which order what is typed is looked up. A NIP is looked up as a user name: both share one form, so that nobody's
user name can be the NIP of somebody else. In its printed form, with blanks, it is looked up last."""
MAX_IDENTIFIER_CHARS = 254
NIK_DIGITS = 16
_INTERNATIONAL = ("00", "62")
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._\-]{2,63}")
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f<>\"(),:;\\\[\]]{1,64}@[a-z0-9](?:[a-z0-9.\-]{0,250}[a-z0-9])?")
_USER_ID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")
_NIP_PRINTED = re.compile(r"([0-9]{8})[ .]([0-9]{6})[ .]([0-9])[ .]([0-9]{3})|([0-9]{3})[ .]([0-9]{3})[ .]([0-9]{3})")
_SPREADSHEET = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?e[+-]?[0-9]+|\+?[0-9]{5,}[.,][0-9]{1,2}")
_SPREADSHEET_NAME = re.compile(r"[0-9]+([.,][0-9]+)?e\+[0-9]+|[0-9]+[.,][0-9]+e[0-9]+|[0-9]{5,}[.,]00?")
_FORMULA = re.compile(r'="([^"]*)"')
_DASHES = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_DEVIATIONS = re.compile("[\u00df\u03c2\u200c\u200d]")
"""Characters whose domain is another one in IDNA 2008 than in IDNA 2003 (UTS 46 section 7), so that a mail may reach
somebody else: fa\u00df.example and fass.example."""
_DIRECTION_MARKS = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_EXTENSION = re.compile(r"[\s,;]*(?:ekstensi|extension|ext|x|pesawat|pes|psw|#)\s*[.:=]?\s*([0-9]{1,7})$")
_CONTEXT = re.compile(r";phone-context=(\+[0-9.()\-]{1,14})(?![0-9.()\-])")
_TEL_NUMBER = re.compile(r"\(?\s*\+?[0-9(][0-9 ().\-/]*")
_NOTHING = {
    "", "null", "(null)", "\\n", "n/a", "#n/a", "n.a.", "na", "nil", "none", "nan", "undefined", "tidak ada",
    "tidak punya", "belum ada", "kosong", "unknown", "'", '""', "?",
}  # fmt: skip
NOT_A_NUMBER = "is not a phone number: write it as in 0812 3456 7890 or +62 812 3456 7890"
REWRITTEN = (
    "was rewritten by a spreadsheet, and its digits may be lost: format the column as text, and write the file again"
)


@dataclass(frozen=True, slots=True)
class NormalIdentifier:
    """An identifier in the one form under which it is found. Of a NIK that is the number itself: never store it.

    ``warnings`` say what is unusual about it and does not keep it from being stored. ``provable``: it may count as
    verified; a telephone number that exists in no numbering plan may not.
    """

    kind: Kind
    value: str
    warnings: tuple[str, ...] = ()
    provable: bool = True

    def lookup(self, nik_key: bytes) -> str:
        """Return the form that is unique among all people: of a NIK a keyed hash, so that the database alone tells
        nothing of it. The forms of different kinds are never the same: only an e-mail address has an ``@``, only a
        telephone number begins with ``+``, only a NIK has a ``:``.

        Args:
            nik_key: the key of this installation.
        """
        return nik_lookup(self.value, nik_key) if self.kind == "nik" else self.value


def is_nothing(text: str) -> bool:
    """Tell whether an optional field says that there is no value: empty, ``-``, ``NULL``, ``n/a``, nothing but zeros
    and punctuation. Not for names of people: some are called Null or Na."""
    value = unicodedata.normalize("NFKC", text).strip().casefold()
    return value in _NOTHING or not any(char.isalnum() and char != "0" for char in value)


def normalise_as(kind: Kind, text: str) -> NormalIdentifier:
    """Return the normal form of the value of a field that is for one kind: NFKC, small letters, telephone numbers in
    E.164 with +62 as default.

    Args:
        kind: the kind of the field. A user name may have any digits, also those of a telephone number or a NIK.
        text: its value; whether there is one is told by :func:`is_nothing`.

    Raises:
        ValueError: saying what is wrong and what to do.
    """
    value = _typed(_DIRECTION_MARKS.sub("", text) if kind == "phone" else text)
    if kind == "email":
        return NormalIdentifier("email", _email(unicodedata.normalize("NFKC", text).strip().lower()))
    formula = _FORMULA.fullmatch(value)
    value = formula[1].strip() if formula else value
    if value.startswith(("'", "’")):  # a spreadsheet's mark for text
        value = value[1:].strip()
    if kind == "phone":
        return _phone(value)
    if kind == "nik":
        if _SPREADSHEET.fullmatch(value):
            raise ValueError(REWRITTEN)
        digits = normal_nik(value)
        warning = place_warning(digits)
        return NormalIdentifier("nik", digits, (f"the place in this NIK is unknown: {warning}",) if warning else ())
    if kind == "nip":
        if _SPREADSHEET.fullmatch(value):
            raise ValueError(REWRITTEN)
        return NormalIdentifier("nip", normal_nip(value))
    return NormalIdentifier("username", _username(value))


def normalise_contact(text: str) -> NormalIdentifier:
    """Return the normal form of what was typed in a field that takes an e-mail address or a telephone number.

    Raises:
        ValueError: when it is neither.
    """
    return normalise_as("email" if "@" in text or "＠" in text else "phone", text)


def meanings(text: str) -> tuple[NormalIdentifier, ...]:
    """Return everything that what was typed can mean, in the order in which it is looked up; nothing where it can be
    no identifier. Last comes the form in which a number that begins with 62 or 00 was stored by earlier releases."""
    possible = []
    for kind in ORDER:
        with suppress(ValueError):
            possible.append(normalise_as(kind, text))
    digits = re.sub("[ ().-]", "", text)
    if any(meaning.kind == "phone" for meaning in possible) and digits.isdigit() and digits.startswith(_INTERNATIONAL):
        from sso.identity.users import numbering_plans

        number = numbering_plans.parse([digits])
        if number is not None:
            possible.append(NormalIdentifier("phone", number[0]))
    printed = _NIP_PRINTED.fullmatch(text.strip())
    if printed:
        possible.append(NormalIdentifier("username", "".join(printed.groups(""))))
    return tuple({(meaning.kind, meaning.value): meaning for meaning in possible}.values())


def contacts_first(possible: Iterable[NormalIdentifier]) -> list[NormalIdentifier]:
    """Return meanings with those of a user name last."""
    return sorted(possible, key=lambda meaning: meaning.kind == "username")


def counted_as(text: str, possible: Sequence[NormalIdentifier], nik_key: bytes) -> str:
    """Return one form of what was typed, under which attempts with it are counted: that of a contact before that of a
    user name, so that every spelling of a telephone number counts as one.

    Args:
        text: what was typed.
        possible: what it can mean (:func:`meanings`).
        nik_key: the key of this installation.
    """
    return contacts_first(possible)[0].lookup(nik_key) if possible else text.casefold()


def receives_codes(kind: str, value: str) -> bool:
    """Tell whether a code can be sent there: to an e-mail address, and to a telephone that takes an SMS."""
    return kind == "email" or (kind == "phone" and takes_sms(value))


def can_be_verified(kind: str, value: str) -> bool:
    """Tell whether a stored identifier may count as verified: not a telephone number that no numbering plan has."""
    if kind != "phone":
        return True
    from sso.identity.users import numbering_plans  # with the library, which takes 2 MB and 40 ms

    return numbering_plans.is_valid(value.partition(";")[0])


def may_be_chosen(name: str) -> bool:
    """Tell whether somebody may choose a user name for themselves: it has a letter, and can mean nothing else. Names of
    digits are given by administrators and imports alone, so that nobody takes the telephone number, the NIK or the
    NIP of somebody else as their name."""
    return any(char.isalpha() for char in name) and len(meanings(name)) == 1 and not _USER_ID.fullmatch(name)


def takes_sms(number: str) -> bool:
    """Tell whether a stored telephone number can receive an SMS: not that of a landline, a service or an extension."""
    if ";" in number:
        return False
    from sso.identity.users import numbering_plans

    return numbering_plans.takes_sms(number)


def normal_nik(text: str) -> str:
    """Return the 16 digits of a NIK: place of registration (codes of the Ministry of Home Affairs), date of birth (a
    woman's day plus 40) and a running number. The place is not checked: :func:`sso.identity.users.codes.place_warning`.

    Raises:
        ValueError: saying which part is wrong.
    """
    from stdnum.exceptions import ValidationError as NumberError  # only where somebody types a NIK
    from stdnum.id import nik as nik_rules

    digits = nik_rules.compact(_typed(text))
    if not (digits.isascii() and digits.isdigit()) or len(digits) != NIK_DIGITS:
        raise ValueError(f"a NIK has {NIK_DIGITS} digits")
    day = int(digits[6:8])
    try:
        nik_rules.get_birth_date(digits)
    except NumberError:
        raise ValueError("the date of birth in this NIK does not exist") from None
    if day > 71 or 31 < day <= 40:
        raise ValueError("the date of birth in this NIK does not exist")
    if digits.startswith("00") or digits.endswith("0000"):
        raise ValueError("the beginning or the end of this NIK cannot be right")
    return digits


def nik_lookup(digits: str, key: bytes) -> str:
    """Return the keyed hash under which a NIK is found (HMAC-SHA-256)."""
    return "nik:" + hmac.new(key, digits.encode(), hashlib.sha256).hexdigest()


def masked(kind: str, value: str) -> str:
    """Return an identifier so that its owner recognises it, and somebody else learns little."""
    if kind == "nik":
        return f"{value[:4]}••••••••{value[-4:]}"
    if kind == "email":
        local, _, domain = value.partition("@")
        return f"{local[:1]}•••{local[-1:] if len(local) > 2 else ''}@{domain}"
    if kind == "phone":
        number = value.partition(";")[0]
        return f"{number[:5]}•••••{number[-3:]}"
    return value


def _typed(text: str) -> str:
    """Return what was typed in Unicode's one form, with digits and dashes of ASCII, in small letters."""
    value = check_line(unicodedata.normalize("NFKC", text).strip()).casefold()
    if not value or len(value) > MAX_IDENTIFIER_CHARS:
        raise ValueError(f"must have 1 to {MAX_IDENTIFIER_CHARS} characters")
    if value.isascii():
        return value
    value = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in value)
    return _DASHES.sub("-", value)


def _username(value: str) -> str:
    if "@" in value:
        raise ValueError("is an e-mail address: a username has no @. Enter an e-mail address in its own field")
    if _SPREADSHEET_NAME.fullmatch(value):
        raise ValueError(REWRITTEN)
    if not _USERNAME.fullmatch(value):
        raise ValueError("must have 3 to 64 letters, digits, dots, hyphens or underscores, and begin with one of the "
                         "first two")  # fmt: skip
    return value


def _email(value: str) -> str:
    local, _, domain = value.rpartition("@")
    if _DEVIATIONS.search(domain):
        raise ValueError("is not an e-mail address that is clear: write its domain in ASCII letters (xn--...)")
    try:
        domain = domain.encode("idna").decode("ascii") if not domain.isascii() else domain
    except UnicodeError:
        raise ValueError("is not an e-mail address") from None
    value = f"{local}@{domain}"
    if not _EMAIL.fullmatch(value) or ".." in domain or "." not in domain:
        raise ValueError("is not an e-mail address")
    return value


def _phone(value: str) -> NormalIdentifier:
    """Return a phone number in E.164, an extension after it as in RFC 3966. Read are RFC 3966 (``tel:``), E.123
    (``(021) 555-0100``) and what people write; one value holds one number."""
    if _SPREADSHEET.fullmatch(value):
        raise ValueError(REWRITTEN)
    value = value.removeprefix("tel:").strip()
    context = _CONTEXT.search(value)
    if context:
        value = value[: context.start()] + value[context.end() :]
    value, extension = _without_extension(value)
    if not _TEL_NUMBER.fullmatch(value) or "+" in value[2:]:
        raise ValueError(NOT_A_NUMBER)
    if min((len(re.sub("[^0-9]", "", part)) for part in value.split("/", 1)), default=0) > 6 and "/" in value:
        raise ValueError("has two phone numbers: enter one")
    digits = re.sub("[^0-9]", "", value)
    area = re.sub("[^+0-9]", "", context[1]) if context else ""
    plus = area if area and "+" not in value else "+" if "+" in value else ""
    # 00 and 62 begin an international number where that gives a valid one.
    international = ["+" + digits.removeprefix("00")] if not plus and digits.startswith(_INTERNATIONAL) else []
    from sso.identity.users import numbering_plans

    number = numbering_plans.parse([*international, plus + digits])
    if number is None:
        raise ValueError(NOT_A_NUMBER)
    e164, valid = number
    warnings = () if valid else ("this is not a valid phone number: it cannot be marked as verified",)
    return NormalIdentifier("phone", f"{e164};ext={extension}" if extension else e164, warnings, valid)


def _without_extension(value: str) -> tuple[str, str]:
    match = _EXTENSION.search(value)
    return (value[: match.start()].strip(" ,;"), match[1]) if match else (value, "")
