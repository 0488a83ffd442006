"""Requests that are sent twice and done once: the header Idempotency-Key of the IETF's HTTP API working group."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sso import clock
from sso.platform.db import insert_for
from sso.platform.security.encryption import SecretBox
from sso.platform.security.models import IdempotencyKey
from sso.platform.security.tokens import equal, token_hash

KEEP_HOURS = 24
_PURPOSE = "idempotency"


class KeyUsed(Exception):
    """The key came with another request before."""


async def begin_once(session: AsyncSession, box: SecretBox, key: str, request: str) -> bytes | None:
    """Return the answer to the request that came with this key before; None: it is to be done now, and whoever sends it
    too, at the same time, waits until this transaction ends.

    Args:
        session: the transaction.
        box: opens the answer.
        key: the key, with who sent it.
        request: what was asked for.

    Raises:
        KeyUsed: when the key came with another request.
    """
    now, digest = clock.now(), token_hash(key)
    await session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.key_hash == digest, IdempotencyKey.expires_at <= now)
    )
    values: dict[str, Any] = {"key_hash": digest, "request_hash": token_hash(request), "answer": b""}
    values["expires_at"] = now + timedelta(hours=KEEP_HOURS)
    statement = insert_for(session)(IdempotencyKey).values(**values)
    made = await session.execute(statement.on_conflict_do_nothing().returning(IdempotencyKey.key_hash))
    if made.first() is not None:
        return None
    found = (await session.execute(select(IdempotencyKey).where(IdempotencyKey.key_hash == digest))).scalar_one()
    if not equal(found.request_hash, token_hash(request)):
        raise KeyUsed
    return box.decrypt(found.answer, _PURPOSE)


async def finish_once(session: AsyncSession, box: SecretBox, key: str, answer: bytes) -> None:
    """Keep the answer to what :func:`begin_once` let be done."""
    mine = update(IdempotencyKey).where(IdempotencyKey.key_hash == token_hash(key))
    await session.execute(mine.values(answer=box.encrypt(answer, _PURPOSE)))


def delete_expired(session: Session, now: datetime) -> None:
    """Delete what may not be sent again any more."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.expires_at < now))
