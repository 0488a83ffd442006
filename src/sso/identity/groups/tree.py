"""Every SQL statement about the tree of units: one unit, lists, the way up, and changes under one lock."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.groups.models import Group, GroupAncestor, Membership, RoleAssignment, UnitAdministrator
from sso.identity.users.models import User
from sso.platform.db import fetch, fetch_object, not_ended, table_of, valid_at

MAX_DEPTH = 16
"""How many units may stand above one another, the top unit included."""
_ADVISORY_LOCK = 0x5551
_groups, _administrators = table_of(Group), table_of(UnitAdministrator)
_n, _g, _a = table_of(GroupAncestor).c, _groups.c, _administrators.c
_GET = select(_groups).where(_g.id == bindparam("group_id"))
_OF_CODE = select(_groups).where(_g.code == bindparam("code"))
_DEPTH = select(func.max(_n.depth)).where(_n.group_id == bindparam("group_id"))
_LOCK_TREE = text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
_ADMINISTERED_BY = (
    select(_a.group_id)
    .join(_groups, _g.id == _a.group_id)
    .where(_a.user_id == bindparam("user_id"), valid_at(_g, bindparam("now")))
)

Status = Literal["open", "closed", "all"]
"""Units that are not closed, those that are, or both."""


@dataclass(frozen=True, slots=True)
class GroupFilter:
    """Which units and groups a list has.

    Args:
        words: parts of the name or code, each of which must occur; empty: any.
        kind: unit or group; None: both.
        parent_id: only those directly below this unit.
        top: only those that are below no unit.
        within: only these units and what is below them; None: everywhere.
        ids: only these; None: any.
        status: whether closed ones count.
    """

    words: str = ""
    kind: str | None = None
    parent_id: uuid.UUID | None = None
    top: bool = False
    within: frozenset[uuid.UUID] | None = None
    ids: frozenset[uuid.UUID] | None = None
    status: Status = "open"


@dataclass(frozen=True, slots=True)
class ListedGroup:
    """A unit or group with the number of units below it and of its own members now."""

    group: Group
    units_below: int
    members: int


async def lock_tree(session: AsyncSession) -> None:
    """Let no other transaction change the tree until this one ends. On SQLite one transaction writes at a time."""
    if session.get_bind().dialect.name == "postgresql":
        await fetch(session, _LOCK_TREE)


async def get(session: AsyncSession, group_id: uuid.UUID) -> Group | None:
    """Return a unit or group as it is now."""
    return await fetch_object(session, Group, _GET, {"group_id": group_id}, renew=True)


async def of_code(session: AsyncSession, code: str) -> Group | None:
    """Return the unit or group with a code."""
    return await fetch_object(session, Group, _OF_CODE, {"code": code})


async def of_codes(session: AsyncSession, codes: Collection[str]) -> dict[str, Group]:
    """Return the units and groups with these codes, by code. One statement."""
    statement = select(Group).where(Group.code.in_(codes))
    return {group.code: group for group in (await session.execute(statement)).scalars()}


async def all_groups(session: AsyncSession) -> list[Group]:
    """Return every unit and group, in the order of their codes."""
    return list((await session.execute(select(Group).order_by(Group.code))).scalars())


async def unknown_codes(session: AsyncSession, codes: Collection[str]) -> set[str]:
    """Return those of some codes that no unit and no group has."""
    in_order, known = sorted(codes), set[str]()
    for start in range(0, len(in_order), 500):
        rows = await session.execute(select(Group.code).where(Group.code.in_(in_order[start : start + 500])))
        known |= set(rows.scalars())
    return set(in_order) - known


def _conditions(chosen: GroupFilter, now: datetime) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if chosen.kind is not None:
        conditions.append(Group.kind == chosen.kind)
    if chosen.parent_id is not None:
        conditions.append(Group.parent_id == chosen.parent_id)
    if chosen.top:
        conditions.append(Group.parent_id.is_(None))
    if chosen.within is not None:
        conditions.append(Group.id.in_(select(_n.group_id).where(_n.ancestor_id.in_(chosen.within))))
    if chosen.ids is not None:
        conditions.append(Group.id.in_(chosen.ids))
    for word in chosen.words.lower().split()[:5]:
        conditions.append(or_(*(func.lower(column).contains(word, autoescape=True) for column in _SEARCHED)))
    if chosen.status == "closed":
        conditions.append(and_(Group.valid_until.is_not(None), Group.valid_until <= now))
    elif chosen.status == "open":
        conditions.append(not_ended(Group, now))
    return conditions


_SEARCHED = (Group.name_id, Group.name_en, Group.code)


async def page_of_groups(
    session: AsyncSession, chosen: GroupFilter, after: str | None, limit: int, now: datetime
) -> list[Group]:
    """Return units and groups in the order of their codes, after the code ``after``. One statement."""
    statement = select(Group).where(*_conditions(chosen, now)).order_by(Group.code).limit(limit)
    if after is not None:
        statement = statement.where(Group.code > after)
    return list((await session.execute(statement)).scalars())


async def counted(session: AsyncSession, groups: Sequence[Group], now: datetime) -> list[ListedGroup]:
    """Return units and groups with their numbers. Two statements."""
    ids = [group.id for group in groups]
    if not ids:
        return []
    below = select(_n.ancestor_id, func.count()).where(_n.ancestor_id.in_(ids), _n.depth > 0).group_by(_n.ancestor_id)
    members = (
        select(Membership.group_id, func.count())
        .where(Membership.group_id.in_(ids), valid_at(Membership, now))
        .group_by(Membership.group_id)
    )
    units = {row[0]: row[1] for row in await session.execute(below)}
    people = {row[0]: row[1] for row in await session.execute(members)}
    return [ListedGroup(group, units.get(group.id, 0), people.get(group.id, 0)) for group in groups]


_WAY_TO = (
    select(_n.group_id, Group)
    .join(Group, Group.id == _n.ancestor_id)
    .where(_n.group_id.in_(bindparam("group_ids", expanding=True)))
    .order_by(_n.depth.desc())
)


async def way_to(session: AsyncSession, group_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[Group]]:
    """Return the units above each unit, the top unit first, and the unit itself last. One statement."""
    ways: dict[uuid.UUID, list[Group]] = {}
    for group_id, group in (await session.execute(_WAY_TO, {"group_ids": [*group_ids]})).all():
        ways.setdefault(group_id, []).append(group)
    return ways


_HEIGHT = select(func.max(_n.depth)).where(_n.ancestor_id == bindparam("id"))


async def depth_of(session: AsyncSession, group_id: uuid.UUID) -> int:
    """Return how many units stand above a unit."""
    return int((await fetch(session, _DEPTH, {"group_id": group_id})).scalar_one_or_none() or 0)


async def height_of(session: AsyncSession, group_id: uuid.UUID) -> int:
    """Return how many levels of units stand below a unit."""
    return int((await session.execute(_HEIGHT, {"id": group_id})).scalar_one() or 0)


async def is_too_deep(session: AsyncSession) -> bool:
    """Tell whether the tree has more levels than it may."""
    return (await session.execute(select(_n.depth).where(_n.depth >= MAX_DEPTH).limit(1))).first() is not None


async def open_below(session: AsyncSession, group_id: uuid.UUID, at: datetime) -> int:
    """Return how many units below a unit are not closed by a moment."""
    statement = (
        select(func.count())
        .select_from(Group)
        .join(GroupAncestor, GroupAncestor.group_id == Group.id)
        .where(_n.ancestor_id == group_id, _n.depth > 0, not_ended(Group, at))
    )
    return int((await session.execute(statement)).scalar_one())


async def set_parent(session: AsyncSession, group: Group, parent_id: uuid.UUID | None, now: datetime) -> None:
    """Write the parent of a unit; its rows of :class:`GroupAncestor` are another statement."""
    group.parent_id, group.updated_at = parent_id, now
    await session.flush()


async def close_with_below(session: AsyncSession, group_id: uuid.UUID, at: datetime, now: datetime) -> None:
    """Close a unit and every unit below it that is not closed before. One statement."""
    below = select(_n.group_id).where(_n.ancestor_id == group_id)
    statement = update(Group).where(Group.id.in_(below), not_ended(Group, at)).values(valid_until=at, updated_at=now)
    await session.execute(statement.execution_options(synchronize_session=False))


async def lock_for_deletion(session: AsyncSession, group_id: uuid.UUID) -> None:
    """Wait until no transaction adds a row that points to a unit or group, and let none begin to."""
    await session.execute(select(Group.id).where(Group.id == group_id).with_for_update())


async def is_empty(session: AsyncSession, group_id: uuid.UUID) -> bool:
    """Tell whether nothing is below a unit, nobody is or was a member of it, and no role was given to it or for it."""
    given = or_(RoleAssignment.group_id == group_id, RoleAssignment.unit_id == group_id)
    for statement in (
        select(Group.id).where(Group.parent_id == group_id),
        select(Membership.id).where(Membership.group_id == group_id),
        select(RoleAssignment.id).where(given),
    ):
        if (await session.execute(statement.limit(1))).first() is not None:
            return False
    return True


async def delete_group(session: AsyncSession, group_id: uuid.UUID) -> None:
    """Delete a unit or group, with its rows in the tree and its administrators."""
    await session.execute(delete(Group).where(Group.id == group_id))


async def administered_by(session: AsyncSession, user_id: uuid.UUID) -> frozenset[uuid.UUID]:
    """Return the units that a user manages now, without those below them. Nobody manages a unit that is closed, or has
    not begun."""
    return frozenset(row[0] for row in await fetch(session, _ADMINISTERED_BY, {"user_id": user_id, "now": clock.now()}))


async def is_within(session: AsyncSession, group_id: uuid.UUID, roots: Collection[uuid.UUID]) -> bool:
    """Tell whether a unit is one of ``roots`` or below one of them."""
    statement = select(_n.depth).where(_n.group_id == group_id, _n.ancestor_id.in_(roots)).limit(1)
    return (await session.execute(statement)).first() is not None


@dataclass(frozen=True, slots=True)
class ListedAdministrator:
    """An administrator of a unit: of itself (``group`` is the unit), or of a unit above it."""

    user_id: uuid.UUID
    name: str
    group: Group
    since: datetime


_ADMINISTRATORS_OF = (
    select(User.id, User.name, Group, UnitAdministrator.created_at)
    .select_from(GroupAncestor)
    .join(UnitAdministrator, UnitAdministrator.group_id == GroupAncestor.ancestor_id)
    .join(User, User.id == UnitAdministrator.user_id)
    .join(Group, Group.id == GroupAncestor.ancestor_id)
    .where(GroupAncestor.group_id == bindparam("group_id"))
    .order_by(GroupAncestor.depth, User.name, User.id)
    .limit(200)
)
_UNITS_RECORDED_FOR = (
    select(Group)
    .join(UnitAdministrator, UnitAdministrator.group_id == Group.id)
    .where(UnitAdministrator.user_id == bindparam("user_id"))
    .order_by(Group.code)
)


async def administrators_of(session: AsyncSession, group_id: uuid.UUID) -> list[ListedAdministrator]:
    """Return who looks after a unit, those of the unit itself first. One statement."""
    rows = await session.execute(_ADMINISTRATORS_OF, {"group_id": group_id})
    return [ListedAdministrator(*row) for row in rows.all()]


async def units_recorded_for(session: AsyncSession, user_id: uuid.UUID) -> list[Group]:
    """Return the units whose administrator a user is, also those that are closed, by code."""
    return list((await session.execute(_UNITS_RECORDED_FOR, {"user_id": user_id})).scalars())


async def remove_administrator(session: AsyncSession, user_id: uuid.UUID) -> list[Group]:
    """Let a user manage no unit any more; return the units."""
    units = await units_recorded_for(session, user_id)
    if units:
        await session.execute(delete(UnitAdministrator).where(UnitAdministrator.user_id == user_id))
    return units


async def replace_administrators(
    session: AsyncSession, group_id: uuid.UUID, user_ids: Collection[uuid.UUID], now: datetime, by: str
) -> tuple[list[uuid.UUID], list[uuid.UUID]]:
    """Let these users, and no others, look after a unit. Return who was added and who was removed."""
    statement = select(UnitAdministrator.user_id).where(UnitAdministrator.group_id == group_id)
    present, chosen = set((await session.execute(statement)).scalars()), set(user_ids)
    added, removed = sorted(chosen - present), sorted(present - chosen)
    if removed:
        mine = (UnitAdministrator.group_id == group_id) & UnitAdministrator.user_id.in_(removed)
        await session.execute(delete(UnitAdministrator).where(mine))
    session.add_all(
        UnitAdministrator(user_id=user_id, group_id=group_id, created_at=now, created_by=by) for user_id in added
    )
    await session.flush()
    return added, removed
