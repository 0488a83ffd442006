"""What administrators do with memberships."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.access_changes import access_changed
from sso.accounts.services import AccountChanges
from sso.errors import Refusal
from sso.identity.groups.models import Membership
from sso.platform.actor import Actor
from sso.platform.audit import record
from sso.platform.db import new_id


class GroupRefused(Refusal):
    """A change of a membership that is refused."""

    status = 409


async def add_member(
    session: AsyncSession,
    services: AccountChanges,
    *,
    user_id: uuid.UUID,
    group_id: uuid.UUID,
    position: str | None = None,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    source: Literal["manual", "import", "upstream", "scim"] = "manual",
    actor: Actor,
    reason: str,
) -> Membership:
    """Make a user a member of a unit or group."""
    now = clock.now()
    membership = Membership(
        id=new_id(), user_id=user_id, group_id=group_id, position=position, source=source,
        valid_from=valid_from or now, valid_until=valid_until, created_at=now, created_by=actor.name,
    )  # fmt: skip
    session.add(membership)
    await session.flush()
    record(session, "membership.added", actor=actor.name, subject=str(user_id), data={"note": reason})
    await access_changed(session, services, user_ids=[user_id], client_ids=None, actor=actor)
    return membership


async def end_membership(
    session: AsyncSession,
    services: AccountChanges,
    *,
    membership_id: uuid.UUID,
    at: datetime | None = None,
    actor: Actor,
    reason: str,
) -> Membership:
    """End a membership. The row stays, as history."""
    membership = await session.get(Membership, membership_id)
    if membership is None:
        raise GroupRefused("The membership does not exist.")
    membership.valid_until = max(at or clock.now(), membership.valid_from or membership.created_at)
    await session.flush()
    record(session, "membership.ended", actor=actor.name, subject=str(membership.user_id), data={"note": reason})
    await access_changed(session, services, user_ids=[membership.user_id], client_ids=None, actor=actor)
    return membership
