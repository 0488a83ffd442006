"""The proof of an end: which applications took part in a session, how each learns that it is over, who was told when,
who has confirmed, and what failed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import case, false, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.registry import Registry
from sso.identity.sessions import store as sessions
from sso.identity.sessions.models import SessionClient, SsoSession
from sso.identity.sessions.store import ClientSession, NotifiedBy
from sso.logout.bulk import filter_of
from sso.logout.end_sessions import BACKCHANNEL_LOGOUT
from sso.oidc.models import BulkRevocation
from sso.platform.outbox import store as deliveries
from sso.platform.outbox.models import Delivery
from sso.ssf.events import POLL, PUSH

State = Literal["confirmed", "waiting", "given_up", "unconfirmed"]


@dataclass(frozen=True, slots=True)
class NotifiedApplication:
    """One application of a session that is over.

    ``state``: ``confirmed`` by an answer of 2xx, or by the first request that a gate refused; ``waiting`` to be told,
    or to be told once more; ``given_up``; or ``unconfirmed``, where nobody can confirm.
    """

    client_id: str
    name: str
    how: NotifiedBy
    state: State
    notified_at: datetime | None = None
    confirmed_at: datetime | None = None
    attempts: int = 0
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of the end of a session."""

    session_id: uuid.UUID
    user_id: uuid.UUID
    person: str
    ended_at: datetime
    reason: str
    applications: list[NotifiedApplication]

    @property
    def open(self) -> int:
        """How many applications are still to be told."""
        return sum(application.state == "waiting" for application in self.applications)

    @property
    def seconds_to_last_confirmation(self) -> float | None:
        """The time from the end to the last confirmation, in seconds, where everybody who can confirm has."""
        confirmed = [
            application.confirmed_at for application in self.applications if application.confirmed_at is not None
        ]
        if not confirmed or any(application.state in ("waiting", "given_up") for application in self.applications):
            return None
        return max(timedelta(0), max(confirmed) - self.ended_at).total_seconds()


async def delivery_report_of(session: AsyncSession, registry: Registry, session_id: uuid.UUID) -> DeliveryReport | None:
    """Return the proof of the end of a session, or None where it has not ended, or is unknown."""
    sso_session = await sessions.get(session, session_id)
    if sso_session is None:
        return None
    ended, person = sso_session
    if ended.ended_at is None:
        return None
    sent = await deliveries.of_session(session, session_id, (PUSH, POLL))
    sent |= await deliveries.of_session(session, session_id, (BACKCHANNEL_LOGOUT,))
    client_sessions = await sessions.participants(session, [session_id])
    return DeliveryReport(
        session_id=session_id,
        user_id=ended.user_id,
        person=person.name,
        ended_at=ended.ended_at,
        reason=ended.end_reason or "",
        applications=[
            _notified(registry, client_session, sent.get(client_session.client_id))
            for client_session in client_sessions
        ],
    )


@dataclass(frozen=True, slots=True)
class NotifiedApplicationTotals:
    """What became of telling one application that many sessions are over: how many of its sessions are at what."""

    client_id: str
    name: str
    counts: dict[State, int]


async def bulk_delivery_report(
    session: AsyncSession, registry: Registry, revocation: BulkRevocation
) -> list[NotifiedApplicationTotals]:
    """Return the proof of the end of many sessions, application by application."""
    until = revocation.finished_at or clock.now()
    notified_by = case(
        (SessionClient.notified_by == "back_channel", Delivery.kind == BACKCHANNEL_LOGOUT),
        (SessionClient.notified_by == "shared_signals", Delivery.kind.in_((PUSH, POLL))),
        else_=false(),
    )
    sent = (
        (Delivery.session_id == SessionClient.session_id)
        & (Delivery.client_id == SessionClient.client_id)
        & notified_by
    )
    notified_sessions = (
        select(SessionClient.client_id, Delivery.status, func.count())
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .outerjoin(Delivery, sent)
        .where(
            SsoSession.ended_at >= revocation.created_at,
            SsoSession.ended_at <= until,
            SsoSession.end_reason == revocation.reason,
        )
    )
    statement = sessions.filtered(notified_sessions, filter_of(revocation)).group_by(
        SessionClient.client_id, Delivery.status
    )
    rows: dict[str, dict[State, int]] = {}
    states: dict[str | None, State] = {None: "unconfirmed", "done": "confirmed", "given_up": "given_up"}
    for client_id, status, count in (await session.execute(statement)).all():
        counts, state = rows.setdefault(client_id, {}), states.get(status, "waiting")
        counts[state] = counts.get(state, 0) + int(count)
    return [
        NotifiedApplicationTotals(receiver_id, _name(registry, receiver_id), rows[receiver_id])
        for receiver_id in sorted(rows)
    ]


def _name(registry: Registry, client_id: str) -> str:
    client = registry.known(client_id)
    return client.meta.client_name if client else client_id


def _notified(registry: Registry, client_session: ClientSession, sent: Delivery | None) -> NotifiedApplication:
    client = registry.known(client_session.client_id)
    name, how = (
        client.meta.client_name if client else client_session.client_id,
        client_session.notified_by or "not_at_all",
    )
    if how == "gate" and client_session.refused_at is not None:
        refused_at = client_session.refused_at
        return NotifiedApplication(
            client_session.client_id, name, how, "confirmed", notified_at=refused_at, confirmed_at=refused_at
        )
    if sent is None or how not in ("back_channel", "shared_signals"):
        return NotifiedApplication(client_session.client_id, name, how, "unconfirmed")
    states: dict[str, State] = {"done": "confirmed", "given_up": "given_up"}
    state = states.get(sent.status, "waiting")
    return NotifiedApplication(
        client_session.client_id,
        name,
        how,
        state,
        notified_at=sent.first_attempt_at,
        confirmed_at=sent.finished_at if state == "confirmed" else None,
        attempts=sent.attempts,
        failure=sent.last_error if state != "confirmed" else None,
    )
