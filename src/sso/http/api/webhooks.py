"""Webhooks: servers that are told of what is in the audit log, in the form of Standard Webhooks."""

from __future__ import annotations

import uuid

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.http.api.access import PREFIX, caller_in, needs, require
from sso.http.api.idempotency import IdempotencyKeyHeader, Made, once
from sso.http.api.problems import not_found, problems
from sso.http.api.schemas import webhooks as schemas
from sso.http.common.state import request_id_of, site_of
from sso.platform.outbox import webhooks as rules
from sso.platform.outbox.models import Webhook

router = APIRouter(prefix=PREFIX, tags=["webhooks"])


@router.get("/webhooks", summary="List webhooks", responses=problems(), **needs("webhooks:read"))
async def list_webhooks(request: Request) -> schemas.WebhookPage:
    async with site_of(request).provider.db.read() as session:
        return schemas.WebhookPage(items=[_shown(one) for one in await rules.all_webhooks(session)])


@router.post(
    "/webhooks",
    status_code=201,
    summary="Add a webhook",
    response_model=schemas.WebhookWithSecret,
    responses=problems(409),
    **needs("webhooks:write"),
)
async def add_webhook(request: Request, body: schemas.WebhookCreate, key: IdempotencyKeyHeader = None) -> Response:
    """A webhook receives audit events: the caller needs `sso:audit:read` too."""
    require(request, "audit:read")
    provider = site_of(request).provider

    async def check(_: AsyncSession) -> None:
        """The two permissions are all that it takes."""

    async def make(session: AsyncSession) -> Made:
        rules.check_webhook(body.url, body.events, allow_http_loopback=provider.settings.loopback)
        made, secret = await rules.add_webhook(
            session,
            provider.box,
            url=body.url,
            events=body.events,
            description=body.description,
            actor=caller_in(request).actor,
            request_id=request_id_of(request),
        )
        return Made(schemas.WebhookWithSecret(webhook=_shown(made), secret=secret), f"{PREFIX}/webhooks/{made.id}")

    return await once(request, key, check, make)


@router.get("/webhooks/{webhook_id}", summary="Show a webhook", responses=problems(404), **needs("webhooks:read"))
async def get_webhook(request: Request, webhook_id: uuid.UUID) -> schemas.Webhook:
    async with site_of(request).provider.db.read() as session:
        found = await session.get(Webhook, webhook_id)
    if found is None:
        raise not_found("webhook")
    return _shown(found)


@router.post(
    "/webhooks/{webhook_id}/test",
    status_code=202,
    summary="Send a test event",
    responses=problems(404),
    **needs("webhooks:write"),
)
async def test_webhook(request: Request, webhook_id: uuid.UUID) -> schemas.Webhook:
    """Send an event of the type `webhook.test`. The result is shown among the deliveries."""
    site = site_of(request)
    async with site.provider.db.write() as session:
        found = await session.get(Webhook, webhook_id)
        if found is None:
            raise not_found("webhook")
        rules.say(session, found, "webhook.test", {"actor": caller_in(request).actor}, clock.now().isoformat())
    site.worker.nudge()
    return _shown(found)


@router.delete(
    "/webhooks/{webhook_id}",
    status_code=204,
    summary="Remove a webhook",
    responses=problems(404),
    **needs("webhooks:write"),
)
async def remove_webhook(request: Request, webhook_id: uuid.UUID) -> Response:
    async with site_of(request).provider.db.write() as session:
        done = await rules.remove_webhook(
            session, webhook_id, actor=caller_in(request).actor, request_id=request_id_of(request)
        )
    if not done:
        raise not_found("webhook")
    return Response(status_code=204)


def _shown(found: Webhook) -> schemas.Webhook:
    return schemas.Webhook.model_validate(found, from_attributes=True)
