"""Engines and transactions for the two databases.

``read()`` is for looking only: every statement stands alone, and nothing is held open between them.
``write()`` is one transaction: it commits when its block ends and rolls back when the block raises.
On SQLite it takes the write lock at once (``BEGIN IMMEDIATE``), so it never fails half-way for a lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from sso.errors import Refusal
from sso.settings import Settings

SQLITE_BUSY_TIMEOUT_MS = 15_000
SQLITE_READERS = 4
CONFLICT_STATES = ("40001", "40P01", "55P03")
"""SQLSTATE values of a transaction that another one was in the way of."""


class DatabaseUnavailable(Refusal):
    """The database cannot be reached or cannot be written now; trying again later may help."""

    status = 503
    code = "unavailable"
    retry_after = 5

    @property
    def explanation(self) -> str:
        """Nothing: the answer does not describe the database."""
        return ""


class TransactionConflict(DatabaseUnavailable):
    """The database rolled a transaction back because another one was in the way (a deadlock, a serialization failure,
    a lock that could not be had). Nothing of the transaction was kept: the same work can be done again at once."""


class NoDatabase(Refusal):
    """The file of the embedded database does not exist."""


class Database:
    """The database of one process. Create it once, :meth:`close` it at the end.

    Args:
        settings: where it is.
        create: make the file of an embedded database where it does not exist.

    Raises:
        NoDatabase: when the file does not exist and must not be made.
    """

    def __init__(self, settings: Settings, *, create: bool = True) -> None:
        url = make_url(settings.effective_database_url())
        if not create and url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
            raise NoDatabase(f"there is no database at {url.database}; make one with: sso db upgrade")
        self.url = url
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if url.database:
                Path(url.database).parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(OSError):  # said when it is opened
                    Path(url.database).touch(mode=0o600)
            # One writer at a time is SQLite's rule: waiting in this pool is fair, waiting in SQLite is polling.
            self.engine = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=30)
            self._reader = create_async_engine(
                url, isolation_level="AUTOCOMMIT", pool_size=SQLITE_READERS, max_overflow=0, pool_timeout=30
            )
            for engine in (self.engine, self._reader):
                event.listen(engine.sync_engine, "do_connect", _probe_sqlite)
                event.listen(engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_immediate)
        else:
            self.engine = create_async_engine(
                url,
                pool_size=settings.database_pool_size,
                max_overflow=0,
                pool_timeout=10,
                connect_args={"timeout": 5, "server_settings": {"application_name": "sso", "jit": "off"}},
            )
            self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def engines(self) -> list[AsyncEngine]:
        """Every engine in use: what a test listens to when it counts statements."""
        return [self.engine, self._reader] if self.is_sqlite else [self.engine]

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for reading.

        Raises:
            DatabaseUnavailable: when the database cannot be reached.
        """
        async with AsyncSession(self._reader, expire_on_commit=False, autoflush=False) as session:
            with _translated():
                yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """Yield a session whose work is committed together when the block ends without an exception.

        Raises:
            DatabaseUnavailable: when the database cannot be reached or written.
        """
        session = AsyncSession(self.engine, expire_on_commit=False)
        with _translated():
            try:
                yield session
                if session.in_transaction():
                    await session.commit()
            finally:
                if session.in_transaction():  # it failed, or was cancelled: give the connection back all the same
                    await asyncio.shield(session.close())
                else:  # no connection is held, so there is nothing to wait for
                    session.sync_session.close()

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
        if self.is_sqlite:
            await self._reader.dispose()


class _translated:
    """Turn the driver's ways of saying "not now" into :class:`DatabaseUnavailable`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, DBAPIError) and _is_conflict(error):
            raise TransactionConflict(str(error.orig)) from error
        if isinstance(error, (OperationalError, InterfaceError, PoolTimeoutError)):
            raise DatabaseUnavailable(str(getattr(error, "orig", error))) from error
        if isinstance(error, DBAPIError) and (error.connection_invalidated or _is_out_of_service(error)):
            raise DatabaseUnavailable(str(error.orig)) from error
        if isinstance(error, (ConnectionError, TimeoutError)):
            raise DatabaseUnavailable(str(error)) from error


def _is_out_of_service(error: DBAPIError) -> bool:
    """Tell whether the database could not be connected to (there is no statement yet), or PostgreSQL says that it is
    stopping, starting, full or read-only (SQLSTATE classes)."""
    if error.statement is None:
        return True
    state = _sqlstate(error)
    return state[:2] in ("08", "53", "57", "58") or state == "25006"


def _is_conflict(error: DBAPIError) -> bool:
    """Tell whether another transaction was in the way: in PostgreSQL a serialization failure (40001), a deadlock
    (40P01) or a lock that is not available (55P03); in SQLite SQLITE_BUSY or SQLITE_LOCKED."""
    if _sqlstate(error) in CONFLICT_STATES:
        return True
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", "") or "")


def _probe_sqlite(_dialect: Any, _record: Any, arguments: Any, _named: Any) -> None:
    """Find out here whether the file can be opened. aiosqlite would find it out in a thread, which then complains on
    standard error when the event loop is closed before it."""
    sqlite3.connect(arguments[0]).close()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
    connection.isolation_level = None


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
