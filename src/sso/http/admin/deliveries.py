"""The page of administrators about deliveries."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.state import request_id_of, site_of
from sso.http.console.access import ADMIN, Here, Needs, admin_page, own_form, token_for
from sso.platform.audit import record
from sso.platform.outbox import store as deliveries
from sso.platform.outbox.models import Delivery
from sso.platform.outbox.store import DeliveryFilter

router = APIRouter()
PAGE = 50
STATUS = {
    "pending": N_("waits"),
    "done": N_("arrived"),
    "given_up": N_("given up"),
    "held": N_("kept to be fetched"),
    "skipped": N_("not sent: nobody to send to"),
}
KINDS = {
    "backchannel_logout": N_("end of a session, to an application"),
    "ssf_push": N_("event, to an application"),
    "ssf_poll": N_("event, to be fetched"),
    "webhook": N_("webhook"),
    "notice": N_("notice to a person"),
    "message": N_("code or invitation"),
}
SeesDeliveries = Annotated[Here, Depends(Needs("deliveries:read"))]
Retries = Annotated[Here, Depends(Needs("deliveries:retry"))]


@router.get(ADMIN + "/deliveries")
async def deliveries_page(request: Request, here: SeesDeliveries) -> Response:
    """List deliveries to applications and users."""
    query, provider = request.query_params, site_of(request).provider
    status, kind = query.get("status", ""), query.get("kind", "")
    client_id, before = query.get("client", "").strip()[:100], read_id(query.get("before", ""))
    wanted = DeliveryFilter(
        status=status if status in STATUS else None, kind=kind if kind in KINDS else None, client_id=client_id or None
    )
    async with provider.db.read() as session:
        found = await deliveries.page_of(session, wanted, before, PAGE + 1)
        counts = await deliveries.counts(session)
    kept = {name: value for name, value in (("status", status), ("kind", kind), ("client", client_id)) if value}
    following = {**kept, "before": str(found[PAGE - 1].id)} if len(found) > PAGE else {}
    return admin_page(
        request,
        here,
        "deliveries",
        "admin_deliveries.html",
        rows=found[:PAGE],
        counts=counts,
        asked={"status": status, "kind": kind, "client": client_id},
        statuses=STATUS,
        kinds=KINDS,
        following=f"{ADMIN}/deliveries?{urlencode(following)}" if following else "",
        may_retry=here.may("deliveries:retry"),
        csrf_token=token_for(request, "deliveries"),
    )


@router.post(ADMIN + "/deliveries")
async def retry_delivery(request: Request, here: Retries) -> Response:
    """Retry a delivery."""
    fields, site = await own_form(request, "deliveries"), site_of(request)
    chosen = read_id(fields.get("id", ""))
    async with site.provider.db.write() as session:
        if chosen is not None and await session.get(Delivery, chosen) is not None:
            found = await deliveries.retry(session, chosen)
            if found is not None:
                record(
                    session,
                    "delivery.retried",
                    actor=here.actor,
                    subject=str(chosen),
                    client_id=found.client_id,
                    request_id=request_id_of(request),
                )
    site.worker.nudge()
    kept = {name: fields[name] for name in ("status", "kind", "client") if fields.get(name)}
    return RedirectResponse(f"{ADMIN}/deliveries?{urlencode(kept)}", 303)
