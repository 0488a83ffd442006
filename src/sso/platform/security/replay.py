"""Remembering what may be accepted only once (RFC 7523 section 3, ``jti``)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select
from sqlalchemy.orm import Session

from sso.platform.db import insert_for
from sso.platform.security.models import Replay
from sso.platform.security.tokens import token_hash


def first_use(session: Session, issuer: str, jti: str, expires_at: datetime) -> bool:
    """Record ``jti`` of ``issuer`` and tell whether it had not been seen. Exactly one of many callers wins."""
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


def delete_expired(session: Session, now: datetime) -> int:
    """Delete records that nothing can match any more and return how many there were."""
    return cast(CursorResult[Any], session.execute(delete(Replay).where(Replay.expires_at < now))).rowcount
