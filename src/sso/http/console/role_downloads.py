"""The file with who has which role of an application."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sso.clients.registry import Client
from sso.http.common.csv_rows import lines_of
from sso.http.common.i18n import N_
from sso.http.common.pages import locale_of
from sso.http.console import roles
from sso.http.console.access import Here
from sso.platform.db import Database

TOO_MANY = N_("You have downloaded many lists today. Try again tomorrow.")


async def file_response(request: Request, db: Database, here: Here, client: Client, note: str) -> Response:
    """Return the file, and record the download."""
    async with db.write() as session:
        roles.record_download(session, client.client_id, here, note)
    headers = {
        "Content-Disposition": f'attachment; filename="roles-{client.client_id}.csv"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(
        _lines(db, client, locale_of(request)), headers=headers, media_type="text/csv; charset=utf-8"
    )


async def _lines(db: Database, client: Client, locale: str) -> AsyncIterator[bytes]:
    yield b"\xef\xbb\xbf" + lines_of([roles.HEADER])
    async for rows in roles.rows_of_file(db, client, locale):
        yield lines_of(rows)
