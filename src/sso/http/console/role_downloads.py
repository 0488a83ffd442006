"""The file with who has which role of an application."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sso.clients.registry import Client
from sso.http.common.csv_rows import TOO_MANY_DOWNLOADS, csv_file
from sso.http.common.field_errors import FieldError
from sso.http.common.pages import locale_of
from sso.http.common.state import site_of
from sso.http.console import roles
from sso.http.console.access import Here
from sso.http.console.texts import NOTE_MISSING
from sso.platform.db import Database
from sso.platform.security.rate_limits import TooManyFailures


async def file_response(request: Request, db: Database, here: Here, client: Client, note: str) -> Response:
    """Return the file, and record the download.

    Args:
        request: the request.
        db: the database.
        here: who downloads it.
        client: the application, or its sandbox.
        note: the reason.

    Raises:
        PageError: without a reason, or when they downloaded too many lists today.
    """
    if not note:
        raise roles.RoleFormRefused(FieldError("download-note", NOTE_MISSING))
    try:
        await site_of(request).limits.downloads.take(here.actor)
    except TooManyFailures as failed:
        raise roles.RoleFormRefused(FieldError("download-note", TOO_MANY_DOWNLOADS), 429, failed.retry_after) from None
    async with db.write() as session:
        roles.record_download(session, client.client_id, here, note)
    rows = roles.rows_of_file(db, client, locale_of(request))
    return csv_file(f"roles-{client.client_id}", roles.HEADER, rows)
