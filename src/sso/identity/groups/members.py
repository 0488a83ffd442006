"""Every SQL statement about who belongs to units and groups."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import CTE, ColumnElement, Select, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.identity.groups.models import Group, GroupAncestor, Membership
from sso.identity.groups.tree import valid_at
from sso.identity.users.models import User
from sso.identity.users.store import name_condition

Status = Literal["current", "planned", "ended", "all"]
"""Memberships that are valid now, that begin later, that are over, or all."""
STATUSES: tuple[Status, ...] = ("current", "planned", "ended", "all")


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


def _in_time(status: Status, now: datetime) -> list[ColumnElement[bool]]:
    over = and_(Membership.valid_until.is_not(None), Membership.valid_until <= now)
    if status == "current":
        return [valid_at(Membership, now)]
    if status == "ended":
        return [over]
    if status == "planned":
        return [Membership.valid_from > now, or_(Membership.valid_until.is_(None), Membership.valid_until > now)]
    return []


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
    of_group: ColumnElement[bool] = Membership.group_id == group_id
    if chosen.below:
        of_group = Membership.group_id.in_(select(GroupAncestor.group_id).where(GroupAncestor.ancestor_id == group_id))
    conditions = [of_group, *_in_time(chosen.status, now)]
    chosen_rows = select(Membership.id, User.name).join(User, User.id == Membership.user_id).where(*conditions)
    if named:
        # First the users by the index of names, then all their memberships, then the page: a planner that hurries for
        # the first rows reads every name.
        people = _materialized(select(User.id, User.name).where(*named), "people")
        joined = select(Membership.id, people.c.name).join(people, people.c.id == Membership.user_id)
        found = _materialized(joined.where(*conditions), "found")
        chosen_rows = select(found.c.id, found.c.name)
    key = chosen_rows.selected_columns.id
    if after is not None:
        chosen_rows = chosen_rows.where(key > after)
    page = chosen_rows.order_by(key).limit(limit).subquery("page")
    statement = (
        select(Membership, page.c.name, Group)
        .join(page, page.c.id == Membership.id)
        .join(Group, Group.id == Membership.group_id)
        .order_by(Membership.id)
    )
    return [ListedMember(*row) for row in (await session.execute(statement)).all()]


def _materialized(statement: Select[uuid.UUID, str], name: str) -> CTE:
    return statement.cte(name).prefix_with("MATERIALIZED", dialect="postgresql")


async def get(session: AsyncSession, membership_id: uuid.UUID) -> Membership | None:
    """Return a membership as it is now."""
    statement = select(Membership).where(Membership.id == membership_id).execution_options(populate_existing=True)
    return (await session.execute(statement)).scalar_one_or_none()


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
        statement = statement.where(or_(Membership.valid_until.is_(None), Membership.valid_until > valid_from))
    return (await session.execute(statement.limit(1))).scalar_one_or_none()


async def memberships_of(session: AsyncSession, user_id: uuid.UUID) -> list[tuple[Membership, Group]]:
    """Return every membership of a user with its unit or group, the newest first. One statement."""
    statement = (
        select(Membership, Group)
        .join(Group, Group.id == Membership.group_id)
        .where(Membership.user_id == user_id)
        .order_by(Membership.id.desc())
    )
    return [(row[0], row[1]) for row in (await session.execute(statement)).all()]
