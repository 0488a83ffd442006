"""Engines and transactions for the two databases.

``read()`` is for queries only: each statement is its own transaction.
``write()`` is one transaction: it commits when its block ends and rolls back when the block raises. On SQLite it takes
the write lock at once (``BEGIN IMMEDIATE``), so that it never fails half-way because of a lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Engine, event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.util.concurrency import greenlet_spawn

from sso.errors import Refusal
from sso.platform.db import sqlite
from sso.platform.db.failures import Failures
from sso.platform.db.fetch import PlannedSession
from sso.platform.db.pool import KeepingPool, read_json
from sso.platform.db.prepared import OUTDATED, Answer, Plans, PostgresWork, SqliteWork, Work
from sso.settings import Settings

SQLITE_READERS = 4
CONFLICT_STATES = ("40001", "40P01", "55P03")
"""SQLSTATE values of a transaction that conflicts with another transaction."""
UNPREPARED_STATES = ("26000", "42P05")
"""SQLSTATE values of a statement that is not prepared, or prepared already: the connection is another one than before,
because a PgBouncer is between that is not known or keeps no prepared statements."""


class DatabaseUnavailable(Refusal):
    """The database cannot be reached or written now; a retry may succeed."""

    status = 503
    code = "unavailable"
    retry_after = 5

    @property
    def explanation(self) -> str:
        """Nothing: the answer does not describe the database."""
        return ""


class TransactionConflict(DatabaseUnavailable):
    """The database rolled back a transaction because of another one: a deadlock, a serialization failure, or a lock
    that is not available. The same work can be repeated at once."""


class TransactionLost(TransactionConflict):
    """The connection was lost before the commit was sent, so the transaction changed nothing. The same work can be
    repeated on another connection."""


class NoDatabase(Refusal):
    """The file of the embedded database does not exist."""


class Database:
    """The database of one process. Create it once, :meth:`close` it at the end.

    Args:
        settings: the URL and the pool size.
        create: create the file of the embedded database if it does not exist.

    Raises:
        NoDatabase: when the file does not exist and ``create`` is false.
    """

    def __init__(self, settings: Settings, *, create: bool = True) -> None:
        self._settings = settings
        address = settings.database_address
        self.is_sqlite = address is None
        self.failures = Failures()
        if address is None:
            self.url = make_url(settings.effective_database_url())
            self.engine, self._reader = _sqlite_engines(self.url, create=create)
        else:
            from sso.platform.db.postgres import make_engine  # its driver is not always installed

            self.engine = make_engine(settings, address)
            self.url = self.engine.url
            self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.plans = Plans(self.engine.dialect)
        self._work = SqliteWork if self.is_sqlite else PostgresWork

    @property
    def engines(self) -> list[AsyncEngine]:
        """Every engine; tests count statements on them."""
        return [self.engine, self._reader] if self.is_sqlite else [self.engine]

    @property
    def _reads(self) -> Engine:
        """The engine of work that only reads."""
        return (self._reader if self.is_sqlite else self.engine).sync_engine

    @asynccontextmanager
    async def maintenance(self) -> AsyncIterator[AsyncEngine]:
        """Yield an engine of two connections for changing the schema: its statements may take as long as they need."""
        address = self._settings.database_address
        if address is None:
            yield self.engine
            return
        from sso.platform.db.postgres import Limits, make_engine

        limits = replace(Limits.of(self._settings), statement=0, lock=0, idle_in_transaction=0, firm=True)
        engine = make_engine(self._settings, address, limits=limits, size=2)
        try:
            yield engine
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for reading.

        Raises:
            DatabaseUnavailable: when the database cannot be reached.
        """
        session = PlannedSession(self._work(self._reads, self.plans, transaction=False))
        with Translation(self.failures):
            try:
                yield session
            except BaseException:
                await _close(session)
                raise
            await session.close()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """Yield a session whose transaction is committed when the block ends without an exception.

        Raises:
            DatabaseUnavailable: when the database cannot be reached or written.
        """
        work = self._work(self.engine.sync_engine, self.plans, transaction=True)
        session = PlannedSession(work)
        with Translation(self.failures, work):
            try:
                yield session
                await session.commit()
            except BaseException:
                await _close(session)
                raise
            await session.close()

    async def run_read(self, function: Callable[[Work], Answer]) -> Answer:
        """Return what ``function`` returns, which runs in a greenlet and only reads: each statement is a transaction.

        Raises:
            DatabaseUnavailable: when the database cannot be reached.
        """
        with Translation(self.failures):
            return await greenlet_spawn(self._work(self._reads, self.plans, transaction=False).run, function)

    async def run_apart(self, function: Callable[[Work], Answer]) -> Answer:
        """Return what ``function`` returns, which runs in a greenlet: each statement is a transaction of its own, and
        may write. For PostgreSQL: on SQLite two writers would not queue.

        Raises:
            DatabaseUnavailable: when the database cannot be reached or written.
        """
        work = self._work(self.engine.sync_engine, self.plans, transaction=False)
        work.commits = True
        with Translation(self.failures, work):
            return await greenlet_spawn(work.run, function)

    async def run_write(self, function: Callable[[Work], Answer], *, single: bool = False) -> Answer:
        """Return what ``function`` returns, which runs in a greenlet, in one transaction: committed when it returns,
        rolled back when it raises.

        Args:
            function: the work.
            single: its only statement is the transaction; there is no BEGIN and no COMMIT.

        Raises:
            DatabaseUnavailable: when the database cannot be reached or written.
        """
        work = self._work(self.engine.sync_engine, self.plans, transaction=True, single=single)
        with Translation(self.failures, work):
            return await greenlet_spawn(work.run, function)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
        if self.is_sqlite:
            await self._reader.dispose()


async def _close(session: PlannedSession) -> None:
    """Close a session whose block failed; its connection is returned also where the task is cancelled once more."""
    if session.is_open:
        await asyncio.shield(session.close())
    else:
        await session.close()


class Translation:
    """Turns temporary errors of the driver into :class:`DatabaseUnavailable`, and counts them.

    Args:
        failures: counts them.
        work: what runs, if it may commit.
    """

    def __init__(self, failures: Failures, work: Work | None = None) -> None:
        self._failures = failures
        self._work = work

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DBAPIError) and _is_conflict(error):
            raise TransactionConflict(str(error.orig)) from error
        if error is not None and _is_unavailable(error):
            self._failures.add(error)
            reason = str(getattr(error, "orig", None) or error) or "the database does not answer"
            if isinstance(error, DBAPIError) and _sqlstate(error) in UNPREPARED_STATES:
                reason += "; set SSO_DATABASE_POOLER=pgbouncer and SSO_DATABASE_PREPARED_STATEMENTS=auto"
            if _is_lost(error) and not (self._work is not None and self._work.commits):
                raise TransactionLost(reason) from error
            raise DatabaseUnavailable(reason) from error


def _is_unavailable(error: BaseException) -> bool:
    """Tell whether an error means that the database cannot be reached or written now."""
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeoutError, ConnectionError, TimeoutError)):
        return True
    return isinstance(error, DBAPIError) and (error.connection_invalidated or _is_out_of_service(error))


def _is_lost(error: BaseException | None) -> bool:
    """Tell whether a connection was closed under a statement. (It is not a connection that could not be made, nor one
    on which the database does not answer: repeating would take as long again.)"""
    return isinstance(error, DBAPIError) and error.connection_invalidated and not isinstance(error.orig, TimeoutError)


def _is_out_of_service(error: DBAPIError) -> bool:
    """Tell whether the connection failed (there is no statement), or PostgreSQL is stopping, starting, full or
    read-only (SQLSTATE classes), or PgBouncer is not set up for what is sent."""
    if error.statement is None:
        return True
    state = _sqlstate(error)
    return state[:2] in ("08", "53", "57", "58") or state in ("25006", *UNPREPARED_STATES)


def _is_conflict(error: DBAPIError) -> bool:
    """Tell whether another transaction caused the error: in PostgreSQL a serialization failure (40001), a deadlock
    (40P01), a lock that is not available (55P03), or a migration that changed what a prepared statement returns; in
    SQLite SQLITE_BUSY or SQLITE_LOCKED."""
    if _sqlstate(error) in CONFLICT_STATES or type(error.orig).__name__ == OUTDATED:
        return True
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", "") or "")


def _sqlite_engines(url: URL, *, create: bool) -> tuple[AsyncEngine, AsyncEngine]:
    """Return the engines of the embedded database: for writing and for reading.

    Raises:
        NoDatabase: when the file does not exist and ``create`` is false.
    """
    if not create and url.database and not Path(url.database).exists():
        raise NoDatabase(f"there is no database at {url.database}; make one with: sso db upgrade")
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # reported when the file is opened
            Path(url.database).touch(mode=0o600)
    from sso.platform.db.sqlite_driver import Driver  # not imported where the database is PostgreSQL

    pool: dict[str, Any] = {
        "module": Driver(),
        "poolclass": KeepingPool,
        "max_overflow": 0,
        "pool_timeout": 30,
        "pool_reset_on_return": None,  # by the listener
    }
    pool["json_deserializer"] = read_json
    # SQLite permits one writer at a time: the pool queues fairly, SQLite would poll.
    writer = create_async_engine(url, pool_size=1, **pool)
    reader = create_async_engine(url, isolation_level="AUTOCOMMIT", pool_size=SQLITE_READERS, **pool)
    for engine in (writer, reader):
        event.listen(engine.sync_engine, "do_connect", sqlite.probe)
        event.listen(engine.sync_engine, "connect", sqlite.prepare)
        event.listen(engine.sync_engine, "reset", sqlite.reset)
    event.listen(writer.sync_engine, "connect", sqlite.prepare_writer)
    event.listen(writer.sync_engine, "begin", sqlite.begin_immediate)
    return writer, reader
