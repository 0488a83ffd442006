"""SQLAlchemy's statements on SQLite: what they return and raise, and which of them run in the event loop."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import aiosqlite
import pytest
from sqlalchemy import (
    ClauseElement,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.conftest import settings_for
from tests.waiting import turns_of_others

from sso.platform.db import Database, DatabaseUnavailable, sqlite_driver
from sso.platform.db.sqlite import MAX_CHANGES

METADATA = MetaData()
NAMES = Table("names", METADATA, Column("id", Integer, primary_key=True), Column("name", String, unique=True))
LONG = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n LIMIT 300000) SELECT max(x) FROM n"
"""It is no SELECT at its beginning, so it runs in the thread."""
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

    async def counted(self: aiosqlite.Connection, *arguments: object) -> object:
        messages.append(arguments)
        return await send(self, *arguments)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    return messages


READ = select(NAMES).order_by(NAMES.c.id)
RENAME = update(NAMES).where(NAMES.c.name > "name 3").values(name=NAMES.c.name + "x")


async def test_short_statements_send_no_message_to_the_thread(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = messages_of(monkeypatch)
    assert [row.id for row in await connection.execute(READ)] == [1, 2, 3, 4, 5]  # begins, too
    assert (await connection.execute(insert(NAMES).values(name="c"))).inserted_primary_key == (6,)
    renamed = update(NAMES).where(NAMES.c.id == 6, NAMES.c.name == "c").values(name="d")
    assert (await connection.execute(renamed)).rowcount == 1
    inserted = await connection.execute(insert(NAMES).returning(NAMES.c.id), [{"name": "a"}, {"name": "b"}])
    assert sorted(inserted.scalars()) == [7, 8]
    await connection.commit()
    assert not messages
    assert list((await connection.execute(select(NAMES.c.name).where(NAMES.c.id > 5))).scalars()) == ["d", "a", "b"]


async def test_every_other_statement_is_one_message_to_the_thread(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = messages_of(monkeypatch)
    assert (await connection.execute(RENAME)).rowcount == 2
    await connection.execute(insert(NAMES), [{"name": "d"}, {"name": "e"}])
    assert (await connection.execute(delete(NAMES).where(NAMES.c.id == 1))).rowcount == 1
    assert (await connection.execute(text(LONG))).scalar_one() == 300000
    assert len(messages) == 4


@pytest.mark.parametrize(
    ("statement", "short"),
    [
        (READ, True),
        (insert(NAMES).values(name="a"), True),
        (insert(NAMES).values(name="a").returning(NAMES), True),
        (insert(NAMES).from_select(["name"], select(NAMES.c.name)), False),
        (update(NAMES).where(NAMES.c.id == 1).values(name="a"), True),
        (update(NAMES).where(NAMES.c.id == 1, NAMES.c.name == "a").values(name="b").returning(NAMES.c.id), True),
        (update(NAMES).where((NAMES.c.id == 1) | (NAMES.c.name != "a")).values(name="b"), False),
        (update(NAMES).where(NAMES.c.id > 1).values(name="b"), False),
        (update(NAMES).where(NAMES.c.id.in_([1])).values(name="b"), False),
        (update(NAMES).where(NAMES.c.name == "a").values(name="b"), False),
        (update(NAMES).values(name="b"), False),
        (update(NAMES).where(NAMES.c.id == 1).values(name=select(NAMES.c.name).limit(1).scalar_subquery()), False),
        (delete(NAMES).where(NAMES.c.id == 1), False),
        (select(select(NAMES.c.id).cte("of_all")), False),
    ],
)
def test_a_statement_is_short_that_can_be_interrupted_or_writes_one_row(statement: ClauseElement, short: bool) -> None:
    operation = str(statement.compile(dialect=sqlite.dialect()))
    assert (sqlite_driver.only_reads(operation) or sqlite_driver.writes_one_row(operation, 2)) is short


def test_an_insert_of_many_values_is_not_short() -> None:
    assert sqlite_driver.writes_one_row("INSERT INTO names (name) VALUES (?)", sqlite_driver.MAX_VALUES)
    assert not sqlite_driver.writes_one_row("INSERT INTO names (name) VALUES (?), (?)", sqlite_driver.MAX_VALUES + 1)


async def test_a_statement_that_reads_for_too_long_goes_on_in_the_thread(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_driver, "MAX_SECONDS", 0)
    messages = messages_of(monkeypatch)
    await connection.execute(insert(NAMES).values(name="c"))
    longer = text(f"SELECT count(*) FROM {', '.join(f'names AS n{number}' for number in range(6))}")
    assert (await connection.execute(longer)).scalar_one() == 6**6
    assert len(messages) == 1
    await connection.commit()  # what the transaction wrote before is not lost
    assert (await connection.execute(select(func.count()).select_from(NAMES))).scalar_one() == 6
    assert len(messages) == 1  # few instructions: they are over before the time is looked at


async def test_a_statement_that_writes_is_never_interrupted(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_driver, "MAX_SECONDS", -1)
    monkeypatch.setattr(sqlite_driver, "STEPS", 1)
    messages = messages_of(monkeypatch)
    await connection.execute(insert(NAMES).values(id=6, name="c"))
    await connection.execute(update(NAMES).where(NAMES.c.id == 6).values(name="d").returning(NAMES))
    assert not messages
    assert (await connection.execute(select(NAMES.c.name).where(NAMES.c.id == 6))).scalar_one() == "d"
    assert len(messages) == 1  # this one was interrupted
    await connection.commit()
    assert (await connection.execute(select(func.count()).select_from(NAMES))).scalar_one() == 6


async def test_many_short_statements_let_others_run(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_driver, "monotonic", itertools.count(monotonic()).__next__)  # a second at each look
    with turns_of_others() as turns:
        for _ in range(20):
            await connection.execute(READ)
        assert turns() >= 20


async def test_the_commit_of_a_large_transaction_is_a_message_to_the_thread(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = messages_of(monkeypatch)
    for count, sent in ((MAX_CHANGES, 1), (MAX_CHANGES + 1, 2), (1, 0)):
        await connection.execute(insert(NAMES), [{"name": f"{count} {number}"} for number in range(count)])
        await connection.commit()
        assert len(messages) == sent, count
        messages.clear()


async def test_so_is_the_commit_of_a_large_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = Database(settings_for(f"sqlite:///{tmp_path / 'x.db'}", tmp_path))
    async with db.engine.begin() as opened:
        await opened.run_sync(METADATA.create_all)
    messages = messages_of(monkeypatch)
    for count, sent in ((MAX_CHANGES, 1), (MAX_CHANGES + 1, 2), (1, 0)):
        async with db.write() as session:
            await session.execute(insert(NAMES), [{"name": f"{count} {number}"} for number in range(count)])
        assert len(messages) == sent, count
        messages.clear()
    await db.close()


@pytest.mark.parametrize("count", [0, MAX_CHANGES + 1])
async def test_a_commit_that_fails_leaves_no_transaction_open(tmp_path: Path, count: int) -> None:
    db = Database(settings_for(f"sqlite:///{tmp_path / 'x.db'}", tmp_path))
    late = "INTEGER REFERENCES names(id) DEFERRABLE INITIALLY DEFERRED"
    async with db.engine.begin() as opened:
        await opened.run_sync(METADATA.create_all)
        await opened.execute(text(f"CREATE TABLE children (id INTEGER PRIMARY KEY, parent {late})"))
    with pytest.raises(DatabaseUnavailable, match="FOREIGN KEY"):
        async with db.write() as session:
            await session.execute(insert(NAMES), [{"name": f"refused {number}"} for number in range(count + 1)])
            await session.execute(text("INSERT INTO children (id, parent) VALUES (1, 9999)"))
    async with db.engine.begin() as opened:
        await opened.execute(insert(NAMES).values(name="next"))
    async with db.write() as session:
        await session.execute(insert(NAMES).values(name="last"))
    async with db.read() as session:
        assert list((await session.execute(select(NAMES.c.name))).scalars()) == ["next", "last"]
    await db.close()


async def test_a_session_that_reads_sends_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = Database(settings_for(f"sqlite:///{tmp_path / 'x.db'}", tmp_path))
    async with db.read() as session:  # opens the connection
        await session.execute(text("SELECT 1"))
    messages = messages_of(monkeypatch)
    async with db.read() as session:
        await session.execute(text("SELECT 1"))
    assert not messages
    await db.close()


async def test_rows_come_one_by_one_in_parts_and_all_at_once(connection: AsyncConnection) -> None:
    def read(sync: Connection) -> list[object]:
        result = sync.execute(select(NAMES.c.id).order_by(NAMES.c.id))
        return [result.fetchone(), result.fetchmany(2), result.fetchmany(1), result.fetchall(), result.fetchall()]

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
            await session.execute(text(LONG.replace("300000", "3000000")))

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
        result = await session.execute(text("WITH one AS (SELECT 'a long text') SELECT * FROM one"))
        assert result.scalar_one() == "a long text"
    gc.collect()
    answers = [answer for answer in gc.get_objects() if isinstance(answer, sqlite_driver._Answer)]
    assert ("a long text",) not in [tuple(row) for answer in answers for row in answer.rows]
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
