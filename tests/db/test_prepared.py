"""Pieces of work: prepared statements on lent connections, with the transactions and errors of SQLAlchemy."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    bindparam,
    event,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.util.concurrency import await_
from tests.conftest import settings_for
from tests.waiting import until

from sso.platform.db import (
    Database,
    DatabaseUnavailable,
    Json,
    TransactionConflict,
    TransactionLost,
    UtcDateTime,
    Work,
    new_id,
    sqlite,
)

metadata = MetaData()
things = Table(
    "things",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", String(100), unique=True),
    Column("note", Text),
    Column("at", UtcDateTime),
    Column("secret", LargeBinary(32)),
    Column("offline", Boolean),
    Column("number", BigInteger),
    Column("details", Json),
    Column("amr", Json),
)
c = things.c
INSERT = things.insert()
ALL = select(things).order_by(c.name)
ONE = select(things).where(c.id == bindparam("id"))
RENAME = update(things).where(c.name == bindparam("old")).values(name=bindparam("new")).returning(c.id)
SOME = select(c.name).where(c.name.in_(bindparam("names", expanding=True))).order_by(c.name)
JAKARTA = timezone(timedelta(hours=7))


def thing(name: str, **values: Any) -> dict[str, Any]:
    """Return the columns of a row."""
    empty = dict.fromkeys(("note", "at", "secret", "offline", "number", "details", "amr"))
    return {"id": new_id(), "name": name, **empty, **values}


def names_in(work: Work) -> list[str]:
    return [row[1] for row in work.execute(ALL, {}).all()]


@pytest.fixture
async def db(empty_database: str, tmp_path: Path) -> AsyncIterator[Database]:
    db = Database(settings_for(empty_database, tmp_path))
    async with db.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield db
    lent = [engine.sync_engine.pool.checkedout() for engine in db.engines]  # type: ignore[attr-defined]
    await db.close()
    assert not any(lent), "every connection was returned"


async def test_values_come_back_in_the_types_of_the_columns(db: Database) -> None:
    at = datetime(2026, 11, 27, 8, 30, 0, 123456, JAKARTA)
    full = thing(
        "Siti",
        note="catatan",
        at=at,
        secret=b"\x00\xff" * 16,
        offline=False,
        number=2**62,
        details={"a": [1, None, {"é": True}], "b": "é"},
        amr=["pwd", "otp"],
    )
    empty = thing("Zulkifli")

    def insert(work: Work) -> None:
        work.execute(INSERT, full)
        work.execute(INSERT, empty)

    await db.run_write(insert)
    first, second = await db.run_read(lambda work: work.execute(ALL, {}).all())
    assert tuple(first) == tuple(full.values())
    assert tuple(second) == tuple(empty.values())
    assert (type(first[3]), first[3].tzinfo, type(first[5])) == (datetime, UTC, bool)
    assert isinstance(first[0], uuid.UUID)
    async with db.read() as session:
        assert [tuple(row) for row in await session.execute(select(things).order_by(c.name))] == [
            tuple(full.values()),
            tuple(empty.values()),
        ]


async def test_a_time_without_its_zone_is_refused(db: Database) -> None:
    with pytest.raises(ValueError, match="time zone"):
        await db.run_write(lambda work: work.execute(INSERT, thing("a", at=datetime(2026, 1, 1))))  # noqa: DTZ001
    assert await db.run_read(names_in) == []


async def test_a_piece_of_work_is_all_or_nothing(db: Database) -> None:
    def fails(work: Work) -> None:
        work.execute(INSERT, thing("a"))
        assert names_in(work) == ["a"]
        raise LookupError

    with pytest.raises(LookupError):
        await db.run_write(fails)
    assert await db.run_read(names_in) == []
    await db.run_write(lambda work: work.execute(INSERT, thing("b")))
    assert await db.run_read(names_in) == ["b"]


async def test_work_without_a_statement_takes_no_connection(db: Database) -> None:
    for engine in db.engines:
        event.listen(engine.sync_engine, "checkout", lambda *_: pytest.fail("a connection was lent"))
    assert await db.run_write(lambda _: 1) == 1


@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_a_connection_is_returned_with_no_transaction(db: Database) -> None:
    async with db.engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute_fetchall("BEGIN IMMEDIATE")
    await db.run_write(lambda work: work.execute(INSERT, thing("a")))
    assert await db.run_read(names_in) == ["a"]


async def test_single_work_is_one_statement(db: Database) -> None:
    await db.run_write(lambda work: work.execute(INSERT, thing("a")), single=True)

    def two(work: Work) -> None:
        work.execute(RENAME, {"old": "a", "new": "b"})
        work.execute(RENAME, {"old": "b", "new": "c"})

    with pytest.raises(RuntimeError, match="one statement"):
        await db.run_write(two, single=True)
    with pytest.raises(RuntimeError, match="one statement"):
        await db.run_write(lambda work: work.session.execute(text("SELECT 1")), single=True)
    assert await db.run_read(names_in) == ["b"]


async def test_the_session_of_the_work_is_in_its_transaction(db: Database) -> None:
    def both(work: Work) -> None:
        work.execute(INSERT, thing("a"))
        assert work.session.execute(select(c.name)).scalars().all() == ["a"]
        work.session.execute(INSERT, thing("b"))
        assert names_in(work) == ["a", "b"]

    await db.run_write(both)

    def fails(work: Work) -> None:
        work.session.execute(INSERT, thing("c"))
        work.execute(INSERT, thing("d"))
        raise LookupError

    with pytest.raises(LookupError):
        await db.run_write(fails)
    assert await db.run_read(names_in) == ["a", "b"]


async def test_a_statement_that_cannot_be_prepared_is_run_by_the_session(db: Database) -> None:
    def insert_and_find(work: Work) -> list[str]:
        for name in ("a", "b", "c"):
            work.execute(INSERT, thing(name))
        return [row[0] for row in work.execute(SOME, {"names": ["a", "c", "x"]}).all()]

    assert await db.run_write(insert_and_find) == ["a", "c"]
    joined = select(func.aggregate_strings(c.name, " "))  # SQLite: its separator is written into the statement late
    assert await db.run_read(lambda work: work.execute(joined, {}).scalar_one_or_none()) == "a b c"
    default = Table("defaults", MetaData(), Column("id", Uuid, primary_key=True), Column("n", BigInteger, default=7))
    async with db.engine.begin() as connection:
        await connection.run_sync(default.create)
    await db.run_write(lambda work: work.execute(default.insert(), {"id": new_id()}))
    assert await db.run_read(lambda work: work.execute(select(default.c.n), {}).scalar_one_or_none()) == 7
    assert await db.run_read(lambda work: work.execute(SOME, {"names": ["b"]}).scalar_one_or_none()) == "b"


async def test_listeners_hear_of_statements_and_transactions(db: Database) -> None:
    heard: list[str] = []
    engine = db.engine.sync_engine
    for name in ("begin", "commit", "rollback"):
        event.listen(engine, name, lambda _, name=name: heard.append(name))

    def statement(_connection: Any, _cursor: Any, sql: str, *_rest: Any) -> None:
        if sql.split()[0] != "BEGIN":
            heard.append(sql.split()[0])

    event.listen(engine, "before_cursor_execute", statement)

    def both(work: Work) -> None:
        work.execute(INSERT, thing("a"))
        work.session.execute(select(c.name))

    await db.run_write(both)
    assert heard == ["begin", "INSERT", "SELECT", "commit"]
    heard.clear()
    await db.run_write(lambda work: work.execute(INSERT, thing("b")), single=True)
    assert heard == ["begin", "INSERT", "commit"]
    heard.clear()
    with pytest.raises(IntegrityError):
        await db.run_write(lambda work: work.execute(INSERT, thing("b")))
    assert heard == ["begin", "INSERT", "rollback"]


@pytest.mark.parametrize("single", [False, True])
async def test_a_violation_is_the_error_of_sqlalchemy_and_leaves_nothing(db: Database, single: bool) -> None:
    await db.run_write(lambda work: work.execute(INSERT, thing("a")))
    with pytest.raises(IntegrityError) as raised:
        await db.run_write(lambda work: work.execute(INSERT, thing("a", note="rahasia")), single=single)
    assert "rahasia" not in str(raised.value), "an error does not show values"
    await db.run_write(lambda work: work.execute(INSERT, thing("b")), single=single)
    assert await db.run_read(names_in) == ["a", "b"]


async def test_fifty_writers_at_once(db: Database) -> None:
    await db.run_write(lambda work: work.execute(INSERT, thing("n", number=0)))
    rise = update(things).values(number=c.number + 1).returning(c.number)

    async def increment(single: bool) -> int:
        number: Any = await db.run_write(lambda work: work.execute(rise, {}).scalar_one_or_none(), single=single)
        return int(number)

    assert sorted(await asyncio.gather(*(increment(number % 2 == 0) for number in range(50)))) == list(range(1, 51))


async def _holding(db: Database) -> tuple[asyncio.Event, asyncio.Task[None]]:
    """Hold a row called ``a``, in SQLite the write lock, in another transaction until the event is set."""
    await db.run_write(lambda work: work.execute(INSERT, thing("a")))
    other = Database(settings_for(db.url.render_as_string(hide_password=False), Path("/nonexistent")))
    held, done = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with other.write() as session:
            await session.execute(update(things).where(c.name == "a").values(note="held"))
            held.set()
            await done.wait()
        await other.close()

    task = asyncio.create_task(hold())
    await held.wait()
    return done, task


async def test_a_lock_that_is_not_available_is_a_conflict(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    done, holder = await _holding(db)

    def rename(work: Work) -> None:
        work.execute(RENAME, {"old": "a", "new": "b"})

    def impatient(connection: Any, _record: Any) -> None:
        connection.cursor().execute("SET lock_timeout = '10ms'")
        connection.commit()

    if db.is_sqlite:
        monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    else:
        event.listen(db.engine.sync_engine, "connect", impatient)
        await db.engine.dispose()
    for single in (False, True):
        with pytest.raises(TransactionConflict):
            await db.run_write(rename, single=single)
    done.set()
    await holder
    await db.run_write(rename)
    assert await db.run_read(names_in) == ["b"]


async def test_cancelled_work_leaves_nothing_open(db: Database) -> None:
    done, holder = await _holding(db)
    started = asyncio.Event()

    def wait(work: Work) -> None:
        if not db.is_sqlite:
            work.execute(INSERT, thing("x"))
        asyncio.get_running_loop().call_soon(started.set)
        work.execute(RENAME, {"old": "a", "new": "b"})

    for single in (False, True):
        if single and not db.is_sqlite:
            continue  # two statements
        task = asyncio.create_task(db.run_write(wait, single=single))
        await started.wait()
        task.cancel()
        if db.is_sqlite:
            done.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    done.set()
    await holder
    names = await db.run_read(names_in)
    assert "x" not in names
    await db.run_write(lambda work: work.execute(INSERT, thing("y")))
    assert "y" in await db.run_read(names_in)


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_a_connection_lost_in_a_transaction_is_said_and_one_lost_while_idle_is_replaced(db: Database) -> None:
    pid: Any = select(literal_column("pg_backend_pid()"))
    kill = "SELECT pg_terminate_backend(:pid)"

    async def end(number: int) -> None:
        async with other.read() as session:
            await session.execute(text(kill), {"pid": number})
            gone = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")

            async def is_gone() -> bool:
                return bool((await session.execute(gone, {"pid": number})).scalar_one() == 0)

            await until(is_gone)

    other = Database(settings_for(db.url.render_as_string(hide_password=False), Path("/nonexistent")))
    idle: list[tuple[int, Any]] = []

    def note(work: Work) -> None:
        idle.append((work.execute(pid, {}).all()[0][0], work._driver))

    await db.run_read(note)
    await end(idle[0][0])
    await until(idle[0][1].is_closed)
    await db.run_write(lambda work: work.execute(INSERT, thing("b")))

    def lose(work: Work) -> None:
        work.execute(INSERT, thing("c"))
        await_(end(work.execute(pid, {}).all()[0][0]))
        work.execute(INSERT, thing("d"))

    with pytest.raises(TransactionLost):
        await db.run_write(lose)

    def commit(work: Work) -> None:
        work.execute(INSERT, thing("e"))
        await_(end(work.execute(pid, {}).all()[0][0]))

    with pytest.raises(DatabaseUnavailable) as unknown:
        await db.run_write(commit)
    assert not isinstance(unknown.value, TransactionConflict), "nobody knows whether the commit arrived"
    await other.close()
    assert await db.run_read(names_in) == ["b"]


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_a_migration_that_changes_a_column_is_a_conflict_once(db: Database) -> None:
    await db.run_write(lambda work: work.execute(INSERT, thing("a")))
    for _ in range(8):
        await db.run_read(names_in)
    async with db.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE things ALTER COLUMN number TYPE numeric(12, 2)"))
        await connection.execute(text("ALTER TABLE things ALTER COLUMN name TYPE text"))
    with pytest.raises(TransactionConflict):
        await db.run_read(names_in)
    for _ in range(8):
        assert await db.run_read(names_in) == ["a"]
