"""Webhooks in the form of Standard Webhooks 1.0 (standardwebhooks.com).

Every event of the audit log can be sent. Deliveries are written when events are appended to the chain, so that the
cause of an event does not wait.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.errors import Refusal
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.audit.models import AuditEvent
from sso.platform.audit.service import content
from sso.platform.db import Database, new_id
from sso.platform.outbox.models import DeliveryKind, Webhook
from sso.platform.outbox.store import enqueue
from sso.platform.outbox.worker import Abandon, NotNeeded, ReceiverAnswered
from sso.platform.security.encryption import SecretBox
from sso.platform.security.outbound_errors import OutboundRefused

if TYPE_CHECKING:
    from sso.platform.security.outbound_http import Outbound

WEBHOOK = DeliveryKind.WEBHOOK
SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
EVERYTHING = "*"
MAX_WEBHOOKS = 50
GONE = 410


class WebhookError(Refusal):
    """What was asked for cannot be done with a webhook; the message says why.

    Args:
        text: the reason.
        status: the HTTP status: 422 where the URL or the event types are not valid, 409 where a rule forbids it.
    """

    def __init__(self, text: str, status: int = 409) -> None:
        super().__init__(text)
        self.status = status


def check_webhook(url: str, events: Sequence[str], *, allow_http_loopback: bool) -> None:
    """Check a webhook before it is stored.

    Raises:
        WebhookError: when the URL is not allowed, or there are no events.
    """
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.fragment:
        raise WebhookError("url: must be an https address without user or fragment", 422)
    if parts.scheme != "https" and not (parts.scheme == "http" and allow_http_loopback):
        raise WebhookError("url: must begin with https://", 422)
    if not events:
        raise WebhookError('events: name at least one type of event, such as session.ended, or "*"', 422)


async def add_webhook(
    session: AsyncSession,
    box: SecretBox,
    *,
    url: str,
    events: Sequence[str],
    description: str,
    actor: Actor,
) -> tuple[Webhook, str]:
    """Store a webhook and return it with its secret, which is not shown again.

    Raises:
        WebhookError: when there are ``MAX_WEBHOOKS`` already.
    """
    if len(await all_webhooks(session)) >= MAX_WEBHOOKS:
        raise WebhookError(f"there are {MAX_WEBHOOKS} webhooks already: remove one first")
    key, now, webhook_id = secrets.token_bytes(SECRET_BYTES), clock.now(), new_id()
    webhook = Webhook(
        id=webhook_id,
        url=url,
        secret=box.encrypt(key, _purpose(webhook_id)),
        events=sorted(set(events)),
        description=description,
        enabled=True,
        created_at=now,
        updated_at=now,
    )
    session.add(webhook)
    await session.flush()
    data = {"webhook": str(webhook_id), "url": url, "events": webhook.events}
    record_by(session, actor, "webhook.added", subject=str(webhook_id), address=actor.stored_ip_address, data=data)
    return webhook, SECRET_PREFIX + base64.b64encode(key).decode()


async def remove_webhook(session: AsyncSession, webhook_id: uuid.UUID, *, actor: Actor) -> bool:
    """Delete a webhook; tell whether there was one."""
    gone = await session.execute(delete(Webhook).where(Webhook.id == webhook_id).returning(Webhook.id))
    if gone.first() is None:
        return False
    record_by(session, actor, "webhook.removed", subject=str(webhook_id), address=actor.stored_ip_address)
    return True


async def all_webhooks(session: AsyncSession) -> list[Webhook]:
    """Return every webhook, oldest first."""
    return list((await session.execute(select(Webhook).order_by(Webhook.id))).scalars())


async def tell_webhooks(session: AsyncSession, events: Sequence[AuditEvent]) -> int:
    """Enqueue a delivery for each webhook that receives an event; return the number of deliveries."""
    enabled = [webhook for webhook in await all_webhooks(session) if webhook.enabled] if events else []
    count = 0
    for event in events:
        for webhook in enabled:
            if EVERYTHING in webhook.events or event.type in webhook.events:
                say(session, webhook, event.type, content(event), event.at.isoformat())
                count += 1
    return count


def say(session: AsyncSession, webhook: Webhook, type_: str, data: Mapping[str, object], at: str) -> None:
    """Enqueue one event for one webhook."""
    message_id = new_id()
    body = {"type": type_, "timestamp": at, "data": data}
    payload: dict[str, object] = {"webhook_id": str(webhook.id), "message_id": f"msg_{message_id.hex}", "body": body}
    enqueue(session, WEBHOOK, payload, receiver=urlsplit(webhook.url).netloc, delivery_id=message_id)


def signed_headers(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a webhook (Standard Webhooks, "Webhook headers" and "Signature scheme").

    Args:
        keys: the secrets: after a rotation the old one too, with a signature of its own ("Multiple signatures").
        message_id: stays the same when the delivery is retried.
        timestamp: seconds since 1970.
        body: the body of the request.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys]
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def send_webhook(
    db: Database, box: SecretBox, outbound: Callable[[], Outbound]
) -> Callable[[Mapping[str, object]], Awaitable[None]]:
    """Return the handler that sends webhooks."""

    async def send(payload: Mapping[str, object]) -> None:
        async with db.read() as session:
            webhook = await session.get(Webhook, uuid.UUID(str(payload["webhook_id"])))
        if webhook is None or not webhook.enabled:
            raise NotNeeded("the webhook was removed or disabled")
        body = orjson.dumps(payload["body"])
        key = box.decrypt(webhook.secret, _purpose(webhook.id))
        headers = signed_headers([key], str(payload["message_id"]), clock.timestamp(), body)
        try:
            status, _ = await outbound().post(webhook.url, body, headers)
        except OutboundRefused as error:
            raise Abandon(str(error)) from None
        if status == GONE:
            async with db.write() as session:
                stored = await session.get(Webhook, webhook.id)
                if stored is not None:
                    stored.enabled, stored.updated_at = False, clock.now()
            raise Abandon("it answered 410: the webhook was disabled")
        if not 200 <= status < 300:
            raise ReceiverAnswered(f"it answered {status}", status)

    return send


async def reencrypt_webhooks(session: AsyncSession, box: SecretBox) -> int:
    """Encrypt every secret with the newest key; return how many had an older key."""
    old = [webhook for webhook in await all_webhooks(session) if not box.is_current(webhook.secret)]
    for webhook in old:
        purpose = _purpose(webhook.id)
        webhook.secret = box.encrypt(box.decrypt(webhook.secret, purpose), purpose)
    return len(old)


def _purpose(webhook_id: uuid.UUID) -> str:
    return f"webhook:{webhook_id}"
