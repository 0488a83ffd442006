"""The driver of SQLite for SQLAlchemy: one message to the thread of aiosqlite for each statement.

SQLAlchemy's own adapter sends four, one after the other: to make a cursor, to run the statement, to fetch its rows, and
to close the cursor (docs/decisions/0057-sqlite-in-the-event-loop.md).
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_dbapi
from sqlalchemy.util.concurrency import await_

from sso.platform.db.sql_types import ResultRow


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
        return self._run(lambda cursor: cursor.execute(operation, () if parameters is None else parameters))

    def executemany(self, operation: str, seq_of_parameters: Sequence[Sequence[object]]) -> Self:
        """Run a statement with each of some parameters.

        Raises:
            sqlite3.Error: what SQLite refuses.
        """
        return self._run(lambda cursor: cursor.executemany(operation, seq_of_parameters))

    def _run(self, run: Callable[[sqlite3.Cursor], object]) -> Self:
        driver: aiosqlite.Connection = self._adapted.driver_connection
        try:
            answer: _Answer = await_(driver._execute(_answer_of, driver, run))  # type: ignore[no-untyped-call]
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


def _answer_of(driver: aiosqlite.Connection, run: Callable[[sqlite3.Cursor], object]) -> _Answer:
    """Run a statement in the thread of the connection, and return the rows and what else a cursor tells."""
    cursor = driver._conn.cursor()
    try:
        run(cursor)
        rows = deque(cursor.fetchall() if cursor.description else ())
        return _Answer(rows, cursor.description, cursor.rowcount, cursor.lastrowid)
    finally:
        cursor.close()


class Connection(AsyncAdapt_aiosqlite_connection):
    """SQLAlchemy's connection to aiosqlite, with our cursors. It ends no transaction that has not begun: SQLAlchemy
    rolls back after reading, too."""

    __slots__ = ()

    def rollback(self) -> None:
        if self._has_begun():
            super().rollback()

    def commit(self) -> None:
        if self._has_begun():
            super().commit()

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
