"""SQL statements about role assignments: lists, where a role comes from, and what the rule of giving needs."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from sqlalchemy import BindParameter, ColumnElement, String, and_, bindparam, cast, func, literal, null, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from sso import clock
from sso.identity.groups.models import (
    AccessReview,
    Group,
    GroupAncestor,
    Membership,
    RoleAssignment,
    UnitAdministrator,
)
from sso.identity.users.models import User
from sso.platform.db import fetch, not_ended, table_of, valid_at
from sso.platform.db.sql_types import SelectStatement, SqlValue

State = Literal["current", "ended", "all"]
Limit = aliased(Group, name="limit_unit")
Own = aliased(Group, name="own_group")
Named = TypeVar("Named", User, RoleAssignment, Group)
_memberships, _groups = map(table_of, (Membership, Group))
_n, _m, _r = table_of(GroupAncestor).c, _memberships.c, table_of(AccessReview).c
_now: BindParameter[datetime] = bindparam("now")


@dataclass(frozen=True, slots=True)
class AssignmentFilter:
    """Which assignments: each given field narrows. ``clients``: only of these applications; None: of all. ``at_unit``:
    those that were given to a unit or group, or to one of its members for this unit only. ``only``: this one, if the
    other fields fit it. ``unit_id``: those that were given to this unit or group, or are limited to it.
    ``words``: parts of the name of the user, unit or group, or its code, or the whole user id. ``unconfirmed``: those
    that the running review of their application has yet to confirm.

    ``limited_below``: and, whatever ``clients`` says, those of the applications ``of_units`` that are limited to one of
    these units or to a unit below it.
    """

    client_id: str | None = None
    user_id: uuid.UUID | None = None
    group_id: uuid.UUID | None = None
    role: str | None = None
    state: State = "current"
    clients: frozenset[str] | None = None
    at_unit: uuid.UUID | None = None
    unit_id: uuid.UUID | None = None
    words: str = ""
    only: uuid.UUID | None = None
    unconfirmed: bool = False
    limited_below: frozenset[uuid.UUID] = frozenset()
    of_units: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Listed:
    """An assignment with the names that pages show of it. ``group`` and ``unit``: None where there is none."""

    assignment: RoleAssignment
    user_name: str | None
    group: Group | None
    unit: Group | None


@dataclass(frozen=True, slots=True)
class HeldFrom:
    """A role that a user has now, and where it comes from: ``group`` and ``member_of`` are None of a direct one.

    Args:
        user_id: the user.
        name: of the user.
        assignment: gives the role.
        unit: the unit that the role is limited to.
        group: the group that the role was given to.
        member_of: the group that the user is a member of: ``group`` itself, or a unit below it.
    """

    user_id: uuid.UUID
    name: str
    assignment: RoleAssignment
    unit: Group | None
    group: Group | None
    member_of: Group | None


_LISTED = (
    select(RoleAssignment, User.name, Group, Limit)
    .outerjoin(User, User.id == RoleAssignment.user_id)
    .outerjoin(Group, Group.id == RoleAssignment.group_id)
    .outerjoin(Limit, Limit.id == RoleAssignment.unit_id)
)
_GET = _LISTED.where(RoleAssignment.id == bindparam("id")).execution_options(populate_existing=True)


async def page_of(
    session: AsyncSession, chosen: AssignmentFilter, before: uuid.UUID | None, now: datetime, limit: int
) -> list[Listed]:
    """Return assignments with their names, the newest first, older than ``before``. One statement."""
    statement = _LISTED.where(*_chosen(chosen, now))
    if before is not None:
        statement = statement.where(RoleAssignment.id < before)
    rows = await session.execute(statement.order_by(RoleAssignment.id.desc()).limit(limit))
    return [Listed(row[0], row[1], row[2], row[3]) for row in rows.all()]


def _chosen(chosen: AssignmentFilter, now: datetime) -> list[ColumnElement[bool]]:
    values = {
        RoleAssignment.client_id: chosen.client_id,
        RoleAssignment.user_id: chosen.user_id,
        RoleAssignment.group_id: chosen.group_id,
        RoleAssignment.role: chosen.role,
        RoleAssignment.id: chosen.only,
    }
    conditions: list[ColumnElement[bool]] = [column == value for column, value in values.items() if value is not None]
    if chosen.state == "current":
        conditions.append(not_ended(RoleAssignment, now))
    elif chosen.state == "ended":
        conditions.append(RoleAssignment.valid_until <= now)
    if chosen.clients is not None:
        below = select(GroupAncestor.group_id).where(GroupAncestor.ancestor_id.in_(chosen.limited_below))
        limited = and_(RoleAssignment.unit_id.in_(below), RoleAssignment.client_id.in_(chosen.of_units))
        conditions.append(or_(RoleAssignment.client_id.in_(chosen.clients), limited))
    if chosen.at_unit is not None:
        people = (
            select(Membership.user_id)
            .join(GroupAncestor, GroupAncestor.group_id == Membership.group_id)
            .where(GroupAncestor.ancestor_id == chosen.at_unit, valid_at(Membership, now))
        )
        limited = and_(RoleAssignment.unit_id == chosen.at_unit, RoleAssignment.user_id.in_(people))
        conditions.append(or_(RoleAssignment.group_id == chosen.at_unit, limited))
    if chosen.unit_id is not None:
        conditions.append(or_(RoleAssignment.group_id == chosen.unit_id, RoleAssignment.unit_id == chosen.unit_id))
    conditions += _named_with(chosen.words)
    if chosen.unconfirmed:
        running = (AccessReview.client_id == RoleAssignment.client_id, AccessReview.status == "running")
        conditions.append(select(null()).where(*running, *to_review(AccessReview.started_at, now)).exists())
    return conditions


def _named_with(words: str) -> list[ColumnElement[bool]]:
    """Return the conditions that an assignment was given to a user or group with these words in the name or code."""
    try:
        return [RoleAssignment.user_id == uuid.UUID(words)]
    except ValueError:
        pass
    columns = (User.name, Group.name_id, Group.name_en, Group.code)
    return [
        or_(*(func.lower(column).contains(word, autoescape=True) for column in columns))
        for word in words.lower().split()[:5]
    ]


async def get(session: AsyncSession, assignment_id: uuid.UUID) -> Listed | None:
    """Return one assignment with its names, as it is now."""
    row = (await session.execute(_GET, {"id": assignment_id})).first()
    return Listed(row[0], row[1], row[2], row[3]) if row is not None else None


async def same_as(session: AsyncSession, new: RoleAssignment, now: datetime) -> RoleAssignment | None:
    """Return an assignment that has not ended and gives the same role to the same user or group for the same unit."""
    statement = select(RoleAssignment).where(
        RoleAssignment.client_id == new.client_id,
        RoleAssignment.role == new.role,
        _equal(RoleAssignment.user_id, new.user_id),
        _equal(RoleAssignment.group_id, new.group_id),
        _equal(RoleAssignment.unit_id, new.unit_id),
        RoleAssignment.with_units_below.is_(new.with_units_below),
        not_ended(RoleAssignment, now),
    )
    return (await session.execute(statement.limit(1))).scalar_one_or_none()


def _equal(column: InstrumentedAttribute[uuid.UUID | None], value: uuid.UUID | None) -> ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


async def held_from(
    session: AsyncSession,
    now: datetime,
    *,
    user_id: uuid.UUID | None = None,
    client_id: str | None = None,
    only: Collection[uuid.UUID] | None = None,
    after: tuple[uuid.UUID, uuid.UUID] | None = None,
    limit: int = 1000,
) -> list[HeldFrom]:
    """Return the roles that users have now, each with where it comes from: of a user, or of an application.

    In the order of users and assignments, after the pair ``after``. ``only``: of no others than these users.
    """
    chosen = only if user_id is None else [user_id]
    of_user = [RoleAssignment.user_id.in_(chosen)] if chosen is not None else []
    of_client = [RoleAssignment.client_id == client_id] if client_id is not None else []
    limited = or_(RoleAssignment.unit_id.is_(None), valid_at(Limit, now))
    no_id = literal(None, Group.id.type)
    direct = (
        select(RoleAssignment.user_id.label("user_id"), RoleAssignment.id.label("assignment_id"), no_id.label("own_id"))
        .outerjoin(Limit, Limit.id == RoleAssignment.unit_id)
        .where(RoleAssignment.user_id.is_not(None), *of_user, *of_client, valid_at(RoleAssignment, now), limited)
    )
    grouped = (
        select(Membership.user_id, RoleAssignment.id, func.min(_text(session, Membership.group_id)))
        .join(GroupAncestor, GroupAncestor.group_id == Membership.group_id)
        .join(Own, Own.id == Membership.group_id)
        .join(Group, Group.id == GroupAncestor.ancestor_id)
        .join(RoleAssignment, RoleAssignment.group_id == GroupAncestor.ancestor_id)
        .outerjoin(Limit, Limit.id == RoleAssignment.unit_id)
        .where(*([Membership.user_id.in_(chosen)] if chosen is not None else []), *of_client)
        .where(
            valid_at(Membership, now), valid_at(Own, now), valid_at(Group, now), valid_at(RoleAssignment, now), limited
        )
        .where(or_(GroupAncestor.depth == 0, RoleAssignment.with_units_below.is_(True)))
        .group_by(Membership.user_id, RoleAssignment.id)
    )
    return await _named(session, direct, grouped, after, limit)


def _text(session: AsyncSession, column: InstrumentedAttribute[uuid.UUID]) -> SqlValue:
    """Return an id in the form in which MIN knows it: PostgreSQL below 18 has no MIN of UUIDs."""
    return cast(column, String) if session.get_bind().dialect.name == "postgresql" else column


async def _named(
    session: AsyncSession,
    direct: SelectStatement,
    grouped: SelectStatement,
    after: tuple[uuid.UUID, uuid.UUID] | None,
    limit: int,
) -> list[HeldFrom]:
    """Return the rows of two statements in one order, with the names of what they mean."""
    rows: list[tuple[uuid.UUID, uuid.UUID, uuid.UUID | str | None]] = []
    for statement in (direct, grouped):
        user, assignment = list(statement.selected_columns)[:2]
        later = [] if after is None else [or_(user > after[0], and_(user == after[0], assignment > after[1]))]
        page = statement.where(*later).order_by(user, assignment).limit(limit)
        rows += [(row[0], row[1], row[2]) for row in (await session.execute(page)).all()]
    rows = sorted(rows, key=lambda row: (row[0], row[1]))[:limit]
    names = await _by_id(session, User, {row[0] for row in rows})
    assignments = await _by_id(session, RoleAssignment, {row[1] for row in rows})
    owns: dict[uuid.UUID | str | None, uuid.UUID] = {
        row[2]: uuid.UUID(str(row[2])) for row in rows if row[2] is not None
    }
    of_assignments = {
        group_id
        for assignment in assignments.values()
        for group_id in (assignment.group_id, assignment.unit_id)
        if group_id is not None
    }
    groups = await _by_id(session, Group, of_assignments | set(owns.values()))
    return [
        HeldFrom(
            user_id,
            names[user_id].name or "",
            assignments[assignment_id],
            _known(groups, assignments[assignment_id].unit_id),
            _known(groups, assignments[assignment_id].group_id),
            _known(groups, owns.get(own)),
        )
        for user_id, assignment_id, own in rows
    ]


def _known(groups: Mapping[uuid.UUID, Group], group_id: uuid.UUID | None) -> Group | None:
    return groups.get(group_id) if group_id is not None else None


async def _by_id(session: AsyncSession, model: type[Named], ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Named]:
    by_id: dict[uuid.UUID, Named] = {}
    chosen = sorted(ids)
    for start in range(0, len(chosen), 500):
        rows = await session.execute(select(model).where(model.id.in_(chosen[start : start + 500])))
        by_id.update({row.id: row for row in rows.scalars()})
    return by_id


_GROUPS_OF_USER = (
    select(Membership, Group)
    .join(Group, Group.id == Membership.group_id)
    .where(Membership.user_id == bindparam("user_id"), not_ended(Membership, _now), not_ended(Group, _now))
    .order_by(Group.code)
)
_DIRECT_OF_USER = (
    select(RoleAssignment)
    .where(RoleAssignment.user_id == bindparam("user_id"), not_ended(RoleAssignment, _now))
    .order_by(RoleAssignment.id)
)


async def groups_of_user(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> list[tuple[Membership, Group]]:
    """Return the memberships of a user that have not ended, with their groups, by code."""
    rows = await session.execute(_GROUPS_OF_USER, {"user_id": user_id, "now": now})
    return [(row[0], row[1]) for row in rows.all()]


async def direct_of_user(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> list[RoleAssignment]:
    """Return the roles that were given to a user and have not ended, the oldest first."""
    return list((await session.execute(_DIRECT_OF_USER, {"user_id": user_id, "now": now})).scalars())


async def all_of_user(session: AsyncSession, user_id: uuid.UUID) -> list[Listed]:
    """Return every role that was given to a user, ended ones too, the newest first."""
    return await page_of(session, AssignmentFilter(user_id=user_id, state="all"), None, clock.now(), 1000)


async def units_below(session: AsyncSession, unit_ids: Collection[uuid.UUID], now: datetime, limit: int) -> list[Group]:
    """Return these units and those below them that have not ended, by code."""
    statement = (
        select(Group)
        .join(GroupAncestor, GroupAncestor.group_id == Group.id)
        .where(GroupAncestor.ancestor_id.in_(unit_ids), not_ended(Group, now))
        .distinct()
        .order_by(Group.code)
        .limit(limit)
    )
    return list((await session.execute(statement)).scalars())


_WHERE_USER_IS = (
    select(_n.ancestor_id)
    .join(_memberships, _m.group_id == _n.group_id)
    .join(_groups, _groups.c.id == _m.group_id)
    .where(_m.user_id == bindparam("user_id"), valid_at(_m, _now), valid_at(_groups.c, _now))
)
_WHERE_OTHERS_PUT_USER = _WHERE_USER_IS.where(or_(_m.created_by.is_(None), _m.created_by != bindparam("but_of")))


async def where_user_is(
    session: AsyncSession, user_id: uuid.UUID, now: datetime, *, but_of: uuid.UUID | None = None
) -> frozenset[uuid.UUID]:
    """Return the groups of a user, and every unit above them, without memberships that the user ``but_of`` made."""
    values = {"user_id": user_id, "now": now}
    if but_of is None:
        rows = await fetch(session, _WHERE_USER_IS, values)
    else:
        rows = await fetch(session, _WHERE_OTHERS_PUT_USER, {**values, "but_of": str(but_of)})
    return frozenset(row[0] for row in rows)


async def reaching(session: AsyncSession, group_id: uuid.UUID, now: datetime) -> list[RoleAssignment]:
    """Return the assignments that have not ended and that the members of a group have, also from the units above."""
    statement = (
        select(RoleAssignment)
        .join(GroupAncestor, GroupAncestor.ancestor_id == RoleAssignment.group_id)
        .where(GroupAncestor.group_id == group_id, not_ended(RoleAssignment, now))
        .where(or_(GroupAncestor.depth == 0, RoleAssignment.with_units_below.is_(True)))
    )
    return list((await session.execute(statement)).scalars())


async def looks_after_within(session: AsyncSession, user_id: uuid.UUID, roots: Collection[uuid.UUID]) -> bool:
    """Tell whether a user looks after one of these units, or a unit below them."""
    statement = (
        select(null())
        .select_from(UnitAdministrator)
        .join(GroupAncestor, GroupAncestor.group_id == UnitAdministrator.group_id)
        .where(UnitAdministrator.user_id == user_id, GroupAncestor.ancestor_id.in_(roots))
    )
    return (await session.execute(statement.limit(1))).first() is not None


async def left_units(session: AsyncSession, since: datetime | None, now: datetime, limit: int) -> list[RoleAssignment]:
    """Return roles that an administrator of units gave to a user whose membership in these units has ended since.

    The time of the membership counts, not the place of the unit in the tree: when a unit moves, nobody has left it.
    The statement begins at the memberships that ended after ``since`` and not after ``now``; None: at all that ended.
    """
    gave, inside, own = aliased(UnitAdministrator), aliased(GroupAncestor), aliased(GroupAncestor)
    present = aliased(Membership)
    goes_on = (
        select(present.id)
        .join(inside, inside.group_id == present.group_id)
        .where(present.user_id == RoleAssignment.user_id, inside.ancestor_id == gave.group_id, not_ended(present, now))
        .exists()
    )
    giver = func.replace(cast(gave.user_id, String), "-", "") == func.replace(RoleAssignment.given_by, "-", "")
    statement = (
        select(RoleAssignment)
        .select_from(Membership)
        .join(RoleAssignment, RoleAssignment.user_id == Membership.user_id)
        .join(own, own.group_id == Membership.group_id)
        .join(gave, and_(gave.group_id == own.ancestor_id, giver))
        .where(Membership.valid_until <= now, Membership.valid_until > RoleAssignment.created_at)
        .where(not_ended(RoleAssignment, now), ~goes_on)
        .order_by(RoleAssignment.id)
        .limit(limit)
    )
    if since is not None:
        statement = statement.where(Membership.valid_until > since)
    return list((await session.execute(statement)).scalars().unique())


_ABOVE = select(_n.ancestor_id).where(_n.group_id == bindparam("group_id"))
_IS_REVIEWED = select(_r.id).where(_r.client_id == bindparam("client_id"), _r.status == "running").limit(1)


async def above(session: AsyncSession, group_id: uuid.UUID) -> frozenset[uuid.UUID]:
    """Return a group and every unit above it."""
    return frozenset(row[0] for row in await fetch(session, _ABOVE, {"group_id": group_id}))


async def reaches(session: AsyncSession, group_id: uuid.UUID, user_id: uuid.UUID, *, with_units_below: bool) -> bool:
    """Tell whether a user is, or will be, a member of a group, or of a unit below it."""
    statement = (
        select(null())
        .select_from(Membership)
        .join(GroupAncestor, GroupAncestor.group_id == Membership.group_id)
        .where(GroupAncestor.ancestor_id == group_id, Membership.user_id == user_id)
        .where(not_ended(Membership, clock.now()))
    )
    if not with_units_below:
        statement = statement.where(GroupAncestor.depth == 0)
    return (await session.execute(statement.limit(1))).first() is not None


async def is_reviewed(session: AsyncSession, client_id: str) -> bool:
    """Tell whether an access review of an application is running."""
    return bool(await fetch(session, _IS_REVIEWED, {"client_id": client_id}))


async def unconfirmed(
    session: AsyncSession, client_id: str, started_at: datetime, now: datetime, limit: int
) -> list[RoleAssignment]:
    """Return assignments that a review has yet to confirm, the oldest first: those from before it, without an end."""
    statement = (
        select(RoleAssignment)
        .where(RoleAssignment.client_id == client_id, *to_review(started_at, now))
        .order_by(RoleAssignment.id)
        .limit(limit)
    )
    return list((await session.execute(statement)).scalars())


async def count_unconfirmed(session: AsyncSession, client_id: str, started_at: datetime, now: datetime) -> int:
    """Return the number of assignments that a review has yet to confirm."""
    statement = select(func.count()).where(RoleAssignment.client_id == client_id, *to_review(started_at, now))
    return int((await session.execute(statement)).scalar_one())


def to_review(started_at: SqlValue | datetime, now: datetime) -> list[ColumnElement[bool]]:
    """Return the conditions that a review, begun at a moment or at the value of a column, has yet to confirm an
    assignment."""
    return [
        RoleAssignment.created_at <= started_at,
        not_ended(RoleAssignment, now),
        or_(RoleAssignment.confirmed_at.is_(None), RoleAssignment.confirmed_at < started_at),
    ]
