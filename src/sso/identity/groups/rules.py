"""Rules of units and groups, as pure functions."""

from __future__ import annotations

import re

_CODE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)


def is_group_code(text: str) -> bool:
    """Tell whether a text has the form of the code of a unit or group."""
    return _CODE.fullmatch(text) is not None


def check_code(text: str) -> str:
    """Return the code of a unit or group.

    Raises:
        ValueError: when it is none.
    """
    if not is_group_code(text):
        raise ValueError(f"{text!r} must be 1 to 64 letters, digits, dots, underscores and hyphens, such as DINKES-01")
    return text
