"""Transactions, and what happens when the database is away."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, MetaData, String, Table, Uuid, bindparam, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import CreateTable
from tests.conftest import settings_for
from tests.support import City
from tests.waiting import until

from sso.app import create_app
from sso.platform.db import Base, Database, DatabaseUnavailable, bump_version, read_versions, sqlite, table_of
from sso.platform.db.migrate import upgrade

THINGS = Table("things", MetaData(), Column("name", String(6000)))
INSERT = THINGS.insert()


def test_a_parameter_for_a_reference_has_a_type_before_what_it_refers_to_is_known() -> None:
    class Elsewhere(Base):
        __abstract__ = True
        metadata = MetaData()

    class Child(Elsewhere):
        __tablename__ = "children"

        parent_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("parents.id"), primary_key=True)

    for column in (table_of(Child).c.parent_id, Child.parent_id):
        condition: Any = column == bindparam("parent_id")
        assert isinstance(condition.right.type, Uuid)


async def test_a_write_is_all_or_nothing(city: City) -> None:
    before = None
    async with city.provider.db.read() as session:
        before = await read_versions(session)
    with pytest.raises(RuntimeError):
        async with city.provider.db.write() as session:
            await bump_version(session, "clients")
            raise RuntimeError
    async with city.provider.db.read() as session:
        assert await read_versions(session) == before


async def test_counters_rise_one_by_one_for_fifty_writers(city: City) -> None:
    async def rise() -> int:
        async with city.provider.db.write() as session:
            return await bump_version(session, "test")

    assert sorted(await asyncio.gather(*(rise() for _ in range(50)))) == list(range(1, 51))


async def test_sqlite_is_set_up_for_many_readers_and_one_writer(tmp_path: Path) -> None:
    db = Database(settings_for(f"sqlite:///{tmp_path / 'x.db'}", tmp_path))
    both = {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1}
    # What writes waits and checkpoints outside SQLite: it must not stop the event loop.
    kinds = ((db.write, {"busy_timeout": 0, "wal_autocheckpoint": 0}), (db.read, {"busy_timeout": 15000}))
    for session_of_kind, own in kinds:
        async with session_of_kind() as session:
            assert (tmp_path / "x.db").stat().st_mode & 0o077 == 0, "nobody else on this machine reads it"
            for pragma, value in {**both, **own}.items():
                assert (await session.execute(text(f"PRAGMA {pragma}"))).scalar_one() == value
    await db.close()


AT_ONCE = {"sessions_per_user": 0, "password_hash_queue": 80, "sign_in_failures_per_account": 40}


@pytest.mark.parametrize("overrides", [AT_ONCE])
async def test_twenty_sign_ins_at_once(city: City) -> None:
    """To one account and from one network, which has a quarter of the queue for passwords. A sign-in counts as failed
    until it has succeeded."""

    async def sign_in_status() -> int:
        async with city.browser() as browser:
            return (await browser.tokens(city.relying_party("warga"))).status

    assert set(await asyncio.gather(*(sign_in_status() for _ in range(20)))) == {200}


@pytest.mark.parametrize("way", ["session", "work", "one statement"])
async def test_two_processes_write_without_locked_errors(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the write lock for a while: ours waits for it, and the event loop goes on."""
    path = tmp_path / "x.db"
    db = Database(settings_for(f"sqlite:///{path}", tmp_path))
    async with db.engine.begin() as connection:
        await connection.execute(CreateTable(THINGS))
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    async def ours() -> None:
        if way == "session":
            async with db.write() as session:
                await session.execute(INSERT, {"name": "a"})
        else:
            await db.run_write(lambda work: work.execute(INSERT, {"name": "a"}), single=way == "one statement")

    met = asyncio.Event()
    is_busy = sqlite.is_busy
    monkeypatch.setattr(sqlite, "is_busy", lambda error: met.set() or is_busy(error))
    task = asyncio.create_task(ours())
    await asyncio.wait_for(met.wait(), 60)
    assert not task.done()
    other.execute("COMMIT")
    await task
    assert other.execute("SELECT name FROM things").fetchall() == [("a",)]
    other.close()
    await db.close()


@pytest.mark.parametrize("way", ["session", "work", "one statement"])
async def test_the_write_ahead_log_is_written_back_when_it_is_large(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, log = Database(settings_for(f"sqlite:///{tmp_path / 'x.db'}", tmp_path)), tmp_path / "x.db-wal"
    async with db.engine.begin() as connection:
        await connection.execute(CreateTable(THINGS))
    monkeypatch.setattr(sqlite, "MAX_WAL_BYTES", 100_000)
    sizes, longest = [], 0
    for number in range(25):
        values = {"name": f"{number} {'x' * 5000}"}
        if way == "session":
            async with db.write() as session:
                await session.execute(INSERT, values)
        else:
            await db.run_write(lambda work, row=values: work.execute(INSERT, row), single=way == "one statement")
        sizes.append(log.stat().st_size)
        longest = max(longest, sizes[-1])
    assert any(after < before for before, after in itertools.pairwise(sizes))
    assert longest < 150_000
    await db.close()


async def test_a_database_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """The process starts, says 503 everywhere and not ready, and serves as soon as the database is there."""
    import httpx2 as httpx

    settings = settings_for("postgresql://nobody@127.0.0.1:9/none", tmp_path)
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=settings.issuer) as http,
    ):
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code == 503
        token = await http.post("/token", data={"grant_type": "client_credentials"})
        assert (token.status_code, token.json()["error"]) == (503, "temporarily_unavailable")
        assert token.headers["retry-after"]
        page = await http.get("/login")
        assert page.status_code == 503
        assert "Tidak ada data yang hilang" in page.text
        assert "Traceback" not in page.text


@pytest.mark.own_connections  # they stay read-only
async def test_a_read_only_database_is_said_so(tmp_path: Path, city: City, database_kind: str) -> None:
    async with city.client() as http:
        assert (await http.get("/readyz")).status_code == 200
        party = city.relying_party("warga")
        async with city.browser() as browser:
            await browser.tokens(party)
            if database_kind == "sqlite":
                from sqlalchemy import event

                def read_only(connection: object) -> None:
                    connection.exec_driver_sql("PRAGMA query_only = ON")  # type: ignore[attr-defined]

                event.listen(city.provider.db.engine.sync_engine, "begin", read_only)
            else:
                name = city.provider.db.url.database
                async with city.provider.db.engine.connect() as connection:
                    await connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
                    await connection.commit()
                await city.provider.db.engine.dispose()
            answer = await browser.open(party.url())
            assert answer.status_code == 503
            if database_kind == "postgresql":
                assert (await http.get("/readyz")).status_code == 503


async def test_unavailable_is_one_kind_of_error(tmp_path: Path) -> None:
    (tmp_path / "x.db").mkdir()
    db = Database(settings_for(f"sqlite:///{tmp_path / 'x.db'}", tmp_path))
    with pytest.raises(DatabaseUnavailable):
        async with db.write() as session:
            await session.execute(text("SELECT 1"))
    await db.close()


async def test_a_database_that_comes_back_with_an_old_schema_is_waited_for_too(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It was away at the start, so the start was not stopped; whoever runs the upgrade need not restart anything."""
    import httpx2 as httpx

    from sso import app as wiring

    monkeypatch.setattr(wiring, "RETRY_SECONDS", 0.02)
    check, away = wiring.check_schema, [True]

    async def checked(*arguments: Any) -> None:
        if away:
            raise DatabaseUnavailable("away")
        await check(*arguments)

    monkeypatch.setattr(wiring, "check_schema", checked)
    settings = settings_for(empty_database, tmp_path)
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=settings.issuer) as http,
        asyncio.timeout(60),
    ):
        away.clear()
        await until(lambda: "run: sso db upgrade" in caplog.text)
        assert (await http.get("/login")).status_code == 503
        await upgrade(app.state.site.provider.db)

        async def is_ready() -> bool:
            return (await http.get("/readyz")).status_code == 200

        await until(is_ready)
        assert (await http.get("/login")).status_code == 200
