"""Lists as CSV files: what the filter shows, in pages, at most ``MAX_ROWS`` rows, without formulas.

A cell that begins like a formula would be calculated by the program that opens the file (CSV injection, OWASP): it gets
an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

from starlette.responses import Response, StreamingResponse

from sso.http.common.i18n import N_, translations
from sso.http.console.access import Here
from sso.platform.audit import record
from sso.platform.db import Database

MAX_ROWS = 10_000
PART = 500
"""How many rows are read at a time."""
CUT = N_("Not complete: the list has more than %(count)s rows. Use the filters to download the others.")
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


async def csv_response(
    db: Database, here: Here, name: str, header: Row, parts: AsyncIterator[Sequence[Row]], filters: Collection[str]
) -> Response:
    """Return a list as a CSV file, and record the download.

    Args:
        db: the database.
        here: the administrator.
        name: of the list, and of the file.
        header: the titles of the columns.
        parts: the rows, in parts.
        filters: the names of the filters in effect, for the audit log.
    """
    async with db.write() as session:
        data = {"list": name, "filters": sorted(filters)}
        record(session, "list.exported", actor=here.actor, request_id=here.request_id, data=data)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"}
    words = translations("en" if (here.visit.user.locale or "").startswith("en") else "id").gettext
    note = words(CUT) % {"count": MAX_ROWS}
    return StreamingResponse(_stream(header, parts, note), headers=headers, media_type="text/csv; charset=utf-8")


async def _stream(header: Row, parts: AsyncIterator[Sequence[Row]], note: str) -> AsyncIterator[bytes]:
    """Yield the file; where there are more rows than a file may have, its last line says so."""
    yield b"\xef\xbb\xbf" + lines_of([header])  # a mark by which spreadsheets know UTF-8
    left = MAX_ROWS
    async for rows in parts:
        yield lines_of(rows[:left])
        if len(rows) > left:
            yield lines_of([[note]])
            return
        left -= len(rows)


def wants_csv(query: Mapping[str, str]) -> bool:
    """Tell whether a list is asked for as CSV."""
    return query.get("as", "") == "csv"


def csv_address(path: str, filters: Mapping[str, str]) -> str:
    """Return the address of a list as CSV."""
    return f"{path}?{urlencode({**filters, 'as': 'csv'})}"
