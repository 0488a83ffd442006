"""Every SQL statement about people."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sso.users.models import Credential, Identifier, User, UserRole

BATCH = 500

_WITH_IDENTIFIERS = (
    select(User, Identifier)
    .outerjoin(Identifier, Identifier.user_id == User.id)
    .where(User.id == bindparam("user_id"))
    .order_by(Identifier.created_at, Identifier.id)
)


@dataclass(frozen=True, slots=True)
class Person:
    """A person, as far as pages and grants need to know."""

    id: uuid.UUID
    name: str


async def find_for_password(session: AsyncSession, lookup: str) -> tuple[User, Credential | None] | None:
    """Return the person with the identifier ``lookup`` and the password, in one statement."""
    statement = (
        select(User, Credential)
        .join(Identifier, Identifier.user_id == User.id)
        .outerjoin(Credential, (Credential.user_id == User.id) & (Credential.kind == "password"))
        .where(Identifier.lookup == lookup)
    )
    row = (await session.execute(statement)).first()
    return (row[0], row[1]) if row else None


async def find_user(session: AsyncSession, lookup: str) -> User | None:
    """Return the person with the identifier ``lookup``."""
    statement = select(User).join(Identifier, Identifier.user_id == User.id).where(Identifier.lookup == lookup)
    return (await session.execute(statement)).scalar_one_or_none()


def find_verified(session: Session, lookup: str) -> uuid.UUID | None:
    """Return the enabled person of whom the identifier ``lookup`` is verified. For use in the bridge."""
    statement = (
        select(User.id)
        .join(Identifier, Identifier.user_id == User.id)
        .where(Identifier.lookup == lookup, Identifier.verified_at.is_not(None), User.disabled_at.is_(None))
    )
    return session.execute(statement).scalar_one_or_none()


def find_enabled(session: Session, user_id: uuid.UUID) -> uuid.UUID | None:
    """Return ``user_id`` where it is an enabled person's. For use in the bridge."""
    statement = select(User.id).where(User.id == user_id, User.disabled_at.is_(None))
    return session.execute(statement).scalar_one_or_none()


async def taken(session: AsyncSession, lookups: Iterable[str]) -> set[str]:
    """Return those of ``lookups`` that somebody has."""
    wanted = list(lookups)
    found: set[str] = set()
    for start in range(0, len(wanted), BATCH):
        statement = select(Identifier.lookup).where(Identifier.lookup.in_(wanted[start : start + BATCH]))
        found.update((await session.execute(statement)).scalars())
    return found


async def identifiers_of(session: AsyncSession, user_id: uuid.UUID) -> list[Identifier]:
    """Return what a person signs in with, oldest first."""
    statement = select(Identifier).where(Identifier.user_id == user_id).order_by(Identifier.created_at, Identifier.id)
    return list((await session.execute(statement)).scalars())


def with_identifiers(session: Session, user_id: uuid.UUID) -> tuple[User, list[Identifier]] | None:
    """Return a person and what the person signs in with, oldest first, in one statement. For use in the bridge."""
    rows = session.execute(_WITH_IDENTIFIERS, {"user_id": user_id}).all()
    return (rows[0][0], [row[1] for row in rows if row[1] is not None]) if rows else None


async def roles_of(session: AsyncSession, user_id: uuid.UUID) -> list[str]:
    """Return a person's roles in the order of the alphabet."""
    statement = select(UserRole.role).where(UserRole.user_id == user_id).order_by(UserRole.role)
    return list((await session.execute(statement)).scalars())


async def roles_of_many(session: AsyncSession, user_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """Return the roles of people."""
    statement = select(UserRole.user_id, UserRole.role).where(UserRole.user_id.in_(user_ids)).order_by(UserRole.role)
    found: dict[uuid.UUID, list[str]] = {user_id: [] for user_id in user_ids}
    for user_id, role in (await session.execute(statement)).all():
        found[user_id].append(role)
    return found


async def identifiers_of_many(
    session: AsyncSession, user_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[Identifier]]:
    """Return what people sign in with, oldest first."""
    statement = (
        select(Identifier).where(Identifier.user_id.in_(user_ids)).order_by(Identifier.created_at, Identifier.id)
    )
    found: dict[uuid.UUID, list[Identifier]] = {user_id: [] for user_id in user_ids}
    for one in (await session.execute(statement)).scalars():
        found[one.user_id].append(one)
    return found


async def replace_roles(session: AsyncSession, user_id: uuid.UUID, roles: Iterable[str]) -> None:
    """Give a person these roles and no others."""
    await session.execute(delete(UserRole).where(UserRole.user_id == user_id))
    session.add_all([UserRole(user_id=user_id, role=role) for role in roles])
    await session.flush()


async def lock_administrators(session: AsyncSession, role: str) -> set[uuid.UUID]:
    """Return every enabled person with a role, after whoever changes that at the same time.

    Locking comes first, looking second: what another transaction did meanwhile is seen only by a new statement.
    """
    held = select(UserRole.user_id).where(UserRole.role == role).order_by(UserRole.user_id).with_for_update()
    await session.execute(held)
    enabled = select(User.id).join(UserRole, UserRole.user_id == User.id)
    statement = enabled.where(UserRole.role == role, User.disabled_at.is_(None))
    return set((await session.execute(statement)).scalars())


async def mark_changed(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> None:
    """Record that something about a person changed."""
    await session.execute(update(User).where(User.id == user_id).values(updated_at=now))


async def erase(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> None:
    """Delete everything that is known of a person but the id."""
    for table in (Identifier, Credential, UserRole):
        await session.execute(delete(table).where(table.user_id == user_id))
    nothing: dict[str, Any] = {"name": "", "profile": {}, "locale": None}
    gone = update(User).where(User.id == user_id).values(disabled_at=now, deleted_at=now, updated_at=now, **nothing)
    await session.execute(gone)


async def lock_user(session: AsyncSession, user_id: uuid.UUID) -> User | None:
    """Return a person as they are now, whom nobody else changes until the transaction ends."""
    statement = select(User).where(User.id == user_id).with_for_update()
    return (await session.execute(statement.execution_options(populate_existing=True))).scalar_one_or_none()


async def page_of_users(
    session: AsyncSession,
    after: uuid.UUID | None,
    limit: int,
    *,
    role: str | None = None,
    status: str | None = None,
) -> list[User]:
    """Return at most ``limit`` people in the order in which they came, after ``after``; those with a role, or who are
    ``active``, ``disabled`` or ``deleted``."""
    statement = select(User).order_by(User.id).limit(limit)
    if role is not None:
        statement = statement.where(User.id.in_(select(UserRole.user_id).where(UserRole.role == role)))
    if status == "active":
        statement = statement.where(User.disabled_at.is_(None))
    elif status == "disabled":
        statement = statement.where(User.disabled_at.is_not(None), User.deleted_at.is_(None))
    elif status == "deleted":
        statement = statement.where(User.deleted_at.is_not(None))
    else:
        statement = statement.where(User.deleted_at.is_(None))
    if after is not None:
        statement = statement.where(User.id > after)
    return list((await session.execute(statement)).scalars())


async def set_disabled(session: AsyncSession, user_id: uuid.UUID, at: datetime | None, now: datetime) -> None:
    """Disable a person, or enable again."""
    await session.execute(update(User).where(User.id == user_id).values(disabled_at=at, updated_at=now))


async def set_password_hash(session: AsyncSession, user_id: uuid.UUID, hashed: str, now: datetime) -> None:
    """Give a person the password of which ``hashed`` is the hash, in place of any other."""
    await session.execute(delete(Credential).where(Credential.user_id == user_id, Credential.kind == "password"))
    session.add(Credential(user_id=user_id, kind="password", secret=hashed, created_at=now, updated_at=now))


async def upgrade_password_hash(session: AsyncSession, credential_id: uuid.UUID, hashed: str, now: datetime) -> None:
    """Replace a hash by a stronger one of the same password."""
    await session.execute(
        update(Credential).where(Credential.id == credential_id).values(secret=hashed, updated_at=now)
    )
