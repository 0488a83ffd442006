"""SQLAlchemy's statements on SQLite: what they return and raise, and one message to the thread for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiosqlite
import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.conftest import settings_for

from sso.platform.db import Database

METADATA = MetaData()
NAMES = Table("names", METADATA, Column("id", Integer, primary_key=True), Column("name", String, unique=True))
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


async def test_each_statement_is_one_message_to_the_thread(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages, send = [], aiosqlite.Connection._execute

    async def counted(self: aiosqlite.Connection, *asked: object) -> object:
        messages.append(asked)
        return await send(self, *asked)  # type: ignore[no-untyped-call, arg-type]

    await connection.execute(text("SELECT 1"))  # begins
    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    read, changed = (
        select(NAMES).order_by(NAMES.c.id),
        update(NAMES).where(NAMES.c.id > 3).values(name=NAMES.c.name + "x"),
    )
    assert [row.id for row in await connection.execute(read)] == [1, 2, 3, 4, 5]
    assert (await connection.execute(changed)).rowcount == 2
    made = await connection.execute(insert(NAMES).returning(NAMES.c.id), [{"name": "a"}, {"name": "b"}])
    assert sorted(made.scalars()) == [6, 7]
    assert (await connection.execute(insert(NAMES).values(name="c"))).inserted_primary_key == (8,)
    await connection.execute(insert(NAMES), [{"name": "d"}, {"name": "e"}])
    assert len(messages) == 5


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
