"""Every SQL statement about employments."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from sso.identity.employees.models import Employment
from sso.identity.groups.models import Group, Membership, RoleAssignment
from sso.identity.users.models import Identifier, User, UserRole
from sso.identity.users.store import KNOWN_COLUMNS, WITH_ATTRIBUTES, WITH_IDENTIFIERS, Known, known_from
from sso.platform.db import Executor, fetch, table_of, valid_at
from sso.platform.db.sql_types import ResultRow, SelectStatement, SqlValue

CHUNK = 500
EMPLOYEE = "employee"
"""The role of employees."""
_employments, _memberships, _groups = map(table_of, (Employment, Membership, Group))
_users = table_of(User)
_e, _m, _g = _employments.c, _memberships.c, _groups.c
_r, _a = table_of(UserRole).c, table_of(RoleAssignment).c
_now = bindparam("now", type_=_e.created_at.type)
CLAIMS = ("nip", "employment_status", "grade", "position", "unit_code", "unit")
"""The claims of the scope ``employee``, in the order of the columns of the statement."""


def _with_employment(statement: SelectStatement) -> SelectStatement:
    """Return a statement for a user with the columns of the employment that is valid now."""
    return (
        statement.add_columns(_e.nip, _e.status, _e.grade, _m.position, _g.code, _g.name_id)
        .outerjoin(_employments, and_(_e.user_id == _users.c.id, _e.ended_at.is_(None), valid_at(_e, _now)))
        .outerjoin(_memberships, and_(_m.id == _e.membership_id, valid_at(_m, _now)))
        .outerjoin(_groups, and_(_g.id == _m.group_id, valid_at(_g, _now)))
    )


_WITH_EMPLOYMENT = {False: _with_employment(WITH_IDENTIFIERS), True: _with_employment(WITH_ATTRIBUTES)}


def with_employment(
    session: Executor, user_id: uuid.UUID, client_id: str, now: datetime, *, attributes: bool = False
) -> Known | None:
    """Return what :func:`sso.identity.users.store.with_identifiers` returns, with the claims of the employment that is
    valid now. One statement; for the bridge."""
    values = {"user_id": user_id, "client_id": client_id, "now": now}
    rows: Sequence[ResultRow] = session.execute(_WITH_EMPLOYMENT[attributes], values).all()
    known = known_from(rows, attributes=attributes)
    if known is None:
        return None
    return replace(known, employment=_claims(rows[0][KNOWN_COLUMNS + attributes :]))


_CLAIMS_OF = _with_employment(select().select_from(_users).where(_users.c.id == bindparam("user_id")))


async def claims_of(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> dict[str, str | None]:
    """Return the claims of the employment of a user that is valid at a moment; None where there is none."""
    row = (await fetch(session, _CLAIMS_OF, {"user_id": user_id, "now": now})).first()
    return _claims(row if row is not None else [None] * len(CLAIMS))


def _claims(columns: Sequence[str | None]) -> dict[str, str | None]:
    """Return the claims from the columns of an employment. A position is one in a unit."""
    claims = dict(zip(CLAIMS, columns, strict=True))
    if claims["unit"] is None:
        claims["position"] = None
    return claims


_OF_USER = (
    select(Employment)
    .where(Employment.user_id == bindparam("user_id"))
    .order_by(Employment.created_at.desc(), Employment.id)
)
_OPEN_OF_USERS = select(Employment).where(
    Employment.user_id.in_(bindparam("user_ids", expanding=True)), Employment.ended_at.is_(None)
)
_IS_EMPLOYEE = (
    select(_e.id).where(_e.user_id == bindparam("user_id"), _e.ended_at.is_(None), valid_at(_e, _now)).limit(1)
)


async def of_user(session: AsyncSession, user_id: uuid.UUID) -> list[Employment]:
    """Return the employments of a user, the newest first."""
    return list((await session.execute(_OF_USER, {"user_id": user_id})).scalars())


async def open_of_users(session: AsyncSession, user_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Employment]:
    """Return the employments of users that have not ended, also those that have not begun."""
    employments: dict[uuid.UUID, Employment] = {}
    for start in range(0, len(user_ids), CHUNK):
        rows = await session.execute(_OPEN_OF_USERS, {"user_ids": user_ids[start : start + CHUNK]})
        employments |= {row.user_id: row for row in rows.scalars()}
    return employments


async def open_of_user(session: AsyncSession, user_id: uuid.UUID) -> Employment | None:
    """Return the employment of a user that has not ended."""
    return (await open_of_users(session, [user_id])).get(user_id)


async def is_employee(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> bool:
    """Tell whether a user has an employment now."""
    return bool(await fetch(session, _IS_EMPLOYEE, {"user_id": user_id, "now": now}))


async def memberships_with_units(
    session: AsyncSession, membership_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, tuple[Membership, Group]]:
    """Return memberships with their units."""
    memberships: dict[uuid.UUID, tuple[Membership, Group]] = {}
    for start in range(0, len(membership_ids), CHUNK):
        some = membership_ids[start : start + CHUNK]
        statement = (
            select(Membership, Group).join(Group, Group.id == Membership.group_id).where(Membership.id.in_(some))
        )
        memberships |= {row[0].id: (row[0], row[1]) for row in (await session.execute(statement)).all()}
    return memberships


class MainUnit(NamedTuple):
    """The main unit of an employee, and the position there."""

    id: uuid.UUID
    code: str
    position: str | None


async def main_unit(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> MainUnit | None:
    """Return the main unit of the employment of a user that has not ended. A unit that the user
    is not a member of any more is none."""
    statement = (
        select(Group.id, Group.code, Membership.position)
        .join(Membership, Membership.group_id == Group.id)
        .join(Employment, Employment.membership_id == Membership.id)
        .where(Employment.user_id == user_id, Employment.ended_at.is_(None), _goes_on(now))
    )
    row = (await session.execute(statement)).first()
    return MainUnit(row[0], row[1], row[2]) if row is not None else None


async def units_by_code(session: AsyncSession, codes: Sequence[str]) -> dict[str, Group]:
    """Return units by their codes."""
    units: dict[str, Group] = {}
    for start in range(0, len(codes), CHUNK):
        statement = select(Group).where(Group.code.in_(codes[start : start + CHUNK]), Group.kind == "unit")
        units |= {row.code: row for row in (await session.execute(statement)).scalars()}
    return units


def _goes_on(now: datetime) -> ColumnElement[bool]:
    """Return the condition that a membership is valid now or later. One that ended before it began never is."""
    return and_(
        or_(Membership.valid_until.is_(None), Membership.valid_until > now),
        or_(
            Membership.valid_from.is_(None),
            Membership.valid_until.is_(None),
            Membership.valid_from < Membership.valid_until,
        ),
    )


async def unit_memberships(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> list[Membership]:
    """Return the memberships of a user in units that are valid now or later."""
    statement = (
        select(Membership)
        .join(Group, Group.id == Membership.group_id)
        .where(
            Membership.user_id == user_id,
            Group.kind == "unit",
            _goes_on(now),
        )
        .order_by(Membership.id)
    )
    return list((await session.execute(statement)).scalars())


async def due(session: AsyncSession, now: datetime, after: uuid.UUID | None, limit: int) -> list[uuid.UUID]:
    """Return users, in the order of their ids after ``after``, whose employment begins or ends now: its time has come,
    and nothing was done about it."""
    ends = and_(_e.ended_at.is_(None), _e.valid_until <= now)
    begins = and_(_e.ended_at.is_(None), _e.begun_at.is_(None), or_(_e.valid_from.is_(None), _e.valid_from <= now))
    statement = select(_e.user_id).where(or_(ends, begins)).order_by(_e.user_id).limit(limit)
    if after is not None:
        statement = statement.where(_e.user_id > after)
    return list((await session.execute(statement)).scalars())


def employment_ended(user_id: SqlValue | uuid.UUID, now: SqlValue | datetime) -> ColumnElement[bool]:
    """Return the condition that the employment of a user is over by time, and no job has ended it yet.

    Args:
        user_id: the user: a column of another statement.
        now: a moment or a parameter.
    """
    return exists().where(_e.user_id == user_id, _e.ended_at.is_(None), _e.valid_until <= now)


_ROLES_NOW = (
    select(_r.role)
    .where(_r.user_id == bindparam("user_id"))
    .where(not_(and_(_r.role == EMPLOYEE, employment_ended(_r.user_id, _now))))
    .order_by(_r.role)
)


async def roles_now(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> list[str]:
    """Return the roles of a user in alphabetical order, without ``employee`` where the employment is over by time."""
    return [row[0] for row in await fetch(session, _ROLES_NOW, {"user_id": user_id, "now": now})]


_role_ended = and_(_r.role == EMPLOYEE, employment_ended(_r.user_id, _now))
_has_access = or_(
    exists().where(_m.user_id == bindparam("user_id")), exists().where(_a.user_id == bindparam("user_id"))
)
_ROLES_AND_ACCESS = union_all(
    select(_r.role).where(_r.user_id == bindparam("user_id"), not_(_role_ended)),
    select(literal("")).where(_has_access),
)


async def roles_and_access(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> tuple[list[str], bool]:
    """Return what :func:`roles_now` returns, and whether the user has, or had, a unit, a group or a role of an
    application. One statement: pages of the account ask it each time."""
    rows = sorted(row[0] for row in await fetch(session, _ROLES_AND_ACCESS, {"user_id": user_id, "now": now}))
    return [role for role in rows if role], "" in rows


async def set_nip_times(
    session: AsyncSession, user_id: uuid.UUID, valid_from: datetime | None, valid_until: datetime | None
) -> None:
    """Set the time in which the NIP of a user, and its old form, sign in."""
    mine = update(Identifier).where(Identifier.user_id == user_id, Identifier.kind == "nip")
    await session.execute(mine.values(valid_from=valid_from, valid_until=valid_until))


async def count_imported(session: AsyncSession) -> int:
    """Return the number of employments of imports that have not ended."""
    mine = (
        select(func.count()).select_from(Employment).where(Employment.source == "import", Employment.ended_at.is_(None))
    )
    return int((await session.execute(mine)).scalar_one())


async def imported(session: AsyncSession, after: uuid.UUID, limit: int) -> list[Employment]:
    """Return employments of imports that have not ended, in the order of their ids."""
    statement = (
        select(Employment)
        .where(Employment.source == "import", Employment.ended_at.is_(None), Employment.id > after)
        .order_by(Employment.id)
        .limit(limit)
    )
    return list((await session.execute(statement)).scalars())


async def delete_of_user(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Delete the employments of a user."""
    await session.execute(delete(Employment).where(Employment.user_id == user_id))
