"""Ending again what the database has forgotten, after a fail-over to a standby that lagged."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.logout.end_sessions import end_client_sessions, end_sessions
from sso.oidc.store import store as tokens
from sso.platform.actor import SYSTEM
from sso.platform.audit import record
from sso.platform.db import DatabaseUnavailable
from sso.platform.db.ends import End, Ends
from sso.platform.services import HasDatabase, HasSettings
from sso.ssf.events import EventServices

log = logging.getLogger(__name__)

PART = 100
WHY = "the database had lost this end in a fail-over"


class EndServices(EventServices, HasDatabase, HasSettings, Protocol):
    """What applying forgotten ends needs."""


async def follow_ends(
    services: EndServices, stop: asyncio.Event, nudge: Callable[[], None] = lambda: None, ends: Ends | None = None
) -> None:
    """Remember every end until ``stop``, and end again what the database forgets. ``nudge`` is called after deliveries
    were written."""
    if services.db.is_sqlite:
        return
    ends = ends if ends is not None else Ends()
    interval = services.settings.registry_poll_interval.total_seconds()
    while True:
        try:
            lost = await ends.follow(services.db)
            for first in range(0, len(lost), PART):
                part = lost[first : first + PART]
                if await end_again(services, part):
                    nudge()
                ends.discard(part)
        except DatabaseUnavailable as error:
            log.warning("cannot read what ended: %s", error)
        except Exception:
            log.exception("cannot read what ended")
        if await clock.pause(stop, interval):
            return


async def end_again(services: EndServices, lost: Sequence[End]) -> int:
    """End what is active again, with an audit event in each transaction; return how much there was.

    Another process may do the same at the same time: the one that comes second finds nothing.
    """
    counts: Counter[str] = Counter()
    sessions_by_reason: defaultdict[str, list[End]] = defaultdict(list)
    for end in lost:
        if end.kind == "session":
            sessions_by_reason[end.reason or EndReason.SIGNED_OUT].append(end)
    for reason, ends in sorted(sessions_by_reason.items()):
        counts["sessions"] += await _apply(services, ends, partial(_end_sessions, reason=EndReason(reason)))
    for kind, work in _OTHERS.items():
        ends = [end for end in lost if end.kind == kind]
        if ends:
            counts[kind + "s"] += await _apply(services, ends, work)
    if counts.total():
        log.warning("ended again what the database had lost: %s", dict(counts))
    return counts.total()


Apply = Callable[[AsyncSession, EndServices, Sequence[End]], Awaitable[int]]


async def _apply(services: EndServices, ends: Sequence[End], work: Apply) -> int:
    async with services.db.write() as session:
        count = await work(session, services, ends)
        if count:
            first = min(end.at for end in ends)
            data = {"kind": ends[0].kind, "count": count, "why": WHY, "first_ended_at": first.isoformat()}
            record(session, "ends.applied_again", actor=SYSTEM.name, data=data)
    return count


async def _end_sessions(session: AsyncSession, services: EndServices, ends: Sequence[End], reason: EndReason) -> int:
    active = await sessions.lock(session, *sessions.where_not_ended([_id(end) for end in ends]))
    await end_sessions(session, services, active, reason, actor=SYSTEM, note=WHY)
    return len(active)


async def _revoke_grants(session: AsyncSession, _: EndServices, ends: Sequence[End]) -> int:
    return len(await tokens.revoke_grants(session, [_id(end) for end in ends], clock.now()))


async def _revoke_access_tokens(session: AsyncSession, _: EndServices, ends: Sequence[End]) -> int:
    return await tokens.revoke_access_tokens(session, [bytes.fromhex(end.target) for end in ends], clock.now())


async def _end_client_sessions(session: AsyncSession, services: EndServices, ends: Sequence[End]) -> int:
    """End the parts of applications. A part that was used after its end was opened again on purpose."""
    count = 0
    for end in ends:
        if end.client_id is None or await sessions.is_used_since(session, _id(end), end.client_id, end.at):
            continue
        reason = EndReason(end.reason or EndReason.CLIENT_SUSPENDED)
        count += bool(await end_client_sessions(session, services, end.client_id, [_id(end)], reason, actor=SYSTEM))
    return count


def _id(end: End) -> uuid.UUID:
    return uuid.UUID(hex=end.target)


_OTHERS: dict[str, Apply] = {
    "grant": _revoke_grants,
    "access_token": _revoke_access_tokens,
    "client_session": _end_client_sessions,
}
