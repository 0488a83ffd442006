"""The spellings of headers: CGI makes one name of hyphens and underscores."""

from __future__ import annotations

from itertools import product

from sso.gate.headers import NAMES

KEY_HEADER = "X-SSO-Gate-Key"


def spellings(name: str) -> list[str]:
    """Return a header's name with a hyphen or an underscore at each place. Case makes no difference to proxies."""
    first, *rest = name.split("-")
    chosen = product("-_", repeat=len(rest))
    return [first + "".join(mark + part for mark, part in zip(marks, rest, strict=True)) for marks in chosen]


def every_spelling() -> list[str]:
    """Return every spelling of every header of the gate."""
    return [spelling for name in (*NAMES.values(), KEY_HEADER) for spelling in spellings(name)]
