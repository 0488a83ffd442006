"""The pool: a connection that was returned clean is kept for the next piece of work, and others get it too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import literal_column, select, text
from tests.conftest import settings_for
from tests.waiting import until

from sso.platform.db import Database, Work
from sso.platform.db.pool import KeepingPool, read_json

ONE = select(literal_column("1"))


def read_one(work: Work) -> int:
    answer: int = work.execute(ONE, {}).scalar_one_or_none()
    return answer


def pool_of(db: Database) -> KeepingPool:
    return cast(KeepingPool, db.engine.sync_engine.pool)


@pytest.fixture
async def db(empty_database: str, tmp_path: Path) -> AsyncIterator[Database]:
    """A database with one connection that writes."""
    db = Database(settings_for(empty_database, tmp_path, database_pool_size=1))
    yield db
    assert not any(cast(KeepingPool, engine.sync_engine.pool).checkedout() for engine in db.engines)
    await db.close()


async def test_a_kept_connection_counts_as_returned_and_is_lent_again(db: Database) -> None:
    pool = pool_of(db)
    await db.run_write(read_one)
    assert (pool.checkedout(), pool.checkedin(), len(pool._kept)) == (0, 1, 1)
    connection = pool._kept[0]
    assert await db.run_write(read_one) == 1
    assert pool._kept == [connection]


async def test_a_session_gets_the_only_connection_that_was_kept(db: Database) -> None:
    await db.run_write(read_one)
    async with asyncio.timeout(60), db.write() as session:
        assert (await session.execute(text("SELECT 1"))).scalar_one() == 1
        assert pool_of(db).checkedout() == 1
    assert await db.run_write(read_one) == 1


async def test_who_waits_gets_a_connection_before_it_is_kept(db: Database) -> None:
    order: list[str] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with db.write() as session:
            await session.execute(text("SELECT 1"))
            begun.set()
            await go_on.wait()

    async def work(name: str) -> None:
        await db.run_write(read_one)
        order.append(name)

    async def session_waits() -> None:
        async with db.write() as session:
            await session.execute(text("SELECT 1"))
        order.append("session")

    holder = asyncio.create_task(hold())
    await begun.wait()
    others = [asyncio.create_task(other) for other in (work("first"), session_waits(), work("last"))]
    await until(lambda: pool_of(db)._waiting == 3)
    go_on.set()
    async with asyncio.timeout(60):
        await asyncio.gather(holder, *others)
    assert order == ["first", "session", "last"]


async def test_work_that_fails_leaves_no_transaction_on_a_kept_connection(db: Database) -> None:
    def fail(work: Work) -> None:
        read_one(work)
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await db.run_write(fail)
    [(_, driver)] = pool_of(db)._kept
    assert not (driver.in_transaction if db.is_sqlite else driver.is_in_transaction())


async def test_a_kept_connection_that_was_closed_is_replaced(db: Database) -> None:
    if db.is_sqlite:
        pytest.skip("nobody closes a file")
    await db.run_write(read_one)
    [(_, driver)] = pool_of(db)._kept
    driver.terminate()
    assert await db.run_write(read_one) == 1
    [(_, another)] = pool_of(db)._kept
    assert another is not driver


@pytest.mark.unit
def test_json_is_read_as_the_standard_library_reads_it() -> None:
    number = 123456789012345678901234567890
    assert read_json(f'{{"a": [1, null, "é"], "b": {number}}}') == {"a": [1, None, "é"], "b": number}
    assert read_json(' {"a": 1}') == {"a": 1}
    with pytest.raises(ValueError, match="Expecting"):
        read_json("{")
