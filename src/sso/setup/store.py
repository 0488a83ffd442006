"""SQL statements of the checks that belong to no other package, and of the setup links."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.platform.db import JobRun, delete_batch, job_runs
from sso.platform.keys.models import SigningKey
from sso.platform.outbox.models import Delivery
from sso.setup.models import SetupLink

BACKUP = "backup"
"""The name under which the last backup is recorded among the jobs."""
FAILED_ATTEMPTS = 3
"""After how many attempts a delivery counts as failing."""


async def last_backup(session: AsyncSession) -> datetime | None:
    """Return when ``sso backup`` made the last backup; None: never."""
    statement = select(JobRun.finished_at).where(JobRun.name == BACKUP)
    return (await session.execute(statement)).scalar()


async def active_keys(session: AsyncSession) -> list[tuple[str, datetime | None]]:
    """Return the algorithm of each key that signs, and since when."""
    statement = select(SigningKey.alg, SigningKey.activated_at).where(SigningKey.status == "active")
    return [(row[0], row[1]) for row in await session.execute(statement.order_by(SigningKey.alg))]


async def failing_receivers(session: AsyncSession, since: datetime, limit: int) -> Sequence[tuple[str, int]]:
    """Return the receivers to which deliveries fail now or were given up lately, with their number, most first.

    Args:
        session: for reading.
        since: deliveries that were given up earlier do not count.
        limit: how many receivers at most.
    """
    fails = (Delivery.status == "pending") & (Delivery.attempts >= FAILED_ATTEMPTS)
    given_up = (Delivery.status == "given_up") & (Delivery.finished_at >= since)
    count = func.count()
    statement = select(Delivery.receiver, count).where(or_(fails, given_up), Delivery.receiver.is_not(None))
    statement = statement.where(Delivery.kind != "application_webhook")  # its team is told
    statement = statement.group_by(Delivery.receiver).order_by(count.desc(), Delivery.receiver).limit(limit)
    return [(str(row[0]), row[1]) for row in await session.execute(statement)]


async def record_backup(session: AsyncSession, started: datetime, finished: datetime) -> None:
    """Record that ``sso backup`` has made a backup."""
    milliseconds = round((finished - started).total_seconds() * 1000)
    await job_runs.record_run(session, BACKUP, job_runs.RunResult(started, finished, milliseconds, 0))


async def delete_expired_links(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete at most ``limit`` setup links that have expired; return how many."""
    return await delete_batch(session, SetupLink, SetupLink.expires_at, limit, SetupLink.expires_at <= now)
