"""Databases for tests: filled once, lent to one test at a time, and set back to what they held at first.

Creating a database from a template takes 57 ms, and dropping it again as much; setting one back takes about 3 ms.
"""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import weakref
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from sso.platform.db import Database
from sso.platform.db.prepared import Plans

NAMES = """SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"""
SEQUENCES = """SELECT quote_ident(sequencename), coalesce(last_value, start_value), last_value IS NOT NULL
    FROM pg_sequences WHERE schemaname = 'public'"""
OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL ($1::int[])"""
SQLITE_NAMES = """SELECT name FROM main.sqlite_master
    WHERE type = 'table' AND (name NOT LIKE 'sqlite_%' OR name = 'sqlite_sequence') ORDER BY name = 'sqlite_sequence'"""

_dialects: dict[tuple[str, int], tuple[Any, Any]] = {}
_plans: dict[str, Plans] = {}


def share_compiled_statements(database: Database) -> None:
    """Give the engines of a database the compiled statements of those that were made before.

    SQLAlchemy compiles each statement once for each engine, and each test makes an engine: compiling was a fifth of the
    work of a short test. What an engine knows about the server stays with its own pool.
    """
    for number, engine in enumerate(database.engines):
        sync, place = engine.sync_engine, (engine.dialect.name, number)
        if place not in _dialects or _dialects[place][0].server_version_info is None:  # it has never connected
            _dialects[place] = (sync.dialect, sync._compiled_cache)
        sync.dialect, sync._compiled_cache = _dialects[place]
    database.plans = _plans.setdefault(database.engine.dialect.name, database.plans)
    if not database.is_sqlite:
        reader, writer = database._reader.sync_engine, database.engine.sync_engine
        reader.dialect, reader._compiled_cache = writer.dialect, writer._compiled_cache


async def run_statement(postgres: str, statement: str) -> None:
    """Run a statement that creates or drops a database.

    Args:
        postgres: the address of the server, with DATABASE in place of a name.
        statement: the statement.
    """
    connection = await asyncpg.connect(postgres.replace("DATABASE", "postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def take_snapshot(url: str) -> None:
    """Copy the rows of a filled database into a schema of their own, and make the function that sets every table and
    sequence back to these rows. It is a function because a connection plans its statements only once."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE SCHEMA snapshot")
        tables = [row[0] for row in await connection.fetch(NAMES)]
        filled = [name for name in tables if await connection.fetchval(f"SELECT EXISTS (SELECT FROM public.{name})")]
        for name in filled:
            await connection.execute(f"CREATE TABLE snapshot.{name} AS TABLE public.{name}")
        sequences = await connection.fetch(SEQUENCES)
        statements = [
            # Neither triggers nor foreign keys take part, so that the order of the tables is free.
            "PERFORM set_config('session_replication_role', 'replica', true)",
            *(f"DELETE FROM public.{name}" for name in tables),
            *(f"INSERT INTO public.{name} OVERRIDING SYSTEM VALUE TABLE snapshot.{name}" for name in filled),
            *(f"PERFORM setval('public.{name}', {value}, {called})" for name, value, called in sequences),
        ]
        body = "".join(f"{statement}; " for statement in statements)
        await connection.execute(
            f"CREATE FUNCTION snapshot.restore() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {body}END $$"
        )
    finally:
        await connection.close()


class Connections:
    """The connections of one worker to its databases. They stay open from test to test.

    Opening connections, reading the schema on each of them and closing them was a third of the work of a short test.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], Database] = {}
        self._opened: weakref.WeakSet[Any] = weakref.WeakSet()

    def keep(self, database: Database) -> None:
        """Let a database use the connections that are open, and keep them when it is closed.

        Its engines have events of their own: what a test listens to ends with the test.
        """
        place = (str(database.url.database), database.engine.pool.size())  # type: ignore[attr-defined]
        if place not in self._kept:
            known = self._kept[place] = copy(database)
            share_compiled_statements(known)
            for engine in known.engines:
                event.listen(engine.sync_engine, "connect", self._note)
        known = self._kept[place]
        database.engine = known.engine.execution_options()
        if database.is_sqlite:
            database._reader = known._reader.execution_options()
        else:
            database._reader = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        database.close = partial(self._give_back, database)  # type: ignore[method-assign]

    def _note(self, connection: Any, _record: Any) -> None:
        self._opened.add(connection.driver_connection)

    async def _give_back(self, database: Database) -> None:
        if any(engine.pool.checkedout() for engine in database.engines):  # type: ignore[attr-defined]
            await self.close(str(database.url.database))

    def processes(self) -> list[int]:
        """Return the server's processes of the open connections to PostgreSQL."""
        return [one.get_server_pid() for one in self._opened if hasattr(one, "get_server_pid") and not one.is_closed()]

    def kept(self, name: str) -> Database | None:
        """Return the database ``name`` with its open connections, if there are any."""
        return next((database for place, database in self._kept.items() if place[0] == name), None)

    async def close(self, name: str = "") -> None:
        """Close the connections to the database ``name`` (of SQLite, its path), or all connections."""
        for place in list(self._kept):
            if name in ("", place[0]):
                await self._kept.pop(place).close()


@dataclass
class Databases:
    """The PostgreSQL databases of one worker.

    ``postgres`` is the address of the server, ``template`` the name of a filled database that nobody uses, ``prefix``
    the beginning of the names of this worker's databases, and ``connections`` what stays open.
    """

    postgres: str
    template: str
    prefix: str
    connections: Connections
    free: list[str] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def url(self, name: str) -> str:
        """Return the address of a database."""
        return self.postgres.replace("DATABASE", name)

    async def lend(self) -> str:
        """Return the name of a database that holds what the template holds."""
        if self.free:
            return self.free.pop()
        name = f"{self.prefix}_{next(self.numbers)}"
        await run_statement(self.postgres, f"CREATE DATABASE {name} TEMPLATE {self.template}")
        return name

    async def take_back(self, name: str, *, by_kept: bool = False) -> None:
        """Set a database back for the next test; drop one that cannot be set back.

        Args:
            name: the database.
            by_kept: use a connection that stays open; only in the event loop of the tests.
        """
        kept = self.connections.kept(name) if by_kept else None
        try:
            if kept is None:
                connection = await asyncpg.connect(self.url(name), timeout=10)
                try:
                    await self._restore(connection)
                finally:
                    await connection.close()
            else:
                async with kept.engine.connect() as pooled:
                    await self._restore((await pooled.get_raw_connection()).driver_connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError, OSError, TimeoutError):
            if by_kept:
                await self.connections.close(name)
            await self.drop(name)
        else:
            self.free.append(name)

    async def drop(self, name: str) -> None:
        """Drop a database."""
        await run_statement(self.postgres, f"DROP DATABASE {name} WITH (FORCE)")

    async def _restore(self, connection: Any) -> None:
        await connection.execute(OTHERS, self.connections.processes())
        await connection.execute("SELECT snapshot.restore()", timeout=10)


class SqliteFile:
    """The SQLite database of one worker: filled once, lent to one test at a time, and set back to what it held.

    Args:
        template: a filled database that nobody uses.
        directory: where the files are.
        connections: what stays open.
    """

    def __init__(self, template: Path, directory: Path, connections: Connections) -> None:
        self._template, self._directory, self._connections = template, directory, connections
        self._numbers = itertools.count()
        self._path: Path | None = None
        self._restoring: sqlite3.Connection | None = None
        self._schema = 0
        self._statements: list[str] = []

    def lend(self) -> str:
        """Return the address of a database that holds what the template holds."""
        if self._path is None:
            self._path = self._directory / f"lent{next(self._numbers)}.db"
            shutil.copy(self._template, self._path)
            self._restoring = sqlite3.connect(self._path, isolation_level=None, timeout=5)
            self._restoring.execute("ATTACH ? AS snapshot", (str(self._template),))
            self._schema = self._version()
            names = [name for (name,) in self._restoring.execute(SQLITE_NAMES)]
            filled = [n for n in names if self._restoring.execute(f'SELECT EXISTS (SELECT 1 FROM "{n}")').fetchone()[0]]
            self._statements = [
                *(f'DELETE FROM main."{name}"' for name in names),
                *(f'INSERT INTO main."{name}" SELECT * FROM snapshot."{name}"' for name in filled),
            ]
        return f"sqlite:///{self._path}"

    def _version(self) -> int:
        assert self._restoring is not None
        return int(self._restoring.execute("PRAGMA main.schema_version").fetchone()[0])

    async def take_back(self) -> None:
        """Set the database back for the next test; leave one that cannot be set back."""
        assert self._restoring is not None
        try:
            self._restoring.execute("BEGIN IMMEDIATE")
            for statement in self._statements:
                self._restoring.execute(statement)
            self._restoring.execute("COMMIT")
            usable = self._version() == self._schema
        except sqlite3.Error:
            usable = False
        if not usable:
            await self._connections.close(str(self._path))
            self.close()

    def close(self) -> None:
        """Leave the database: the next test gets another."""
        if self._restoring is not None:
            self._restoring.close()
            self._path = self._restoring = None
