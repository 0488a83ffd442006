"""Every SQL statement about deliveries."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.delivery.models import Delivery

LOOKED_AT = 1000
"""How many due deliveries are looked at to choose from."""
NOTHING: Mapping[str, int] = MappingProxyType({})


def enqueue(
    session: AsyncSession,
    kind: str,
    payload: dict[str, Any],
    *,
    client_id: str | None = None,
    session_id: uuid.UUID | None = None,
    receiver: str | None = None,
) -> None:
    """Add something to be sent to the transaction of ``session``. ``receiver`` is the host that it goes to."""
    now = clock.now()
    session.add(
        Delivery(
            kind=kind,
            payload=payload,
            client_id=client_id,
            session_id=session_id,
            receiver=receiver,
            status="pending",
            attempts=0,
            created_at=now,
            next_attempt_at=now,
        )
    )


async def claim(
    session: AsyncSession,
    limit: int,
    lease_seconds: float,
    per_receiver: int = 1_000_000,
    sending: Mapping[str, int] = NOTHING,
) -> list[Delivery]:
    """Take deliveries that are due. They are nobody else's until the lease is over, so that none is lost when the
    process that took it dies.

    Args:
        session: the transaction.
        limit: how many at most.
        lease_seconds: how long they are ours.
        per_receiver: how many may be on their way to one receiver.
        sending: how many this process is sending to each receiver already.
    """
    now = clock.now()
    full = [receiver for receiver, count in sending.items() if count >= per_receiver]
    first = _due(now, full).order_by(Delivery.next_attempt_at, Delivery.id).limit(LOOKED_AT).subquery()
    place = func.row_number().over(partition_by=first.c.receiver, order_by=(first.c.next_attempt_at, first.c.id))
    ranked = select(first.c.id, first.c.receiver, place.label("place")).subquery()
    among_the_first = ranked.c.receiver.is_(None) | (ranked.c.place <= per_receiver)
    due = (
        select(Delivery)
        .where(Delivery.id.in_(select(ranked.c.id).where(among_the_first)), Delivery.status == "pending")
        .where(Delivery.next_attempt_at <= now)
        .order_by(Delivery.next_attempt_at, Delivery.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    counted, taken = Counter(sending), []
    for delivery in (await session.execute(due)).scalars():
        if delivery.receiver is not None:
            if counted[delivery.receiver] >= per_receiver:
                continue
            counted[delivery.receiver] += 1
        delivery.attempts += 1
        delivery.first_attempt_at = delivery.first_attempt_at or now
        delivery.next_attempt_at = now + timedelta(seconds=lease_seconds)
        taken.append(delivery)
    return taken


async def is_any_due(session: AsyncSession, full: Sequence[str] = ()) -> bool:
    """Tell whether something is to be sent now, to other receivers than those of ``full``."""
    return (await session.execute(_due(clock.now(), full).limit(1))).first() is not None


def _due(now: datetime, full: Sequence[str]) -> Select[uuid.UUID, str | None, datetime]:
    columns = select(Delivery.id, Delivery.receiver, Delivery.next_attempt_at)
    due = columns.where(Delivery.status == "pending", Delivery.next_attempt_at <= now)
    return due.where(Delivery.receiver.is_(None) | Delivery.receiver.not_in(full)) if full else due


async def of_session(session: AsyncSession, session_id: uuid.UUID, kind: str) -> dict[str, Delivery]:
    """Return what was sent because a session ended, by application."""
    statement = select(Delivery).where(Delivery.session_id == session_id, Delivery.kind == kind)
    return {one.client_id: one for one in (await session.execute(statement)).scalars() if one.client_id is not None}


async def finish(session: AsyncSession, delivery_id: uuid.UUID, status: str, error: str | None) -> None:
    """Record that a delivery is ``done`` or ``given_up``."""
    values = {"status": status, "finished_at": clock.now(), "last_error": error}
    await session.execute(update(Delivery).where(Delivery.id == delivery_id).values(**values))


async def retry_at(session: AsyncSession, delivery_id: uuid.UUID, at: datetime, error: str) -> None:
    """Record that a delivery failed and is tried again ``at``."""
    await session.execute(
        update(Delivery).where(Delivery.id == delivery_id).values(next_attempt_at=at, last_error=error)
    )


async def counts(session: AsyncSession) -> dict[str, int]:
    """Return how many deliveries there are in each status."""
    statement = select(Delivery.status, func.count()).group_by(Delivery.status)
    return {row[0]: row[1] for row in (await session.execute(statement)).all()}


async def forget_finished(session: AsyncSession, before: datetime) -> None:
    """Delete deliveries that were finished before a moment."""
    await session.execute(delete(Delivery).where(Delivery.finished_at < before))
