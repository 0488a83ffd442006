"""Rows of CSV files (RFC 4180), without formulas.

A cell that begins like a formula would be calculated by the program that opens the file (CSV injection, OWASP): it gets
an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
Row = Sequence[object]


def cell(value: object) -> str:
    """Return a value as a cell shows it: nothing that a program calculates."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, (list, tuple, set, frozenset)):
        value = " ".join(str(item) for item in value)
    text = "" if value is None else str(value)
    text = "".join(char if char.isprintable() else " " for char in text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def lines_of(rows: Sequence[Row]) -> bytes:
    """Return rows as lines of CSV (RFC 4180)."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([[cell(value) for value in row] for row in rows])
    return buffer.getvalue().encode()
