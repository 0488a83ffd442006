"""Every SQL statement about counts and mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.platform.db import insert_for
from sso.platform.metrics.counters import RECENT, Mistake
from sso.platform.metrics.models import ClientMistake, ProcessSeen, UsageCount

BATCH = 200
MAX_OF_ONE = 100


async def add_counts(session: AsyncSession, counts: Mapping[tuple[datetime, str, str, str], int]) -> None:
    """Add counts to those that are written, in an order in which nobody waits for each other."""
    rows = [
        {"hour": hour, "name": name, "client_id": client_id, "label": label, "count": count}
        for (hour, name, client_id, label), count in sorted(counts.items())
    ]
    for start in range(0, len(rows), BATCH):
        made = insert_for(session)(UsageCount).values(rows[start : start + BATCH])
        added = {"count": UsageCount.count + made.excluded.count}
        await session.execute(
            made.on_conflict_do_update(index_elements=["hour", "name", "client_id", "label"], set_=added)
        )


async def add_mistakes(session: AsyncSession, mistakes: Mapping[tuple[str, bytes], Mistake]) -> None:
    """Add mistakes to those that are written."""
    for (client_id, digest), made in sorted(mistakes.items(), key=lambda one: one[0]):
        values = {"code": made.code, "sent": made.sent, "count": made.count}
        await _add_mistake(session, client_id, digest, {**values, "first_at": made.first_at, "last_at": made.last_at})


async def _add_mistake(session: AsyncSession, client_id: str, digest: bytes, values: Mapping[str, Any]) -> None:
    """Write a mistake, or that it was made again."""
    made = insert_for(session)(ClientMistake).values(client_id=client_id, digest=digest, **values)
    again = {"count": ClientMistake.count + made.excluded.count, "last_at": made.excluded.last_at}
    await session.execute(made.on_conflict_do_update(index_elements=["client_id", "digest"], set_=again))


async def counts_since(
    session: AsyncSession, names: Sequence[str], since: datetime, client_id: str | None = None, *, begins: str = ""
) -> list[tuple[datetime, str, str, int]]:
    """Return (hour, name, label, count) since a moment: of one application, or of all together.

    Args:
        session: the transaction.
        names: what was counted.
        since: the moment.
        client_id: the application; None: all together.
        begins: ``RECENT`` for five minutes in place of hours.
    """
    names = [begins + one for one in names]
    columns = select(UsageCount.hour, UsageCount.name, UsageCount.label, func.sum(UsageCount.count))
    chosen = columns.where(UsageCount.name.in_(names), UsageCount.hour >= since)
    if client_id is not None:
        chosen = chosen.where(UsageCount.client_id == client_id)
    grouped = chosen.group_by(UsageCount.hour, UsageCount.name, UsageCount.label).order_by(UsageCount.hour)
    rows = (await session.execute(grouped)).all()
    return [(row[0], row[1].removeprefix(begins), row[2], int(row[3])) for row in rows]


async def totals_since(
    session: AsyncSession, names: Sequence[str], since: datetime, *, begins: str = ""
) -> list[tuple[str, str, int]]:
    """Return (name, label, count) of everything together since a moment."""
    names = [begins + one for one in names]
    columns = select(UsageCount.name, UsageCount.label, func.sum(UsageCount.count))
    chosen = columns.where(UsageCount.name.in_(names), UsageCount.hour >= since)
    grouped = chosen.group_by(UsageCount.name, UsageCount.label)
    return [(row[0].removeprefix(begins), row[1], int(row[2])) for row in (await session.execute(grouped)).all()]


async def top_clients(
    session: AsyncSession, name: str, since: datetime, limit: int, *, begins: str = ""
) -> list[tuple[str, int]]:
    """Return the applications with the most of something since a moment."""
    total = func.sum(UsageCount.count)
    chosen = select(UsageCount.client_id, total).where(
        UsageCount.name == begins + name, UsageCount.hour >= since, UsageCount.client_id != ""
    )
    ordered = chosen.group_by(UsageCount.client_id).order_by(total.desc(), UsageCount.client_id).limit(limit)
    return [(row[0], int(row[1])) for row in (await session.execute(ordered)).all()]


async def set_gauges(session: AsyncSession, hour: datetime, values: Mapping[tuple[str, str], int]) -> None:
    """Write how much there is of something in this hour, in place of what was written before."""
    rows = [
        {"hour": hour, "name": name, "client_id": "", "label": label, "count": count}
        for (name, label), count in sorted(values.items())
    ]
    made = insert_for(session)(UsageCount).values(rows)
    index = ["hour", "name", "client_id", "label"]
    await session.execute(made.on_conflict_do_update(index_elements=index, set_={"count": made.excluded.count}))


async def latest_gauges(session: AsyncSession, names: Sequence[str]) -> dict[tuple[str, str], int]:
    """Return how much there was of something when it was looked at last."""
    newest = select(func.max(UsageCount.hour)).where(UsageCount.name.in_(names), UsageCount.client_id == "")
    hour = (await session.execute(newest)).scalar_one_or_none()
    if hour is None:
        return {}
    rows = select(UsageCount.name, UsageCount.label, UsageCount.count).where(
        UsageCount.hour == hour, UsageCount.name.in_(names), UsageCount.client_id == ""
    )
    return {(row[0], row[1]): int(row[2]) for row in (await session.execute(rows)).all()}


async def see_process(session: AsyncSession, values: Mapping[str, Any]) -> None:
    """Write that a process lives, and forget those that have not been heard of for long."""
    made = insert_for(session)(ProcessSeen).values(**values)
    again = {name: made.excluded[name] for name in ("seen_at", "memory_mb", "works")}
    await session.execute(made.on_conflict_do_update(index_elements=["id"], set_=again))
    gone = values["seen_at"] - timedelta(hours=1)
    await session.execute(delete(ProcessSeen).where(ProcessSeen.seen_at < gone))


async def processes(session: AsyncSession) -> list[ProcessSeen]:
    """Return the processes that were heard of in the last hour, by host."""
    ordered = select(ProcessSeen).order_by(ProcessSeen.host, ProcessSeen.started_at)
    return list((await session.execute(ordered)).scalars())


async def mistakes_of(session: AsyncSession, client_ids: Sequence[str], limit: int = 50) -> list[ClientMistake]:
    """Return the mistakes of applications, the last first."""
    mine = select(ClientMistake).where(ClientMistake.client_id.in_(client_ids))
    return list((await session.execute(mine.order_by(ClientMistake.last_at.desc()).limit(limit))).scalars())


async def delete_old(
    session: AsyncSession, counts_before: datetime, recent_before: datetime, mistakes_before: datetime
) -> None:
    """Delete counts and mistakes that are old, and of each application the mistakes that are too many. Counts of five
    minutes are looked for a day back, not years: what is left after a longer pause goes with ``counts_before``."""
    await session.execute(delete(UsageCount).where(UsageCount.hour < counts_before))
    recent = UsageCount.name.startswith(RECENT, autoescape=True)
    lately = UsageCount.hour.between(recent_before - timedelta(days=1), recent_before)
    await session.execute(delete(UsageCount).where(recent, lately))
    await session.execute(delete(ClientMistake).where(ClientMistake.last_at < mistakes_before))
    many = select(ClientMistake.client_id).group_by(ClientMistake.client_id).having(func.count() > MAX_OF_ONE)
    for client_id in (await session.execute(many)).scalars().all():
        mine = select(ClientMistake.last_at).where(ClientMistake.client_id == client_id)
        oldest = (
            await session.execute(mine.order_by(ClientMistake.last_at.desc()).offset(MAX_OF_ONE - 1).limit(1))
        ).scalar()
        if oldest is not None:
            await session.execute(
                delete(ClientMistake).where(ClientMistake.client_id == client_id, ClientMistake.last_at < oldest)
            )
