"""Every SQL statement about deliveries."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.platform.db import new_id
from sso.platform.outbox.models import Delivery, DeliveryKind, DeliveryStatus

LOOKED_AT = 1000
"""How many due deliveries are looked at to choose from."""
NOTHING: Mapping[str, int] = MappingProxyType({})


def enqueue(
    session: AsyncSession,
    kind: DeliveryKind,
    payload: dict[str, Any],
    *,
    client_id: str | None = None,
    session_id: uuid.UUID | None = None,
    receiver: str | None = None,
    status: DeliveryStatus = DeliveryStatus.PENDING,
    delivery_id: uuid.UUID | None = None,
) -> None:
    """Add something to be sent to the transaction of ``session``. ``receiver`` is the host that it goes to; ``status``
    held: it waits until it is fetched, or released."""
    now = clock.now()
    session.add(
        Delivery(
            id=delivery_id or new_id(),
            kind=kind,
            payload=payload,
            client_id=client_id,
            session_id=session_id,
            receiver=receiver,
            status=status,
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


async def of_session(session: AsyncSession, session_id: uuid.UUID, kinds: Sequence[str]) -> dict[str, Delivery]:
    """Return what was sent because a session ended, by application; of several the last."""
    statement = select(Delivery).where(Delivery.session_id == session_id, Delivery.kind.in_(kinds))
    statement = statement.order_by(Delivery.id)
    return {one.client_id: one for one in (await session.execute(statement)).scalars() if one.client_id is not None}


async def finish(session: AsyncSession, delivery_id: uuid.UUID, status: str, error: str | None) -> None:
    """Record that a delivery is ``done``, ``given_up`` or ``skipped``."""
    values = {"status": status, "finished_at": clock.now(), "last_error": error}
    await session.execute(update(Delivery).where(Delivery.id == delivery_id).values(**values))


async def retry_at(session: AsyncSession, delivery_id: uuid.UUID, at: datetime, error: str) -> None:
    """Record that a delivery failed and is tried again ``at``."""
    await session.execute(
        update(Delivery).where(Delivery.id == delivery_id).values(next_attempt_at=at, last_error=error)
    )


async def held(session: AsyncSession, client_id: str, kind: str, limit: int) -> list[Delivery]:
    """Return what is kept for an application to fetch, the oldest first."""
    mine = (Delivery.client_id == client_id) & (Delivery.kind == kind) & (Delivery.status == "held")
    return list((await session.execute(select(Delivery).where(mine).order_by(Delivery.id).limit(limit))).scalars())


async def fetched(
    session: AsyncSession, client_id: str, kind: str, delivery_ids: Sequence[uuid.UUID], now: datetime
) -> None:
    """Record that an application was given what was kept for it."""
    mine = (Delivery.client_id == client_id) & (Delivery.kind == kind) & Delivery.id.in_(delivery_ids)
    first = func.coalesce(Delivery.first_attempt_at, now)
    again = {"attempts": Delivery.attempts + 1, "first_attempt_at": first}
    await session.execute(update(Delivery).where(mine, Delivery.status == "held").values(**again))


async def settle(
    session: AsyncSession, client_id: str, kind: str, delivery_ids: Sequence[uuid.UUID], error: str | None
) -> None:
    """Record that an application has what was kept for it, or will never take it."""
    mine = (Delivery.client_id == client_id) & (Delivery.kind == kind) & Delivery.id.in_(delivery_ids)
    values = {"status": "given_up" if error else "done", "finished_at": clock.now(), "last_error": error}
    await session.execute(update(Delivery).where(mine, Delivery.status == "held").values(**values))


async def set_aside(
    session: AsyncSession, client_id: str, kind: str, before: str, after: str, error: str | None = None
) -> None:
    """Move what is ``before`` (pending, held) to be sent to an application to ``after``."""
    mine = (Delivery.client_id == client_id) & (Delivery.kind == kind) & (Delivery.status == before)
    values: dict[str, Any] = {"status": after, "last_error": error}
    if after == "given_up":
        values["finished_at"] = clock.now()
    if after == "pending":
        values["next_attempt_at"] = clock.now()
    await session.execute(update(Delivery).where(mine).values(**values))


async def change_kind(
    session: AsyncSession, client_id: str, before: str, after: str, receiver: str | None, status: str
) -> None:
    """Let what waits for an application go another way."""
    mine = (Delivery.client_id == client_id) & (Delivery.kind == before) & Delivery.status.in_(("pending", "held"))
    values = {"kind": after, "receiver": receiver, "status": status, "next_attempt_at": clock.now()}
    await session.execute(update(Delivery).where(mine).values(**values))


async def give_up_held(session: AsyncSession, before: datetime) -> None:
    """Give up what was kept since before a moment and never fetched."""
    old = (Delivery.status == "held") & (Delivery.created_at < before)
    values = {"status": "given_up", "finished_at": clock.now(), "last_error": "it was never fetched"}
    await session.execute(update(Delivery).where(old).values(**values))


async def retry(session: AsyncSession, delivery_id: uuid.UUID) -> Delivery | None:
    """Send once more, now, what was given up or waits for its next time. Returns it; None where that cannot be."""
    mine = (Delivery.id == delivery_id) & Delivery.status.in_(("given_up", "pending"))
    values = {"status": "pending", "next_attempt_at": clock.now(), "finished_at": None, "created_at": clock.now()}
    await session.execute(update(Delivery).where(mine, Delivery.kind != "ssf_poll").values(**values))
    found = await session.get(Delivery, delivery_id, populate_existing=True)
    return found if found is not None and found.status == "pending" else None


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries: each given field narrows."""

    status: str | None = None
    kind: str | None = None
    client_id: str | None = None
    session_id: uuid.UUID | None = None


async def page_of(
    session: AsyncSession, wanted: DeliveryFilter, before: uuid.UUID | None, limit: int
) -> list[Delivery]:
    """Return deliveries, the newest first, from before ``before`` on."""
    statement = select(Delivery).order_by(Delivery.id.desc()).limit(limit)
    for name in ("status", "kind", "client_id", "session_id"):
        if (value := getattr(wanted, name)) is not None:
            statement = statement.where(getattr(Delivery, name) == value)
    if before is not None:
        statement = statement.where(Delivery.id < before)
    return list((await session.execute(statement)).scalars())


async def counts(session: AsyncSession) -> dict[str, int]:
    """Return how many deliveries there are in each status."""
    statement = select(Delivery.status, func.count()).group_by(Delivery.status)
    return {row[0]: row[1] for row in (await session.execute(statement)).all()}


async def count_failing(session: AsyncSession, client_id: str) -> int:
    """Return how many deliveries to an application were given up, or have failed and are tried again."""
    failing = (Delivery.status == "given_up") | ((Delivery.status == "pending") & (Delivery.attempts > 1))
    statement = select(func.count()).select_from(Delivery).where(Delivery.client_id == client_id, failing)
    return int((await session.execute(statement)).scalar_one())


async def delete_finished(session: AsyncSession, before: datetime) -> None:
    """Delete deliveries that were finished before a moment."""
    await session.execute(delete(Delivery).where(Delivery.finished_at < before))
