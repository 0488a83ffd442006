"""Reading the clock of the database, which is the clock of every host (``sso.clock``).

With SQLite there is one host, whose clock is the clock.
"""

from __future__ import annotations

import logging

from sqlalchemy import text

from sso import clock
from sso.platform.db.database import Database

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
"""How often the clocks are compared."""
LOOK_SECONDS = 5.0
"""How often while they differ too much: a clock that was put right counts soon."""
QUICK_SECONDS = 0.02
"""A reading that takes no longer is precise enough."""
SLOW_SECONDS = 2.0
"""A reading that takes longer tells nothing, because nobody knows when within it the database looked at its clock."""
READINGS = 3
_NOW = text("SELECT extract(epoch FROM clock_timestamp())::float /* clock */")


class DatabaseClock:
    """Compares the clock of this host with the clock of the database.

    Args:
        db: the database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._read_at: float | None = None
        self._warned = False

    async def keep(self) -> None:
        """Compare the clocks where a minute is over, or the clock of the host was set.

        Raises:
            DatabaseUnavailable: when the database cannot be reached.
        """
        wait = LOOK_SECONDS if clock.is_wrong() else EVERY_SECONDS
        if self._read_at is None or clock.steady() - self._read_at >= wait:
            await self.compare()

    async def compare(self) -> float | None:
        """Read the clock of the database, let :mod:`sso.clock` follow it, and return by how many seconds the clock of
        the host is ahead. None: the clock of the host is the clock.

        Raises:
            DatabaseUnavailable: when the database cannot be reached.
        """
        if self._db.is_sqlite:
            return None
        best: tuple[float, float, float] | None = None
        async with self._db.read() as session:
            connection = await session.connection()  # so that nobody waits for one while the time is taken
            for _ in range(READINGS):
                began = clock.steady()
                seconds = float((await connection.execute(_NOW)).scalar_one())
                taken = clock.steady() - began
                if best is None or taken < best[0]:
                    best = taken, seconds, began + taken / 2
                if taken <= QUICK_SECONDS:
                    break
        assert best is not None
        if best[0] <= SLOW_SECONDS or clock.difference() is None:
            clock.follow(best[1], best[2])
            self._read_at = clock.steady()
        self._tell()
        return clock.difference()

    def _tell(self) -> None:
        """Log when the clock becomes wrong, and when it is right again."""
        wrong = clock.is_wrong()
        if wrong and not self._warned:
            log.error(
                "the clock of this host differs from the clock of the database by %.1f seconds: this host is not "
                "ready and runs no jobs until the clocks agree; the time of the database counts",
                clock.difference() or 0.0,
            )
        elif self._warned and not wrong:
            log.warning("the clock of this host agrees with the clock of the database again")
        self._warned = wrong
