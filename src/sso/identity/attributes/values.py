"""Values of attributes: one pure function checks them, wherever they come from; others write and read what is stored.

A value is text, an integer, true or false, or a list of text; a date is text such as 2026-11-27.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable, Iterable
from datetime import date

import orjson

from sso.identity.attributes.definitions import MAX_INTEGER, Attribute
from sso.identity.attributes.patterns import matches
from sso.platform.security.encryption import SecretBox
from sso.platform.security.text import check_line, composed

Value = str | int | bool | list[str]
MAX_TYPED_CHARS = 120_000
"""The most characters of a form field or a cell that is read at all."""
_ENCRYPTED_MARK = "~"
_YES = frozenset({"1", "true", "yes", "y", "ya", "t"})
_NO = frozenset({"0", "false", "no", "n", "tidak", "f"})
_INTEGER = re.compile(r"-?[0-9]{1,16}", re.ASCII)
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_LOCAL_DATE = re.compile(r"([0-9]{1,2})[-/. ]([0-9]{1,2})[-/. ]([0-9]{4})", re.ASCII)
_BETWEEN = ";"
"""What stands between the texts of a list where they are typed."""


class ValueRefused(ValueError):
    """A value that an attribute cannot have; the message says what it must be, and never repeats the value."""


def checked_value(attribute: Attribute, given: object) -> Value | None:
    """Return a value in the form that is stored; None: there is no value.

    Args:
        attribute: what it is a value of.
        given: JSON, or text as it was typed: ``27/11/2026`` for a date, ``ya`` for a boolean, semicolons between
            the texts of a list.

    Raises:
        ValueRefused: when the attribute cannot have this value.
    """
    if isinstance(given, str):
        if len(given) > MAX_TYPED_CHARS:
            raise ValueRefused("is too long")
        given = given.strip()
    if given is None or given in ("", []):
        return None
    return _CHECKS[attribute.type](attribute, given)


def _text(attribute: Attribute, given: object) -> str:
    if not isinstance(given, str):
        raise ValueRefused("must be text")
    if len(given) > attribute.longest:
        raise ValueRefused(f"must have at most {attribute.longest} characters")
    try:
        text = composed(check_line(given))
    except ValueError as error:
        raise ValueRefused(str(error)) from None
    if len(text) > attribute.longest:
        raise ValueRefused(f"must have at most {attribute.longest} characters")
    if attribute.pattern is not None and not matches(attribute.pattern, text):
        raise ValueRefused(f"must look like {attribute.pattern}")
    return text


def _integer(attribute: Attribute, given: object) -> int:
    if isinstance(given, str) and _INTEGER.fullmatch(given):
        given = int(given)
    if not isinstance(given, int) or isinstance(given, bool):
        raise ValueRefused("must be a whole number, such as 42")
    minimum = -MAX_INTEGER if attribute.minimum is None else attribute.minimum
    maximum = MAX_INTEGER if attribute.maximum is None else attribute.maximum
    if not minimum <= given <= maximum:
        raise ValueRefused(f"must be a number from {minimum} to {maximum}")
    return int(given)


def _boolean(_: Attribute, given: object) -> bool:
    word = given.casefold() if isinstance(given, str) else ""
    if isinstance(given, bool) or word in _YES or word in _NO:
        return given is True or word in _YES
    raise ValueRefused("must be true or false")


def _date(_: Attribute, given: object) -> str:
    text = given.isoformat() if type(given) is date else given
    local = _LOCAL_DATE.fullmatch(text) if isinstance(text, str) else None
    if local is not None:
        text = f"{local[3]}-{local[2]:0>2}-{local[1]:0>2}"
    try:
        if isinstance(text, str) and _ISO_DATE.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise ValueRefused("must be a date that exists, such as 2026-11-27")


def _choice(attribute: Attribute, given: object) -> str:
    if isinstance(given, str):
        if given in attribute.choices:
            return given
        word = given.casefold()
        near = [
            value
            for value, texts in attribute.choices.items()
            if word in (value.casefold(), texts.title.casefold(), texts.title_en.casefold())
        ]
        if len(near) == 1:
            return near[0]
    listed = list(attribute.choices)
    raise ValueRefused(f"must be one of {', '.join(listed[:20])}{', ...' if len(listed) > 20 else ''}")


def _list(attribute: Attribute, given: object) -> list[str]:
    maximum = attribute.max_items or 10
    items: list[object] = list(given.split(_BETWEEN)) if isinstance(given, str) else []
    items = given if isinstance(given, list) else items
    if not isinstance(given, list | str):
        raise ValueRefused("must be a list of text")
    entries = [each.strip() if isinstance(each, str) else each for each in items[: maximum * 4 + 4]]
    entries = [each for each in entries if each != ""]
    if len(entries) > maximum or len(items) > maximum * 4 + 4:
        raise ValueRefused(f"must have at most {maximum} texts")
    if any(isinstance(each, str) and _BETWEEN in each for each in entries):
        raise ValueRefused(f"must have no {_BETWEEN} within a text")
    return list(dict.fromkeys(_text(attribute, each) for each in entries))


_CHECKS: dict[str, Callable[[Attribute, object], Value]] = {
    "text": _text,
    "integer": _integer,
    "boolean": _boolean,
    "date": _date,
    "choice": _choice,
    "list": _list,
}


def stored_text(attribute: Attribute, name: str, user_id: uuid.UUID, value: Value, box: SecretBox) -> str:
    """Return a value as it is stored: JSON, and of specific personal data encrypted for this user and attribute."""
    data = orjson.dumps(value)
    if not attribute.encrypted:
        return data.decode()
    return _ENCRYPTED_MARK + base64.b64encode(box.encrypt(data, _purpose(name, user_id))).decode()


def read_stored(text: str, name: str, user_id: uuid.UUID, box: SecretBox) -> Value:
    """Return the value of a stored text.

    Raises:
        CannotDecrypt: when its secret is not known any more, or it belongs to another user or attribute.
    """
    if not text.startswith(_ENCRYPTED_MARK):
        value: Value = orjson.loads(text)
        return value
    opened: Value = orjson.loads(box.decrypt(base64.b64decode(text[1:]), _purpose(name, user_id)))
    return opened


def is_encrypted(text: str) -> bool:
    """Tell whether a stored text is encrypted."""
    return text.startswith(_ENCRYPTED_MARK)


def is_current(text: str, box: SecretBox) -> bool:
    """Tell whether a stored text need not be encrypted again: it is not encrypted, or with the newest secret."""
    return not is_encrypted(text) or box.is_current(base64.b64decode(text[1:]))


def joined(texts: Iterable[tuple[str, str]]) -> str:
    """Return names and stored texts as the database joins them for :func:`split`."""
    return "\n".join(f"{name}={text}" for name, text in texts)


def split(text: str | None) -> dict[str, str]:
    """Return stored texts by the names of their attributes. Neither JSON nor base64 has a line break in it."""
    return dict(_pair(line) for line in text.split("\n")) if text else {}


def _pair(line: str) -> tuple[str, str]:
    name, _, text = line.partition("=")
    return name, text


def _purpose(name: str, user_id: uuid.UUID) -> str:
    return f"attribute {name} of {user_id}"
