"""Ends that last: what was ended is ended again where the database has forgotten it.

A fail-over to a standby that lagged loses the newest transactions: a session that its user has ended would be active
again. Each transaction that ends something therefore writes a row with a number from a sequence (:func:`note_ends`).
Each process reads these rows every second, keeps them for ten minutes in memory (:class:`Ends`), and notices when the
database has lost some. ``sso.logout.lost_ends`` then ends the same things again.

SQLite has no standby: nothing is written and nothing kept.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import BigInteger, Integer, String, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from sso import clock
from sso.platform.db.base import Base, new_id, table_of
from sso.platform.db.batches import delete_batch
from sso.platform.db.database import Database
from sso.platform.db.fetch import fetch
from sso.platform.db.prepared import Executor

log = logging.getLogger(__name__)

Kind = Literal["session", "client_session", "grant", "access_token"]
KEPT = timedelta(minutes=10)
"""How long a process keeps an end in memory: a standby that lags more is not to be promoted."""
STORED = timedelta(minutes=15)
"""How long the row is kept: longer, so that a row that is missing was not deleted."""
MAX_KEPT = 20_000
"""How many ends a process keeps, the newest; a warning says when there were more."""
OVERLAP = 200
"""How many numbers before the newest are read again: a transaction with a lower number may commit later."""
LOOK_SECONDS = 60.0
"""How often a process looks for lost ends also where nothing seems to have happened."""


class Ended(Base):
    """Something that ended: ``target`` is the id of the session or grant, or the hash of the access token.

    ``token`` tells two rows apart that got the same number, before and after a fail-over.
    """

    __tablename__ = "ends"

    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    token: Mapped[uuid.UUID]
    kind: Mapped[str] = mapped_column(String(16))
    target: Mapped[str] = mapped_column(String(64))
    client_id: Mapped[str | None] = mapped_column(String(100))
    reason: Mapped[str | None] = mapped_column(String(32))
    at: Mapped[datetime] = mapped_column(index=True)


_ends = table_of(Ended)
_e = _ends.c
_COLUMNS = (_e.seq, _e.token, _e.kind, _e.target, _e.client_id, _e.reason, _e.at)
_STATE = text("""
    SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
        coalesce((SELECT max(seq) FROM ends), 0)
""")
_INSERT = _ends.insert()
_YOUNG = (
    select(*_COLUMNS)
    .where(_e.seq > bindparam("after"), _e.at > bindparam("since"))
    .order_by(_e.seq.desc())
    .limit(bindparam("limit"))
)
_THERE = select(_e.token).where(_e.seq >= bindparam("first"))


@dataclass(frozen=True, slots=True)
class End:
    """An end in memory; see :class:`Ended`."""

    seq: int
    token: uuid.UUID
    kind: Kind
    target: str
    client_id: str | None
    reason: str | None
    at: datetime


def _rows(
    kind: Kind, targets: Iterable[uuid.UUID | bytes], client_id: str | None, reason: str | None, at: datetime
) -> list[dict[str, object]]:
    shared = {"kind": kind, "client_id": client_id, "reason": reason, "at": at}
    return [{"token": new_id(), "target": _text(target), **shared} for target in targets]


def _text(target: uuid.UUID | bytes) -> str:
    return target.hex if isinstance(target, uuid.UUID) else target.hex()


async def note_ends(
    session: AsyncSession,
    kind: Kind,
    targets: Sequence[uuid.UUID],
    at: datetime,
    *,
    client_id: str | None = None,
    reason: str | None = None,
) -> None:
    """Note within the transaction of ``session`` that something ended."""
    if targets and session.get_bind().dialect.name == "postgresql":
        await session.execute(_INSERT, _rows(kind, targets, client_id, reason, at))


def note_end(session: Executor, kind: Kind, target: uuid.UUID | bytes, at: datetime) -> None:
    """The same for one thing, within the bridge."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_INSERT, _rows(kind, [target], None, None, at)[0])


async def delete_old(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete rows from before ``before``, at most ``limit``; return the number."""
    return await delete_batch(session, Ended, Ended.at, limit, Ended.at < before)


class Ends:
    """What a process remembers of ends, its own and those of every other process."""

    def __init__(self) -> None:
        self._kept: dict[uuid.UUID, End] = {}
        self._lost: dict[uuid.UUID, End] = {}
        self._lost_at = 0.0
        self._newest = 0
        self._timeline: str | None = None
        self._looked_at: float | None = None
        self._is_cut = False

    def __len__(self) -> int:
        return len(self._kept)

    async def follow(self, db: Database) -> list[End]:
        """Read what ended since the last time; return the ends that the database has forgotten. They are returned again
        until :meth:`discard` is called, for ten minutes.

        Raises:
            DatabaseUnavailable: when the database cannot be reached.
        """
        if db.is_sqlite:
            return []
        async with db.read() as session:
            [(timeline, newest)] = await fetch(session, _STATE)
            if timeline is None:  # a standby, that cannot be written yet
                return []
            # Rows are deleted when nothing of them is in memory any more, so that a quiet night is no fail-over.
            failed_over = self._timeline not in (None, timeline) or (newest < self._newest and bool(self._kept))
            due = self._looked_at is None or clock.steady() - self._looked_at >= LOOK_SECONDS
            if not failed_over:  # the outage before a fail-over may have lasted longer than an end is kept
                self._drop_old()
            lost = await self._missing(session) if failed_over or due else []
            if lost:
                self._lost, self._lost_at = {end.token: end for end in lost}, clock.steady()
            if newest != self._newest or failed_over or due:
                await self._read(session, 0 if failed_over or due else self._newest - OVERLAP)
        self._timeline, self._newest = timeline, newest
        if failed_over or due:
            self._looked_at = clock.steady()
        if failed_over:
            log.warning(
                "the database has failed over to timeline %s; %d of %d ends that this process remembers are lost",
                timeline, len(lost), len(self._kept),
            )  # fmt: skip
        return list(self._lost.values())

    def discard(self, ends: Iterable[End]) -> None:
        """Forget ends that were ended again: the rows of that are new."""
        for end in ends:
            self._kept.pop(end.token, None)
            self._lost.pop(end.token, None)

    def remember(self, end: End) -> None:
        """Keep an end."""
        self._kept[end.token] = end

    async def _read(self, session: AsyncSession, after: int) -> None:
        """Read the ends with a number above ``after`` that are young enough."""
        values = {"after": after, "since": clock.now() - KEPT, "limit": MAX_KEPT + 1}
        rows = await fetch(session, _YOUNG, values)
        for row in reversed(rows):
            self.remember(End(*row))
        self._tell_of_cut(cut=len(self._kept) > MAX_KEPT)
        while len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]

    def _tell_of_cut(self, *, cut: bool) -> None:
        """Log once for each time that more has ended than is kept."""
        if cut and not self._is_cut:
            log.warning(
                "more than %d sign-outs and revocations within %d minutes: after a fail-over that loses some, this "
                "process can apply only the newest again; see docs/how-to/operations.md",
                MAX_KEPT, KEPT.total_seconds() // 60,
            )  # fmt: skip
        self._is_cut = cut

    async def _missing(self, session: AsyncSession) -> list[End]:
        """Return the ends whose rows are not there."""
        if not self._kept:
            return []
        first = min(end.seq for end in self._kept.values())
        there = {row[0] for row in await fetch(session, _THERE, {"first": first})}
        return [end for end in self._kept.values() if end.token not in there]

    def _drop_old(self) -> None:
        before = clock.now() - KEPT
        if self._lost and clock.steady() - self._lost_at > KEPT.total_seconds():
            self._lost.clear()
        for token in [token for token, end in self._kept.items() if end.at <= before and token not in self._lost]:
            del self._kept[token]
