"""What the failed statements of a process say about its database."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.exc import DBAPIError

from sso import clock

Kind = Literal["database", "disk_full", "read_only"]
DISK_FULL = "53100"
READ_ONLY = "25006"


@dataclass
class Failures:
    """How often the database was not available, why the last time (``kind``), and when a disk was full last
    (``full_at``, by ``clock.steady``)."""

    count: int = 0
    kind: Kind = "database"
    full_at: float | None = None

    def add(self, error: BaseException) -> None:
        """Count an error because of which the database was not available."""
        self.count += 1
        self.kind = _kind(error)
        if self.kind == "disk_full":
            self.full_at = clock.steady()


def _kind(error: BaseException) -> Kind:
    cause = error.orig if isinstance(error, DBAPIError) else error
    state, code = getattr(cause, "sqlstate", None), getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if state == DISK_FULL or code == sqlite3.SQLITE_FULL:
        return "disk_full"
    return "read_only" if state == READ_ONLY or code == sqlite3.SQLITE_READONLY else "database"
