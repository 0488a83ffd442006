"""Every SQL statement about invitations of users."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.identity.users.models import UserInvitation
from sso.platform.db import delete_batch


def add(session: AsyncSession, invitation: UserInvitation) -> None:
    """Add an invitation to the transaction."""
    session.add(invitation)


async def get(session: AsyncSession, invitation_id: uuid.UUID) -> UserInvitation | None:
    """Return an invitation, locked until the transaction ends."""
    statement = select(UserInvitation).where(UserInvitation.id == invitation_id).with_for_update(key_share=True)
    return (await session.execute(statement)).scalar_one_or_none()


async def by_token(session: AsyncSession, hashed: bytes, now: datetime) -> UserInvitation | None:
    """Return the invitation of a link, unless it has expired."""
    statement = select(UserInvitation).where(UserInvitation.token_hash == hashed, UserInvitation.expires_at > now)
    return (await session.execute(statement)).scalar_one_or_none()


async def invited(session: AsyncSession, lookups: Sequence[str]) -> set[str]:
    """Return those of some e-mail addresses and user names that are in invitations."""
    named = or_(UserInvitation.email.in_(lookups), UserInvitation.username.in_(lookups))
    rows = await session.execute(select(UserInvitation.email, UserInvitation.username).where(named))
    return {value for row in rows for value in row if value is not None}


async def take(session: AsyncSession, hashed: bytes) -> bool:
    """Use an invitation up. Exactly one of many callers wins."""
    mine = delete(UserInvitation).where(UserInvitation.token_hash == hashed)
    return (await session.execute(mine.returning(UserInvitation.id))).first() is not None


async def remove(session: AsyncSession, invitation_id: uuid.UUID) -> None:
    """Delete an invitation."""
    await session.execute(delete(UserInvitation).where(UserInvitation.id == invitation_id))


async def page_of(session: AsyncSession, before: uuid.UUID | None, limit: int, words: str = "") -> list[UserInvitation]:
    """Return invitations that are older than ``before``, the newest first; with these words in the name, the e-mail
    address or the username."""
    statement = select(UserInvitation).order_by(UserInvitation.id.desc()).limit(limit)
    columns = (UserInvitation.name, UserInvitation.email, UserInvitation.username)
    for word in words.lower().split()[:5]:
        statement = statement.where(or_(*(func.lower(column).contains(word, autoescape=True) for column in columns)))
    if before is not None:
        statement = statement.where(UserInvitation.id < before)
    return list((await session.execute(statement)).scalars())


async def count(session: AsyncSession) -> int:
    """Return the number of invitations."""
    return int((await session.execute(select(func.count()).select_from(UserInvitation))).scalar_one())


async def delete_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete invitations that have expired, at most ``limit``; return how many."""
    return await delete_batch(
        session, UserInvitation, UserInvitation.expires_at, limit, UserInvitation.expires_at <= now
    )
