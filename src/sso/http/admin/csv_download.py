"""Lists as files: what the filter shows, in pages, at most ``MAX_ROWS`` rows of CSV, without formulas.

A download takes data away, so it is a form: it needs a recent sign-in and a reason, is counted, and is recorded. Lists
with personal data also need the permission ``users:export``.

A cell that begins like a formula would be calculated by the program that opens the file (CSV injection, OWASP): it gets
an apostrophe before it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso.http.common.csv_rows import TOO_MANY_DOWNLOADS, csv_file
from sso.http.common.csv_rows import Row as Row
from sso.http.common.errors import Interrupted
from sso.http.common.i18n import N_, translations
from sso.http.common.services import Accounts
from sso.http.common.state import site_of
from sso.http.common.typed_forms import FormModel, Note, Sent, cut, required
from sso.http.console.access import ADMIN, GROUPS, Here, Needs, OwnForm, admin_page, to_sign_in_again, token_for
from sso.http.console.texts import NOTE_MISSING
from sso.platform.audit import record_by
from sso.platform.db import Database
from sso.platform.security.rate_limits import TooManyFailures

MAX_ROWS = 10_000
PART = 500
"""How many rows are read at a time."""
CUT = N_("Not complete: the list has more than %(count)s rows. Use the filters to download the others.")
PURPOSE = "download"
EXPORT = "users:export"
"""The permission to download personal data."""
_PAGES = {
    "users": ("people", ADMIN + "/people"),
    "invitations": ("people", ADMIN + "/invitations"),
    "sessions": ("sessions", ADMIN + "/sessions"),
    "applications": ("applications", ADMIN + "/applications"),
    "deliveries": ("deliveries", ADMIN + "/deliveries"),
    "audit": ("audit", ADMIN + "/audit"),
    "units": ("groups", GROUPS),
    "unit-roles": ("groups", GROUPS),
    "keys": ("keys", ADMIN + "/keys"),
    "imports": ("imports", ADMIN + "/imports"),
    "imported_files": ("imports", ADMIN + "/imports"),
    "endings": ("sessions", ADMIN + "/sessions"),
}
"""The entry of the menu and the address of each list."""


class DownloadForm(FormModel):
    """The reason for a download, and its form: ``csv`` or ``jsonl``."""

    note: Annotated[Note, required(NOTE_MISSING)] = ""
    form: Annotated[str, cut(8)] = "csv"


DownloadSent = Annotated[Sent[DownloadForm], Depends(OwnForm(DownloadForm, PURPOSE))]


class Downloads(Needs):
    """That somebody may download a list: they may see it, signed in recently and, where the list has personal data, may
    export personal data.

    Args:
        permission: to see the list.
        personal: whether the list has personal data.
    """

    def __init__(self, permission: str, *, personal: bool = True) -> None:
        super().__init__(permission)
        self.personal = personal

    def allows(self, permissions: Collection[str]) -> bool:
        """Tell whether somebody with these permissions may download the list."""
        return super().allows(permissions) and (not self.personal or EXPORT in permissions)

    async def __call__(self, request: Request, services: Accounts) -> Here:
        here = await super().__call__(request, services)
        if not here.recent:
            raise Interrupted(to_sign_in_again(request))
        return here


async def refused_download(
    request: Request,
    db: Database,
    here: Here,
    name: str,
    sent: Sent[DownloadForm],
    filters: Collection[str],
    page: tuple[str, str] | None = None,
) -> Response | None:
    """Return the refusal of a download without a reason, or of one too many; None: it was counted and recorded.

    Args:
        request: the request.
        db: the database.
        here: the administrator.
        name: of the list.
        sent: the form.
        filters: the names of the filters in effect, for the audit log.
        page: the entry of the menu and the address of the list, where its name alone does not say them.
    """
    problem, status = sent.mistakes.get("note", ""), 400
    if not problem:
        try:
            await site_of(request).limits.downloads.take(here.actor)
        except TooManyFailures:
            problem, status = TOO_MANY_DOWNLOADS, 429
    if problem:
        entry, path = page or _PAGES[name]
        query = request.url.query
        return admin_page(
            request,
            here,
            entry,
            "admin_download.html",
            status,
            problem=problem,
            download=Download(f"{request.url.path}{'?' * bool(query)}{query}", token_for(request, PURPOSE), True),
            form=sent.form.form,
            path=f"{path}{'?' * bool(query)}{query}",
        )
    async with db.write() as session:
        data = {"list": name, "filters": sorted(filters), "note": sent.form.note}
        record_by(session, here.as_actor, "list.exported", data=data)
    return None


async def csv_response(
    request: Request,
    db: Database,
    here: Here,
    name: str,
    header: Row,
    parts: AsyncIterator[Sequence[Row]],
    filters: Collection[str],
    sent: Sent[DownloadForm],
    *,
    page: tuple[str, str] | None = None,
) -> Response:
    """Return a list as a CSV file, and record the download.

    Args:
        request: the request.
        db: the database.
        here: the administrator.
        name: of the list, and of the file.
        header: the titles of the columns.
        parts: the rows, in parts.
        filters: the names of the filters in effect, for the audit log.
        sent: the form.
        page: as of :func:`refused_download`.
    """
    if refused := await refused_download(request, db, here, name, sent, filters, page):
        return refused
    words = translations("en" if (here.visit.user.locale or "").startswith("en") else "id").gettext
    note = words(CUT) % {"count": MAX_ROWS}
    return csv_file(name, header, _limited(parts, note))


@dataclass(frozen=True, slots=True)
class Download:
    """The form below a list with which it is downloaded.

    Args:
        address: where the form is sent, with the filters.
        csrf_token: of the form.
        allowed: whether the administrator may download the list.
    """

    address: str
    csrf_token: str
    allowed: bool


async def _limited(parts: AsyncIterator[Sequence[Row]], note: str) -> AsyncIterator[Sequence[Row]]:
    """Yield the rows; where there are more than a file may have, the last row says so."""
    left = MAX_ROWS
    async for rows in parts:
        if len(rows) > left:
            yield [*rows[:left], [note]]
            return
        yield rows
        left -= len(rows)


def download_of(
    request: Request,
    here: Here,
    path: str,
    filters: Mapping[str, str],
    *,
    personal: bool = True,
    part: str = "download",
) -> Download:
    """Return the form with which a list is downloaded. ``part``: the last part of its address, where a page has several
    lists."""
    query = urlencode(filters)
    address = f"{path}/{part}{'?' * bool(query)}{query}"
    return Download(address, token_for(request, PURPOSE), not personal or here.may(EXPORT))
