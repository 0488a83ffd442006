"""Webhooks: servers that are told of what happens, in the form of Standard Webhooks 1.0 (standardwebhooks.com).

Whatever is in the audit log can be told; nothing is held up for it: it is taken from the log as that is chained.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.errors import Refusal
from sso.platform.audit import record
from sso.platform.audit.models import AuditEvent
from sso.platform.audit.service import content
from sso.platform.db import Database, new_id
from sso.platform.outbox.models import DeliveryKind, Webhook
from sso.platform.outbox.store import enqueue
from sso.platform.outbox.worker import Abandon, NotNeeded
from sso.platform.security.encryption import SecretBox
from sso.platform.security.outbound_http import Outbound, OutboundRefused

WEBHOOK = DeliveryKind.WEBHOOK
SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
EVERYTHING = "*"
MAX_WEBHOOKS = 50
GONE = 410


class WebhookError(Refusal):
    """What was asked for cannot be done with a webhook; the message says why."""


def check_webhook(url: str, events: Sequence[str], *, allow_http_loopback: bool) -> None:
    """Check what a webhook is to be.

    Raises:
        WebhookError: when the address is not one that we send to, or there are no events.
    """
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.fragment:
        raise WebhookError("url: must be an https address without user or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and allow_http_loopback):
        raise WebhookError("url: must begin with https://")
    if not events:
        raise WebhookError('events: name at least one type of event, such as session.ended, or "*"')


async def add_webhook(
    session: AsyncSession,
    box: SecretBox,
    *,
    url: str,
    events: Sequence[str],
    description: str,
    actor: str,
    request_id: str | None = None,
) -> tuple[Webhook, str]:
    """Store a webhook and return it with its secret, which is not shown again.

    Raises:
        WebhookError: when there are too many.
    """
    if len(await all_webhooks(session)) >= MAX_WEBHOOKS:
        raise WebhookError(f"there are {MAX_WEBHOOKS} webhooks already: remove one first")
    key, now, webhook_id = secrets.token_bytes(SECRET_BYTES), clock.now(), new_id()
    made = Webhook(
        id=webhook_id,
        url=url,
        secret=box.encrypt(key, _purpose(webhook_id)),
        events=sorted(set(events)),
        description=description,
        enabled=True,
        created_at=now,
        updated_at=now,
    )
    session.add(made)
    await session.flush()
    data = {"webhook": str(webhook_id), "url": url, "events": made.events}
    record(session, "webhook.added", actor=actor, subject=str(webhook_id), request_id=request_id, data=data)
    return made, SECRET_PREFIX + base64.b64encode(key).decode()


async def remove_webhook(
    session: AsyncSession, webhook_id: uuid.UUID, *, actor: str, request_id: str | None = None
) -> bool:
    """Delete a webhook; tell whether there was one."""
    gone = await session.execute(delete(Webhook).where(Webhook.id == webhook_id).returning(Webhook.id))
    if gone.first() is None:
        return False
    record(session, "webhook.removed", actor=actor, subject=str(webhook_id), request_id=request_id)
    return True


async def all_webhooks(session: AsyncSession) -> list[Webhook]:
    """Return every webhook, oldest first."""
    return list((await session.execute(select(Webhook).order_by(Webhook.id))).scalars())


async def tell_webhooks(session: AsyncSession, events: Sequence[AuditEvent]) -> int:
    """Put into the outbox what webhooks want to be told of these events; return how much that is."""
    wanting = [one for one in await all_webhooks(session) if one.enabled] if events else []
    count = 0
    for event in events:
        for one in wanting:
            if EVERYTHING in one.events or event.type in one.events:
                say(session, one, event.type, content(event), event.at.isoformat())
                count += 1
    return count


def say(session: AsyncSession, webhook: Webhook, type_: str, data: Mapping[str, Any], at: str) -> None:
    """Put one event for one webhook into the outbox."""
    message_id = new_id()
    body = {"type": type_, "timestamp": at, "data": data}
    payload = {"webhook_id": str(webhook.id), "message_id": f"msg_{message_id.hex}", "body": body}
    enqueue(session, WEBHOOK, payload, receiver=urlsplit(webhook.url).netloc, delivery_id=message_id)


def signed_headers(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a webhook (Standard Webhooks, "Webhook headers" and "Signature scheme").

    Args:
        key: the secret.
        message_id: the same whenever it is sent again.
        timestamp: seconds since 1970.
        body: what is sent.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def send_webhook(
    db: Database, box: SecretBox, outbound: Callable[[], Outbound]
) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
    """Return the handler that sends webhooks."""

    async def send(payload: Mapping[str, Any]) -> None:
        async with db.read() as session:
            webhook = await session.get(Webhook, uuid.UUID(payload["webhook_id"]))
        if webhook is None or not webhook.enabled:
            raise NotNeeded("the webhook is gone, or switched off")
        body = orjson.dumps(payload["body"])
        key = box.decrypt(webhook.secret, _purpose(webhook.id))
        headers = signed_headers(key, payload["message_id"], clock.timestamp(), body)
        try:
            status, _ = await outbound().post(webhook.url, body, headers)
        except OutboundRefused as error:
            raise Abandon(str(error)) from None
        if status == GONE:
            async with db.write() as session:
                found = await session.get(Webhook, webhook.id)
                if found is not None:
                    found.enabled, found.updated_at = False, clock.now()
            raise Abandon("it answered 410: it wants nothing any more, so the webhook is switched off")
        if not 200 <= status < 300:
            raise RuntimeError(f"it answered {status}")

    return send


async def reencrypt_webhooks(session: AsyncSession, box: SecretBox) -> int:
    """Seal every secret with the newest key; return how many had an older."""
    old = [one for one in await all_webhooks(session) if not box.is_current(one.secret)]
    for one in old:
        one.secret = box.encrypt(box.decrypt(one.secret, _purpose(one.id)), _purpose(one.id))
    return len(old)


def _purpose(webhook_id: uuid.UUID) -> str:
    return f"webhook:{webhook_id}"
