"""Reading untrusted JSON: bounded depth, numbers and characters, and no duplicate members."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from typing import NoReturn, cast

from sso.platform.security.text import TextRefused, check_line, check_lines

MAX_DEPTH = 32
"""Maximum nesting of arrays and objects."""
MAX_VALUES = 20_000
"""Maximum number of values in a document."""
_LARGEST = 2**63 - 1


class NotJson(ValueError):
    """The document is not JSON."""


class DocumentRefused(ValueError):
    """The JSON document has something that is not accepted; the message says what."""


def members(value: object) -> Mapping[str, object]:
    """Return the members of an object in a document.

    Raises:
        TypeError: when it is no object.
    """
    if not isinstance(value, Mapping):
        raise TypeError("must be a JSON object")
    return value


def several(value: object) -> Iterable[object]:
    """Return the items of a list in a document; none where it is null or empty.

    Raises:
        TypeError: when it is iterated and is no list.
    """
    return cast(Iterable[object], value or ())


def read_json(data: bytes | str, several_lines: Collection[str] | None = None) -> object:
    """Return a JSON document (RFC 8259), UTF-8 without a mark at the beginning.

    Args:
        data: the document.
        several_lines: the members whose text may have several lines and invisible characters, as at
            :func:`check_document`.

    Raises:
        NotJson: when it is none.
        DocumentRefused: when it is too deep, has too many values, numbers that are no 64-bit integers or finite, a
            member twice, or characters that are refused.
    """
    if isinstance(data, bytes):
        try:
            data = data.decode("utf-8")
        except UnicodeDecodeError:
            raise DocumentRefused("must be UTF-8") from None
    if data.startswith("\ufeff") or "\x00" in data:  # other encodings, which some readers would guess
        raise DocumentRefused("must be UTF-8 without a byte order mark")
    try:
        document = _DECODER.decode(data)
    except json.JSONDecodeError:
        raise NotJson("must be JSON") from None
    except RecursionError:
        raise DocumentRefused(f"must not be deeper than {MAX_DEPTH}") from None
    check_document(document, several_lines)
    return document


def check_document(document: object, several_lines: Collection[str] | None = None) -> None:
    """Check a document that was parsed by somebody else, such as the claims of a JWT.

    Args:
        document: the document.
        several_lines: the members whose text may have several lines and invisible characters; None: all.

    Raises:
        DocumentRefused: as :func:`read_json` says.
    """
    values, depth = 0, 0
    level: list[tuple[str, object]] = [("", document)]
    while level:
        values, depth = values + len(level), depth + 1
        if values > MAX_VALUES:
            raise DocumentRefused(f"must not have more than {MAX_VALUES} values")
        if depth > MAX_DEPTH + 1:
            raise DocumentRefused(f"must not be deeper than {MAX_DEPTH}")
        level = [inner for name, value in level for inner in _inside(name, value, several_lines)]


def _inside(member: str, value: object, several_lines: Collection[str] | None) -> list[tuple[str, object]]:
    """Check one value, and return those that it holds, each with the member that it belongs to."""
    try:
        if isinstance(value, str):
            (check_lines if several_lines is None or member in several_lines else check_line)(value)
        elif isinstance(value, dict):
            for name in value:
                check_line(name)
            return list(value.items())
    except TextRefused as error:
        raise DocumentRefused(str(error)) from None
    if isinstance(value, list):
        return [(member, item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise DocumentRefused("must have finite numbers only")
    if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
        raise DocumentRefused("must have integers of at most 64 bits")
    return []


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DocumentRefused("must not have a member twice")
    return members


def _int(text: str) -> int:
    if len(text) > 20:
        raise DocumentRefused("must have integers of at most 64 bits")
    return int(text)


def _float(text: str) -> float:
    if len(text) > 400 or not math.isfinite(number := float(text)):
        raise DocumentRefused("must have finite numbers only")
    return number


def _no_constant(name: str) -> NoReturn:
    raise DocumentRefused(f"must not have {name}")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_no_constant)
