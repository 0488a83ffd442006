"""SQLite: how connections are set up, how a transaction begins, and when the write-ahead log is written back.

A connection that writes never waits inside SQLite, because a frequent flow runs in the thread of the event loop
(docs/decisions/0057-sqlite-in-the-event-loop.md). Where another process has the write lock, :func:`patiently` tries
again. The write-ahead log is written back before a transaction, in the thread of aiosqlite, because that waits for the
disk; SQLite itself would do it within a COMMIT.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import PoolResetState
from sqlalchemy.util.concurrency import await_

Answer = TypeVar("Answer")
BUSY_SECONDS = 15.0
"""How long a transaction waits for the write lock of another process."""
LONGEST_PAUSE_SECONDS = 0.05
MAX_WAL_BYTES = 4 * 1024 * 1024
"""The size of the write-ahead log from which the next transaction writes it back first."""
MAX_CHANGES = 100
"""How many rows a transaction may have changed whose COMMIT runs in the event loop: it writes as many to the disk."""
CHECKPOINT = "PRAGMA wal_checkpoint(TRUNCATE)"


def probe(_dialect: object, _record: object, arguments: Sequence[str], _named: object) -> None:
    """Raise here if the file cannot be opened. aiosqlite would raise in a thread, which prints to standard error when
    the event loop is closed first."""
    sqlite3.connect(arguments[0]).close()


def prepare(connection: Any, _record: object) -> None:
    """Set up a new connection."""
    _set(
        connection,
        f"busy_timeout = {int(BUSY_SECONDS * 1000)}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
    )
    connection.isolation_level = None


def prepare_writer(connection: Any, _record: object) -> None:
    """Set up a new connection that writes, after :func:`prepare`."""
    _set(connection, "busy_timeout = 0", "wal_autocheckpoint = 0")


def _set(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def reset(connection: DBAPIConnection, _record: object, state: PoolResetState) -> None:
    """Roll back what is open when a connection is returned. The pool itself does not where a COMMIT has failed, after
    which SQLite may keep the transaction open."""
    if state.asyncio_safe:
        connection.rollback()


def begin_immediate(connection: Any) -> None:
    """Begin a transaction of SQLAlchemy with the write lock."""
    driver = connection.connection.driver_connection
    if driver.in_transaction:  # a piece of work has begun it
        return
    if has_large_wal(connection.engine.url.database):
        await_(driver.execute_fetchall(CHECKPOINT))
    patiently(lambda: connection.exec_driver_sql("BEGIN IMMEDIATE"))


def has_large_wal(database: str | None) -> bool:
    """Tell whether it is time to write the write-ahead log of a database file back."""
    try:
        return os.stat(f"{database}-wal").st_size > MAX_WAL_BYTES  # noqa: PTH116  (Path.stat makes four calls)
    except OSError:  # no log yet
        return False


def patiently(run: Callable[[], Answer]) -> Answer:
    """Return what ``run`` returns, which takes the write lock. While another process has that, try again. Within a
    greenlet.

    Raises:
        OperationalError: when the lock is not free for 15 seconds.
    """
    until, pause = time.monotonic() + BUSY_SECONDS, 0.001
    while True:
        try:
            return run()
        except (sqlite3.OperationalError, OperationalError) as error:
            if not is_busy(error) or time.monotonic() + pause > until:
                raise
        await_(asyncio.sleep(pause))
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def is_busy(error: BaseException | None) -> bool:
    """Tell whether another connection has the lock that a statement needs (SQLITE_BUSY)."""
    return getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
