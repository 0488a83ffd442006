"""Roles that an administrator of units gave end after the user has left these units (docs/decisions/0074)."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.role_assignments import end_assignments
from sso.clients import store as clients
from sso.identity.groups import assignments as store
from sso.platform.actor import SYSTEM
from sso.ssf.events import EventServices

LEFT = "The user has left the unit."
"""The reason that is recorded with such a role."""


async def end_roles_of_left(session: AsyncSession, services: EventServices, limit: int) -> int:
    """End such roles of one application; return how many ended.

    Args:
        session: the transaction.
        services: the registered applications and their event streams.
        limit: how many roles at most.
    """
    left = await store.left_units(session, clock.now(), limit)
    if not left:
        return 0
    # The application is locked before anything of users: the order of locks. Then somebody else may have ended them.
    client_id = left[0].client_id
    await clients.lock_client(session, client_id)
    rows = [row for row in await store.left_units(session, clock.now(), limit) if row.client_id == client_id]
    await end_assignments(session, services, rows, actor=SYSTEM, reason=LEFT)
    return len(rows)
