"""Why a process should get no requests now: what ``/readyz`` answers."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sso import clock
from sso.platform.db import Database, DatabaseUnavailable

Reason = Literal["starting", "stopping", "database", "disk_full", "read_only", "keys", "registry", "clock"]
"""Words that tell an operator where to look, and nobody a secret: docs/how-to/operations.md explains each."""

WRITE_SECONDS = 5.0
"""How long a successful write is proof that the database can be written."""
FULL_SECONDS = 10.0
"""How long a process is not ready after a write failed because a disk was full: small writes may still succeed."""
MIN_FREE_BYTES = 1024 * 1024
"""Of the disk of an SQLite database."""
STALE_SECONDS = 10.0
"""A process that has not read the changes of applications and keys for so long serves old ones."""


@dataclass
class Health:
    """What is known of the process and its database.

    Attributes:
        db: the database.
        loaded: keys and applications were read once.
        stopping: the process was asked to stop.
        keys_unreadable: a stored key cannot be decrypted with ``SSO_SECRET_KEY``.
        refreshed_at: when the changes of applications and keys were read last, by ``clock.steady``.
    """

    db: Database
    loaded: bool = False
    stopping: bool = False
    keys_unreadable: bool = False
    refreshed_at: float = 0.0
    _written_at: float | None = field(default=None, repr=False)
    _failures: int = field(default=0, repr=False)

    def reasons(self) -> list[Reason]:
        """Return why the process is not ready, without asking the database; empty where there is no reason."""
        known: dict[Reason, bool] = {
            "starting": not self.loaded,
            "stopping": self.stopping,
            "keys": self.keys_unreadable,
            "registry": self.loaded and clock.steady() - self.refreshed_at > STALE_SECONDS,
            "clock": clock.is_wrong(),
            "disk_full": self._disk_is_full(),
        }
        return [reason for reason, applies in known.items() if applies]

    async def check_writes(self, write: Callable[[], Awaitable[object]]) -> Reason | None:
        """Return why the database cannot be written now.

        ``write`` changes a row. It is called where no write is known to have succeeded in the last
        :data:`WRITE_SECONDS`, or a statement has failed since: load balancers may ask as often as they like.
        """
        failures = self.db.failures
        written_at = self._written_at if self._failures == failures.count else None
        if written_at is not None and clock.steady() - written_at < WRITE_SECONDS:
            return None
        self._written_at, self._failures = None, failures.count
        try:
            await write()
        except (DatabaseUnavailable, TimeoutError):
            return failures.kind if failures.count > self._failures else "database"
        self._written_at = clock.steady()
        return None

    def _disk_is_full(self) -> bool:
        full_at = self.db.failures.full_at
        if full_at is not None and clock.steady() - full_at < FULL_SECONDS:
            return True
        if not self.db.is_sqlite or not self.db.url.database:
            return False
        try:
            return shutil.disk_usage(Path(self.db.url.database).absolute().parent).free < MIN_FREE_BYTES
        except OSError:
            return False
