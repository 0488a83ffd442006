"""What PostgreSQL says about its standbys: how far they lag, and whether a commit waits for one of them.

``sso doctor`` and the metrics show these values. A standby that lags has not replayed the newest transactions: a
fail-over to it loses them, unless each commit waits for it (docs/how-to/high-availability.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import text

from sso.platform.db.database import Database

Guarantee = Literal["none", "disk", "standby_memory", "standby_disk", "standby_visible"]
"""What a commit has waited for: nothing, the disk of the primary, or also the memory, the disk or the replay of a
standby."""
_OF_STANDBYS: dict[str, Guarantee] = {
    "remote_write": "standby_memory",
    "on": "standby_disk",
    "remote_apply": "standby_visible",
}
_SETTINGS = text(
    "SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), pg_is_in_recovery()"
)
_STANDBYS = text("""
    SELECT application_name, state, sync_state, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint,
        extract(epoch FROM replay_lag)::float
    FROM pg_stat_replication ORDER BY application_name, pid
""")


@dataclass(frozen=True, slots=True)
class Standby:
    """A standby as its primary sees it.

    ``state`` and ``sync_state`` are the words of ``pg_stat_replication``. ``lag_bytes``: what was written and not
    replayed; ``lag_seconds``: how long ago that was written. None: PostgreSQL does not tell.
    """

    name: str
    state: str
    sync_state: str
    lag_bytes: int | None
    lag_seconds: float | None


@dataclass(frozen=True, slots=True)
class Replication:
    """The settings of replication, and every standby.

    ``hidden``: there are standbys, and the role of the provider may not see more than their names. GRANT pg_monitor TO
    the role. ``read_only``: the server is a standby itself.
    """

    synchronous_commit: str
    synchronous_standby_names: str
    read_only: bool
    hidden: bool
    standbys: tuple[Standby, ...]

    @property
    def guarantee(self) -> Guarantee:
        """What a commit has waited for when the provider answers."""
        if self.synchronous_commit == "off":
            return "none"
        if not self.synchronous_standby_names:
            return "disk"
        return _OF_STANDBYS.get(self.synchronous_commit, "disk")

    @property
    def commits_wait(self) -> bool:
        """Whether each commit waits for a standby, so that a fail-over to that standby loses nothing."""
        return self.guarantee not in ("none", "disk")

    @property
    def waits_for_nobody(self) -> bool:
        """Whether each commit waits for a standby and none is connected: nothing is stored until one is."""
        return self.commits_wait and not self.standbys

    @property
    def lag_bytes(self) -> int | None:
        """How far the slowest standby is behind; None where there is none, or PostgreSQL does not tell."""
        return max((standby.lag_bytes for standby in self.standbys if standby.lag_bytes is not None), default=None)

    @property
    def lag_seconds(self) -> float | None:
        """The same in seconds."""
        return max((standby.lag_seconds for standby in self.standbys if standby.lag_seconds is not None), default=None)


async def read_replication(db: Database) -> Replication | None:
    """Return what PostgreSQL says about its standbys; None for SQLite.

    Raises:
        DatabaseUnavailable: when the database cannot be reached.
    """
    if db.is_sqlite:
        return None
    async with db.read() as session:
        commit, names, read_only = (await session.execute(_SETTINGS)).one()
        rows = [] if read_only else (await session.execute(_STANDBYS)).all()
    standbys = tuple(
        Standby(
            name=name or "unnamed",
            state=state or "hidden",
            sync_state=sync_state or "hidden",
            lag_bytes=lag_bytes,
            # A standby that has replayed everything reports no time.
            lag_seconds=0.0 if lag_bytes == 0 else seconds,
        )
        for name, state, sync_state, lag_bytes, seconds in rows
    )
    return Replication(commit, names, read_only, any(standby.state == "hidden" for standby in standbys), standbys)
