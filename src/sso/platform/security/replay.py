"""Replay protection for values that are accepted only once (RFC 7523 section 3, ``jti``)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sso.platform.db import delete_batch, insert_for
from sso.platform.security.models import Replay
from sso.platform.security.tokens import token_hash


def first_use(session: Session, issuer: str, jti: str, expires_at: datetime) -> bool:
    """Record ``jti`` of ``issuer`` and tell whether this was the first use. Exactly one caller wins."""
    statement = (
        insert_for(session)(Replay)
        .values(issuer=issuer, jti_hash=token_hash(jti), expires_at=expires_at)
        .on_conflict_do_nothing()
    )
    return cast(CursorResult[Any], session.execute(statement)).rowcount == 1


def was_seen(session: Session, issuer: str, jti: str) -> bool:
    """Tell whether ``jti`` of ``issuer`` was recorded."""
    statement = select(Replay.issuer).where(Replay.issuer == issuer, Replay.jti_hash == token_hash(jti))
    return session.execute(statement).first() is not None


async def delete_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete expired records, at most ``limit``, and return how many there were."""
    return await delete_batch(session, Replay, Replay.expires_at, limit, Replay.expires_at < now)
