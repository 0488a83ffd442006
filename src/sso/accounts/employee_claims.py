"""Applications are told when the claims of the scope ``employee`` change (CAEP section 3.2: token claims change).

Userinfo and tokens read the employment each time. What is here is for applications with an event stream only: without
one that has the scope, nothing is read.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.access_changes import INSTANT
from sso.clients.registry import Client
from sso.identity.employees import store
from sso.identity.employees.models import Employment
from sso.oidc.store import store as tokens
from sso.platform.actor import SYSTEM, Actor
from sso.ssf import events as signals
from sso.ssf.events import ClaimValue, Concerned, EventServices

EmployeeClaims = Mapping[str, str | None]
"""Each claim of the scope ``employee``; None: the user has none."""
NONE: EmployeeClaims = dict.fromkeys(store.CLAIMS)
"""What applications were told of somebody who has no employment."""


async def claims_before(
    session: AsyncSession, services: EventServices, employment: Employment, now: datetime
) -> EmployeeClaims:
    """Return what applications were told of an employment, before a change: of one that is over by time and that no job
    has ended yet, what they received at its last moment. One statement; none where nobody is told."""
    if employment.begun_at is None or not _followers(services):
        return NONE
    last = employment.valid_until - INSTANT if employment.valid_until is not None else now
    return await store.claims_of(session, employment.user_id, min(now, last))


async def employee_claims_changed(
    session: AsyncSession, services: EventServices, user_id: uuid.UUID, before: EmployeeClaims, actor: Actor
) -> None:
    """Tell the applications that have an event stream, and that the user granted the scope ``employee``, of the claims
    that are not what they were. Call it after the last change was flushed.

    One statement where nothing changed, two where no application knows the employment.

    Args:
        session: the transaction.
        services: the registered applications and their event streams.
        user_id: the user.
        before: what applications received before.
        actor: who made the change.
    """
    followers = _followers(services)
    if not followers:
        return
    after = await store.claims_of(session, user_id, clock.now())
    changed = {name: value for name, value in after.items() if value != before[name]}
    if not changed:
        return
    events: dict[Concerned, dict[str, ClaimValue]] = {}
    for client_id, scopes, details in await tokens.granted_with(session, user_id, followers):
        named = changed if "employee" in scopes else {*details.get("userinfo", ()), *details.get("id_token", ())}
        hidden = followers[client_id].withheld.union(details.get("withheld") or ())
        claims = {name: value for name, value in changed.items() if name in named and name not in hidden}
        if claims:
            events.setdefault(Concerned(client_id, user_id), {}).update(claims)
    if events:
        await signals.claims_changed(session, services, events, "policy" if actor == SYSTEM else "admin")


def _followers(services: EventServices) -> dict[str, Client]:
    """Return the applications with the scope, where any application has a stream."""
    return {client.client_id: client for client in services.registry.with_employment()} if services.has_streams else {}
