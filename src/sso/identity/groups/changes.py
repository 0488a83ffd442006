"""What users have in applications over a time: which roles and groups hold, began and ended.

One statement for the roles and one for the groups of many users in many applications. The times are compared in Python,
so that the same rows tell what held before a change and what holds after it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import BindParameter, ColumnElement, Label, and_, bindparam, or_, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from sso.identity.groups.models import Group, GroupAncestor, Membership, RoleAssignment
from sso.identity.groups.store import with_ancestors
from sso.platform.db import not_ended, table_of
from sso.platform.db.sql_types import Columns, ResultRow

_groups, _ancestors, _memberships, _assignments = map(table_of, (Group, GroupAncestor, Membership, RoleAssignment))
_g, _n, _m, _a = _groups.c, _ancestors.c, _memberships.c, _assignments.c
_limit, _own, _upper = (_groups.alias(name) for name in ("limit_unit", "own_group", "upper_group"))


@dataclass(frozen=True, slots=True)
class Span:
    """The time in which something holds. ``recorded_at``: when it was recorded."""

    since: datetime | None
    until: datetime | None
    recorded_at: datetime

    def is_active(self, at: datetime) -> bool:
        """Tell whether it holds at a moment."""
        return (self.since is None or self.since <= at) and (self.until is None or self.until > at)

    def held_in(self, since: datetime, now: datetime) -> bool:
        """Tell whether it held at any moment from ``since`` to ``now``."""
        return (self.since is None or self.since <= now) and (self.until is None or self.until > since)

    def held_at(self, at: datetime) -> bool:
        """Tell whether it held, and was recorded, at a moment of the past."""
        return self.recorded_at <= at and self.is_active(at)


@dataclass(frozen=True, slots=True)
class HeldRole:
    """A role that a user has or had. ``code``: of the unit that it is limited to. ``by_group``: through a group."""

    user_id: uuid.UUID
    client_id: str
    role: str
    code: str | None
    span: Span
    by_group: bool


@dataclass(frozen=True, slots=True)
class ReachedGroup:
    """A group that a user belongs or belonged to: ``own`` as a member; ``upper``, itself or a unit above it."""

    user_id: uuid.UUID
    own: str
    upper: str
    depth: int
    span: Span


def codes_of(reached: Iterable[ReachedGroup]) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return each code with the codes above it, as the claim ``groups`` is made from."""
    return with_ancestors([(group.own, group.upper, group.depth) for group in reached])


def _times(columns: Columns) -> tuple[Label[datetime | None], Label[datetime | None]]:
    label = columns.valid_from.table.name
    return columns.valid_from.label(f"{label}_from"), columns.valid_until.label(f"{label}_until")


_since: BindParameter[datetime] = bindparam("since")
_now: BindParameter[datetime] = bindparam("now")
_user_ids: BindParameter[uuid.UUID] = bindparam("user_ids", expanding=True)
_client_ids: BindParameter[str] = bindparam("client_ids", expanding=True)
_CHOSEN = and_(_a.client_id.in_(_client_ids), not_ended(_a, _since))
_LIMITED = _assignments.outerjoin(_limit, _limit.c.id == _a.unit_id)
_ROLE = (_a.client_id, _a.role, _limit.c.code, *_times(_a), _a.created_at, *_times(_limit.c))
_DIRECT_ROLES = select(_a.user_id, *_ROLE).select_from(_LIMITED).where(_a.user_id.in_(_user_ids), _CHOSEN)
_ROLES_OF_GROUPS = (
    select(
        _m.user_id, *_ROLE, _m.created_at.label("joined_at"), *_times(_m), *_times(_own.c), *_times(_upper.c),
    )
    .select_from(
        _LIMITED.join(_ancestors, _n.ancestor_id == _a.group_id)
        .join(_memberships, _m.group_id == _n.group_id)
        .join(_own, _own.c.id == _m.group_id)
        .join(_upper, _upper.c.id == _n.ancestor_id)
    )
    .where(_m.user_id.in_(_user_ids), or_(_n.depth == 0, _a.with_units_below.is_(True)), _CHOSEN)
    .where(not_ended(_m, _since))
)  # fmt: skip
_GROUPS = (
    select(
        _m.user_id, _own.c.code, _upper.c.code.label("upper_code"), _n.depth, _m.created_at, *_times(_m),
        *_times(_own.c), *_times(_upper.c),
    )
    .select_from(
        _memberships.join(_own, _own.c.id == _m.group_id)
        .join(_ancestors, _n.group_id == _m.group_id)
        .join(_upper, _upper.c.id == _n.ancestor_id)
    )
    .where(_m.user_id.in_(_user_ids), not_ended(_m, _since))
)  # fmt: skip


async def roles_over_time(
    session: AsyncSession, user_ids: Collection[uuid.UUID], client_ids: Collection[str], since: datetime
) -> list[HeldRole]:
    """Return the roles of users in applications that held at or after ``since``. Two statements."""
    values = {"user_ids": [*user_ids], "client_ids": [*client_ids], "since": since}
    rows = [_held(row, False) for row in (await session.execute(_DIRECT_ROLES, values)).all()]
    return rows + [_held(row, True) for row in (await session.execute(_ROLES_OF_GROUPS, values)).all()]


def _held(row: ResultRow, by_group: bool) -> HeldRole:
    user_id, client_id, role, code, since, until, recorded_at, limit_since, limit_until = row[:9]
    spans = [(since, until), (limit_since, limit_until)]
    if by_group:
        recorded_at, rest = max(recorded_at, row[9]), row[10:]
        spans += list(zip(rest[::2], rest[1::2], strict=True))
    return HeldRole(user_id, client_id, role, code, _whole(spans, recorded_at), by_group)


async def groups_over_time(
    session: AsyncSession, user_ids: Collection[uuid.UUID], since: datetime
) -> list[ReachedGroup]:
    """Return the groups of users that held at or after ``since``. One statement."""
    rows = await session.execute(_GROUPS, {"user_ids": [*user_ids], "since": since})
    return [
        ReachedGroup(row[0], row[1], row[2], row[3], _whole(list(zip(row[5::2], row[6::2], strict=True)), row[4]))
        for row in rows.all()
    ]


def _whole(spans: Sequence[tuple[datetime | None, datetime | None]], recorded_at: datetime) -> Span:
    """Return the time in which everything of several holds."""
    begins = [since for since, _ in spans if since is not None]
    ends = [until for _, until in spans if until is not None]
    return Span(max(begins, default=None), min(ends, default=None), recorded_at)


T = TypeVar("T", bound=HeldRole | ReachedGroup)


def at(rows: Iterable[T], moment: datetime) -> list[T]:
    """Return the rows that hold at a moment."""
    return [row for row in rows if row.span.is_active(moment)]


async def members_reached(
    session: AsyncSession,
    group_ids: Collection[uuid.UUID],
    below_ids: Collection[uuid.UUID],
    since: datetime,
    only: Collection[uuid.UUID] | None = None,
) -> set[uuid.UUID]:
    """Return the users whom roles of groups reach, or reached after ``since``. One statement.

    Args:
        session: for reading.
        group_ids: the groups.
        below_ids: the units whose role their units below have too.
        since: a moment before the change.
        only: no others than these; None: everybody.
    """
    if not group_ids and not below_ids:
        return set()
    own = and_(_n.ancestor_id.in_(group_ids), _n.depth == 0)
    statement = (
        select(_m.user_id)
        .join(_ancestors, _n.group_id == _m.group_id)
        .where(or_(own, _n.ancestor_id.in_(below_ids)), not_ended(_m, since))
        .distinct()
    )
    if only is not None:
        statement = statement.where(_m.user_id.in_(only))
    return set((await session.execute(statement)).scalars())


async def users_of_units(session: AsyncSession, group_ids: Collection[uuid.UUID], now: datetime) -> set[uuid.UUID]:
    """Return the users who have something, now or later, through these units or units below them: their members, and
    whoever has a role that is limited to one of them. Three statements for each five hundred units."""
    users, chosen = set[uuid.UUID](), sorted(group_ids)
    members_of = select(_m.user_id).join(_ancestors, _n.group_id == _m.group_id).where(not_ended(_m, now))
    limits = _ancestors.alias("limits")
    limited = limits.join(_assignments, _a.unit_id == limits.c.group_id)
    direct = select(_a.user_id).select_from(limited).where(_a.user_id.is_not(None), not_ended(_a, now))
    grouped = members_of.join(_assignments, _a.group_id == _n.ancestor_id).join(limits, limits.c.group_id == _a.unit_id)
    for start in range(0, len(chosen), 500):
        some = chosen[start : start + 500]
        for statement in (
            members_of.where(_n.ancestor_id.in_(some)),
            direct.where(limits.c.ancestor_id.in_(some)),
            grouped.where(not_ended(_a, now), limits.c.ancestor_id.in_(some)),
        ):
            users.update((await session.execute(statement.distinct())).scalars())
    return users


def _in_time(columns: Columns) -> ColumnElement[bool]:
    """Return the condition that a row began or ended after ``:since`` and not after ``:now``."""
    begins = and_(columns.valid_from > _since, columns.valid_from <= _now)
    return or_(begins, and_(columns.valid_until > _since, columns.valid_until <= _now))


_OF_GROUPS = select(_m.user_id).join(_ancestors, _n.group_id == _m.group_id)
_CHANGED_BY_TIME = union(
    select(_a.user_id).where(_a.user_id.is_not(None), _a.ended_by.is_(None), _in_time(_a)),
    _OF_GROUPS.join(_assignments, _a.group_id == _n.ancestor_id).where(_a.ended_by.is_(None), _in_time(_a)),
    select(_m.user_id).where(_in_time(_m)),
    _OF_GROUPS.join(_groups, _g.id == _n.ancestor_id).where(_in_time(_g)),
    select(_a.user_id).join(_groups, _g.id == _a.unit_id).where(_a.user_id.is_not(None), _in_time(_g)),
    _OF_GROUPS.join(_assignments, _a.group_id == _n.ancestor_id).join(_groups, _g.id == _a.unit_id).where(_in_time(_g)),
)


async def changed_by_time(session: AsyncSession, since: datetime, now: datetime) -> list[uuid.UUID]:
    """Return the users for whom a role or a group began or ended by time, after ``since`` and not after ``now``. One
    statement."""
    return sorted((await session.execute(_CHANGED_BY_TIME, {"since": since, "now": now})).scalars())
