"""The request log of applications: what each asked of the protocol's endpoints lately, and the outcome.

Requests are collected in memory and written with the usage counts every few seconds, so that no request has another
statement. An entry has no token, code, secret or user; of the IP address the network alone.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.platform.db import delete_batch, new_id
from sso.platform.metrics.models import ClientRequest

OK = "ok"
KEEP = timedelta(days=7)
MAX_STORED = 500
"""Maximum number of stored entries of an application."""
MAX_WAITING, MAX_WAITING_PER_CLIENT = 2000, 100
"""Maximum number of entries in memory, of all applications and of one, until they are written."""
MAX_UNAUTHENTICATED, MAX_UNAUTHENTICATED_PER_NETWORK, MAX_UNAUTHENTICATED_STORED = 20, 5, 100
"""Maximum number of entries that did not authenticate the application: of one in memory, of one network in memory, and
of one stored. They have these places alone, so that nobody evicts the entries of the application itself."""
SURPLUS = 500
"""How many entries of an application are deleted at most when further ones are written."""
NOT_AUTHENTICATED = "not authenticated"
"""What an entry has in place of the grant type where the request did not authenticate the application."""


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request of an application.

    Args:
        client_id: the application.
        endpoint: the path of the endpoint.
        outcome: ``ok``, an error code of the protocol, or the HTTP status.
        grant_type: of a token request.
        request_id: the reference that the response and the error page show.
        network: the network of the caller.
        sandbox: whether it is a sandbox. Of others, only those entries are stored whose team has switched the log on.
        at: when.
        id: its place in the log.
    """

    client_id: str
    endpoint: str
    outcome: str
    grant_type: str
    request_id: str
    network: str | None
    sandbox: bool
    at: datetime
    id: uuid.UUID


class RequestLog:
    """The entries of one process that are not written yet."""

    def __init__(self) -> None:
        self._entries: list[LoggedRequest] = []
        self._by_client: Counter[str] = Counter()
        self._unauthenticated: Counter[str] = Counter()

    def add(
        self,
        client_id: str,
        endpoint: str,
        outcome: str,
        *,
        grant_type: str = "",
        request_id: str = "",
        network: str | None = None,
        sandbox: bool,
        authenticated: bool = True,
    ) -> None:
        """Add a request. Where an application sends very many, further ones are left out until these are written; fewer
        are kept of those that did not authenticate the application (``authenticated``), and they take no place of the
        others."""
        places, maximum = (
            (self._by_client, MAX_WAITING_PER_CLIENT) if authenticated else (self._unauthenticated, MAX_UNAUTHENTICATED)
        )
        if len(self._entries) >= (MAX_WAITING if authenticated else MAX_WAITING // 2) or places[client_id] >= maximum:
            return
        if not authenticated:
            source = f"from {network}"
            if self._unauthenticated[source] >= MAX_UNAUTHENTICATED_PER_NETWORK:
                return
            self._unauthenticated[source] += 1
            grant_type = NOT_AUTHENTICATED
        places[client_id] += 1
        entry = LoggedRequest(
            client_id,
            endpoint[:60],
            outcome[:60],
            grant_type[:80],
            request_id[:64],
            network,
            sandbox,
            clock.now(),
            new_id(),
        )
        self._entries.append(entry)

    def take(self) -> list[LoggedRequest]:
        """Return every entry, and begin again."""
        taken, self._entries, self._by_client, self._unauthenticated = self._entries, [], Counter(), Counter()
        return taken

    def put_back(self, entries: Sequence[LoggedRequest]) -> None:
        """Add back entries that could not be written, as far as there is room."""
        self._entries = [*entries, *self._entries][:MAX_WAITING]
        self._by_client = Counter(entry.client_id for entry in self._entries if entry.grant_type != NOT_AUTHENTICATED)
        self._unauthenticated = Counter(
            entry.client_id for entry in self._entries if entry.grant_type == NOT_AUTHENTICATED
        )


async def add_requests(session: AsyncSession, entries: Collection[LoggedRequest]) -> None:
    """Store entries, and delete the oldest ones of these applications beyond the maximum."""
    if entries:
        rows = [
            {
                "id": entry.id,
                "client_id": entry.client_id,
                "at": entry.at,
                "endpoint": entry.endpoint,
                "outcome": entry.outcome,
                "grant_type": entry.grant_type,
                "request_id": entry.request_id,
                "network": entry.network,
            }
            for entry in entries
        ]
        await session.execute(insert(ClientRequest), rows)
    for client_id, unauthenticated in sorted(
        {(entry.client_id, entry.grant_type == NOT_AUTHENTICATED) for entry in entries}
    ):
        await _delete_surplus(session, client_id, unauthenticated=unauthenticated, limit=SURPLUS)


async def requests_of(
    session: AsyncSession,
    client_ids: Sequence[str],
    *,
    outcome: str = "",
    request_id: str = "",
    before: uuid.UUID | None = None,
    limit: int = 50,
) -> list[ClientRequest]:
    """Return entries of applications, the latest first.

    Args:
        session: the transaction.
        client_ids: the applications.
        outcome: ``errors``, an outcome, or nothing for all.
        request_id: the reference of one request.
        before: the entry after which the page begins.
        limit: how many.
    """
    rows = select(ClientRequest).where(ClientRequest.client_id.in_(client_ids))
    if outcome == "errors":
        rows = rows.where(ClientRequest.outcome != OK)
    elif outcome:
        rows = rows.where(ClientRequest.outcome == outcome)
    if request_id:
        rows = rows.where(ClientRequest.request_id == request_id)
    if before is not None:
        rows = rows.where(ClientRequest.id < before)
    return list((await session.execute(rows.order_by(ClientRequest.id.desc()).limit(limit))).scalars())


async def delete_old_requests(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete entries from before a moment, at most ``limit``; return how many."""
    return await delete_batch(session, ClientRequest, ClientRequest.at, limit, ClientRequest.at < before)


async def delete_surplus_requests(session: AsyncSession, since: datetime, limit: int) -> int:
    """Delete the oldest entries, at most ``limit``, of the applications that sent a request since a moment and have
    more than :data:`MAX_STORED`; return how many."""
    lately, left = select(ClientRequest.client_id).where(ClientRequest.at >= since).distinct(), limit
    for client_id in (await session.execute(lately)).scalars().all():
        for unauthenticated in (True, False):
            left -= await _delete_surplus(session, client_id, unauthenticated=unauthenticated, limit=left)
        if not left:
            break
    return limit - left


async def _delete_surplus(session: AsyncSession, client_id: str, *, unauthenticated: bool, limit: int) -> int:
    """Delete the oldest entries of an application beyond the maximum, at most ``limit``; return how many."""
    grant_type, maximum = ClientRequest.grant_type, MAX_UNAUTHENTICATED_STORED if unauthenticated else MAX_STORED
    kind = (
        grant_type.is_not_distinct_from(NOT_AUTHENTICATED)
        if unauthenticated
        else grant_type.is_distinct_from(NOT_AUTHENTICATED)
    )
    mine = select(ClientRequest.id).where(ClientRequest.client_id == client_id, kind)
    surplus = mine.order_by(ClientRequest.id.desc()).offset(maximum).limit(limit)
    ids = (await session.execute(surplus)).scalars().all()
    if ids:
        await session.execute(delete(ClientRequest).where(ClientRequest.id.in_(ids)))
    return len(ids)
