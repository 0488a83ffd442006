"""Webhooks of an application: add, remove, rotate the secret, enable, test, and send a delivery again."""

from __future__ import annotations

import base64
import re
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.models import Application
from sso.errors import Refusal
from sso.platform.actor import Actor
from sso.platform.db import new_id
from sso.platform.outbox import store as outbox
from sso.platform.outbox.models import Delivery, DeliveryKind
from sso.platform.outbox.webhooks import SECRET_BYTES, SECRET_PREFIX
from sso.platform.security.encryption import SecretBox
from sso.portal.applications.history import record_event
from sso.portal.webhooks.events import EVENT_TYPES, TEST, enqueue_event, environment_of
from sso.portal.webhooks.models import ApplicationWebhook

MAX_WEBHOOKS = 5
MAX_URL_CHARS = 1000
MAX_RECEIVER_CHARS = 255
OVERLAP = timedelta(hours=24)
"""How long requests are signed with the old secret too after a rotation."""
SHOWN_DELIVERIES = 20
TESTS_PER_HOUR = 20
_URL = re.compile(r"[\x21-\x7e]+")


class WebhookRefused(Refusal):
    """What was asked for cannot be done. ``code`` says why: ``url``, ``events``, ``too_many``, ``retired``, ``tests``,
    ``disabled`` or ``unknown``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def is_allowed_url(url: str, *, allow_http_loopback: bool) -> bool:
    """Tell whether events can be sent to a URL: https, without user and fragment. Whether it is at a public address is
    checked each time that something is sent to it."""
    if len(url) > MAX_URL_CHARS or not _URL.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc or "#" in url or len(parts.netloc) > MAX_RECEIVER_CHARS:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and allow_http_loopback)


_WEBHOOKS_OF = (
    select(ApplicationWebhook)
    .where(ApplicationWebhook.application_id == bindparam("application_id"))
    .order_by(ApplicationWebhook.id)
)


async def webhooks_of(session: AsyncSession, application_id: str) -> list[ApplicationWebhook]:
    """Return the webhooks of an application, oldest first."""
    return list((await session.execute(_WEBHOOKS_OF, {"application_id": application_id})).scalars())


async def deliveries_of(session: AsyncSession, application_id: str) -> list[Delivery]:
    """Return the last deliveries to the webhooks of an application, the newest first."""
    filter_ = outbox.DeliveryFilter(kind=DeliveryKind.APPLICATION_WEBHOOK, client_id=application_id)
    return await outbox.page_of(session, filter_, None, SHOWN_DELIVERIES)


async def add_webhook(
    session: AsyncSession,
    box: SecretBox,
    application: Application,
    *,
    url: str,
    events: Sequence[str],
    allow_http_loopback: bool,
    actor: Actor,
) -> tuple[ApplicationWebhook, str]:
    """Add a webhook to an application, whose row is locked. Return it with its secret, which is not shown again.

    Raises:
        WebhookRefused: when the URL or the events are not allowed, there are too many, or the application is retired.
    """
    if not is_allowed_url(url, allow_http_loopback=allow_http_loopback):
        raise WebhookRefused("url")
    if not events or not set(events) <= set(EVENT_TYPES):
        raise WebhookRefused("events")
    if application.state == "retired":
        raise WebhookRefused("retired")
    mine = select(func.count()).where(ApplicationWebhook.application_id == application.application_id)
    if (await session.execute(mine)).scalar_one() >= MAX_WEBHOOKS:
        raise WebhookRefused("too_many")
    key, webhook_id, now = secrets.token_bytes(SECRET_BYTES), new_id(), clock.now()
    webhook = ApplicationWebhook(
        id=webhook_id,
        application_id=application.application_id,
        url=url,
        events=[name for name in EVENT_TYPES if name in events],
        secret=box.encrypt(key, purpose(webhook_id)),
        enabled=True,
        created_at=now,
        updated_at=now,
    )
    session.add(webhook)
    await session.flush()
    _record(session, "added", webhook, actor, events=webhook.events)
    return webhook, _secret_text(key)


async def remove_webhook(session: AsyncSession, application_id: str, webhook_id: uuid.UUID, *, actor: Actor) -> None:
    """Remove a webhook. What waits for it is not sent.

    Raises:
        WebhookRefused: when the application has no such webhook.
    """
    webhook = await _present(session, application_id, webhook_id)
    await session.delete(webhook)
    _record(session, "removed", webhook, actor)


async def rotate_secret(
    session: AsyncSession, box: SecretBox, application_id: str, webhook_id: uuid.UUID, *, actor: Actor
) -> str:
    """Make a new secret and return it. Requests are signed with both secrets for :data:`OVERLAP`.

    Raises:
        WebhookRefused: when the application has no such webhook.
    """
    webhook, key = await _present(session, application_id, webhook_id), secrets.token_bytes(SECRET_BYTES)
    webhook.old_secret, webhook.old_secret_until = webhook.secret, clock.now() + OVERLAP
    webhook.secret, webhook.updated_at = box.encrypt(key, purpose(webhook.id)), clock.now()
    _record(session, "secret_rotated", webhook, actor)
    return _secret_text(key)


async def enable(session: AsyncSession, application_id: str, webhook_id: uuid.UUID, *, actor: Actor) -> None:
    """Enable a webhook that was disabled after 410 or a long failure.

    Raises:
        WebhookRefused: when the application has no such webhook.
    """
    webhook = await _present(session, application_id, webhook_id)
    webhook.enabled, webhook.disabled_reason, webhook.failing_since = True, None, None
    webhook.updated_at = clock.now()
    _record(session, "enabled", webhook, actor)


async def send_test(session: AsyncSession, application_id: str, webhook_id: uuid.UUID, *, actor: Actor) -> None:
    """Enqueue a test event.

    Raises:
        WebhookRefused: when the application has no such webhook, it is disabled, or there were too many tests.
    """
    webhook, now = await _present(session, application_id, webhook_id, lock=False), clock.now()
    if not webhook.enabled:
        raise WebhookRefused("disabled")
    recent = select(Delivery.payload).where(
        Delivery.client_id == application_id,
        Delivery.kind == DeliveryKind.APPLICATION_WEBHOOK,
        Delivery.created_at > now - timedelta(hours=1),
    )
    payloads = (await session.execute(recent.order_by(Delivery.id.desc()).limit(1000))).scalars()
    if sum(payload.get("type") == TEST for payload in payloads) >= TESTS_PER_HOUR:
        raise WebhookRefused("tests")
    enqueue_event(session, webhook, TEST, environment_of(application_id), now.isoformat(), actor=actor.name)


async def send_again(session: AsyncSession, application_id: str, delivery_id: uuid.UUID) -> None:
    """Send a delivery again: the same event with the same ``webhook-id``.

    Raises:
        WebhookRefused: when the application has no such delivery, it still waits, or its webhook is gone or disabled.
    """
    delivery = await session.get(Delivery, delivery_id, with_for_update=True)
    if delivery is None or delivery.client_id != application_id or delivery.finished_at is None:
        raise WebhookRefused("unknown")
    if delivery.kind != DeliveryKind.APPLICATION_WEBHOOK:
        raise WebhookRefused("unknown")
    webhook = await _present(session, application_id, uuid.UUID(str(delivery.payload["webhook_id"])), lock=False)
    if not webhook.enabled:
        raise WebhookRefused("disabled")
    now = clock.now()
    delivery.status, delivery.finished_at, delivery.last_error = "pending", None, None
    delivery.created_at = delivery.next_attempt_at = now


async def delete_of_retired(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete the webhooks of applications that were retired before a moment, at most ``limit``; return how many."""
    retired = select(Application.application_id).where(Application.state == "retired", Application.updated_at < before)
    mine = select(ApplicationWebhook.id).where(ApplicationWebhook.application_id.in_(retired))
    mine = mine.order_by(ApplicationWebhook.id).limit(limit).with_for_update(skip_locked=True, of=ApplicationWebhook)
    ids = list((await session.execute(mine)).scalars())
    if ids:
        await session.execute(delete(ApplicationWebhook).where(ApplicationWebhook.id.in_(ids)))
    return len(ids)


async def reencrypt_application_webhooks(session: AsyncSession, box: SecretBox) -> int:
    """Encrypt every secret with the newest key; return how many had an older key. Old secrets that are not used any
    more are deleted."""
    count = 0
    for webhook in (await session.execute(select(ApplicationWebhook).order_by(ApplicationWebhook.id))).scalars():
        if webhook.old_secret is not None and not has_old_secret(webhook):
            webhook.old_secret, webhook.old_secret_until = None, None
        if not box.is_current(webhook.secret):
            webhook.secret = box.encrypt(box.decrypt(webhook.secret, purpose(webhook.id)), purpose(webhook.id))
            count += 1
        if webhook.old_secret is not None and not box.is_current(webhook.old_secret):
            webhook.old_secret = box.encrypt(box.decrypt(webhook.old_secret, purpose(webhook.id)), purpose(webhook.id))
            count += 1
    return count


def has_old_secret(webhook: ApplicationWebhook) -> bool:
    """Tell whether requests are still signed with the old secret too."""
    until = webhook.old_secret_until
    return webhook.old_secret is not None and until is not None and until > clock.now()


def purpose(webhook_id: uuid.UUID) -> str:
    """Return the purpose with which the secrets of a webhook are encrypted."""
    return f"application_webhook:{webhook_id}"


async def _present(
    session: AsyncSession, application_id: str, webhook_id: uuid.UUID, *, lock: bool = True
) -> ApplicationWebhook:
    """Return a webhook of an application, locked until the transaction ends unless it is only read."""
    for_update = {"key_share": True} if lock else None
    webhook = await session.get(ApplicationWebhook, webhook_id, with_for_update=for_update)
    if webhook is None or webhook.application_id != application_id:
        raise WebhookRefused("unknown")
    return webhook


def _secret_text(key: bytes) -> str:
    return SECRET_PREFIX + base64.b64encode(key).decode()


def _record(session: AsyncSession, what: str, webhook: ApplicationWebhook, actor: Actor, **data: object) -> None:
    data = {"webhook": str(webhook.id), "url": webhook.url, **data}
    record_event(session, f"application.webhook_{what}", webhook.application_id, actor, data)
