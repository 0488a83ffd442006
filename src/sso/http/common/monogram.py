"""Initials in a stable colour, for a person or an application without a picture."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import NamedTuple

COLOURS = 8
"""How many colours the style sheet has for initials: the classes ``tint-0`` to ``tint-7``."""


class Monogram(NamedTuple):
    """The initials of a name, and the number of their colour."""

    initials: str
    tint: int


def monogram(name: str, key: str = "") -> Monogram:
    """Return the initials of ``name``: of its first and its last word, or two letters of its only word.

    Args:
        name: what people call it.
        key: what the colour is made from, such as the client ID; empty: the name. The same key has the same colour.
    """
    words = ["".join(char for char in word if unicodedata.category(char)[0] in "LN") for word in name.split()]
    words = [word for word in words if word]
    if not words:
        initials = "?"
    elif len(words) == 1:
        initials = words[0][:2]
    else:
        initials = words[0][0] + words[-1][0]
    digest = hashlib.sha256((key or name).encode("utf-8", "replace")).digest()
    return Monogram(initials.upper()[:2], digest[0] % COLOURS)
