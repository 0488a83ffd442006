"""Ways back into an account that wait: for a delay to pass, or for the code that the helpdesk made."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.authn.models import Recovery
from sso.platform.db import delete_batch, fetch, table_of

Kind = Literal["delayed", "ready", "helpdesk"]
"""A recovery that waits, and can be stopped; one whose time has come; a code that the helpdesk made."""

READY_HOURS = 24
CODE_CHARS = 12
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def new_helpdesk_code() -> str:
    """Return a code that is read out and typed: 60 bits, in three groups."""
    code = "".join(secrets.choice(_ALPHABET) for _ in range(CODE_CHARS))
    return "-".join(code[at : at + 4] for at in range(0, CODE_CHARS, 4))


async def add(
    session: AsyncSession,
    user_id: uuid.UUID,
    kind: Kind,
    token: str,
    *,
    wait: timedelta,
    valid: timedelta,
    created_by: str | None = None,
    client_id: str | None = None,
) -> Recovery:
    """Keep a way back, in place of any other of its kind.

    Args:
        session: the transaction.
        user_id: whose account.
        kind: delayed or helpdesk.
        token: what opens it.
        wait: from when on.
        valid: for how long then.
        created_by: who made it.
        client_id: the application from which it was begun.
    """
    now = clock.now()
    await session.execute(delete(Recovery).where(Recovery.user_id == user_id, Recovery.kind == kind))
    recovery = Recovery(
        token_hash=_hash(token),
        user_id=user_id,
        kind=kind,
        created_by=created_by,
        client_id=client_id,
        created_at=now,
        ready_at=now + wait,
        expires_at=now + wait + valid,
    )
    session.add(recovery)
    return recovery


async def find(session: AsyncSession, kind: Kind, token: str, user_id: uuid.UUID | None = None) -> Recovery | None:
    """Return a way back that is not over; it may not be ready yet."""
    statement = select(Recovery).where(
        Recovery.token_hash == _hash(token), Recovery.kind == kind, Recovery.expires_at > clock.now()
    )
    if user_id is not None:
        statement = statement.where(Recovery.user_id == user_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def take(session: AsyncSession, recovery: Recovery) -> bool:
    """Use a way back up; tell whether it was there still. Exactly one of many callers wins."""
    mine = delete(Recovery).where(Recovery.token_hash == recovery.token_hash)
    return (await session.execute(mine.returning(Recovery.token_hash))).first() is not None


async def due(session: AsyncSession, limit: int) -> list[Recovery]:
    """Return delayed recoveries that are ready since the last time they were looked at: each is returned once."""
    now = clock.now()
    statement = select(Recovery).where(Recovery.kind == "delayed", Recovery.ready_at <= now, Recovery.expires_at > now)
    return list((await session.execute(statement.limit(limit))).scalars())


_recoveries = table_of(Recovery)
_DELETE_OF_USER = (
    delete(_recoveries).where(_recoveries.c.user_id == bindparam("user_id")).returning(_recoveries.c.token_hash)
)


async def delete_of_user(session: AsyncSession, user_id: uuid.UUID) -> int:
    """Close every way back into an account that waits; return how many."""
    return len(await fetch(session, _DELETE_OF_USER, {"user_id": user_id}))


async def delete_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete recoveries that have expired, at most ``limit``; return how many."""
    return await delete_batch(session, Recovery, Recovery.expires_at, limit, Recovery.expires_at <= now)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.replace("-", "").casefold().encode("utf-8", "surrogatepass")).digest()
