"""Every mistake in the metadata of an application, each with its field and with what to write instead.

Used wherever somebody writes metadata: catalogue files, the API, dynamic registration, the portal. Pure.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sso.clients.metadata import OIDC_SCOPES, AssertionIssuer, ClientMetadata, Problems, contradictions_in
from sso.errors import validation_message
from sso.platform.permissions import PERMISSIONS

SHOWN_CHARS = 60
NOT_TEXT = "must be text, and "
CLOSE = 0.72
"""How alike two names must be for one to be suggested in place of the other (0 to 1)."""
KNOWN_SCOPES = (*OIDC_SCOPES, "ssf.read", "ssf.manage", *(permission.scope for permission in PERMISSIONS.values()))
"""The scopes that this provider gives a meaning. Any other name belongs to a resource server of the city."""
_INSTEAD = {
    "client_secret": "a secret is never written here; make one with: sso clients secret ID",
    "application_type": "is not known; write type: web, single_page, service, android or gate",
    "callback_url": "is not known; write redirect_uris",
    "callback_urls": "is not known; write redirect_uris",
    "logout_uri": "is not known; write backchannel_logout_uri or post_logout_redirect_uris",
    "name": "is not known; write client_name",
}


@dataclass(frozen=True, slots=True)
class FieldMistake:
    """One mistake. ``place``: the path to the value, names and list indexes; empty: the whole entry."""

    place: tuple[str | int, ...]
    text: str

    @property
    def field(self) -> str:
        """The path as one text, such as ``redirect_uris.0``."""
        return ".".join(str(part) for part in self.place)


def fields_of_metadata() -> list[str]:
    """Return the names of every field, as the specifications have them."""
    return [field.alias or name for name, field in ClientMetadata.model_fields.items()]


def mistakes_of(
    document: Mapping[str, object], error: ValidationError, context: Mapping[str, object]
) -> list[FieldMistake]:
    """Return every mistake of one application's metadata.

    Fields that contradict each other are found too, as far as the fields themselves can be read.

    Args:
        document: what was written, by the names of the specifications.
        error: what the check of ``document`` raised.
        context: with what it was checked.
    """
    mistakes: list[FieldMistake] = []
    for problem in error.errors():
        mistakes += _of_problem(document, problem)
    wrong = {str(mistake.place[0]) for mistake in mistakes if mistake.place}
    if any(problem["loc"] for problem in error.errors()):
        mistakes += [_named(text) for text in contradictions_in(document, wrong, dict(context))]
    return list(dict.fromkeys(mistakes))


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return the known name that was probably meant; nothing where none is alike."""
    spellings = {_plain(field): field for field in known}
    plain = _plain(name)
    if plain in spellings:
        return spellings[plain]
    close = difflib.get_close_matches(plain, list(spellings), 1, CLOSE)
    return spellings[close[0]] if close else ""


def unknown_field(name: str, known: Sequence[str], problem: str = "is not known") -> str:
    """Return what to say of a field that does not exist: the nearest name first."""
    if name in _INSTEAD and name not in known:
        return _INSTEAD[name]
    near = nearest_name(name, known)
    hint = f": {near} is probably meant" if near else ""
    return f"{problem}{hint}; allowed are {', '.join(known)}"


def scope_warnings(scope: str, known: Iterable[str] = KNOWN_SCOPES) -> list[str]:
    """Return a warning for each name in ``scope`` that is probably a misspelt name of ``known``. It is no mistake: a
    resource server of the city may have a scope of that name."""
    known = list(known)
    warned = []
    for name in scope.split():
        near = nearest_name(name, known) if name not in known else ""
        if near:
            warned.append(f"scope: {name} is not a scope of this provider; {near} is probably meant")
    return warned


def not_text(value: object, *, separated: bool = False) -> str:
    """Return what to say of a value that is not text where text is expected. ``separated``: the text holds names."""
    if value is None:
        return "must be text, and there is no value"
    if isinstance(value, (list, tuple)):
        if separated and value and all(isinstance(item, str) for item in value):
            return f"must be one text, not a list, with its names separated by spaces: {_short(' '.join(value))}"
        return "must be text, not a list"
    if isinstance(value, dict):
        return "must be text, not fields with values"
    return not_text_as_written(_written(value), _kind(value))


def not_text_as_written(written: str, kind: str) -> str:
    """Return the same of a value of which it is known how it was written."""
    return f'{NOT_TEXT}{written} is {kind}: write it in quotes: "{written}"'


def not_a_list(value: object) -> str:
    """Return what to say of a value that is not a list where a list is expected."""
    if isinstance(value, str):
        parts = [word for word in value.replace(",", " ").split() if word]
        return f"must be a list: [{_short(', '.join(parts))}]"
    return f"must be a list, and {'there is no value' if value is None else f'it is {_kind(value)}'}"


def _of_problem(document: Mapping[str, object], problem: ErrorDetails) -> list[FieldMistake]:
    place = tuple(part for part in problem["loc"] if isinstance(part, (str, int)))
    kind, value = problem["type"], problem.get("input")
    raised = (problem.get("ctx") or {}).get("error")
    if isinstance(raised, Problems):
        return [
            FieldMistake((*place, *problem.place), problem.text) if place else _named(problem.text)
            for problem in raised.problems
        ]
    text = validation_message(problem)
    if kind == "extra_forbidden":
        nested = place and place[0] == "assertion_issuers"
        known = list(AssertionIssuer.model_fields) if nested else ["client_id", *fields_of_metadata()]
        text = unknown_field(str(place[-1]), known)
    elif kind == "missing":
        text = "is required" + (", and has no value here" if len(place) == 1 and place[0] in document else "")
    elif kind == "string_type":
        text = not_text(value, separated=place == ("scope",))
    elif kind == "literal_error":
        text = _not_allowed(text, value, str((problem.get("ctx") or {}).get("expected", "")))
    elif kind in _SAID:
        text = _SAID[kind](text, value)
    return [FieldMistake(place, text) if place or ": " not in text else _named(text)]


def _not_allowed(text: str, value: object, expected: str) -> str:
    if not isinstance(value, str):
        kind = _kind(value)
        scalar = isinstance(value, (bool, int, float, dt.date))
        return f"{text}, and it is {kind}" + (f': write it in quotes: "{_written(value)}"' if scalar else "")
    near = nearest_name(value, expected.replace("'", "").replace(" or ", ", ").split(", "))
    return f"{text}; {near} is probably meant" if near else text


def _fields(_: str, value: object) -> str:
    return f"must be fields with values, and it is {_kind(value)}"


def _boolean(text: str, _: object) -> str:
    return f"{text}: write true or false"


def _number(text: str, _: object) -> str:
    return f"{text}: write a whole number, without quotes and letters"


_SAID: dict[str, Callable[[str, object], str]] = {
    "list_type": lambda _, value: not_a_list(value),
    "dict_type": _fields,
    "model_type": _fields,
    "model_attributes_type": _fields,
    "bool_type": _boolean,
    "bool_parsing": _boolean,
    "int_type": _number,
    "int_parsing": _number,
    "int_from_float": _number,
}
"""What is said in place of pydantic's own text, by the type of the error."""


def _named(text: str) -> FieldMistake:
    """Return a mistake whose text begins with the name of its field."""
    field, separator, rest = text.partition(": ")
    return FieldMistake((field,), rest) if separator else FieldMistake((), text)


def _plain(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum() or char in ":#.")


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, (dt.date, dt.datetime)):
        return "a date"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "fields with values"
    return "text"


def _written(value: object) -> str:
    """Return a value as it was written, where that is known (``raw``), or nearly so."""
    raw = getattr(value, "raw", None)
    if isinstance(raw, str):
        return _short(raw)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"
