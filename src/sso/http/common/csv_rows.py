"""Rows of CSV files (RFC 4180), without formulas.

A cell that begins like a formula would be calculated by the program that opens the file (CSV injection, OWASP): it gets
an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from starlette.responses import StreamingResponse

from sso.http.common.i18n import N_

TOO_MANY_DOWNLOADS = N_("You have downloaded many lists today. Try again tomorrow.")
_MARK = b"\xef\xbb\xbf"
"""By which spreadsheets know UTF-8."""
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


def csv_file(name: str, header: Row, parts: AsyncIterator[Sequence[Row]]) -> StreamingResponse:
    """Return a CSV file that is sent while it is made.

    Args:
        name: of the file, without its ending.
        header: the titles of the columns.
        parts: the rows, in parts.
    """
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(_stream(header, parts), headers=headers, media_type="text/csv; charset=utf-8")


async def _stream(header: Row, parts: AsyncIterator[Sequence[Row]]) -> AsyncIterator[bytes]:
    yield _MARK + lines_of([header])
    async for rows in parts:
        yield lines_of(rows)
