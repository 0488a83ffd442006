"""Every SQL statement about sessions."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sso.security.tokens import random_token
from sso.sessions.models import SessionClient, SsoSession
from sso.users.models import User


@dataclass(frozen=True, slots=True)
class Participation:
    """That an application took part in a session, and the ``sid`` by which it knows the session."""

    client_id: str
    sid: str
    session_id: uuid.UUID
    user_id: uuid.UUID


def is_alive(now: datetime, idle_since: datetime) -> Any:
    """Return the condition that a session is not over: not ended, not expired, used after ``idle_since``."""
    return (SsoSession.ended_at.is_(None)) & (SsoSession.expires_at > now) & (SsoSession.last_seen_at > idle_since)


async def touch(session: AsyncSession, session_id: uuid.UUID, now: datetime) -> None:
    """Record that a session was used."""
    await session.execute(
        update(SsoSession).where(SsoSession.id == session_id, SsoSession.ended_at.is_(None)).values(last_seen_at=now)
    )


async def renew(session: AsyncSession, session_id: uuid.UUID, alive: Any, **values: Any) -> SsoSession | None:
    """Give a living session of the same person a new cookie and a new proof; None when it is over."""
    statement = update(SsoSession).where(SsoSession.id == session_id, alive).values(**values).returning(SsoSession)
    return (await session.execute(statement)).scalar_one_or_none()


def lock_alive(session: Session, session_id: uuid.UUID, now: datetime, idle_since: datetime) -> Any:
    """Return (session, user) where both are well, held until the transaction ends so that they stay so."""
    statement = (
        select(SsoSession, User)
        .join(User, User.id == SsoSession.user_id)
        .where(SsoSession.id == session_id, is_alive(now, idle_since), User.disabled_at.is_(None))
        .with_for_update(read=True, of=SsoSession)
    )
    return session.execute(statement).first()


def take_part(session: Session, session_id: uuid.UUID, client_id: str, now: datetime) -> str:
    """Record that an application takes part in a session and return its ``sid``."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = (
        insert(SessionClient)
        .values(session_id=session_id, client_id=client_id, sid=random_token(), first_used_at=now, last_used_at=now)
        .on_conflict_do_update(index_elements=["session_id", "client_id"], set_={"last_used_at": now})
        .returning(SessionClient.sid)
    )
    return str(session.execute(statement).scalar_one())


async def participants(session: AsyncSession, session_ids: Sequence[uuid.UUID]) -> list[Participation]:
    """Return every application that took part in one of the sessions."""
    statement = (
        select(SessionClient.client_id, SessionClient.sid, SessionClient.session_id, SsoSession.user_id)
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(SessionClient.session_id.in_(session_ids))
        .order_by(SessionClient.first_used_at)
    )
    return [Participation(*row) for row in (await session.execute(statement)).all()]


async def end(session: AsyncSession, session_ids: Sequence[uuid.UUID], reason: str, now: datetime) -> list[uuid.UUID]:
    """End those of the sessions that are not over and return them. Exactly one caller gets each."""
    statement = (
        update(SsoSession)
        .where(SsoSession.id.in_(session_ids), SsoSession.ended_at.is_(None))
        .values(ended_at=now, end_reason=reason)
        .returning(SsoSession.id)
    )
    return list((await session.execute(statement)).scalars())


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions: each given field narrows."""

    session_id: uuid.UUID | None = None
    user_id: uuid.UUID | None = None
    client_id: str | None = None


async def living(
    session: AsyncSession, wanted: SessionFilter, now: datetime, idle_since: datetime, limit: int
) -> list[tuple[SsoSession, User]]:
    """Return living sessions with their people, newest first."""
    statement = (
        _filtered(select(SsoSession, User).join(User, User.id == SsoSession.user_id), wanted)
        .where(is_alive(now, idle_since))
        .order_by(SsoSession.id.desc())
        .limit(limit)
    )
    return [(row[0], row[1]) for row in (await session.execute(statement)).all()]


async def not_ended(session: AsyncSession, wanted: SessionFilter, limit: int) -> list[uuid.UUID]:
    """Return sessions that nobody has ended yet, expired ones too: their applications have not been told."""
    statement = _filtered(select(SsoSession.id), wanted).where(SsoSession.ended_at.is_(None)).limit(limit)
    return list((await session.execute(statement)).scalars())


async def expired(session: AsyncSession, now: datetime, idle_since: datetime, limit: int) -> list[uuid.UUID]:
    """Return sessions whose time is over and that are not ended yet."""
    over = (SsoSession.expires_at <= now) | (SsoSession.last_seen_at <= idle_since)
    statement = select(SsoSession.id).where(SsoSession.ended_at.is_(None), over).limit(limit)
    return list((await session.execute(statement)).scalars())


async def used_clients(session: AsyncSession, session_id: uuid.UUID) -> list[str]:
    """Return the applications of one session, in the order of their first use."""
    statement = (
        select(SessionClient.client_id)
        .where(SessionClient.session_id == session_id)
        .order_by(SessionClient.first_used_at)
    )
    return list((await session.execute(statement)).scalars())


def _filtered(statement: Any, wanted: SessionFilter) -> Any:
    if wanted.session_id is not None:
        statement = statement.where(SsoSession.id == wanted.session_id)
    if wanted.user_id is not None:
        statement = statement.where(SsoSession.user_id == wanted.user_id)
    if wanted.client_id is not None:
        taking_part = select(SessionClient.session_id).where(SessionClient.client_id == wanted.client_id)
        statement = statement.where(SsoSession.id.in_(taking_part))
    return statement
