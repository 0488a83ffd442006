"""Every SQL statement about deliveries."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.delivery.models import Delivery


def enqueue(
    session: AsyncSession,
    kind: str,
    payload: dict[str, Any],
    *,
    client_id: str | None = None,
    session_id: uuid.UUID | None = None,
) -> None:
    """Add something to be sent to the transaction of ``session``."""
    now = clock.now()
    session.add(
        Delivery(
            kind=kind,
            payload=payload,
            client_id=client_id,
            session_id=session_id,
            status="pending",
            attempts=0,
            created_at=now,
            next_attempt_at=now,
        )
    )


async def claim(session: AsyncSession, limit: int, lease_seconds: float) -> list[Delivery]:
    """Take deliveries that are due. They are nobody else's until the lease is over, so that none is lost when the
    process that took it dies."""
    now = clock.now()
    due = (
        select(Delivery)
        .where(Delivery.status == "pending", Delivery.next_attempt_at <= now)
        .order_by(Delivery.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = list((await session.execute(due)).scalars())
    for delivery in found:
        delivery.attempts += 1
        delivery.next_attempt_at = now + timedelta(seconds=lease_seconds)
    return found


async def is_any_due(session: AsyncSession) -> bool:
    """Tell whether something is to be sent now."""
    statement = select(Delivery.id).where(Delivery.status == "pending", Delivery.next_attempt_at <= clock.now())
    return (await session.execute(statement.limit(1))).first() is not None


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
