"""SQLAlchemy's statements on SQLite: what they return and raise, and one message to the thread for each."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import aiosqlite
import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.conftest import settings_for

from sso.platform.db import Database, sqlite_driver

METADATA = MetaData()
NAMES = Table("names", METADATA, Column("id", Integer, primary_key=True), Column("name", String, unique=True))
LONG = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n LIMIT 3000000) SELECT max(x) FROM n"
ROWS = [{"id": number, "name": f"name {number}"} for number in range(1, 6)]


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[AsyncConnection]:
    """A connection that writes, with a table of five rows."""
    db = Database(settings_for(f"sqlite:///{tmp_path / 'x.db'}", tmp_path))
    async with db.engine.connect() as opened:
        await opened.run_sync(METADATA.create_all)
        await opened.execute(insert(NAMES), ROWS)
        await opened.commit()
        yield opened
    await db.close()


def messages_of(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list of the messages that are sent to the threads of connections from now on."""
    messages, send = list[object](), aiosqlite.Connection._execute

    async def counted(self: aiosqlite.Connection, *asked: object) -> object:
        messages.append(asked)
        return await send(self, *asked)  # type: ignore[no-untyped-call, arg-type]

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    return messages


async def test_each_statement_is_one_message_to_the_thread(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = messages_of(monkeypatch)
    await connection.execute(text("SELECT 1"))  # begins
    messages.clear()
    read = select(NAMES).order_by(NAMES.c.id)
    changed = update(NAMES).where(NAMES.c.id > 3).values(name=NAMES.c.name + "x")
    assert [row.id for row in await connection.execute(read)] == [1, 2, 3, 4, 5]
    assert (await connection.execute(changed)).rowcount == 2
    made = await connection.execute(insert(NAMES).returning(NAMES.c.id), [{"name": "a"}, {"name": "b"}])
    assert sorted(made.scalars()) == [6, 7]
    assert (await connection.execute(insert(NAMES).values(name="c"))).inserted_primary_key == (8,)
    await connection.execute(insert(NAMES), [{"name": "d"}, {"name": "e"}])
    assert len(messages) == 5


async def test_a_session_that_reads_sends_its_statements_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = Database(settings_for(f"sqlite:///{tmp_path / 'x.db'}", tmp_path))
    async with db.read() as session:  # opens the connection
        await session.execute(text("SELECT 1"))
    messages = messages_of(monkeypatch)
    async with db.read() as session:
        await session.execute(text("SELECT 1"))
    assert len(messages) == 1
    await db.close()


async def test_rows_come_one_by_one_in_parts_and_all_at_once(connection: AsyncConnection) -> None:
    def read(sync: Connection) -> list[object]:
        found = sync.execute(select(NAMES.c.id).order_by(NAMES.c.id))
        return [found.fetchone(), found.fetchmany(2), found.fetchmany(1), found.fetchall(), found.fetchall()]

    assert await connection.run_sync(read) == [(1,), [(2,), (3,)], [(4,)], [(5,)], []]
    async with connection.stream(select(NAMES.c.id).order_by(NAMES.c.id)) as streamed:
        assert [row.id async for row in streamed] == [1, 2, 3, 4, 5]


async def test_what_sqlite_refuses_is_the_error_of_sqlalchemy(connection: AsyncConnection) -> None:
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed"):
        await connection.execute(insert(NAMES).values(name="name 1"))
    with pytest.raises(OperationalError, match="no such table"):
        await connection.execute(text("SELECT * FROM nowhere"))
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed"):
        await connection.execute(insert(NAMES), [{"id": 20, "name": "new"}, {"id": 21, "name": "name 1"}])
    await connection.rollback()
    assert (await connection.execute(select(NAMES.c.id).where(NAMES.c.id == 20))).first() is None


async def test_text_that_is_not_utf8_is_an_error_and_the_connection_goes_on(connection: AsyncConnection) -> None:
    with pytest.raises(OperationalError, match="Could not decode"):
        await connection.execute(text("SELECT CAST(x'ff' AS TEXT)"))
    assert (await connection.execute(text("SELECT :bytes"), {"bytes": b"\xff\x00"})).scalar_one() == b"\xff\x00"


async def test_a_task_that_is_cancelled_in_a_statement_leaves_no_transaction(tmp_path: Path) -> None:
    db = Database(settings_for(f"sqlite:///{tmp_path / 'x.db'}", tmp_path))
    async with db.engine.begin() as opened:
        await opened.run_sync(METADATA.create_all)
    begun = asyncio.Event()

    async def write() -> None:
        async with db.write() as session:
            await session.execute(insert(NAMES).values(name="lost"))
            begun.set()
            await session.execute(text(LONG))

    task = asyncio.create_task(write())
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with db.write() as session:
        await session.execute(insert(NAMES).values(name="kept"))
    async with db.read() as session:
        assert list((await session.execute(select(NAMES.c.name))).scalars()) == ["kept"]
    await db.close()


async def test_an_idle_connection_does_not_keep_the_rows_of_its_last_statement(tmp_path: Path) -> None:
    db = Database(settings_for(f"sqlite:///{tmp_path / 'x.db'}", tmp_path))
    async with db.read() as session:
        found = await session.execute(text("SELECT 'a long text'"))
        assert found.scalar_one() == "a long text"
    gc.collect()
    kept = [one for one in gc.get_objects() if isinstance(one, sqlite_driver._Answer) and one.rows]
    assert not kept
    await db.close()


async def test_a_connection_that_was_closed_is_an_error_and_the_pool_replaces_it(tmp_path: Path) -> None:
    db = Database(settings_for(f"sqlite:///{tmp_path / 'x.db'}", tmp_path))
    async with db.read() as session:
        raw = await (await session.connection()).get_raw_connection()
        await raw.driver_connection.close()  # type: ignore[union-attr]
        with pytest.raises(OperationalError, match=r"(?i)no active connection|connection closed"):
            await session.execute(text("SELECT 1"))
    async with db.read() as session:
        assert (await session.execute(text("SELECT 1"))).scalar_one() == 1
    await db.close()
