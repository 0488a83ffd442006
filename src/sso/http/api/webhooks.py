"""Webhooks: servers that are told of what is in the audit log, in the form of Standard Webhooks."""

from __future__ import annotations

import uuid

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from sso import clock
from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.idempotency import Created, Creation
from sso.http.api.problems import not_found, problems
from sso.http.api.schemas import webhooks as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import Box, CurrentSettings, Db, Outbox
from sso.platform.outbox import webhooks as rules
from sso.platform.outbox.models import Webhook

router = new_router(prefix=PREFIX, tags=["webhooks"])


@router.get("/webhooks", summary="List webhooks", responses=problems(), **needs("webhooks:read"))
async def list_webhooks(db: Db) -> schemas.WebhookPage:
    async with db.read() as session:
        return schemas.WebhookPage(items=[_representation(webhook) for webhook in await rules.all_webhooks(session)])


@router.post(
    "/webhooks",
    status_code=201,
    summary="Add a webhook",
    response_model=schemas.WebhookWithSecret,
    responses=problems(409),
    **needs("webhooks:write"),
)
async def add_webhook(
    body: schemas.WebhookCreate,
    creation: Creation,
    access: Access,
    settings: CurrentSettings,
    box: Box,
) -> Response:
    """A webhook receives audit events: the caller needs `sso:audit:read` too."""
    access.require("audit:read")

    async def check(_: AsyncSession) -> None:
        """The two permissions are all that it takes."""

    async def make(session: AsyncSession) -> Created:
        rules.check_webhook(body.url, body.events, allow_http_loopback=settings.loopback)
        added, secret = await rules.add_webhook(
            session,
            box,
            url=body.url,
            events=body.events,
            description=body.description,
            actor=access.actor_with_address,
        )
        return Created(
            schemas.WebhookWithSecret(webhook=_representation(added), secret=secret), f"{PREFIX}/webhooks/{added.id}"
        )

    return await creation.once(check, make)


@router.get("/webhooks/{webhook_id}", summary="Show a webhook", responses=problems(404), **needs("webhooks:read"))
async def get_webhook(webhook_id: uuid.UUID, db: Db) -> schemas.Webhook:
    async with db.read() as session:
        webhook = await session.get(Webhook, webhook_id)
    if webhook is None:
        raise not_found("webhook")
    return _representation(webhook)


@router.post(
    "/webhooks/{webhook_id}/test",
    status_code=202,
    summary="Send a test event",
    responses=problems(404),
    **needs("webhooks:write"),
)
async def test_webhook(webhook_id: uuid.UUID, access: Access, db: Db, outbox: Outbox) -> schemas.Webhook:
    """Send an event of the type `webhook.test`. The result is shown among the deliveries."""
    async with db.write() as session:
        webhook = await session.get(Webhook, webhook_id)
        if webhook is None:
            raise not_found("webhook")
        rules.say(session, webhook, "webhook.test", {"actor": access.caller.actor}, clock.now().isoformat())
    outbox.nudge()
    return _representation(webhook)


@router.delete(
    "/webhooks/{webhook_id}",
    status_code=204,
    summary="Remove a webhook",
    responses=problems(404),
    **needs("webhooks:write"),
)
async def remove_webhook(webhook_id: uuid.UUID, access: Access, db: Db) -> Response:
    async with db.write() as session:
        done = await rules.remove_webhook(session, webhook_id, actor=access.actor_with_address)
    if not done:
        raise not_found("webhook")
    return Response(status_code=204)


def _representation(webhook: Webhook) -> schemas.Webhook:
    return schemas.Webhook.model_validate(webhook, from_attributes=True)
