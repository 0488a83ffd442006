"""Sends events to the webhooks of applications, and disables a webhook that cannot receive them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Protocol, cast

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.models import Application
from sso.identity.notifications import MessageServices, notify
from sso.identity.users.models import User
from sso.identity.users.store import names_of
from sso.platform.audit import record
from sso.platform.outbox.webhooks import GONE, signed_headers
from sso.platform.outbox.worker import Abandon, NotNeeded, ReceiverAnswered
from sso.platform.security.encryption import SecretBox
from sso.platform.security.outbound_errors import OutboundRefused, public_reason
from sso.platform.services import HasOutbound, Storage
from sso.portal.teams import team_of
from sso.portal.webhooks.models import ApplicationWebhook
from sso.portal.webhooks.service import has_old_secret, purpose

FAILING = timedelta(days=3)
"""After how long without a success a webhook that fails is disabled."""


class WebhookServices(Storage, HasOutbound, MessageServices, Protocol):
    """What sending an event to a webhook of a team needs."""


def send_application_webhook(services: WebhookServices) -> Callable[[Mapping[str, object]], Awaitable[None]]:
    """Return the handler of the outbox."""

    async def send(payload: Mapping[str, object]) -> None:
        async with services.db.read() as session:
            webhook = await session.get(ApplicationWebhook, uuid.UUID(str(payload["webhook_id"])))
            if webhook is None or not webhook.enabled:
                raise NotNeeded("the webhook was removed or disabled")
            actor = await _actor(session, webhook.application_id, payload)
        event = {"type": payload["type"], "timestamp": payload["timestamp"]}
        body = orjson.dumps({**event, "data": {**cast(Mapping[str, object], payload["data"]), "actor": actor}})
        headers = signed_headers(_keys(services.box, webhook), str(payload["message_id"]), clock.timestamp(), body)
        try:
            status, _ = await services.outbound.post(webhook.url, body, headers)
        except OutboundRefused as error:
            await _failed(services, webhook)
            raise Abandon(public_reason(webhook.url, error)) from None
        except Exception:
            await _failed(services, webhook)
            raise
        if status == GONE:
            await _disable(services, webhook.id, "gone")
            raise Abandon("it answered 410: the receiver accepts no more events, so the webhook was disabled")
        if not 200 <= status < 300:
            await _failed(services, webhook)
            raise ReceiverAnswered(f"it answered {status}", status)
        if webhook.failing_since is not None:
            await _set_failing(services, webhook.id, failing=False)

    return send


def _keys(box: SecretBox, webhook: ApplicationWebhook) -> list[bytes]:
    """Return the keys that sign: after a rotation, the old one too."""
    stored = [webhook.secret]
    if webhook.old_secret is not None and has_old_secret(webhook):
        stored.append(webhook.old_secret)
    return [box.decrypt(secret, purpose(webhook.id)) for secret in stored]


async def _actor(session: AsyncSession, application_id: str, payload: Mapping[str, object]) -> dict[str, object]:
    """Return who caused an event, as its team may know it: members by name, as on the page of the team; administrators
    without a name; and ``system``."""
    actor = payload.get("actor")
    names = await names_of(session, [actor]) if isinstance(actor, str) else {}
    if actor not in names:
        return {"kind": "system", "name": None}
    if actor in {str(member.user_id) for member in await team_of(session, application_id)}:
        return {"kind": "member", "name": names[actor]}
    return {"kind": "member" if payload.get("by_themselves") else "administrator", "name": None}


async def _failed(services: WebhookServices, webhook: ApplicationWebhook) -> None:
    """Record a failure; disable the webhook when it has failed for too long."""
    if webhook.failing_since is None:
        await _set_failing(services, webhook.id, failing=True)
    elif clock.now() - webhook.failing_since >= FAILING:
        await _disable(services, webhook.id, "failing")


async def _set_failing(services: WebhookServices, webhook_id: uuid.UUID, *, failing: bool) -> None:
    async with services.db.write() as session:
        webhook = await _locked(session, webhook_id)
        if webhook is not None:
            webhook.failing_since = (webhook.failing_since or clock.now()) if failing else None


async def _disable(services: WebhookServices, webhook_id: uuid.UUID, reason: str) -> None:
    """Disable a webhook, and tell its team."""
    async with services.db.write() as session:
        webhook = await _locked(session, webhook_id)
        if webhook is None or not webhook.enabled:
            return
        webhook.enabled, webhook.disabled_reason, webhook.updated_at = False, reason, clock.now()
        data = {"webhook": str(webhook.id), "url": webhook.url, "reason": reason}
        client_id = webhook.application_id
        record(session, "application.webhook_disabled", actor="system", client_id=client_id, data=data)
        application = await session.get(Application, client_id)
        for member in await team_of(session, client_id):
            user = await session.get(User, member.user_id)
            if application is not None and user is not None and user.disabled_at is None:
                notify(session, services, user, "webhook_disabled", what=application.name)


async def _locked(session: AsyncSession, webhook_id: uuid.UUID) -> ApplicationWebhook | None:
    return await session.get(ApplicationWebhook, webhook_id, with_for_update={"key_share": True})
