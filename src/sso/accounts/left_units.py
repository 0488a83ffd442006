"""Roles that an administrator of units gave end after the user has left these units (docs/decisions/0074).

A job looks at the memberships that ended since it looked the last time. Once a day it looks at all of them: an end in
the past can be recorded later, and somebody can be made an administrator later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.role_assignments import end_assignments
from sso.clients import store as clients
from sso.identity.groups import assignments as store
from sso.identity.groups.models import AccessClock
from sso.platform.actor import SYSTEM
from sso.platform.db import insert_for
from sso.ssf.events import EventServices

LEFT = "The user has left the unit."
"""The reason that is recorded with such a role."""
NEW_ENDS, ALL_ENDS = "left", "left_all"
"""Until when the job has looked, and when it last looked at everything: rows of ``access_clock``."""
ALL_EVERY = timedelta(days=1)
OVERLAP = timedelta(minutes=10)
"""A transaction can be committed so long after the end that it wrote."""


@dataclass(frozen=True, slots=True)
class Look:
    """Which memberships the job looks at: those that ended after ``since``; None: all that ended. ``until``: from where
    it looks the next time."""

    since: datetime | None
    until: datetime


async def next_look(session: AsyncSession) -> Look:
    """Return what the job has to look at now. One statement."""
    chosen = select(AccessClock.name, AccessClock.looked_until).where(AccessClock.name.in_((NEW_ENDS, ALL_ENDS)))
    times: dict[str, datetime] = {row[0]: row[1] for row in (await session.execute(chosen)).all()}
    now, last, whole = clock.now(), times.get(NEW_ENDS), times.get(ALL_ENDS)
    if last is None or whole is None or whole <= now - ALL_EVERY:
        return Look(None, now)
    return Look(min(last, now) - OVERLAP, now)


async def have_looked(session: AsyncSession, look: Look) -> None:
    """Record that every such role of a look was ended. Where the job fails before, it looks again."""
    names = (NEW_ENDS,) if look.since is not None else (ALL_ENDS, NEW_ENDS)
    statement = insert_for(session)(AccessClock).values(
        [{"name": name, "looked_until": look.until} for name in sorted(names)]
    )
    changed = {"looked_until": statement.excluded.looked_until}
    await session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changed))


async def end_roles_of_left(session: AsyncSession, services: EventServices, look: Look, limit: int) -> int:
    """End such roles of one application; return how many ended.

    Args:
        session: the transaction.
        services: the registered applications and their event streams.
        look: the memberships that are looked at.
        limit: how many roles at most.
    """
    left = await store.left_units(session, look.since, clock.now(), limit)
    if not left:
        return 0
    # The application is locked before anything of users: the order of locks. Then somebody else may have ended them.
    client_id = left[0].client_id
    await clients.lock_client(session, client_id)
    again = await store.left_units(session, look.since, clock.now(), limit)
    rows = [row for row in again if row.client_id == client_id]
    await end_assignments(session, services, rows, actor=SYSTEM, reason=LEFT)
    return len(rows)
