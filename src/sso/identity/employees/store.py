"""Every SQL statement about employments."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso.identity.employees.models import Employment
from sso.identity.groups.models import Group, Membership
from sso.identity.users.models import Identifier, User
from sso.identity.users.store import KNOWN_COLUMNS, WITH_ATTRIBUTES, WITH_IDENTIFIERS, Known, known_from, valid_at
from sso.platform.db import Executor, table_of

CHUNK = 500
_employments, _memberships, _groups = map(table_of, (Employment, Membership, Group))
_users = table_of(User)
_e, _m, _g = _employments.c, _memberships.c, _groups.c
_now: Any = bindparam("now", type_=_e.created_at.type)
CLAIMS = ("nip", "employment_status", "grade", "position", "unit_code", "unit")
"""The claims of the scope ``employee``, in the order of the columns of the statement."""


def _with_employment(statement: Any) -> Any:
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
    rows: Sequence[Any] = session.execute(_WITH_EMPLOYMENT[attributes], values).all()
    known = known_from(rows, attributes=attributes)
    if known is None:
        return None
    claims = dict(zip(CLAIMS, rows[0][KNOWN_COLUMNS + attributes :], strict=True))
    if claims["unit"] is None:
        claims["position"] = None
    return replace(known, employment=claims)


async def of_user(session: AsyncSession, user_id: uuid.UUID) -> list[Employment]:
    """Return the employments of a user, the newest first."""
    mine = select(Employment).where(Employment.user_id == user_id)
    return list((await session.execute(mine.order_by(Employment.created_at.desc(), Employment.id))).scalars())


async def open_of_users(session: AsyncSession, user_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Employment]:
    """Return the employments of users that have not ended, also those that have not begun."""
    found: dict[uuid.UUID, Employment] = {}
    for start in range(0, len(user_ids), CHUNK):
        some = user_ids[start : start + CHUNK]
        statement = select(Employment).where(Employment.user_id.in_(some), Employment.ended_at.is_(None))
        found |= {row.user_id: row for row in (await session.execute(statement)).scalars()}
    return found


async def open_of_user(session: AsyncSession, user_id: uuid.UUID) -> Employment | None:
    """Return the employment of a user that has not ended."""
    return (await open_of_users(session, [user_id])).get(user_id)


async def is_employee(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> bool:
    """Tell whether a user has an employment now."""
    statement = select(Employment.id).where(
        Employment.user_id == user_id, Employment.ended_at.is_(None), valid_at(_e, now)
    )
    return (await session.execute(statement.limit(1))).first() is not None


async def memberships_with_units(
    session: AsyncSession, membership_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, tuple[Membership, Group]]:
    """Return memberships with their units."""
    found: dict[uuid.UUID, tuple[Membership, Group]] = {}
    for start in range(0, len(membership_ids), CHUNK):
        some = membership_ids[start : start + CHUNK]
        statement = (
            select(Membership, Group).join(Group, Group.id == Membership.group_id).where(Membership.id.in_(some))
        )
        found |= {row[0].id: (row[0], row[1]) for row in (await session.execute(statement)).all()}
    return found


async def main_unit(session: AsyncSession, user_id: uuid.UUID) -> tuple[uuid.UUID, str] | None:
    """Return the id and the code of the main unit of the employment of a user that has not ended."""
    statement = (
        select(Group.id, Group.code)
        .join(Membership, Membership.group_id == Group.id)
        .join(Employment, Employment.membership_id == Membership.id)
        .where(Employment.user_id == user_id, Employment.ended_at.is_(None))
    )
    row = (await session.execute(statement)).first()
    return (row[0], row[1]) if row is not None else None


async def units_by_code(session: AsyncSession, codes: Sequence[str]) -> dict[str, Group]:
    """Return units by their codes."""
    found: dict[str, Group] = {}
    for start in range(0, len(codes), CHUNK):
        statement = select(Group).where(Group.code.in_(codes[start : start + CHUNK]), Group.kind == "unit")
        found |= {row.code: row for row in (await session.execute(statement)).scalars()}
    return found


async def unit_memberships(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> list[Membership]:
    """Return the memberships of a user in units that have not ended."""
    statement = (
        select(Membership)
        .join(Group, Group.id == Membership.group_id)
        .where(
            Membership.user_id == user_id,
            Group.kind == "unit",
            or_(Membership.valid_until.is_(None), Membership.valid_until > now),
        )
        .order_by(Membership.id)
    )
    return list((await session.execute(statement)).scalars())


async def due(session: AsyncSession, now: datetime, limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Return employments (id and user) that begin or end now: their time has come, and nothing was done about it."""
    ends = and_(_e.ended_at.is_(None), _e.valid_until <= now)
    begins = and_(_e.ended_at.is_(None), _e.begun_at.is_(None), or_(_e.valid_from.is_(None), _e.valid_from <= now))
    statement = select(_e.id, _e.user_id).where(or_(ends, begins)).order_by(_e.user_id).limit(limit)
    return [(row[0], row[1]) for row in (await session.execute(statement)).all()]


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
