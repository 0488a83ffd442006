"""What the engines of both databases share: the pool of connections, and the reading of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

Lent = tuple[PoolProxiedConnection, Any]
"""A connection that was lent, and that of the driver behind it."""

_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # in C


def read_json(text: str) -> Any:
    """Return what the database stored as JSON, as ``json.loads`` does, which makes three calls before this one."""
    try:
        return _scan(text, 0)[0]
    except StopIteration:  # space before it, which neither we nor PostgreSQL write
        return json.loads(text)


class KeepingPool(AsyncAdaptedQueuePool):
    """A pool that lends a connection with a few calls to the next piece of work after it was returned clean.

    SQLAlchemy's pool needs forty calls to lend a connection and to take it back, a tenth of a frequent request. A kept
    connection counts as returned: whoever asks the pool in SQLAlchemy's way gets one too, and nothing is kept while
    somebody waits for a connection.
    """

    _sqla_logger_namespace = "sqlalchemy.pool.KeepingPool"  # otherwise SQLAlchemy takes the name of our module

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._kept: list[Lent] = []
        self._waiting = 0

    def lend(self) -> Lent:
        """Return a connection for a piece of work, and the driver's own: one that was kept, or another one.

        Raises:
            sqlalchemy.exc.TimeoutError: when all connections of the pool are in use for too long.
        """
        while self._kept:
            connection = self._kept.pop()
            if not self.is_over(connection[1]):
                return connection
            connection[0].close()
        lent = self.connect()
        return lent, lent.driver_connection

    def keep(self, lent: Lent) -> None:
        """Take a connection back that works, and on which no transaction is open."""
        if self._waiting:
            lent[0].close()
        else:
            self._kept.append(lent)

    @staticmethod
    def is_over(_driver: Any) -> bool:
        """Tell whether a connection that nobody used must be replaced. A file is not closed by others."""
        return False

    def connect(self) -> PoolProxiedConnection:
        """Return a connection in SQLAlchemy's way.

        Raises:
            sqlalchemy.exc.TimeoutError: when all connections of the pool are in use for too long.
        """
        if self._kept:
            self._kept.pop()[0].close()
        self._waiting += 1
        try:
            return super().connect()
        finally:
            self._waiting -= 1

    def checkedout(self) -> int:
        return super().checkedout() - len(self._kept)

    def checkedin(self) -> int:
        return super().checkedin() + len(self._kept)

    def dispose(self) -> None:
        while self._kept:
            self._kept.pop()[0].close()
        super().dispose()
