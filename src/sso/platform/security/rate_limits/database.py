"""Counters in the database of the provider."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, case, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.platform.db import INSERTS, Database, delete_batch, table_of
from sso.platform.security.models import RateCounter
from sso.platform.security.rate_limits.rules import Rule, TooManyFailures, Windows


class DatabaseStorage:
    """Counters in the database of the provider, for several processes without Redis or Valkey.

    Never call this within a transaction: SQLite has one writer, and the counters need it.

    Args:
        db: the database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, rules: Sequence[Rule]) -> Windows:
        now, table = clock.now(), table_of(RateCounter)
        # Always in the same order, so that two attempts never wait for each other in a circle.
        ordered = sorted(rules, key=lambda rule: rule.key)
        rows = [{"key": rule.key, "count": 1, "expires_at": now + timedelta(seconds=rule.seconds)} for rule in ordered]
        is_expired = table.c.expires_at <= now
        async with self._db.write() as session:
            insert = INSERTS[session.get_bind().dialect.name](table).values(rows)
            statement = insert.on_conflict_do_update(
                index_elements=["key"],
                set_={
                    "count": case((is_expired, 1), else_=table.c.count + 1),
                    "expires_at": case((is_expired, insert.excluded.expires_at), else_=table.c.expires_at),
                },
            ).returning(table.c.key, table.c.count, table.c.expires_at)
            counters = {key: (count, until) for key, count, until in (await session.execute(statement)).all()}
            full = [counters[rule.key][1] for rule in ordered if counters[rule.key][0] > rule.maximum]
            if full:  # the exception rolls back every count
                raise TooManyFailures((max(full) - now).total_seconds())
        return {key: until for key, (_, until) in counters.items()}

    async def settle(self, windows: Windows, clear: Iterable[str] = ()) -> None:
        table, cleared = table_of(RateCounter), list(clear)
        keys = sorted({*windows, *cleared})
        if not keys:
            return
        async with self._db.write() as session:
            # In the same order as in take(), whatever the collation of the database.
            order = table.c.key.collate("C" if session.get_bind().dialect.name == "postgresql" else "BINARY")
            locked = select(table.c.key).where(table.c.key.in_(keys)).order_by(order).with_for_update()
            present = set((await session.execute(locked)).scalars())
            windows_left = [
                and_(table.c.key == key, table.c.expires_at == until)
                for key, until in windows.items()
                if key in present and key not in cleared
            ]
            if windows_left:
                fewer = update(table).where(table.c.count > 0, or_(*windows_left))
                # Nobody has a place in an empty counter: its window ends now, so that the jobs delete it.
                until = case((table.c.count == 1, clock.now()), else_=table.c.expires_at)
                fewer = fewer.values(count=table.c.count - 1, expires_at=until)
                await session.execute(fewer)
            if cleared:
                await session.execute(delete(table).where(table.c.key.in_(cleared)))

    async def count(self, key: str) -> int:
        mine = select(RateCounter.count).where(RateCounter.key == key, RateCounter.expires_at > clock.now())
        async with self._db.read() as session:
            return int((await session.execute(mine)).scalar_one_or_none() or 0)

    async def check(self) -> bool:
        try:
            await self.count("")
        except Exception:  # whatever the driver raises
            return False
        return True

    async def reset(self) -> None:
        async with self._db.write() as session:
            await session.execute(delete(RateCounter))

    async def close(self) -> None:
        return None


async def delete_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete counters whose window has ended, at most ``limit``; return how many. The window of a counter ends when
    every place was given back."""
    return await delete_batch(session, RateCounter, RateCounter.expires_at, limit, RateCounter.expires_at <= now)
