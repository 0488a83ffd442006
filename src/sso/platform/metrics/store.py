"""Every SQL statement about counts, mistakes and processes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypedDict

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from sso.platform.db import INSERTS, delete_batch, fetch, insert_for, table_of
from sso.platform.db.base import InsertFor
from sso.platform.metrics.counters import RECENT, Mistake
from sso.platform.metrics.models import ClientMistake, ProcessSeen, UsageCount

MAX_MISTAKES_PER_CLIENT = 100
_counts, _mistakes, _processes = map(table_of, (UsageCount, ClientMistake, ProcessSeen))


def _add_counts(insert: InsertFor) -> postgresql.Insert:
    statement = insert(_counts)
    added = {"count": _counts.c.count + statement.excluded.count}
    return statement.on_conflict_do_update(index_elements=["hour", "name", "client_id", "label"], set_=added)


def _add_mistake(insert: InsertFor) -> postgresql.Insert:
    statement = insert(_mistakes)
    again = {"count": _mistakes.c.count + statement.excluded.count, "last_at": statement.excluded.last_at}
    return statement.on_conflict_do_update(index_elements=["client_id", "digest"], set_=again)


def _see_process(insert: InsertFor) -> postgresql.Insert:
    statement = insert(_processes)
    again = {name: statement.excluded[name] for name in ("seen_at", "memory_mb", "works")}
    return statement.on_conflict_do_update(index_elements=["id"], set_=again)


_ADD_COUNTS = {dialect: _add_counts(insert) for dialect, insert in INSERTS.items()}
_ADD_MISTAKE = {dialect: _add_mistake(insert) for dialect, insert in INSERTS.items()}
_SEE_PROCESS = {dialect: _see_process(insert) for dialect, insert in INSERTS.items()}
_DELETE_PROCESSES = delete(_processes).where(_processes.c.seen_at < bindparam("gone"))


async def add_counts(session: AsyncSession, counts: Mapping[tuple[datetime, str, str, str], int]) -> None:
    """Add to the stored counts, in a fixed order, so that transactions do not wait for each other in a circle."""
    rows = [
        {"hour": hour, "name": name, "client_id": client_id, "label": label, "count": count}
        for (hour, name, client_id, label), count in sorted(counts.items())
    ]
    if not rows:
        return
    # A row of values and many parameters: a statement with many rows is compiled anew for each number of them.
    await session.execute(_ADD_COUNTS[session.get_bind().dialect.name], rows)


async def add_mistakes(session: AsyncSession, mistakes: Mapping[tuple[str, bytes], Mistake]) -> None:
    """Add to the stored mistakes."""
    for (client_id, digest), mistake in sorted(mistakes.items(), key=lambda item: item[0]):
        values: dict[str, object] = {"client_id": client_id, "digest": digest, "code": mistake.code}
        values |= {"sent": mistake.sent, "count": mistake.count}
        values |= {"first_at": mistake.first_at, "last_at": mistake.last_at}
        await fetch(session, _ADD_MISTAKE[session.get_bind().dialect.name], values)


async def counts_since(
    session: AsyncSession, names: Sequence[str], since: datetime, client_id: str | None = None, *, begins: str = ""
) -> list[tuple[datetime, str, str, int]]:
    """Return (hour, name, label, count) since a moment, of one application or of all together.

    Args:
        session: the transaction.
        names: the events.
        since: the moment.
        client_id: the application; None: all together.
        begins: ``RECENT`` for counts by five minutes.
    """
    names = [begins + name for name in names]
    columns = select(UsageCount.hour, UsageCount.name, UsageCount.label, func.sum(UsageCount.count))
    chosen = columns.where(UsageCount.name.in_(names), UsageCount.hour >= since)
    if client_id is not None:
        chosen = chosen.where(UsageCount.client_id == client_id)
    grouped = chosen.group_by(UsageCount.hour, UsageCount.name, UsageCount.label).order_by(UsageCount.hour)
    rows = (await session.execute(grouped)).all()
    return [(row[0], row[1].removeprefix(begins), row[2], int(row[3])) for row in rows]


async def totals_since(
    session: AsyncSession, names: Sequence[str], since: datetime, *, before: datetime | None = None, begins: str = ""
) -> list[tuple[str, str, int]]:
    """Return (name, label, count) of all applications together since a moment; ``before``: and until another."""
    names = [begins + name for name in names]
    columns = select(UsageCount.name, UsageCount.label, func.sum(UsageCount.count))
    chosen = columns.where(UsageCount.name.in_(names), UsageCount.hour >= since)
    if before is not None:
        chosen = chosen.where(UsageCount.hour < before)
    grouped = chosen.group_by(UsageCount.name, UsageCount.label)
    return [(row[0].removeprefix(begins), row[1], int(row[2])) for row in (await session.execute(grouped)).all()]


async def top_clients(
    session: AsyncSession, name: str, since: datetime, limit: int, *, begins: str = ""
) -> list[tuple[str, int]]:
    """Return the applications with the highest counts of an event since a moment."""
    total = func.sum(UsageCount.count)
    chosen = select(UsageCount.client_id, total).where(
        UsageCount.name == begins + name, UsageCount.hour >= since, UsageCount.client_id != ""
    )
    ordered = chosen.group_by(UsageCount.client_id).order_by(total.desc(), UsageCount.client_id).limit(limit)
    return [(row[0], int(row[1])) for row in (await session.execute(ordered)).all()]


async def set_gauges(session: AsyncSession, hour: datetime, values: Mapping[tuple[str, str], int]) -> None:
    """Store the current values of gauges for this hour, in place of earlier values."""
    rows = [
        {"hour": hour, "name": name, "client_id": "", "label": label, "count": count}
        for (name, label), count in sorted(values.items())
    ]
    statement = insert_for(session)(UsageCount).values(rows)
    replaced = {"count": statement.excluded.count}
    index = ["hour", "name", "client_id", "label"]
    await session.execute(statement.on_conflict_do_update(index_elements=index, set_=replaced))


async def latest_gauges(session: AsyncSession, names: Sequence[str]) -> dict[tuple[str, str], int]:
    """Return the latest values of gauges."""
    newest = select(func.max(UsageCount.hour)).where(UsageCount.name.in_(names), UsageCount.client_id == "")
    hour = (await session.execute(newest)).scalar_one_or_none()
    if hour is None:
        return {}
    rows = select(UsageCount.name, UsageCount.label, UsageCount.count).where(
        UsageCount.hour == hour, UsageCount.name.in_(names), UsageCount.client_id == ""
    )
    return {(row[0], row[1]): int(row[2]) for row in (await session.execute(rows)).all()}


GAUGES = ("sessions_active", "people", "factors")
"""The figures that are looked up every hour, for the pages of administrators."""


class ProcessColumns(TypedDict):
    """What a process reports."""

    id: uuid.UUID
    host: str
    pid: int
    version: str
    works: bool
    memory_mb: int
    started_at: datetime
    seen_at: datetime


async def see_process(session: AsyncSession, values: ProcessColumns) -> None:
    """Record a report of a process, and delete processes without a report for an hour."""
    await fetch(session, _SEE_PROCESS[session.get_bind().dialect.name], values)
    await fetch(session, _DELETE_PROCESSES, {"gone": values["seen_at"] - timedelta(hours=1)})


async def processes(session: AsyncSession) -> list[ProcessSeen]:
    """Return the processes that reported in the last hour, by host."""
    ordered = select(ProcessSeen).order_by(ProcessSeen.host, ProcessSeen.started_at)
    return list((await session.execute(ordered)).scalars())


async def mistakes_of(session: AsyncSession, client_ids: Sequence[str], limit: int = 50) -> list[ClientMistake]:
    """Return the mistakes of applications, the latest first."""
    mine = select(ClientMistake).where(ClientMistake.client_id.in_(client_ids))
    return list((await session.execute(mine.order_by(ClientMistake.last_at.desc()).limit(limit))).scalars())


async def delete_old_counts(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete counts from before a moment, at most ``limit``; return how many."""
    return await delete_batch(session, UsageCount, UsageCount.hour, limit, UsageCount.hour < before)


async def delete_recent_counts(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete five-minute counts from before a moment, at most ``limit``; return how many. They are deleted up to a day
    back only; older ones, left by a longer pause of this job, are deleted with the counts by the hour."""
    recent = UsageCount.name.startswith(RECENT, autoescape=True)
    lately = UsageCount.hour.between(before - timedelta(days=1), before)
    return await delete_batch(session, UsageCount, UsageCount.hour, limit, lately, recent)


async def delete_old_mistakes(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete mistakes that did not happen since a moment, at most ``limit``; return how many."""
    return await delete_batch(session, ClientMistake, ClientMistake.last_at, limit, ClientMistake.last_at < before)


async def delete_surplus_mistakes(session: AsyncSession, since: datetime) -> None:
    """Delete the oldest mistakes of the applications that made one since a moment and have too many."""
    lately = select(ClientMistake.client_id).where(ClientMistake.last_at >= since).distinct()
    for client_id in (await session.execute(lately)).scalars().all():
        mine = select(ClientMistake.last_at).where(ClientMistake.client_id == client_id)
        oldest = (
            await session.execute(
                mine.order_by(ClientMistake.last_at.desc()).offset(MAX_MISTAKES_PER_CLIENT - 1).limit(1)
            )
        ).scalar()
        if oldest is not None:
            await session.execute(
                delete(ClientMistake).where(ClientMistake.client_id == client_id, ClientMistake.last_at < oldest)
            )
