"""Units of a city, and memberships, for tests."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import select
from tests.support import City

from sso.accounts import groups
from sso.identity.groups.models import Group, Membership
from sso.identity.groups.schemas import NewGroup
from sso.platform.actor import Actor
from sso.platform.audit.models import AuditEvent

ACTOR = Actor("cli")
TREE = (("KOTA", None), ("DINKES", "KOTA"), ("PKM-1", "DINKES"), ("PKM-2", "DINKES"), ("DISDIK", "KOTA"))
"""The units of :func:`tree`: code and parent."""


async def tree(city: City, units: tuple[tuple[str, str | None], ...] = TREE) -> dict[str, uuid.UUID]:
    """Create units, and return their ids by code."""
    ids: dict[str, uuid.UUID] = {}
    async with city.provider.db.write() as session:
        for code, parent in units:
            new = NewGroup(code=code, name_id=f"Unit {code}", parent_id=ids.get(parent or ""))
            ids[code] = (await groups.create_group(session, new, actor=ACTOR, reason="tes")).id
    return ids


async def join(city: City, name: str, group_id: uuid.UUID, **about: Any) -> Membership:
    """Make a user of the city a member of a unit."""
    async with city.provider.db.write() as session:
        return await groups.add_member(
            session, city.provider, user_id=city.users[name], group_id=group_id, actor=ACTOR, reason="tes", **about
        )


async def parents(city: City) -> dict[str, str | None]:
    """Return the code of the parent of each unit."""
    async with city.provider.db.read() as session:
        rows = list((await session.execute(select(Group))).scalars())
    codes = {row.id: row.code for row in rows}
    return {row.code: codes[row.parent_id] if row.parent_id else None for row in rows}


async def events(city: City, type_: str) -> list[AuditEvent]:
    """Return the events of a type, the oldest first."""
    async with city.provider.db.read() as session:
        found = select(AuditEvent).where(AuditEvent.type == type_).order_by(AuditEvent.id)
        return list((await session.execute(found)).scalars())
