"""Constant statements in a session: in its transaction, with its errors, and without a connection of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import String, bindparam, delete, event, insert, inspect, literal_column, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.conftest import settings_for
from tests.databases import new_database
from tests.waiting import turns_of_others, until

from sso.platform.db import (
    Database,
    DatabaseUnavailable,
    Executor,
    Json,
    TransactionConflict,
    TransactionLost,
    UtcDateTime,
    each_of,
    fetch,
    fetch_objects,
    make_object,
    new_id,
    one_of,
    run_bridged,
    session_of,
    sqlite,
)
from sso.platform.db.fetch import FETCHES_IN_A_ROW
from sso.platform.db.sql_types import ResultRow

JAKARTA = timezone(timedelta(hours=7))


class Colour(StrEnum):
    RED = "red"


class Base(DeclarativeBase):
    type_annotation_map = {datetime: UtcDateTime, dict[str, object]: Json}


class Thing(Base):
    __tablename__ = "fetched_things"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    at: Mapped[datetime | None] = mapped_column(default=None)
    details: Mapped[dict[str, object] | None] = mapped_column(default=None)
    secret: Mapped[bytes | None] = mapped_column(default=None)
    colour: Mapped[Colour | None] = mapped_column(String(10), default=None)


class Pair(Base):
    __tablename__ = "fetched_pairs"

    thing_id: Mapped[UUID] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str] = mapped_column("remark", String(40))


THINGS = Base.metadata.tables["fetched_things"]
c = THINGS.c
NAMES = select(c.name).order_by(c.name)
ALL = select(THINGS).order_by(c.name)
INSERT = insert(THINGS).values({name: bindparam(name) for name in ("id", "name")})
INSERT_ALL = insert(THINGS)
RENAME = update(THINGS).where(c.name == bindparam("old")).values(name=bindparam("new")).returning(c.id, c.name)
BY_NAME = select(THINGS).where(c.name == bindparam("name"))
DELETE = delete(THINGS).where(c.name == bindparam("old"))
SOME = select(c.name).where(c.name.in_(bindparam("names", expanding=True))).order_by(c.name)
KILL = "SELECT pg_terminate_backend(:pid)"
PID: Any = select(literal_column("pg_backend_pid()"))


@pytest.fixture
async def db(empty_database: str, tmp_path: Path) -> AsyncIterator[Database]:
    """A database with one connection that writes."""
    db = new_database(settings_for(empty_database, tmp_path, database_pool_size=1))
    async with db.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield db
    lent = [engine.sync_engine.pool.checkedout() for engine in db.engines]  # type: ignore[attr-defined]
    await db.close()
    assert not any(lent), "every connection was returned"


async def add(session: AsyncSession, name: str) -> None:
    await fetch(session, INSERT, {"id": new_id(), "name": name})


def firsts(rows: Sequence[ResultRow]) -> list[str]:
    return [row[0] for row in rows]


async def names(db: Database) -> list[str]:
    async with db.read() as session:
        return firsts(await fetch(session, NAMES))


def both(db: Database) -> list[AbstractAsyncContextManager[AsyncSession]]:
    return [db.read(), db.write()]


async def test_a_session_that_writes_sees_what_it_has_added(db: Database) -> None:
    async with db.write() as session:
        session.add(Thing(name="added"))
        assert firsts(await fetch(session, NAMES)) == ["added"]
        await add(session, "fetched")
        assert (await session.execute(select(Thing.name).order_by(Thing.name))).scalars().all() == ["added", "fetched"]
        [row] = await fetch(session, RENAME, {"old": "added", "new": "renamed"})
        assert row[1] == "renamed"
        assert await fetch(session, DELETE, {"old": "fetched"}) == []
    assert await names(db) == ["renamed"]


@pytest.mark.parametrize("first", ["fetch", "execute", "add"])
async def test_all_of_a_block_that_fails_is_rolled_back(db: Database, first: str) -> None:
    with pytest.raises(LookupError):
        async with db.write() as session:
            if first == "execute":
                await session.execute(insert(Thing).values(name="executed"))
            elif first == "add":
                session.add(Thing(name="added"))
            await add(session, "fetched")
            session.add(Thing(name="added later"))
            await session.flush()
            raise LookupError
    assert await names(db) == []
    async with db.write() as session:
        await add(session, "after")
        await session.rollback()
        await add(session, "once more")
    assert await names(db) == ["once more"]


async def test_what_was_only_added_is_stored(db: Database) -> None:
    async with db.write() as session:
        session.add(Thing(name="added"))
    async with db.write() as session:
        await add(session, "fetched")
        session.add(Thing(name="added after"))
    assert await names(db) == ["added", "added after", "fetched"]


async def test_a_commit_within_a_block_is_one(db: Database) -> None:
    with pytest.raises(LookupError):
        async with db.write() as session:
            session.add(Thing(name="added"))
            await add(session, "fetched")
            await session.commit()
            await add(session, "after")
            raise LookupError
    assert await names(db) == ["added", "fetched"]


async def test_a_savepoint_takes_back_what_was_fetched_within_it(db: Database) -> None:
    async with db.write() as session:
        await add(session, "before")
        with pytest.raises(IntegrityError):
            async with session.begin_nested():
                await add(session, "within")
                await add(session, "before")
        await add(session, "after")
    assert await names(db) == ["after", "before"]


async def test_values_pass_the_types_of_the_columns(db: Database) -> None:
    full = {
        "id": new_id(),
        "name": "é",
        "at": datetime(2026, 11, 27, 8, 30, 0, 123456, JAKARTA),
        "details": {"a": [1, None, {"b": True}]},
        "secret": b"\x00\xff",
        "colour": Colour.RED,
    }
    async with db.write() as session:
        await fetch(session, INSERT_ALL, full)
    for opened in both(db):
        async with opened as session:
            [row] = await fetch(session, ALL)
            assert tuple(row) == tuple(full.values())
            assert isinstance(row[0], UUID)
            assert row[2].tzinfo is UTC
            assert tuple((await session.execute(ALL)).one()) == tuple(full.values())


async def test_a_session_that_only_fetches_holds_no_connection(db: Database) -> None:
    async with db.write() as session:
        await add(session, "a")
    async with db.read() as reading, db.read() as another:
        for _ in range(2):  # PostgreSQL: there is one connection
            assert firsts(await fetch(reading, NAMES)) == ["a"]
            assert firsts(await fetch(another, NAMES)) == ["a"]
        await reading.execute(NAMES)
        assert not db.is_sqlite or firsts(await fetch(another, NAMES)) == ["a"]
        assert firsts(await fetch(reading, NAMES)) == ["a"], "it uses the connection of its session"


async def test_a_session_without_a_statement_takes_no_connection(db: Database) -> None:
    for engine in db.engines:
        event.listen(engine.sync_engine, "checkout", lambda *_: pytest.fail("a connection was lent"))
        event.listen(engine.sync_engine, "begin", lambda *_: pytest.fail("a transaction began"))
    for opened in both(db):
        async with opened as session:
            assert session.get_bind().dialect.name


async def test_each_statement_of_a_session_that_reads_sees_what_was_committed(db: Database) -> None:
    other = new_database(settings_for(db.url.render_as_string(hide_password=False), Path("/nonexistent")))
    async with db.read() as session:
        for execute in (False, True):
            if execute:
                await session.execute(NAMES)
            async with other.write() as writing:
                await add(writing, f"{execute}")
            fetched = firsts(await fetch(session, NAMES))
            assert fetched[-1] == f"{execute}"
            assert (await session.execute(NAMES)).scalars().all() == fetched
    await other.close()


async def test_many_sessions_take_turns_on_one_connection(db: Database) -> None:
    async def write_and_read(number: int) -> None:
        async with db.write() as session:
            if number % 2:
                session.add(Thing(name=f"added {number}"))
            await add(session, f"fetched {number}")
        async with db.read() as session:
            await fetch(session, NAMES)
            await session.execute(NAMES)
            await fetch(session, NAMES)

    async with asyncio.timeout(60):
        await asyncio.gather(*map(write_and_read, range(20)))
    assert len(await names(db)) == 30


async def test_a_statement_that_cannot_be_prepared_is_executed(db: Database) -> None:
    async with db.write() as session:
        for name in "abc":
            await add(session, name)
        await fetch(session, insert(THINGS), {"name": "d"})  # the default of a column
        await fetch(session, update(THINGS).where(c.name.in_(["d"])).values(name="e"))
        assert await fetch(session, SOME, {"names": ["a", "c", "x"]}) == [("a",), ("c",)]
    async with db.read() as session:
        assert firsts(await fetch(session, SOME, {"names": ["b", "e"]})) == ["b", "e"]
    async with AsyncSession(db.engine) as foreign:
        assert firsts(await fetch(foreign, NAMES)) == ["a", "b", "c", "e"]
        assert await fetch(foreign, DELETE, {"old": "a"}) == []


async def test_listeners_hear_of_statements_and_transactions(db: Database) -> None:
    heard: list[str] = []
    for engine in db.engines:
        for name in ("begin", "commit", "rollback"):
            event.listen(engine.sync_engine, name, lambda _, name=name: heard.append(name))
        event.listen(
            engine.sync_engine,
            "before_cursor_execute",
            lambda _connection, _cursor, sql, *_: heard.append(sql.split()[0]),
        )
    async with db.write() as session:
        await add(session, "a")
        await session.execute(NAMES)
        await fetch(session, NAMES)
    assert heard == ["begin", "INSERT", "SELECT", "SELECT", "commit"]
    heard.clear()
    with pytest.raises(LookupError):
        async with db.write() as session:
            await session.execute(NAMES)
            await fetch(session, NAMES)
            raise LookupError
    assert heard == ["begin", "SELECT", "SELECT", "rollback"]
    heard.clear()
    async with db.read() as session:
        await fetch(session, NAMES)
        assert heard == ["SELECT"]


async def test_a_violation_is_the_error_of_sqlalchemy(db: Database) -> None:
    async with db.write() as session:
        await add(session, "a")
    with pytest.raises(IntegrityError) as raised:
        async with db.write() as session:
            await add(session, "b")
            await fetch(session, INSERT_ALL, dict.fromkeys(c.keys()) | {"id": new_id(), "name": "a", "secret": b"asam"})
    assert "asam" not in str(raised.value), "an error does not show values"
    assert await names(db) == ["a"]


async def test_nothing_is_fetched_after_what_was_added_could_not_be_stored(db: Database) -> None:
    async with db.write() as session:
        await add(session, "a")
    with pytest.raises(PendingRollbackError):
        async with db.write() as session:
            await add(session, "b")
            session.add(Thing(name="a"))
            with pytest.raises(IntegrityError):
                await fetch(session, NAMES)
            await add(session, "c")
    with pytest.raises(PendingRollbackError):
        async with db.write() as session:
            await add(session, "b")
            session.add(Thing(name="a"))
            with pytest.raises(IntegrityError):
                await session.flush()
    assert await names(db) == ["a"]


@pytest.mark.parametrize("attached", [False, True])
async def test_a_lock_that_is_not_available_is_a_conflict(
    db: Database, attached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_database(settings_for(db.url.render_as_string(hide_password=False), Path("/nonexistent")))
    async with db.write() as session:
        await add(session, "a")
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    async with other.write() as holding:
        await fetch(holding, RENAME, {"old": "a", "new": "held"})
        with pytest.raises(TransactionConflict):
            async with db.write() as session:
                if not db.is_sqlite:
                    await session.execute(text("SET LOCAL lock_timeout = '10ms'"))
                elif attached:
                    await session.connection()
                await fetch(session, RENAME, {"old": "a", "new": "b"})
    await other.close()
    async with db.write() as session:
        assert len(await fetch(session, RENAME, {"old": "held", "new": "b"})) == 1


@pytest.mark.parametrize("database_kind", ["postgresql"])
@pytest.mark.parametrize("writes", [False, True])
async def test_a_cancelled_statement_closes_its_connection(db: Database, writes: bool) -> None:
    slow: Any = select(literal_column("pg_sleep(60)"))
    used: list[int] = []

    async def wait() -> None:
        async with db.write() if writes else db.read() as session:
            used.append((await fetch(session, PID)).scalar_one_or_none())
            if writes:
                await add(session, "a")
            await fetch(session, slow)

    other = new_database(settings_for(db.url.render_as_string(hide_password=False), Path("/nonexistent")))
    sleeping = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid AND query LIKE '%pg_sleep(60)%'")
    task = asyncio.create_task(wait())
    async with other.read() as watching:

        async def sleeps() -> bool:
            return bool(used and (await watching.execute(sleeping, {"pid": used[0]})).scalar_one())

        await until(sleeps)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await other.close()
    async with db.read() as session:
        assert (await fetch(session, PID)).scalar_one_or_none() != used[0]
    assert await names(db) == []


@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_a_session_that_is_cancelled_while_it_waits_for_the_write_lock_leaves_nothing(db: Database) -> None:
    other = new_database(settings_for(db.url.render_as_string(hide_password=False), Path("/nonexistent")))
    started = asyncio.Event()

    async def wait() -> None:
        async with db.write() as session:
            asyncio.get_running_loop().call_soon(started.set)
            await add(session, "a")

    async with other.write() as holding:
        await add(holding, "b")
        task = asyncio.create_task(wait())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await other.close()
    async with db.write() as session:
        await add(session, "c")
    assert await names(db) == ["b", "c"]


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_a_connection_that_is_lost_is_said_and_replaced(db: Database) -> None:
    other = new_database(settings_for(db.url.render_as_string(hide_password=False), Path("/nonexistent")))

    async def lose(session: AsyncSession) -> None:
        pid = (await fetch(session, PID)).scalar_one_or_none()
        async with other.read() as ending:
            await ending.execute(text(KILL), {"pid": pid})
            gone = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")

            async def is_gone() -> bool:
                return bool((await ending.execute(gone, {"pid": pid})).scalar_one() == 0)

            await until(is_gone)

    with pytest.raises(TransactionLost):
        async with db.write() as session:
            await add(session, "a")
            await lose(session)
            await add(session, "b")
    with pytest.raises(DatabaseUnavailable) as unknown:
        async with db.write() as session:
            await add(session, "c")
            await lose(session)
    assert not isinstance(unknown.value, TransactionConflict), "nobody knows whether the commit arrived"
    with pytest.raises(PendingRollbackError):
        async with db.write() as session:
            await add(session, "d")
            await lose(session)
            with pytest.raises(DBAPIError):
                await add(session, "e")
            await add(session, "f")
    await other.close()
    assert await names(db) == []


async def test_a_fetched_object_is_that_of_the_session(db: Database) -> None:
    async with db.write() as session:
        added = Thing(name="a", at=datetime(2026, 11, 27, 8, 30, tzinfo=UTC), details={"b": 1}, colour=Colour.RED)
        session.add(added)
        assert await fetch_objects(session, Thing, BY_NAME, {"name": "a"}) == [added]
        assert await session.get(Thing, added.id) is added
    async with db.write() as session:
        [fetched] = await fetch_objects(session, Thing, BY_NAME, {"name": "a"})
        assert (fetched.at, fetched.details, fetched.colour) == (added.at, {"b": 1}, "red")
        assert await session.get(Thing, added.id) is fetched
        assert (await session.execute(select(Thing))).scalar_one() is fetched
        fetched.name = "changed"
        assert firsts(await fetch(session, NAMES)) == ["changed"]
        fetched.details = {"b": 2}
    async with db.read() as session:
        read = await session.get(Thing, added.id)
        assert read is not None
        assert (read.name, read.details) == ("changed", {"b": 2})
        assert await session.get(Thing, new_id()) is None
    assert (read.name, read.at) == ("changed", added.at), "it can be read after the session"


async def test_an_object_that_the_session_holds_stays_as_it_is_unless_it_is_renewed(db: Database) -> None:
    async with db.write() as session:
        await add(session, "a")
    async with db.write() as session:
        [held] = await fetch_objects(session, Thing, BY_NAME, {"name": "a"})
        key = held.id
        await fetch(session, RENAME, {"old": "a", "new": "b"})
        assert await fetch_objects(session, Thing, BY_NAME, {"name": "b"}) == [held]
        assert held.name == "a"
        assert await fetch_objects(session, Thing, BY_NAME, {"name": "b"}, renew=True) == [held]
        assert held.name == "b"
        await fetch(session, RENAME, {"old": "b", "new": "c"})
        session.expire(held)
        assert await session.get(Thing, key) is held
        assert held.name == "c"
        await fetch(session, RENAME, {"old": "c", "new": "d"})
        session.expire(held, ["name"])
        assert await fetch_objects(session, Thing, BY_NAME, {"name": "d"}) == [held]
        assert held.name == "d"
        await session.execute(update(Thing).values(name="e"))
        assert await session.get(Thing, key, populate_existing=True) is held
        assert held.name == "e"
        await session.delete(held)
        await session.flush()
        assert await session.get(Thing, key) is None


async def test_an_object_with_several_keys_and_another_name_of_a_column(db: Database) -> None:
    thing_id = new_id()
    async with db.write() as session:
        session.add(Pair(thing_id=thing_id, place=3, note="x"))
    async with db.write() as session:
        pair = await session.get(Pair, (thing_id, 3))
        assert pair is not None
        assert pair.note == "x"
        pair.note = "y"
    async with AsyncSession(db.engine) as foreign:
        [pair] = await fetch_objects(foreign, Pair, select(Base.metadata.tables["fetched_pairs"]))
        assert pair.note == "y"


async def test_a_session_that_reads_objects_holds_no_connection(db: Database) -> None:
    async with db.write() as session:
        await add(session, "a")
    async with db.read() as reading, db.read() as another:
        for _ in range(2):
            [first] = await fetch_objects(reading, Thing, BY_NAME, {"name": "a"})
            [second] = await fetch_objects(another, Thing, BY_NAME, {"name": "a"})
            assert first.id == second.id
            assert await reading.get(Thing, new_id()) is None


async def test_a_function_of_the_bridge_is_in_the_transaction_of_the_session(db: Database) -> None:
    def both(executor: Executor) -> list[str]:
        executor.execute(INSERT, {"id": new_id(), "name": "bridged"})
        session_of(executor).add(Thing(name="of its session"))
        return [row[0] for row in executor.execute(NAMES, {}).all()]

    with pytest.raises(LookupError):
        async with db.write() as session:
            session.add(Thing(name="added"))
            assert "added" in await run_bridged(session, both)
            assert firsts(await fetch(session, NAMES)) == ["added", "bridged", "of its session"]
            raise LookupError
    assert await names(db) == []
    async with db.write() as session:
        await run_bridged(session, both)
    async with db.read() as session:
        assert await run_bridged(session, lambda executor: len(executor.execute(NAMES, {}).all())) == 2
        async with db.read() as another:  # PostgreSQL: there is one connection
            assert len(await fetch(another, NAMES)) == 2
    async with AsyncSession(db.engine) as foreign:
        assert "bridged" in await run_bridged(foreign, lambda executor: firsts(executor.execute(NAMES, {}).all()))


async def test_a_list_of_values_can_be_prepared(db: Database) -> None:
    async with db.write() as session:
        for name in "abc":
            await add(session, name)
    async with db.read() as session:
        for chosen in (["a"], ["c", "a"], ["x", "b"], []):
            statement = NAMES.where(one_of(c.name, "name", len(chosen)))
            rows = await fetch(session, statement, each_of("name", chosen))
            assert firsts(rows) == sorted(set(chosen) & set("abc"))
        [row] = await fetch(session, BY_NAME, {"name": "a"})
        thing = make_object(session, Thing, row)
        assert thing.name == "a"
        assert await session.get(Thing, thing.id) is thing


async def test_a_rollback_takes_what_was_fetched_from_the_objects(db: Database) -> None:
    async with db.write() as session:
        session.add(Thing(name="old"))
    async with db.write() as session:
        await fetch(session, update(THINGS).values(name="new").returning(c.id))
        thing = (await fetch_objects(session, Thing, select(THINGS)))[0]
        assert thing.name == "new"
        await session.rollback()
        reloaded = await session.get(Thing, inspect(thing).identity[0])
        assert reloaded is not None
        assert reloaded.name == "old"


async def test_many_fetched_statements_let_others_run(db: Database) -> None:
    async with db.read() as session:
        await fetch(session, NAMES)
        with turns_of_others() as turns:
            for _ in range(FETCHES_IN_A_ROW * 4):
                await fetch(session, NAMES)
            assert turns() >= 4
