"""Counters in the database of the provider."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import and_, bindparam, case, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.platform.db import INSERTS, Database, delete_batch, fetch, table_of
from sso.platform.db.sql_types import InsertReturning
from sso.platform.security.models import RateCounter
from sso.platform.security.rate_limits.rules import Rule, TooManyFailures, Windows

_counters = table_of(RateCounter)
_c = _counters.c
_COUNT = select(_c.count).where(_c.key == bindparam("key"), _c.expires_at > bindparam("now"))


@cache
def _take(dialect: str, number: int) -> InsertReturning:
    """Return the statement that counts in ``number`` counters."""
    insert = INSERTS[dialect](_counters).values(
        [
            {
                "key": bindparam(f"key_{place}", type_=_c.key.type),
                "count": 1,
                "expires_at": bindparam(f"until_{place}", type_=_c.expires_at.type),
            }
            for place in range(number)
        ]
    )
    is_expired = _c.expires_at <= bindparam("now")
    return insert.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "count": case((is_expired, 1), else_=_c.count + 1),
            "expires_at": case((is_expired, insert.excluded.expires_at), else_=_c.expires_at),
        },
    ).returning(_c.key, _c.count, _c.expires_at)


class DatabaseStorage:
    """Counters in the database of the provider, for several processes without Redis or Valkey.

    Never call this within a transaction: SQLite has one writer, and the counters need it.

    Args:
        db: the database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, rules: Sequence[Rule]) -> Windows:
        now = clock.now()
        # Always in the same order, so that two attempts never wait for each other in a circle.
        ordered = sorted(rules, key=lambda rule: rule.key)
        values: dict[str, object] = {"now": now}
        for place, rule in enumerate(ordered):
            values |= {f"key_{place}": rule.key, f"until_{place}": now + timedelta(seconds=rule.seconds)}
        async with self._db.write() as session:
            statement = _take(session.get_bind().dialect.name, len(ordered))
            counters = {key: (count, until) for key, count, until in await fetch(session, statement, values)}
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
        async with self._db.read() as session:
            return int((await fetch(session, _COUNT, {"key": key, "now": clock.now()})).scalar_one_or_none() or 0)

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
