"""The list of applications, for administrators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso.clients.models import SANDBOX_END, Application
from sso.clients.profiles import RELAXATIONS
from sso.clients.registry import Registry
from sso.clients.services import LiveClients
from sso.http.admin.csv_download import MAX_ROWS, DownloadForm, Downloads, DownloadSent, csv_response
from sso.http.admin.csv_download import Row as CsvRow
from sso.http.admin.list_tools import list_tools
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.pages import locale_of
from sso.http.common.services import Clients, Db
from sso.http.common.typed_forms import Sent
from sso.http.console.access import ADMIN, Here, Needs, admin_page, token_for
from sso.http.developer.application_page import STATES
from sso.platform.db import Database
from sso.portal import applications as apps

router = new_router()

APPLICATIONS = ADMIN + "/applications"
PAGE = 50
COLUMNS = ("client_id", "name", "group", "state", "changed")
LISTINGS = ("registered", "waiting", "building", "suspended", "relaxed")
LISTING_TEXTS = {
    "registered": N_("in production"),
    "waiting": N_("waiting for approval"),
    "building": N_("in development"),
    "suspended": N_("suspended"),
    "relaxed": N_("with a security exception"),
}
Sees = Annotated[Here, Depends(Needs("clients:read"))]
Exports = Annotated[Here, Depends(Downloads("clients:read", personal=False))]


@dataclass(frozen=True, slots=True)
class Row:
    """An application as the list shows it. ``at``: when its team changed it, where it is not registered yet."""

    id: str
    name: str
    group: str | None
    state: str
    at: datetime | None = None


ORDERS: dict[str, Callable[[Row], tuple[str, ...]]] = {
    "id": lambda row: (row.id,),
    "name": lambda row: (row.name.casefold(), row.id),
    "group": lambda row: (row.group or "\uffff", row.name.casefold(), row.id),
}
"""The orders of registered applications."""


@router.get(APPLICATIONS)
async def list_page(request: Request, here: Sees, db: Db, known: Clients) -> Response:
    """List applications by state and by words in their names."""
    return await _list(request, here, db, known)


@router.post(APPLICATIONS + "/download")
async def download(request: Request, here: Exports, sent: DownloadSent, db: Db, known: Clients) -> Response:
    """Download the applications that the filter shows."""
    return await _list(request, here, db, known, sent)


async def _list(
    request: Request, here: Here, db: Database, known: LiveClients, sent: Sent[DownloadForm] | None = None
) -> Response:
    query = request.query_params
    listing = query.get("shown", "") if query.get("shown", "") in LISTINGS else "registered"
    words, group, after = query.get("q", "").strip()[:60], query.get("group", "")[:60], query.get("after", "")[:100]
    order = query.get("order", "") if query.get("order", "") in ORDERS else "id"
    limit = PAGE if sent is None else MAX_ROWS
    groups = sorted(here.groups) if here.groups is not None else None
    async with db.read() as session:
        waiting = await apps.count_waiting(session, groups)
        if listing in ("waiting", "building"):
            states = ("submitted",) if listing == "waiting" else ("draft", "sandbox")
            begun = await apps.page_of_applications(session, states=states, groups=groups, after=after, limit=limit + 1)
            rows = [_begun(application) for application in begun]
        else:
            query_terms = ListQuery(listing, words, group)
            fitting = _registered(known.registry, here, query_terms, locale_of(request))
            rows = _page_of(sorted(fitting, key=ORDERS[order]), after, limit)
    parameters = {"shown": listing, **({"q": words} if words else {}), **({"group": group} if group else {})}
    if sent is not None:
        parts = _csv_rows(rows)
        return await csv_response(request, db, here, "applications", COLUMNS, parts, parameters, sent)
    orders = {name: f"{APPLICATIONS}?{urlencode({**parameters, 'order': name})}" for name in ORDERS}
    parameters |= {"order": order} if order != "id" else {}
    following = {**parameters, "after": rows[PAGE - 1].id} if len(rows) > PAGE else {}
    return admin_page(
        request,
        here,
        "applications",
        "admin_applications.html",
        rows=rows[:PAGE],
        waiting=waiting,
        listing=listing,
        listing_texts=LISTING_TEXTS,
        typed={"q": words, "group": group},
        order=order,
        orders=orders if listing not in ("waiting", "building") else {},
        groups=groups or sorted({client.meta.group for client in known.registry if client.meta.group}),
        following=f"{APPLICATIONS}?{urlencode(following)}" if following else "",
        states=STATES,
        may_change=here.may("clients:write"),
        may_create=here.may("applications:create"),
        tools=await list_tools(request, here, db, "applications", APPLICATIONS, parameters),
        csrf_token=token_for(request, "applications selected"),
    )


async def _csv_rows(rows: Sequence[Row]) -> AsyncIterator[Sequence[CsvRow]]:
    yield [(row.id, row.name, row.group, row.state, row.at) for row in rows]


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which registered applications are listed: by state, words in the name, and group."""

    listing: str
    words: str
    group: str


def _begun(application: Application) -> Row:
    return Row(
        application.application_id, application.name, application.group, application.state, application.updated_at
    )


def _registered(registry: Registry, here: Here, query: ListQuery, locale: str) -> list[Row]:
    words = query.words.casefold().split()
    rows = []
    for client in registry:
        text = f"{client.client_id} {client.meta.client_name} {client.meta.client_name_en or ''}".casefold()
        fits = (
            not client.client_id.endswith(SANDBOX_END)
            and here.may_with("clients:read", client)
            and client.enabled == (query.listing != "suspended")
            and (query.listing != "relaxed" or any(rule.used(client.meta) for rule in RELAXATIONS))
            and (not query.group or client.meta.group == query.group)
            and all(word in text for word in words)
        )
        if fits:
            state = "approved" if client.enabled else "suspended"
            rows.append(Row(client.client_id, client.name(locale), client.meta.group, state))
    return rows


def _page_of(rows: list[Row], after: str, limit: int) -> list[Row]:
    """Return the rows after the one with the id ``after``: at most one more than ``limit``."""
    begin = next((at + 1 for at, row in enumerate(rows) if row.id == after), 0)
    return rows[begin : begin + limit + 1]
