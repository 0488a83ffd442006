"""The page of administrators about deliveries: by state, kind, application and recipient; also as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts.message_log import recipient_named
from sso.accounts.services import AccountActions
from sso.http.admin.csv_download import PART, DownloadForm, Downloads, DownloadSent, Row, csv_response
from sso.http.admin.list_tools import list_tools
from sso.http.common.forms import read_id
from sso.http.common.i18n import translations
from sso.http.common.late_routes import new_router
from sso.http.common.pages import locale_of
from sso.http.common.services import AccountActor, Db
from sso.http.common.typed_forms import Sent
from sso.http.console.access import ADMIN, Here, Needs, admin_page, token_for
from sso.http.console.delivery_texts import CHANNELS, KINDS, RECEIPTS, STATUS, reason_text, retries
from sso.platform.db import Database
from sso.platform.outbox import store as deliveries
from sso.platform.outbox.store import DeliveryFilter

router = new_router()
DELIVERIES = ADMIN + "/deliveries"
PAGE = 50
COLUMNS = ("id", "created", "kind", "application", "receiver", "state", "attempts", "next_attempt", "finished", "error")
SeesDeliveries = Annotated[Here, Depends(Needs("deliveries:read"))]
Exports = Annotated[Here, Depends(Downloads("deliveries:read"))]


@router.get(DELIVERIES)
async def deliveries_page(request: Request, here: SeesDeliveries, db: Db, accounts: AccountActor) -> Response:
    """List deliveries to applications and users."""
    return await _list(request, here, db, accounts)


@router.post(DELIVERIES + "/download")
async def download(request: Request, here: Exports, sent: DownloadSent, db: Db, accounts: AccountActor) -> Response:
    """Download the deliveries that the filter shows."""
    return await _list(request, here, db, accounts, sent)


async def _list(
    request: Request, here: Here, db: Database, accounts: AccountActions, sent: Sent[DownloadForm] | None = None
) -> Response:
    query = request.query_params
    status, kind = query.get("status", ""), query.get("kind", "")
    typed = {
        "status": status if status in STATUS else "",
        "kind": kind if kind in KINDS else "",
        "client": query.get("client", "").strip()[:100],
        "recipient": query.get("recipient", "").strip()[:254],
    }
    parameters = {name: value for name, value in typed.items() if value}
    async with db.read() as session:
        recipient = await recipient_named(session, accounts, typed["recipient"]) if typed["recipient"] else None
    chosen = DeliveryFilter(
        status=typed["status"] or None,
        kind=typed["kind"] or None,
        client_id=typed["client"] or None,
        recipient=recipient,
    )
    if sent is not None:
        return await csv_response(request, db, here, "deliveries", COLUMNS, _csv_rows(db, chosen), parameters, sent)
    async with db.read() as session:
        rows = await deliveries.page_of(session, chosen, read_id(query.get("before", "")), PAGE + 1)
        counts = await deliveries.counts(session)
    following = {**parameters, "before": str(rows[PAGE - 1].id)} if len(rows) > PAGE else {}
    return admin_page(
        request,
        here,
        "deliveries",
        "admin_deliveries.html",
        rows=rows[:PAGE],
        counts=counts,
        typed=typed,
        statuses=STATUS,
        kinds=KINDS,
        receipts=RECEIPTS,
        channels=CHANNELS,
        retries=retries,
        failure_text=partial(reason_text, words=translations(locale_of(request)).gettext),
        following=f"{DELIVERIES}?{urlencode(following)}" if following else "",
        may_retry=here.may("deliveries:retry"),
        tools=await list_tools(request, here, db, "deliveries", DELIVERIES, parameters),
        csrf_token=token_for(request, "deliveries selected"),
    )


async def _csv_rows(db: Database, chosen: DeliveryFilter) -> AsyncIterator[Sequence[Row]]:
    before = None
    while True:
        async with db.read() as session:
            page = await deliveries.page_of(session, chosen, before, PART)
        yield [
            (
                row.id, row.created_at, row.kind, row.client_id, row.receiver, row.status, row.attempts,
                row.next_attempt_at if row.status == "pending" else None, row.finished_at, row.last_error,
            )
            for row in page
        ]  # fmt: skip
        if len(page) < PART:
            return
        before = page[-1].id
