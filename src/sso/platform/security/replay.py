"""Replay protection for values that are accepted only once (RFC 7523 section 3, ``jti``)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.platform.db import INSERTS, Executor, delete_batch, table_of
from sso.platform.security.models import Replay
from sso.platform.security.tokens import token_hash

_replay = table_of(Replay)
_USE = {name: insert(_replay).on_conflict_do_nothing().returning(_replay.c.issuer) for name, insert in INSERTS.items()}
_FIND = select(_replay.c.issuer).where(
    _replay.c.issuer == bindparam("issuer"), _replay.c.jti_hash == bindparam("jti_hash")
)


def first_use(session: Executor, issuer: str, jti: str, expires_at: datetime) -> bool:
    """Record ``jti`` of ``issuer`` and tell whether this was the first use. Exactly one caller wins."""
    values = {"issuer": issuer, "jti_hash": token_hash(jti), "expires_at": expires_at}
    return session.execute(_USE[session.get_bind().dialect.name], values).first() is not None


def was_seen(session: Executor, issuer: str, jti: str) -> bool:
    """Tell whether ``jti`` of ``issuer`` was recorded."""
    return session.execute(_FIND, {"issuer": issuer, "jti_hash": token_hash(jti)}).first() is not None


async def delete_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete expired records, at most ``limit``, and return how many there were."""
    return await delete_batch(session, Replay, Replay.expires_at, limit, Replay.expires_at < now)
