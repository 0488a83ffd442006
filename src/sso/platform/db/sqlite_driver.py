"""The driver of SQLite for SQLAlchemy: short statements run in the event loop, others are one message to the thread of
aiosqlite (docs/decisions/0057-sqlite-in-the-event-loop.md).

A SELECT runs in the event loop until its time is over; then SQLite interrupts it, and it runs again in the thread. What
writes cannot be interrupted without loss, so only what writes one row runs in the event loop.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from time import monotonic
from typing import Any, NamedTuple, Self

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_dbapi
from sqlalchemy.util.concurrency import await_

from sso.platform.db.sql_types import ResultRow
from sso.platform.db.sqlite import MAX_CHANGES

MAX_SECONDS = 0.002
"""How long a statement that reads may run in the event loop."""
STEPS = 1000
"""After how many instructions of SQLite the time is looked at: 10 to 50 microseconds."""
PAUSE_SECONDS = 0.005
"""After how long a connection lets others run, however many short statements follow one another."""
MAX_VALUES = 100
"""How many values an INSERT in the event loop may have."""
READS = re.compile(r"SELECT\b")
WRITES_ONE_ROW = re.compile(
    r"(?!.*\b(?:SELECT|OR)\b)"
    r"(?:INSERT INTO .* VALUES |UPDATE (\w+) SET .* WHERE \1\.id = \?(?: AND .*| RETURNING .*|$))",
    re.DOTALL,
)
BEGIN = "BEGIN IMMEDIATE"
"""It waits for nothing: connections that write have no busy timeout."""


class _Answer(NamedTuple):
    rows: deque[ResultRow]
    description: object
    rowcount: int
    lastrowid: int | None


class Cursor:
    """A cursor (PEP 249) that holds every row of its last statement. Within a greenlet."""

    arraysize = 1
    server_side = False

    def __init__(self, connection: Connection) -> None:
        self._adapted = connection
        self._rows: deque[ResultRow] = deque()
        self.description: object = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    def execute(self, operation: str, parameters: Sequence[object] | None = None) -> Self:
        """Run a statement and fetch its rows.

        Raises:
            sqlite3.Error: what SQLite refuses.
        """
        values = () if parameters is None else parameters
        run, reads = (lambda cursor: cursor.execute(operation, values)), only_reads(operation)
        return self._run(run, here=reads or writes_one_row(operation, len(values)), reads=reads)

    def executemany(self, operation: str, seq_of_parameters: Sequence[Sequence[object]]) -> Self:
        """Run a statement with each of some parameters.

        Raises:
            sqlite3.Error: what SQLite refuses.
        """
        return self._run(lambda cursor: cursor.executemany(operation, seq_of_parameters))

    def _run(self, run: Callable[[sqlite3.Cursor], object], *, here: bool = False, reads: bool = False) -> Self:
        driver: aiosqlite.Connection = self._adapted.driver_connection
        try:
            answer = self._adapted.run_here(run, reads=reads) if here else None
            if answer is None:
                answer = await_(driver._execute(_answer_of, driver, run))  # type: ignore[no-untyped-call]
        except Exception as error:
            self._adapted._handle_exception(error)
        self._rows, self.description = answer.rows, answer.description
        self.rowcount, self.lastrowid = answer.rowcount, answer.lastrowid
        return self

    def __iter__(self) -> Iterator[ResultRow]:
        while self._rows:
            yield self._rows.popleft()

    def fetchone(self) -> ResultRow | None:
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> Sequence[ResultRow]:
        return [self._rows.popleft() for _ in range(min(self.arraysize if size is None else size, len(self._rows)))]

    def fetchall(self) -> Sequence[ResultRow]:
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def close(self) -> None:
        """Forget the rows. The thread holds the same list until its next message, so it must not keep them either."""
        self._rows.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _async_soft_close(self) -> None:
        """SQLAlchemy closes the driver's cursor here and keeps the rows. Ours is closed already."""


@lru_cache(maxsize=1000)
def only_reads(operation: str) -> bool:
    """Tell whether a statement only reads: it can be interrupted and run again."""
    return READS.match(operation) is not None


@lru_cache(maxsize=1000)
def writes_one_row(operation: str, values: int) -> bool:
    """Tell whether a statement writes one row, or a few, or begins a transaction.

    Args:
        operation: the SQL.
        values: the number of its values.
    """
    return operation == BEGIN or (values <= MAX_VALUES and WRITES_ONE_ROW.match(operation) is not None)


def _answer_of(driver: aiosqlite.Connection, run: Callable[[sqlite3.Cursor], object]) -> _Answer:
    """Run a statement, and return the rows and what else a cursor tells."""
    cursor = driver._conn.cursor()
    try:
        run(cursor)
        rows = deque(cursor.fetchall() if cursor.description else ())
        return _Answer(rows, cursor.description, cursor.rowcount, cursor.lastrowid)
    finally:
        cursor.close()


async def _at_once() -> None:
    """Wait for nothing: SQLAlchemy refuses a driver that never waits."""


class Connection(AsyncAdapt_aiosqlite_connection):
    """SQLAlchemy's connection to aiosqlite, with our cursors. It ends no transaction that has not begun: SQLAlchemy
    rolls back after reading, too."""

    __slots__ = ("_changes", "_pause_at")

    def __init__(self, dbapi: AsyncAdapt_aiosqlite_dbapi, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self._changes = 0  # how many rows the connection had changed when the transaction began
        self._pause_at = 0.0

    def run_here(self, run: Callable[[sqlite3.Cursor], object], *, reads: bool) -> _Answer | None:
        """Run a short statement in the event loop. Within a greenlet.

        Args:
            run: runs it.
            reads: it only reads, so it may be interrupted.

        Returns:
            what it answered, or None: it was interrupted, because it takes too long.

        Raises:
            sqlite3.Error: what SQLite refuses.
            ValueError: the connection is closed.
        """
        if monotonic() >= self._pause_at:
            await_(asyncio.sleep(0))
            self._pause_at = monotonic() + PAUSE_SECONDS
        else:
            await_(_at_once())
        driver: aiosqlite.Connection = self.driver_connection
        sqlite = driver._conn
        if not sqlite.in_transaction:
            self.note_begin()
        if not reads:  # interrupted, it would take the whole transaction with it
            return _answer_of(driver, run)
        until = monotonic() + MAX_SECONDS
        sqlite.set_progress_handler(lambda: monotonic() > until, STEPS)
        try:
            return _answer_of(driver, run)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                return None
            raise
        finally:
            sqlite.set_progress_handler(None, STEPS)

    def rollback(self) -> None:
        if self._has_begun():
            super().rollback()

    def commit(self) -> None:
        """Commit. One that changed much runs in the thread: it writes as much to the disk."""
        if not self._has_begun():
            return
        if self.has_changed_much():
            super().commit()
            return
        try:
            self.driver_connection._conn.commit()
        except Exception as error:
            self._handle_exception(error)

    def note_begin(self) -> None:
        """Remember what was changed before the transaction that begins."""
        self._changes = self.driver_connection._conn.total_changes

    def has_changed_much(self) -> bool:
        """Tell whether the transaction has changed so many rows that its COMMIT belongs into the thread."""
        return bool(self.driver_connection._conn.total_changes - self._changes > MAX_CHANGES)

    def _has_begun(self) -> bool:
        try:
            return bool(self.driver_connection.in_transaction)
        except ValueError:  # it is closed
            return False

    def cursor(self, server_side: bool = False) -> Any:  # SQLAlchemy's type is that of its own cursors
        return super().cursor(server_side) if server_side else Cursor(self)


class Driver(AsyncAdapt_aiosqlite_dbapi):
    """What SQLAlchemy takes for the module of the driver."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite3)

    def connect(self, *arguments: object, **named: object) -> Connection:
        """Return a new connection. Within a greenlet.

        Raises:
            sqlite3.Error: when the file cannot be opened.
        """
        return Connection(self, super().connect(*arguments, **named).driver_connection)
