"""Webhooks: servers that are told of what is in the audit log, in the form of Standard Webhooks."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.http.api.common import (
    PREFIX,
    IdempotencyKeyHeader,
    Made,
    Page,
    caller_in,
    needs,
    not_found,
    once,
    problems,
    refused,
    request_id_of,
    require,
    site_of,
)
from sso.platform.outbox import webhooks as rules
from sso.platform.outbox.models import Webhook
from sso.platform.outbox.webhooks import WebhookError

router = APIRouter(prefix=PREFIX, tags=["webhooks"])

EventType = Annotated[str, Field(max_length=64, pattern=r"^(\*|[a-z_]+(\.[a-z_]+)+)$")]


class WebhookShown(BaseModel):
    """A server that is told of events."""

    id: uuid.UUID
    url: str
    events: list[str]
    description: str
    enabled: bool = Field(description="Switched off by itself when the server answers 410.")
    created_at: datetime
    updated_at: datetime


class WebhookWanted(BaseModel):
    """A server to be told."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"url": "https://siem.tangerangkota.example/sso", "events": ["session.ended", "user.disabled"]}
            ]
        },
    )

    url: Annotated[str, Field(max_length=2000)]
    events: Annotated[list[EventType], Field(min_length=1, max_length=100)] = Field(
        description='Types of the audit log, such as `session.ended`; `"*"`: every one.'
    )
    description: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


class NewWebhook(BaseModel):
    """A webhook with its secret, which is not shown again: `whsec_` and the key in base64."""

    webhook: WebhookShown
    secret: str


@router.get("/webhooks", summary="List webhooks", responses=problems(), **needs("webhooks:read"))
async def list_webhooks(request: Request) -> Page[WebhookShown]:
    async with site_of(request).provider.db.read() as session:
        return Page(items=[_shown(one) for one in await rules.all_webhooks(session)])


@router.post(
    "/webhooks",
    status_code=201,
    summary="Add a webhook",
    response_model=NewWebhook,
    responses=problems(409),
    **needs("webhooks:write"),
)
async def add_webhook(request: Request, wanted: WebhookWanted, key: IdempotencyKeyHeader = None) -> Response:
    """A webhook is sent what the audit log says: it needs `sso:audit:read` too."""
    require(request, "audit:read")
    provider = site_of(request).provider

    async def check(_: AsyncSession) -> None:
        """The two permissions are all that it takes."""

    async def make(session: AsyncSession) -> Made:
        try:
            rules.check_webhook(wanted.url, wanted.events, allow_http_loopback=provider.settings.loopback)
            made, secret = await rules.add_webhook(
                session,
                provider.box,
                url=wanted.url,
                events=wanted.events,
                description=wanted.description,
                actor=caller_in(request).actor,
                request_id=request_id_of(request),
            )
        except WebhookError as error:
            raise refused(error, 422 if ": " in str(error)[:12] else 409) from None
        return Made(NewWebhook(webhook=_shown(made), secret=secret), f"{PREFIX}/webhooks/{made.id}")

    return await once(request, key, check, make)


@router.get("/webhooks/{webhook_id}", summary="Show a webhook", responses=problems(404), **needs("webhooks:read"))
async def get_webhook(request: Request, webhook_id: uuid.UUID) -> WebhookShown:
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
async def test_webhook(request: Request, webhook_id: uuid.UUID) -> WebhookShown:
    """Send an event of the type `webhook.test`; see how it went among the deliveries."""
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


def _shown(found: Webhook) -> WebhookShown:
    return WebhookShown.model_validate(found, from_attributes=True)
