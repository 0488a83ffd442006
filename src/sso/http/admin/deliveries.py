"""The page of administrators about deliveries."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.services import Db, Outbox
from sso.http.common.typed_forms import FormModel, IdField, Sent
from sso.http.console.access import ADMIN, Here, Needs, OwnForm, admin_page, token_for
from sso.platform.audit import record
from sso.platform.outbox import store as deliveries
from sso.platform.outbox.models import Delivery
from sso.platform.outbox.store import DeliveryFilter

router = new_router()
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
RECEIPTS = {
    "accepted": N_("accepted, no receipt yet"),
    "sent": N_("sent, not delivered yet"),
    "failed": N_("not delivered"),
    "delivered": N_("delivered"),
    "read": N_("read"),
}
"""What WhatsApp says about a message."""
CHANNELS = {"mail": N_("E-mail"), "sms": N_("SMS"), "whatsapp": N_("WhatsApp")}
SeesDeliveries = Annotated[Here, Depends(Needs("deliveries:read"))]
Retries = Annotated[Here, Depends(Needs("deliveries:retry"))]


class RetryForm(FormModel):
    """The delivery that is sent again."""

    id: IdField = None


RetrySent = Annotated[Sent[RetryForm], Depends(OwnForm(RetryForm, "deliveries"))]


@router.get(ADMIN + "/deliveries")
async def deliveries_page(request: Request, here: SeesDeliveries, db: Db) -> Response:
    """List deliveries to applications and users."""
    query = request.query_params
    status, kind = query.get("status", ""), query.get("kind", "")
    client_id, before = query.get("client", "").strip()[:100], read_id(query.get("before", ""))
    chosen = DeliveryFilter(
        status=status if status in STATUS else None, kind=kind if kind in KINDS else None, client_id=client_id or None
    )
    async with db.read() as session:
        rows = await deliveries.page_of(session, chosen, before, PAGE + 1)
        counts = await deliveries.counts(session)
    kept = {name: value for name, value in (("status", status), ("kind", kind), ("client", client_id)) if value}
    following = {**kept, "before": str(rows[PAGE - 1].id)} if len(rows) > PAGE else {}
    return admin_page(
        request,
        here,
        "deliveries",
        "admin_deliveries.html",
        rows=rows[:PAGE],
        counts=counts,
        asked={"status": status, "kind": kind, "client": client_id},
        statuses=STATUS,
        kinds=KINDS,
        receipts=RECEIPTS,
        channels=CHANNELS,
        following=f"{ADMIN}/deliveries?{urlencode(following)}" if following else "",
        may_retry=here.may("deliveries:retry"),
        csrf_token=token_for(request, "deliveries"),
    )


@router.post(ADMIN + "/deliveries")
async def retry_delivery(here: Retries, sent: RetrySent, db: Db, outbox: Outbox) -> Response:
    """Retry a delivery."""
    chosen = sent.form.id
    async with db.write() as session:
        if chosen is not None and await session.get(Delivery, chosen) is not None:
            delivery = await deliveries.retry(session, chosen)
            if delivery is not None:
                record(
                    session,
                    "delivery.retried",
                    actor=here.actor,
                    subject=str(chosen),
                    client_id=delivery.client_id,
                    request_id=here.request_id,
                )
    outbox.nudge()
    kept = {name: sent.typed[name] for name in ("status", "kind", "client") if sent.typed.get(name)}
    return RedirectResponse(f"{ADMIN}/deliveries?{urlencode(kept)}", 303)
