"""Idempotency keys (header Idempotency-Key, IETF draft): a request that is sent twice is executed once."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.platform.db import delete_batch, insert_for
from sso.platform.security.encryption import SecretBox
from sso.platform.security.models import IdempotencyKey
from sso.platform.security.tokens import equal, token_hash

KEEP_HOURS = 24
_PURPOSE = "idempotency"


class KeyUsed(Exception):
    """The key was used with another request before."""


async def begin_once(session: AsyncSession, box: SecretBox, key: str, request: str) -> bytes | None:
    """Return the stored response to the request with this key; None if the request is to be executed now. A concurrent
    request with the same key waits until this transaction ends.

    Args:
        session: the transaction.
        box: decrypts the response.
        key: the key, together with the sender.
        request: the request in a canonical form.

    Raises:
        KeyUsed: when the key was used with another request.
    """
    now, digest = clock.now(), token_hash(key)
    await session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.key_hash == digest, IdempotencyKey.expires_at <= now)
    )
    values: dict[str, object] = {"key_hash": digest, "request_hash": token_hash(request), "answer": b""}
    values["expires_at"] = now + timedelta(hours=KEEP_HOURS)
    statement = insert_for(session)(IdempotencyKey).values(**values)
    inserted = await session.execute(statement.on_conflict_do_nothing().returning(IdempotencyKey.key_hash))
    if inserted.first() is not None:
        return None
    stored = (await session.execute(select(IdempotencyKey).where(IdempotencyKey.key_hash == digest))).scalar_one()
    if not equal(stored.request_hash, token_hash(request)):
        raise KeyUsed
    return box.decrypt(stored.answer, _PURPOSE)


async def finish_once(session: AsyncSession, box: SecretBox, key: str, answer: bytes) -> None:
    """Store the response to a request for which :func:`begin_once` returned None."""
    mine = update(IdempotencyKey).where(IdempotencyKey.key_hash == token_hash(key))
    await session.execute(mine.values(answer=box.encrypt(answer, _PURPOSE)))


async def delete_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete expired keys, at most ``limit``; return how many."""
    expired = IdempotencyKey.expires_at < now
    return await delete_batch(session, IdempotencyKey, IdempotencyKey.expires_at, limit, expired)
