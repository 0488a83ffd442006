"""What is sent to applications and people: notices, events, mails, webhooks."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.paging import CursorText, Limit, cut, read_id_cursor
from sso.http.api.preconditions import representation_response
from sso.http.api.problems import Problem, not_found, problems
from sso.http.api.schemas import deliveries as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import Db, Outbox
from sso.platform.audit import record
from sso.platform.outbox import store
from sso.platform.outbox.models import Delivery, DeliveryKind, DeliveryStatus
from sso.platform.outbox.store import DeliveryFilter

router = new_router(prefix=PREFIX, tags=["deliveries"])


@router.get("/deliveries", summary="List deliveries", responses=problems(), **needs("deliveries:read"))
async def list_deliveries(
    db: Db,
    status: Annotated[DeliveryStatus | None, Query()] = None,
    kind: Annotated[DeliveryKind | None, Query()] = None,
    client_id: Annotated[str | None, Query(max_length=100)] = None,
    session_id: Annotated[uuid.UUID | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.DeliveryPage:
    chosen = DeliveryFilter(status=status, kind=kind, client_id=client_id, session_id=session_id)
    async with db.read() as session:
        deliveries = await store.page_of(session, chosen, read_id_cursor(cursor), limit + 1)
    rows, following = cut(deliveries, limit, lambda delivery: delivery.id)
    return schemas.DeliveryPage(items=[_representation(delivery) for delivery in rows], next_cursor=following)


@router.get("/deliveries/{delivery_id}", summary="Show a delivery", responses=problems(404), **needs("deliveries:read"))
async def get_delivery(delivery_id: uuid.UUID, db: Db) -> schemas.Delivery:
    async with db.read() as session:
        delivery = await session.get(Delivery, delivery_id)
    if delivery is None:
        raise not_found("delivery")
    return _representation(delivery)


@router.post(
    "/deliveries/{delivery_id}/retry",
    summary="Retry a delivery",
    response_model=schemas.Delivery,
    responses=problems(404, 409),
    **needs("deliveries:retry"),
)
async def retry(delivery_id: uuid.UUID, access: Access, db: Db, outbox: Outbox) -> Response:
    """Send a failed or waiting delivery now."""
    async with db.write() as session:
        if await session.get(Delivery, delivery_id) is None:
            raise not_found("delivery")
        delivery = await store.retry(session, delivery_id)
        if delivery is None:
            reason = "It arrived, waits to be fetched, or is sent to nobody."
            raise Problem(409, "not_retried", reason)
        record(
            session,
            "delivery.retried",
            subject=str(delivery_id),
            client_id=delivery.client_id,
            **access.audited,
        )
        representation = _representation(delivery)
    outbox.nudge()
    return representation_response(representation)


def _representation(delivery: Delivery) -> schemas.Delivery:
    representation = schemas.Delivery.model_validate(delivery, from_attributes=True)
    return (
        representation if delivery.status == "pending" else representation.model_copy(update={"next_attempt_at": None})
    )
