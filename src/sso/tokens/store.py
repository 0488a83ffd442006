"""Every SQL statement about grants. Functions that take a ``Session`` run within the bridge."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sso.sessions.models import SessionClient, SsoSession
from sso.sessions.store import is_alive
from sso.tokens.models import AccessToken, Consent, Grant, RefreshToken
from sso.users.models import User


async def find_session(
    session: AsyncSession, token_hash: bytes, client_id: str | None, now: datetime, idle_since: datetime
) -> tuple[SsoSession, User, list[str]] | None:
    """Return the living session with the cookie ``token_hash``, its person, and the scopes that the person allowed
    ``client_id``: all that an authorization request needs, in one statement."""
    statement = (
        select(SsoSession, User, Consent.scopes)
        .join(User, User.id == SsoSession.user_id)
        .outerjoin(Consent, (Consent.user_id == User.id) & (Consent.client_id == client_id))
        .where(SsoSession.token_hash == token_hash, is_alive(now, idle_since), User.disabled_at.is_(None))
    )
    row = (await session.execute(statement)).first()
    return (row[0], row[1], row[2] or []) if row else None


async def consented_scopes(session: AsyncSession, user_id: uuid.UUID, client_id: str) -> list[str]:
    """Return the scopes that a person allowed an application."""
    statement = select(Consent.scopes).where(Consent.user_id == user_id, Consent.client_id == client_id)
    return (await session.execute(statement)).scalar_one_or_none() or []


async def remember_consent(
    session: AsyncSession, user_id: uuid.UUID, client_id: str, scopes: list[str], now: datetime
) -> None:
    """Remember what a person allows an application."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(Consent).values(
        user_id=user_id, client_id=client_id, scopes=scopes, created_at=now, updated_at=now
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["user_id", "client_id"], set_={"scopes": scopes, "updated_at": now}
        )
    )


def use_code(session: Session, code_hash: bytes, client_id: str, now: datetime, expires_at: datetime) -> Grant | None:
    """Consume a code of ``client_id`` and return its grant. Of many callers at once exactly one gets it."""
    statement = (
        update(Grant)
        .where(
            Grant.code_hash == code_hash,
            Grant.client_id == client_id,
            Grant.code_used_at.is_(None),
            Grant.code_expires_at > now,
            Grant.revoked_at.is_(None),
        )
        .values(code_used_at=now, expires_at=expires_at)
        .returning(Grant)
    )
    return session.execute(statement).scalar_one_or_none()


def find_used_code(session: Session, code_hash: bytes, client_id: str) -> uuid.UUID | None:
    """Return the grant of a code that ``client_id`` has used before."""
    statement = select(Grant.id).where(
        Grant.code_hash == code_hash, Grant.client_id == client_id, Grant.code_used_at.is_not(None)
    )
    return session.execute(statement).scalar_one_or_none()


def revoke_grant(session: Session, grant_id: uuid.UUID, now: datetime) -> bool:
    """End a grant with everything that grew from it; tell whether it was alive."""
    statement = update(Grant).where(Grant.id == grant_id, Grant.revoked_at.is_(None)).values(revoked_at=now)
    return cast(CursorResult[Any], session.execute(statement)).rowcount == 1


def use_refresh_token(
    session: Session, token_hash: bytes, client_id: str, successor_hash: bytes, now: datetime
) -> uuid.UUID | None:
    """Consume a refresh token of ``client_id`` and return its grant. Of many callers exactly one gets it."""
    statement = (
        update(RefreshToken)
        .where(
            RefreshToken.token_hash == token_hash,
            RefreshToken.client_id == client_id,
            RefreshToken.used_at.is_(None),
            RefreshToken.expires_at > now,
        )
        .values(used_at=now, successor_hash=successor_hash)
        .returning(RefreshToken.grant_id)
    )
    return session.execute(statement).scalar_one_or_none()


def give_back_refresh_token(session: Session, token_hash: bytes) -> None:
    """Undo :func:`use_refresh_token` within the same transaction."""
    mine = RefreshToken.token_hash == token_hash
    session.execute(update(RefreshToken).where(mine).values(used_at=None, successor_hash=None))


def find_refresh_token(session: Session, token_hash: bytes) -> RefreshToken | None:
    """Return a refresh token, used or not."""
    return session.get(RefreshToken, token_hash)


@dataclass(frozen=True, slots=True)
class Behind:
    """What stands behind a token: its grant, the person, the session and the ``sid`` of the application in it."""

    grant: Grant
    user: User
    session: SsoSession | None
    sid: str | None

    def alive(self, now: datetime, idle_since: datetime) -> bool:
        """Tell whether what was granted still holds: not revoked, person enabled, session not over (unless the
        grant was made to outlive it)."""
        if self.grant.revoked_at is not None or self.user.disabled_at is not None:
            return False
        if self.grant.offline:
            return True
        session = self.session
        if session is None or session.ended_at is not None:
            return False
        return session.expires_at > now and session.last_seen_at > idle_since


def find_grant(session: Session, grant_id: uuid.UUID, *, lock: bool = False) -> Behind | None:
    """Return what stands behind a grant. ``lock`` holds the grant until the transaction ends, so that nothing is
    issued from one that is being revoked."""
    statement = _behind(select(Grant, User, SsoSession, SessionClient.sid), Grant.id == grant_id)
    if lock:
        statement = statement.with_for_update(read=True, of=Grant)
    row = session.execute(statement).first()
    return Behind(*row) if row else None


def find_refresh_with_grant(session: Session, token_hash: bytes) -> tuple[RefreshToken, Behind] | None:
    """Return a refresh token and what stands behind it, in one statement."""
    columns = select(Grant, User, SsoSession, SessionClient.sid, RefreshToken)
    statement = _behind(columns, RefreshToken.token_hash == token_hash).join(
        RefreshToken, RefreshToken.grant_id == Grant.id
    )
    row = session.execute(statement).first()
    return (row[4], Behind(*row[:4])) if row else None


def find_access_token(session: Session, token_hash: bytes) -> tuple[AccessToken, Behind | None] | None:
    """Return an opaque access token and what stands behind it (nothing for client_credentials), in one statement."""
    statement = (
        select(AccessToken, Grant, User, SsoSession, SessionClient.sid)
        .outerjoin(Grant, Grant.id == AccessToken.grant_id)
        .outerjoin(User, User.id == Grant.user_id)
        .outerjoin(SsoSession, SsoSession.id == Grant.session_id)
        .outerjoin(SessionClient, _participation())
        .where(AccessToken.token_hash == token_hash)
    )
    row = session.execute(statement).first()
    if row is None:
        return None
    return row[0], Behind(row[1], row[2], row[3], row[4]) if row[1] is not None else None


def revoke_access_token(session: Session, token_hash: bytes, client_id: str, now: datetime) -> bool:
    """Revoke an opaque access token of ``client_id``; tell whether there was one."""
    statement = (
        update(AccessToken)
        .where(AccessToken.token_hash == token_hash, AccessToken.client_id == client_id)
        .values(revoked_at=now)
    )
    return cast(CursorResult[Any], session.execute(statement)).rowcount == 1


async def revoke_grants_of_sessions(session: AsyncSession, session_ids: Sequence[uuid.UUID], now: datetime) -> None:
    """End every grant of the sessions that was not made to outlive them (``offline_access``)."""
    statement = update(Grant).where(
        Grant.session_id.in_(session_ids), Grant.revoked_at.is_(None), Grant.offline.is_(False)
    )
    await session.execute(statement.values(revoked_at=now))


async def revoke_grants_of_user(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> None:
    """End every grant of a person, those that outlive sessions too."""
    statement = update(Grant).where(Grant.user_id == user_id, Grant.revoked_at.is_(None))
    await session.execute(statement.values(revoked_at=now))


async def forget_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete grants and tokens whose time is over; return how many rows went."""
    newest = select(RefreshToken.grant_id).where(RefreshToken.grant_id == Grant.id, RefreshToken.expires_at > now)
    statements = (
        delete(RefreshToken).where(
            RefreshToken.token_hash.in_(
                select(RefreshToken.token_hash).where(RefreshToken.expires_at < now).limit(limit)
            )
        ),
        delete(AccessToken).where(
            AccessToken.token_hash.in_(select(AccessToken.token_hash).where(AccessToken.expires_at < now).limit(limit))
        ),
        delete(Grant).where(
            Grant.id.in_(select(Grant.id).where(Grant.expires_at < now, ~newest.exists()).limit(limit))
        ),
    )
    removed = 0
    for statement in statements:
        result = await session.execute(statement.execution_options(synchronize_session=False))
        removed += cast(CursorResult[Any], result).rowcount
    return removed


def _behind(columns: Any, condition: Any) -> Any:
    return (
        columns.select_from(Grant)
        .join(User, User.id == Grant.user_id)
        .outerjoin(SsoSession, SsoSession.id == Grant.session_id)
        .outerjoin(SessionClient, _participation())
        .where(condition)
    )


def _participation() -> Any:
    return (SessionClient.session_id == Grant.session_id) & (SessionClient.client_id == Grant.client_id)
