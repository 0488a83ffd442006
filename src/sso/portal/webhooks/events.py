"""Which audit events the team of an application receives, and what such an event says.

An event holds no personal data but the display name of an actor who is a member of the team: every detail is named
here. Its type is not the type of the audit event, whose details are for administrators.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients.models import SANDBOX_END
from sso.platform.audit.models import AuditEvent
from sso.platform.db import new_id
from sso.platform.outbox import DeliveryKind, enqueue
from sso.portal.webhooks.models import ApplicationWebhook

FROM_AUDIT: dict[str, str] = {
    "client.secret_made": "secret.created",
    "client.secret_revoked": "secret.revoked",
    "client.secret_expires_soon": "secret.expires_soon",
    "application.submitted": "application.submitted",
    "application.approved": "application.approved",
    "application.sent_back": "application.refused",
    "client.suspended": "application.suspended",
    "client.resumed": "application.resumed",
    "client.removed": "application.retired",
    "client.updated": "settings.changed",
    "team.member_set": "member.added",
    "team.member_removed": "member.removed",
    "delivery.given_up": "logout_notice.failed",
    "application.first_sign_in": "sign_in.first",
    "client.privilege_granted": "privileges.decided",
    "client.privilege_revoked": "privileges.decided",
}
"""The type of the event for the team, by the type of the audit event."""
EVENT_TYPES: tuple[str, ...] = tuple(dict.fromkeys(FROM_AUDIT.values()))
"""Every type of event that a team can choose."""
TEST = "webhook.test"
"""The type of a test event, which every webhook receives."""
DETAILS: dict[str, tuple[str, ...]] = {
    "secret.created": ("valid_days",),
    "secret.revoked": ("hint",),
    "secret.expires_soon": ("hint", "expires_at"),
    "settings.changed": ("changed",),
    "member.added": ("role",),
    "privileges.decided": ("privilege",),
}
"""The details of an audit event that the team receives."""
DECISIONS = {"client.privilege_granted": "granted", "client.privilege_revoked": "revoked"}


def application_of(client_id: str) -> str:
    """Return the application of a client: of a sandbox, the application that it belongs to."""
    return client_id.removesuffix(SANDBOX_END)


def type_for_team(event: AuditEvent) -> str | None:
    """Return the type under which the team of an application receives an event; None: it does not receive it."""
    if event.client_id is None:
        return None
    if event.type == "delivery.given_up" and event.data.get("kind") != DeliveryKind.BACKCHANNEL_LOGOUT:
        return None
    if event.type == "team.member_set" and not event.data.get("new"):
        return None  # a member has another role
    return FROM_AUDIT.get(event.type)


def data_for_team(event: AuditEvent, type_: str) -> dict[str, object]:
    """Return what a team receives of an event, without its actor."""
    client_id = event.client_id or ""
    data = environment_of(client_id)
    data |= {name: event.data[name] for name in DETAILS.get(type_, ()) if name in event.data}
    if event.type in DECISIONS:
        data["decision"] = DECISIONS[event.type]
    return data


def environment_of(client_id: str) -> dict[str, object]:
    """Return the members that name the application of a client, the client, and its environment."""
    environment = "sandbox" if client_id.endswith(SANDBOX_END) else "production"
    return {"application": application_of(client_id), "client_id": client_id, "environment": environment}


async def tell_teams(session: AsyncSession, events: Sequence[AuditEvent]) -> int:
    """Enqueue a delivery for each webhook of a team that receives an event; return the number of deliveries.

    Without an event for teams, there is no statement.
    """
    team_events = [(event, type_) for event in events if (type_ := type_for_team(event)) is not None]
    if not team_events:
        return 0
    application_ids = {application_of(event.client_id or "") for event, _ in team_events}
    mine = select(ApplicationWebhook).where(ApplicationWebhook.application_id.in_(application_ids))
    mine = mine.where(ApplicationWebhook.enabled.is_(True)).order_by(ApplicationWebhook.id)
    webhooks = list((await session.execute(mine)).scalars())
    count = 0
    for event, type_ in team_events:
        for webhook in webhooks:
            is_theirs = webhook.application_id == application_of(event.client_id or "")
            if is_theirs and type_ in webhook.events and event.at >= webhook.created_at:
                enqueue_event(session, webhook, type_, data_for_team(event, type_), event.at.isoformat(), event)
                count += 1
    return count


def enqueue_event(
    session: AsyncSession,
    webhook: ApplicationWebhook,
    type_: str,
    data: dict[str, object],
    at: str,
    cause: AuditEvent | None = None,
    actor: str | None = None,
) -> None:
    """Enqueue one event for one webhook.

    Args:
        session: the transaction.
        webhook: the webhook.
        type_: the type of the event.
        data: what the event says.
        at: the time of the event.
        cause: the audit event, which names the actor and the subject; None: a test.
        actor: who sends a test event. Names are looked up when the event is sent: none is stored in the outbox.
    """
    message_id = new_id()
    payload: dict[str, object] = {
        "webhook_id": str(webhook.id),
        "message_id": f"msg_{message_id.hex}",
        "type": type_,
        "timestamp": at,
        "data": data,
        "actor": cause.actor if cause is not None else actor,
        "by_themselves": cause is not None and cause.actor is not None and cause.actor == cause.subject,
    }
    receiver = urlsplit(webhook.url).netloc
    kind = DeliveryKind.APPLICATION_WEBHOOK
    enqueue(session, kind, payload, client_id=webhook.application_id, receiver=receiver, delivery_id=message_id)
