"""Every SQL statement about tickets. Functions that take an ``Executor`` run within the bridge."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.gate.cas.models import UsedTicket
from sso.oidc.store.models import Grant
from sso.platform.db import Executor, new_id, table_of
from sso.platform.db.sql_types import ResultRow

MAX_KEPT = 20
"""How many tickets of one application are kept for each session, the newest: an application whose own session is so
often begun anew has forgotten the first."""
_tickets, _grants = map(table_of, (UsedTicket, Grant))
_t = _tickets.c
_OWNER = select(_grants.c.client_id).where(_grants.c.code_hash == bindparam("code"))
_INSERT = _tickets.insert()
_MINE = (_t.session_id == bindparam("session")) & (_t.client_id == bindparam("client"))
_KEPT = select(_t.id).where(_MINE).order_by(_t.id.desc()).limit(MAX_KEPT)
_DELETE_SURPLUS = delete(_tickets).where(_MINE, _t.id.not_in(_KEPT))


def owner_of(session: Executor, ticket_hash: bytes) -> str | None:
    """Return the application that a ticket was made for, used or not; None: there is no such ticket."""
    client_id: str | None = session.execute(_OWNER, {"code": ticket_hash}).scalar_one_or_none()
    return client_id


def keep_used(
    session: Executor, session_id: uuid.UUID, client_id: str, service: str, ticket: bytes, now: datetime
) -> None:
    """Keep a ticket that was validated, encrypted, and no more than :data:`MAX_KEPT` of its application and session."""
    values = {"session_id": session_id, "client_id": client_id, "service": service, "ticket": ticket}
    session.execute(_INSERT, {"id": new_id(), **values, "used_at": now})
    session.execute(_DELETE_SURPLUS, {"session": session_id, "client": client_id})


async def take_used(
    session: AsyncSession, session_ids: Collection[uuid.UUID], client_ids: Collection[str]
) -> dict[tuple[uuid.UUID, str], list[tuple[bytes, str]]]:
    """Delete the tickets of applications whose part in sessions has ended, and return them, encrypted, with their
    service URLs, by session and application, the newest first."""
    mine = delete(UsedTicket).where(UsedTicket.session_id.in_(session_ids), UsedTicket.client_id.in_(client_ids))
    returned = mine.returning(
        UsedTicket.id, UsedTicket.session_id, UsedTicket.client_id, UsedTicket.ticket, UsedTicket.service
    ).execution_options(synchronize_session=False)
    rows: list[ResultRow] = sorted((await session.execute(returned)).all(), key=lambda row: row[0], reverse=True)
    by_client_session: dict[tuple[uuid.UUID, str], list[tuple[bytes, str]]] = {}
    for _, session_id, client_id, ticket, service in rows:
        by_client_session.setdefault((session_id, client_id), []).append((ticket, service))
    return by_client_session
