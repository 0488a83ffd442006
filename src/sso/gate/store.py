"""Every SQL statement about gate sessions."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from sqlalchemy import bindparam, delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso.gate.models import GateSession
from sso.identity.sessions.models import SessionClient, SsoSession
from sso.oidc.store.store import LiveGrant, grant_of_row, with_grants
from sso.platform.db import Executor, delete_batch, fetch, table_of

_gates, _client_sessions = table_of(GateSession), table_of(SessionClient).alias("part")
_t, _p = _gates.c, _client_sessions.c
_COLUMNS = (
    _t.session_id, _t.created_at, _t.last_used_at, _t.expires_at, _p.notified_by, _p.refused_at,
    table_of(SsoSession).c.last_seen_at,
)  # fmt: skip
_MINE = (
    (_t.token_hash == bindparam("token", type_=_t.token_hash.type))
    & (_t.client_id == bindparam("client", type_=_t.client_id.type))
    & (_t.host == bindparam("host", type_=_t.host.type))
)
_FIND = {
    access: statement.where(_MINE)
    for access, statement in with_grants(
        _gates.outerjoin(_client_sessions, (_p.session_id == _t.session_id) & (_p.client_id == _t.client_id)),
        _t.grant_id,
        *_COLUMNS,
    ).items()
}
_GRANT = len(_COLUMNS) + 1


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A gate session. ``notified_by`` and ``refused_at`` are of the client session; ``last_seen_at`` is the last
    recorded use of the session. ``grant``: None where it is not active any more."""

    session_id: uuid.UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    notified_by: str | None
    refused_at: datetime | None
    last_seen_at: datetime | None
    grant: LiveGrant | None


class GateColumns(TypedDict):
    """The columns of a new gate session."""

    token_hash: bytes
    client_id: str
    session_id: uuid.UUID
    grant_id: uuid.UUID
    host: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


def find(
    session: Executor,
    token_hash: bytes,
    client_id: str,
    host: str,
    now: datetime,
    idle_since: datetime,
    *,
    access: bool,
) -> FoundSession | None:
    """Return the gate session with a cookie, at this application and host. One statement; for the bridge. ``access``:
    with the user's roles and groups."""
    values = {"token": token_hash, "client": client_id, "host": host, "now": now, "idle_since": idle_since}
    row = session.execute(_FIND[access], values).first()
    if row is None:
        return None
    grant = grant_of_row(row, _GRANT, access=access) if row[_GRANT - 1] else None
    session_id, created_at, last_used_at, expires_at, notified_by, refused_at, last_seen_at = row[: _GRANT - 1]
    return FoundSession(session_id, created_at, last_used_at, expires_at, notified_by, refused_at, last_seen_at, grant)


def insert(session: Executor, values: GateColumns) -> None:
    """Store a gate session."""
    session.execute(_gates.insert(), dict(values))


_parts = table_of(SessionClient)
_PART = (_parts.c.session_id == bindparam("session")) & (_parts.c.client_id == bindparam("client"))
_RECORD_USE = update(_gates).where(_t.token_hash == bindparam("token"))
_RECORD_USE_OF_PART = update(_parts).where(_PART, _parts.c.notified_by.is_(None))
_RECORD_REFUSAL = update(_parts).where(_PART, _parts.c.notified_by == "gate", _parts.c.refused_at.is_(None))
_REMOVE = delete(_gates).where(_MINE)


async def record_use(session: AsyncSession, token_hash: bytes, now: datetime) -> None:
    """Record that a gate session is used."""
    await fetch(session, _RECORD_USE, {"token": token_hash, "last_used_at": now})


async def record_use_of_client_session(
    session: AsyncSession, session_id: uuid.UUID, client_id: str, now: datetime
) -> None:
    """Record that an application uses a session."""
    await fetch(session, _RECORD_USE_OF_PART, {"session": session_id, "client": client_id, "last_used_at": now})


async def record_refusal(session: AsyncSession, session_id: uuid.UUID, client_id: str, now: datetime) -> None:
    """Record the first request that was refused after the end of an application's part in a session."""
    await fetch(session, _RECORD_REFUSAL, {"session": session_id, "client": client_id, "refused_at": now})


async def remove(session: AsyncSession, token_hash: bytes, client_id: str, host: str) -> None:
    """Delete a gate session: the person signs out of this application."""
    await fetch(session, _REMOVE, {"token": token_hash, "client": client_id, "host": host})


async def delete_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete gate sessions whose cookie has expired, at most ``limit``; return how many."""
    return await delete_batch(session, GateSession, GateSession.expires_at, limit, GateSession.expires_at < now)


async def delete_of_client(session: AsyncSession, client_id: str, limit: int) -> int:
    """Delete gate sessions of an application, at most ``limit``; return how many."""
    return await delete_batch(session, GateSession, GateSession.client_id, limit, GateSession.client_id == client_id)
