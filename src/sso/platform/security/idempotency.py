"""Idempotency keys (header Idempotency-Key, IETF draft): a request that is sent twice is executed once."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.platform.db import INSERTS, InsertFor, delete_batch, fetch, table_of
from sso.platform.db.sql_types import InsertReturning
from sso.platform.security.encryption import SecretBox
from sso.platform.security.models import IdempotencyKey
from sso.platform.security.tokens import equal, token_hash

KEEP_HOURS = 24
_PURPOSE = "idempotency"


class KeyUsed(Exception):
    """The key was used with another request before."""


_keys = table_of(IdempotencyKey)
_k = _keys.c


def _insert(insert: InsertFor) -> InsertReturning:
    """Return the statement that inserts a key, or replaces one that has expired."""
    statement = insert(_keys)
    renewed = {column.name: statement.excluded[column.name] for column in _keys.c if not column.primary_key}
    return statement.on_conflict_do_update(
        index_elements=["key_hash"], set_=renewed, where=_k.expires_at <= bindparam("now")
    ).returning(_k.key_hash)


_INSERT = {dialect: _insert(insert) for dialect, insert in INSERTS.items()}
_STORED = select(_k.request_hash, _k.answer).where(_k.key_hash == bindparam("key"))
_SET_ANSWER = update(_keys).where(_k.key_hash == bindparam("key"))


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
    values: dict[str, object] = {"key_hash": digest, "request_hash": token_hash(request), "answer": b"", "now": now}
    values["expires_at"] = now + timedelta(hours=KEEP_HOURS)
    if await fetch(session, _INSERT[session.get_bind().dialect.name], values):
        return None
    request_hash, answer = (await fetch(session, _STORED, {"key": digest}))[0]
    if not equal(request_hash, token_hash(request)):
        raise KeyUsed
    return box.decrypt(answer, _PURPOSE)


async def finish_once(session: AsyncSession, box: SecretBox, key: str, answer: bytes) -> None:
    """Store the response to a request for which :func:`begin_once` returned None."""
    await fetch(session, _SET_ANSWER, {"key": token_hash(key), "answer": box.encrypt(answer, _PURPOSE)})


async def delete_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete expired keys, at most ``limit``; return how many."""
    expired = IdempotencyKey.expires_at < now
    return await delete_batch(session, IdempotencyKey, IdempotencyKey.expires_at, limit, expired)
