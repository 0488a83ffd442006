"""The lease by which one process at a time runs the jobs, and the record of what each job did last.

The lease is a row with an end. A process that runs the jobs extends it between batches. When the process dies, the
lease ends by itself and another process takes it. This works in the same way on PostgreSQL and on SQLite.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, ColumnElement, String, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db.base import Base, insert_for

JOBS = "jobs"
"""The name of the lease of the jobs."""
LEASE = timedelta(seconds=60)
"""How long a process that died keeps others from running the jobs."""
MAX_ERROR_CHARS = 200
REPLACED = ("held_until", "started_at", "finished_at", "milliseconds", "rows", "error")
"""What the next run of a job replaces."""


class JobRun(Base):
    """The last run of a job, or the lease of all jobs.

    ``holder``: the process that holds the lease until ``held_until``. ``rows``: how many rows the job changed.
    ``finished_at`` is None while the job runs.
    """

    __tablename__ = "job_runs"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    holder: Mapped[uuid.UUID | None]
    held_until: Mapped[datetime]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    milliseconds: Mapped[int | None] = mapped_column(BigInteger)
    rows: Mapped[int | None] = mapped_column(BigInteger)
    error: Mapped[str | None] = mapped_column(String(MAX_ERROR_CHARS))


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of one run of a job: when it started, how long it took, how many rows it changed, and its error."""

    started_at: datetime
    finished_at: datetime
    milliseconds: int
    rows: int
    error: str | None = None


def _is_free(now: datetime, every: timedelta) -> ColumnElement[bool]:
    """Return the condition that a lease can be taken: the last start was ``every`` ago and nobody holds it. Times that
    lie further in the future than the clocks of two hosts differ were written by a clock that was wrong: they hold
    nobody back."""
    free = (JobRun.held_until <= now) & (JobRun.started_at <= now - every)
    return free | (JobRun.started_at > now + every) | (JobRun.held_until > now + LEASE + every)


async def is_due(session: AsyncSession, name: str, now: datetime, every: timedelta) -> bool:
    """Tell whether :func:`take_lease` would take the lease ``name``."""
    row = (await session.execute(select(_is_free(now, every)).where(JobRun.name == name))).first()
    return row is None or bool(row[0])


async def take_lease(session: AsyncSession, name: str, holder: uuid.UUID, now: datetime, every: timedelta) -> bool:
    """Take the lease ``name`` where it is due, and tell whether this process has it. Exactly one of many callers gets
    it.

    Args:
        session: the transaction.
        name: the lease.
        holder: the process.
        now: the time.
        every: the shortest time between two starts.
    """
    values = {"holder": holder, "held_until": now + LEASE, "started_at": now, "finished_at": None}
    statement = insert_for(session)(JobRun).values(name=name, **values)
    statement = statement.on_conflict_do_update(index_elements=["name"], set_=values, where=_is_free(now, every))
    return (await session.execute(statement.returning(JobRun.name))).first() is not None


async def extend_lease(session: AsyncSession, name: str, holder: uuid.UUID, now: datetime) -> bool:
    """Extend a lease; tell whether ``holder`` still has it."""
    mine = update(JobRun).where(JobRun.name == name, JobRun.holder == holder).values(held_until=now + LEASE)
    return (await session.execute(mine.returning(JobRun.name))).first() is not None


async def give_up_lease(session: AsyncSession, name: str, holder: uuid.UUID, now: datetime) -> None:
    """Give a lease back at the end of the work."""
    mine = update(JobRun).where(JobRun.name == name, JobRun.holder == holder)
    await session.execute(mine.values(holder=None, held_until=now, finished_at=now))


async def record_run(session: AsyncSession, name: str, result: RunResult) -> None:
    """Store the result of the last run of a job."""
    await record_runs(session, {name: result})


async def record_runs(session: AsyncSession, results: Mapping[str, RunResult]) -> None:
    """Store the results of the last runs of jobs by their names."""
    if not results:
        return
    statement = insert_for(session)(JobRun.__table__)
    new = {column: statement.excluded[column] for column in REPLACED}
    rows = [
        {
            "name": name, "held_until": result.finished_at, "started_at": result.started_at,
            "finished_at": result.finished_at, "milliseconds": result.milliseconds, "rows": result.rows,
            "error": result.error[:MAX_ERROR_CHARS] if result.error else None,
        }
        for name, result in sorted(results.items())
    ]  # fmt: skip
    await session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=new), rows)


async def runs(session: AsyncSession) -> list[JobRun]:
    """Return the lease and the last run of each job, by name."""
    return list((await session.execute(select(JobRun).order_by(JobRun.name))).scalars())
