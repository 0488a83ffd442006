"""SQL statements of the checks that belong to no other package, and of the setup links."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.platform.db import JobRun, delete_batch, job_runs
from sso.platform.keys.models import SigningKey
from sso.setup.models import SetupLink

BACKUP = "backup"
"""The name under which the last backup is recorded among the jobs."""


async def last_backup(session: AsyncSession) -> datetime | None:
    """Return when ``sso backup`` made the last backup; None: never."""
    statement = select(JobRun.finished_at).where(JobRun.name == BACKUP)
    return (await session.execute(statement)).scalar()


async def active_keys(session: AsyncSession) -> list[tuple[str, datetime | None]]:
    """Return the algorithm of each key that signs, and since when."""
    statement = select(SigningKey.alg, SigningKey.activated_at).where(SigningKey.status == "active")
    return [(row[0], row[1]) for row in await session.execute(statement.order_by(SigningKey.alg))]


async def record_backup(session: AsyncSession, started: datetime, finished: datetime) -> None:
    """Record that ``sso backup`` has made a backup."""
    milliseconds = round((finished - started).total_seconds() * 1000)
    await job_runs.record_run(session, BACKUP, job_runs.RunResult(started, finished, milliseconds, 0))


async def delete_expired_links(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete at most ``limit`` setup links that have expired; return how many."""
    return await delete_batch(session, SetupLink, SetupLink.expires_at, limit, SetupLink.expires_at <= now)
