"""Every SQL statement about who belongs to units and groups."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Select, and_, any_, bindparam, func, literal_column, not_, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from sso.identity.groups.models import Group, GroupAncestor, Membership
from sso.identity.users.models import User
from sso.identity.users.store import name_condition
from sso.platform.db import not_ended, valid_at

Status = Literal["current", "planned", "ended", "all"]
"""Memberships that are valid now, that begin later, that are over, or all."""
STATUSES: tuple[Status, ...] = ("current", "planned", "ended", "all")
NEAR = 1000
"""How many memberships a search by name looks at, one after another, before it uses the index of names."""


@dataclass(frozen=True, slots=True)
class MemberFilter:
    """Which memberships of a unit a list has.

    Args:
        below: those of the units below it too.
        words: beginnings of parts of the name of the user; empty: any.
        status: which of them by their time.
    """

    below: bool = False
    words: str = ""
    status: Status = "current"


@dataclass(frozen=True, slots=True)
class ListedMember:
    """A membership with the name of its user and its unit."""

    membership: Membership
    name: str
    group: Group


def status_of(membership: Membership, now: datetime) -> Literal["current", "planned", "ended"]:
    """Return whether a membership is valid now, begins later, or is over."""
    if membership.valid_until is not None and membership.valid_until <= now:
        return "ended"
    return "planned" if membership.valid_from is not None and membership.valid_from > now else "current"


def _in_time(row: type[Membership], status: Status, now: datetime) -> list[ColumnElement[bool]]:
    ended = and_(row.valid_until.is_not(None), row.valid_until <= now)
    if status == "current":
        return [valid_at(row, now)]
    if status == "ended":
        return [ended]
    if status == "planned":
        return [row.valid_from > now, not_ended(row, now)]
    return []


def _of_group(
    row: type[Membership], group_id: uuid.UUID, chosen: MemberFilter, now: datetime
) -> list[ColumnElement[bool]]:
    is_of_group: ColumnElement[bool] = row.group_id == group_id
    if chosen.below and chosen.words:
        # A scalar query is no join: the planner does not know how many units are below this one, and would read all of
        # their memberships first.
        depth = select(GroupAncestor.depth).where(
            GroupAncestor.group_id == row.group_id, GroupAncestor.ancestor_id == group_id
        )
        is_of_group = depth.scalar_subquery().is_not(None)
    elif chosen.below:
        is_of_group = row.group_id.in_(select(GroupAncestor.group_id).where(GroupAncestor.ancestor_id == group_id))
    return [is_of_group, *_in_time(row, chosen.status, now)]


async def page_of_members(
    session: AsyncSession,
    group_id: uuid.UUID,
    chosen: MemberFilter,
    after: uuid.UUID | None,
    limit: int,
    now: datetime,
) -> list[ListedMember]:
    """Return memberships of a unit or group, the oldest first, after the one with the id ``after``. One statement."""
    named = name_condition(session, chosen.words)
    if named is None:
        return []
    conditions = _of_group(Membership, group_id, chosen, now)
    conditions += [Membership.id > after] if after is not None else []
    if named and chosen.below:
        users = _users_named(session, named)
        nearest = select(Membership).order_by(Membership.id).limit(literal_column(str(NEAR)))
        nearest = nearest.where(Membership.id > after) if after is not None else nearest
        row = aliased(Membership, nearest.subquery("nearest"))
        joined = select(row.id).join(User, User.id == row.user_id).where(*_of_group(row, group_id, chosen, now), *named)
        rows = _first_of(joined, row.id, select(Membership.id).where(users, *conditions), limit)
    else:
        rows = select(Membership.id).where(*conditions)
        rows = rows.join(User, User.id == Membership.user_id).where(*named) if named else rows
    page = rows.order_by(rows.selected_columns.id).limit(limit).subquery("page")
    statement = (
        select(Membership, User.name, Group)
        .join(page, page.c.id == Membership.id)
        .join(User, User.id == Membership.user_id)
        .join(Group, Group.id == Membership.group_id)
        .order_by(Membership.id)
    )
    return [ListedMember(*row) for row in (await session.execute(statement)).all()]


def _users_named(session: AsyncSession, named: list[ColumnElement[bool]]) -> ColumnElement[bool]:
    """Return the condition that a membership is of a user with a name. PostgreSQL reads the users first: the planner
    does not know how many memberships an array finds, and uses the index of users."""
    ids = select(User.id).where(*named)
    if session.get_bind().dialect.name == "postgresql":
        return Membership.user_id == any_(func.array(ids.scalar_subquery()))
    return Membership.user_id.in_(ids)


def _first_of(
    near: Select[uuid.UUID], key: InstrumentedAttribute[uuid.UUID], every: Select[uuid.UUID], limit: int
) -> Select[uuid.UUID]:
    """Return the rows of ``near`` if they fill a page, and those of ``every`` otherwise.

    PostgreSQL does not begin with ``every`` if ``near`` fills the page: the condition names no column of ``every``.
    """
    first = near.order_by(key).limit(limit).cte("near").prefix_with("MATERIALIZED", dialect="postgresql")
    fills = select(func.count()).select_from(first).scalar_subquery() >= limit
    others = every.where(not_(fills)).cte("every").prefix_with("MATERIALIZED", dialect="postgresql")
    both = union_all(select(first.c.id).where(fills), select(others.c.id)).subquery("both")
    return select(both.c.id)


_MEMBERSHIPS_OF = (
    select(Membership, Group)
    .join(Group, Group.id == Membership.group_id)
    .where(Membership.user_id == bindparam("user_id"))
    .order_by(Membership.id.desc())
)


async def get(session: AsyncSession, membership_id: uuid.UUID) -> Membership | None:
    """Return a membership as it is now."""
    return await session.get(Membership, membership_id, populate_existing=True)


async def overlapping(
    session: AsyncSession,
    user_id: uuid.UUID,
    group_id: uuid.UUID,
    valid_from: datetime | None,
    valid_until: datetime | None,
) -> Membership | None:
    """Return a membership of a user in a unit at a time that overlaps with this one. One that ended as it began counts
    for no time."""
    statement = select(Membership).where(
        Membership.user_id == user_id,
        Membership.group_id == group_id,
        or_(
            Membership.valid_from.is_(None),
            Membership.valid_until.is_(None),
            Membership.valid_from < Membership.valid_until,
        ),
    )
    if valid_until is not None:
        statement = statement.where(or_(Membership.valid_from.is_(None), Membership.valid_from < valid_until))
    if valid_from is not None:
        statement = statement.where(not_ended(Membership, valid_from))
    return (await session.execute(statement.limit(1))).scalar_one_or_none()


async def memberships_of(session: AsyncSession, user_id: uuid.UUID) -> list[tuple[Membership, Group]]:
    """Return every membership of a user with its unit or group, the newest first. One statement."""
    return [(row[0], row[1]) for row in (await session.execute(_MEMBERSHIPS_OF, {"user_id": user_id})).all()]
