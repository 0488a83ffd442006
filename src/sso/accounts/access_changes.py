"""What follows a change of roles, groups and memberships: applications are told, and sessions end by policy.

Everything that changes who has which role or group calls :func:`access_changed`, once, in its transaction. Tokens,
introspection and userinfo read the database each time, so that they need nothing here.

What a user had before is read from the same rows, which keep the time at which they ended. A move of a unit, a new
code, and an end or beginning in the past leave no such rows: before these, :func:`access_before` reads what
applications are told.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.registry import Client, Registry
from sso.clients.roles import group_claims, role_claims
from sso.identity.groups import changes
from sso.identity.groups.changes import HeldRole, ReachedGroup
from sso.identity.groups.models import AccessClock, PendingAccessChange
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.logout.end_sessions import end_client_sessions
from sso.oidc.store import store as tokens
from sso.platform.actor import SYSTEM, Actor
from sso.platform.db import DatabaseUnavailable, insert_for
from sso.platform.services import HasDatabase
from sso.ssf import events as signals
from sso.ssf.events import Concerned, EventServices

log = logging.getLogger(__name__)

PART = 100
"""How many users one transaction compares. A job goes on with the others."""
READ_AT_ONCE = 500
"""How many users one statement reads before a change of units."""
INSTANT = timedelta(microseconds=1)
"""The time between a change and the moment before it."""
CLOCK = "roles"
ROLES, GROUPS = "roles", "groups"
"""The scopes, and the claims, with which an application hears of roles and groups."""
Pair = tuple[uuid.UUID, str]
"""A user and an application."""


class AccessServices(EventServices, HasDatabase, Protocol):
    """What the jobs that tell applications of changed roles and groups need."""


@dataclass(frozen=True, slots=True)
class AccessNow:
    """What an application is, or would be, told of a user.

    Args:
        roles: the claim ``roles``.
        groups: the claim ``groups``.
    """

    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def has_more_than(self, other: AccessNow) -> bool:
        """Tell whether something of this is not in another."""
        return not (set(self.roles) <= set(other.roles) and set(self.groups) <= set(other.groups))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed for a user in an application.

    Args:
        now: what the application is told now.
        changed: whether something was lost or gained.
        lost_at: when the user lost something; None: nothing was lost.
    """

    now: AccessNow
    changed: bool
    lost_at: datetime | None


@dataclass(frozen=True, slots=True)
class Before:
    """What applications were told of users before a change.

    Args:
        at: when it was read.
        claims: what each application that a user uses was told.
    """

    at: datetime
    claims: Mapping[Pair, AccessNow]


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of what users have.

    Args:
        user_ids: the users, in order.
        client_ids: the applications; None: all.
        actor: who made the change.
        since: a moment before it.
        before: what applications were told then; None: the rows of the users say it.
        closed_to: applications that the users may not use any more.
    """

    user_ids: Sequence[uuid.UUID]
    client_ids: Collection[str] | None
    actor: Actor
    since: datetime
    before: Mapping[Pair, AccessNow] | None = None
    closed_to: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of users in a time: the roles by user and application, and the groups by user."""

    roles: Mapping[Pair, Sequence[HeldRole]]
    groups: Mapping[uuid.UUID, Sequence[ReachedGroup]]

    def at(self, client: Client, pair: Pair, moment: datetime) -> AccessNow:
        """Return what an application is told of a user at a moment."""
        roles, reached = self.roles.get(pair, ()), self.groups.get(pair[0], ())
        return _notified(client, changes.at(roles, moment), changes.at(reached, moment))


async def access_before(session: AsyncSession, services: EventServices, user_ids: Collection[uuid.UUID]) -> Before:
    """Read what applications are told of users, before a change that leaves no rows of what they had.

    Five statements for each five hundred users; none where nobody is told of changes.
    """
    clients, now = _following(services, None), clock.now()
    claims: dict[Pair, AccessNow] = {}
    users = sorted(set(user_ids)) if clients else []
    for start in range(0, len(users), READ_AT_ONCE):
        known = await tokens.scopes_known(session, users[start : start + READ_AT_ONCE], clients)
        rows = await _rows(session, known, now)
        claims |= {pair: rows.at(clients[pair[1]], pair, now) for pair in known}
    return Before(now, claims)


async def access_before_units_change(
    session: AsyncSession, services: EventServices, group_ids: Collection[uuid.UUID]
) -> Before:
    """Read what applications are told of everybody whom a change of units concerns, before the change."""
    if not is_followed(services, None):
        return Before(clock.now(), {})
    return await access_before(session, services, await changes.users_of_units(session, group_ids, clock.now()))


async def access_changed_since(session: AsyncSession, services: EventServices, before: Before, *, actor: Actor) -> None:
    """Do what :func:`access_changed` does, from what applications were told before the change. An application of which
    nothing was gained or lost is not told, and ends nothing."""
    users = sorted({user_id for user_id, _ in before.claims})
    await _follow(session, services, _Change(users, None, actor, before.at, before.claims))


async def access_changed(
    session: AsyncSession,
    services: EventServices,
    *,
    user_ids: Collection[uuid.UUID],
    client_ids: Collection[str] | None,
    actor: Actor,
    since: datetime,
    closed_to: Collection[str] = (),
) -> None:
    """Tell applications of changed roles and groups of users, and end their sessions where the application wants it.

    Call it once in the transaction of the change, after the last change was flushed: it locks grants and sessions, and
    no row of a person may be changed after these. The first hundred users are compared at once; a job goes on with the
    others.

    Args:
        session: the transaction.
        services: the registered applications and their event streams.
        user_ids: the users whose roles, groups or memberships changed.
        client_ids: the applications; None: every application that defines roles or wants to hear of groups.
        actor: who made the change.
        since: a moment before the change, and after every earlier one. What ended before it was told before. A change
            of an earlier time, or of the tree, needs :func:`access_before` and :func:`access_changed_since`.
        closed_to: applications that one user may not use any more: their parts in sessions end whatever was lost.
    """
    await _follow(session, services, _Change(sorted(set(user_ids)), client_ids, actor, since, None, closed_to))


def is_followed(services: EventServices, client_ids: Collection[str] | None) -> bool:
    """Tell whether an application is told of a change, or ends sessions by it."""
    return bool(_following(services, client_ids))


async def _follow(session: AsyncSession, services: EventServices, change: _Change) -> None:
    """Compare the first users, and leave the others to the job."""
    await _compare(session, services, replace(change, user_ids=change.user_ids[:PART]))
    if not is_followed(services, change.client_ids):
        return
    _leave_for_later(session, change, PART)


def _leave_for_later(session: AsyncSession, change: _Change, first: int = 0) -> None:
    """Leave the users of a change from the number ``first`` on to the job, in parts."""
    for start in range(first, len(change.user_ids), PART):
        session.add(_pending(replace(change, user_ids=change.user_ids[start : start + PART])))


def _pending(change: _Change) -> PendingAccessChange:
    before: dict[str, dict[str, list[list[str]]]] | None = None
    if change.before is not None:
        before, mine = {}, set(change.user_ids)
        for (user_id, client_id), claims in change.before.items():
            if user_id in mine:
                before.setdefault(str(user_id), {})[client_id] = [list(claims.roles), list(claims.groups)]
    return PendingAccessChange(
        user_ids=[str(user_id) for user_id in change.user_ids],
        client_ids=None if change.client_ids is None else sorted(change.client_ids),
        since=change.since,
        before=before,
        actor=change.actor.name,
        created_at=clock.now(),
    )


def _change_of(pending: PendingAccessChange) -> _Change:
    before: dict[Pair, AccessNow] | None = None
    if pending.before is not None:
        before = {
            (uuid.UUID(user_id), client_id): AccessNow(tuple(roles), tuple(group_codes))
            for user_id, claims in pending.before.items()
            for client_id, (roles, group_codes) in claims.items()
        }
    actor = SYSTEM if pending.actor == SYSTEM.name else Actor(pending.actor)
    users = [uuid.UUID(user_id) for user_id in pending.user_ids]
    return _Change(users, pending.client_ids, actor, pending.since, before)


def _concerned(registry: Registry, client_ids: Collection[str] | None) -> dict[str, Client]:
    """Return the applications that a change can concern."""
    if client_ids is None:
        return {client.client_id: client for client in registry.with_access()}
    known = ((client_id, registry.get(client_id)) for client_id in client_ids)
    return {client_id: client for client_id, client in known if client is not None}


def _following(services: EventServices, client_ids: Collection[str] | None) -> dict[str, Client]:
    """Return the applications that a change can concern and that are told of it, or end sessions by it."""
    clients = _concerned(services.registry, client_ids)
    if services.has_streams:
        return clients
    return {client_id: client for client_id, client in clients.items() if client.meta.end_session_on_role_loss}


async def _rows(session: AsyncSession, pairs: Collection[Pair], since: datetime) -> _Rows:
    """Read what users had at or after a moment, each row once. Three statements; none without users."""
    roles: dict[Pair, list[HeldRole]] = {}
    reached: dict[uuid.UUID, list[ReachedGroup]] = {}
    if pairs:
        users, client_ids = sorted({pair[0] for pair in pairs}), sorted({pair[1] for pair in pairs})
        for role in await changes.roles_over_time(session, users, client_ids, since):
            roles.setdefault((role.user_id, role.client_id), []).append(role)
        for group in await changes.groups_over_time(session, users, since):
            reached.setdefault(group.user_id, []).append(group)
    return _Rows(roles, reached)


async def _compare(session: AsyncSession, services: EventServices, change: _Change) -> None:
    """Compare at most ``PART`` users, tell the applications, and end sessions."""
    clients = _following(services, change.client_ids)
    known = await tokens.scopes_known(session, change.user_ids, clients) if clients and change.user_ids else {}
    compared = await _compared(session, clients, known, change)
    await _tell(session, services, clients, compared, known, change.actor)
    lost: dict[str, dict[uuid.UUID, datetime]] = {}
    for (user_id, client_id), result in compared.items():
        if result.lost_at is not None and clients[client_id].meta.end_session_on_role_loss:
            lost.setdefault(client_id, {})[user_id] = result.lost_at
    for client_id in change.closed_to:
        lost[client_id] = dict.fromkeys(change.user_ids, clock.now())
    await _end(session, services, lost, change.actor)


async def _compared(
    session: AsyncSession, clients: Mapping[str, Client], known: Collection[Pair], change: _Change
) -> dict[Pair, Comparison]:
    """Return what changed for each user in each application that the user uses."""
    before = change.before
    pairs = [pair for pair in known if before is None or pair in before]
    rows, now = await _rows(session, pairs, change.since), clock.now()
    compared: dict[Pair, Comparison] = {}
    for pair in pairs:
        client = clients[pair[1]]
        if before is not None:
            present = rows.at(client, pair, now)
            lost_at = change.since if before[pair].has_more_than(present) else None
            compared[pair] = Comparison(present, present != before[pair], lost_at)
        else:
            roles, reached = rows.roles.get(pair, ()), rows.groups.get(pair[0], ())
            compared[pair] = compare(client, roles, reached, change.since, now)
    return compared


def compare(
    client: Client, roles: Sequence[HeldRole], groups: Sequence[ReachedGroup], since: datetime, now: datetime
) -> Comparison:
    """Return what changed for a user in an application, from the rows of the user that held at or after ``since``.

    Args:
        client: the application.
        roles: the roles of the user in it.
        groups: the groups of the user.
        since: a moment before the change.
        now: a moment after it.
    """
    present = _notified(client, changes.at(roles, now), changes.at(groups, now))
    held_roles = [role for role in roles if role.span.held_in(since, now)]
    held_groups = [group for group in groups if group.span.held_in(since, now)]
    lost = _notified(client, held_roles, held_groups).has_more_than(present)
    before = _notified(
        client,
        [role for role in roles if role.span.held_at(since)],
        [group for group in groups if group.span.held_at(since)],
    )
    spans = [*(role.span for role in held_roles), *(group.span for group in held_groups)]
    ends = [span.until for span in spans if span.until is not None and span.until <= now]
    lost_at = max(ends, default=now) if lost else None
    return Comparison(present, lost or present.has_more_than(before), lost_at)


def _notified(client: Client, roles: Sequence[HeldRole], groups: Sequence[ReachedGroup]) -> AccessNow:
    meta = client.meta
    return AccessNow(
        tuple(role_claims([(role.role, role.code) for role in roles], meta.application_roles)),
        tuple(group_claims(changes.codes_of(groups), meta.groups_of_interest)),
    )


async def notified_applications(
    session: AsyncSession, registry: Registry, user_id: uuid.UUID
) -> list[tuple[Client, AccessNow]]:
    """Return what applications are told of the roles and groups of a user now: those that the user has used, with the
    claims whose scope they were granted. Applications that are told of nothing are left out."""
    clients = {client.client_id: client for client in registry.with_access()}
    known = await tokens.scopes_known(session, [user_id], clients)
    clients = {client_id: clients[client_id] for _, client_id in known}
    if not clients:
        return []
    now = clock.now()
    rows = await _rows(session, known, now)
    listed: list[tuple[Client, AccessNow]] = []
    for client_id, client in sorted(clients.items()):
        scopes = known[user_id, client_id] & client.scopes
        whole = rows.at(client, (user_id, client_id), now)
        seen = AccessNow(whole.roles if ROLES in scopes else (), whole.groups if GROUPS in scopes else ())
        if seen != AccessNow():
            listed.append((client, seen))
    return listed


async def _tell(
    session: AsyncSession,
    services: EventServices,
    clients: Mapping[str, Client],
    compared: Mapping[Pair, Comparison],
    known: Mapping[Pair, set[str]],
    actor: Actor,
) -> None:
    """Write the events. An application hears of a claim whose scope it has registered, and was granted by the user."""
    events: dict[Concerned, dict[str, tuple[str, ...]]] = {}
    for (user_id, client_id), result in compared.items():
        scopes = known[user_id, client_id] & clients[client_id].scopes
        claims = {
            name: values for name, values in ((ROLES, result.now.roles), (GROUPS, result.now.groups)) if name in scopes
        }
        if result.changed and claims:
            events[Concerned(client_id, user_id)] = claims
    if events:
        await signals.claims_changed(session, services, events, "policy" if actor == SYSTEM else "admin")


async def _end(
    session: AsyncSession,
    services: EventServices,
    lost: Mapping[str, Mapping[uuid.UUID, datetime]],
    actor: Actor,
) -> None:
    """End the parts that applications take in the sessions of users who lost something, with their grants: first all
    grants, then all parts, in the order of the locks.

    An application that used the session after the loss knows what the user has now: its part goes on. Of a user who
    signed in again after the own loss, no grant ends that is newer.

    Args:
        session: the transaction.
        services: the registered applications and their event streams.
        lost: when each user lost something, by application.
        actor: who made the change.
    """
    now = clock.now()
    for client_id, moments in sorted(lost.items()):
        await tokens.revoke_grants_of_users(session, client_id, now, moments)
    for client_id, moments in sorted(lost.items()):
        parts = await sessions.client_sessions_of_users(session, sorted(moments), client_id)
        outdated = [session_id for session_id, user_id, used in parts if used <= moments[user_id]]
        await end_client_sessions(session, services, client_id, outdated, EndReason.ROLE_LOST, actor=actor)


async def work_once(services: AccessServices, failed: dict[uuid.UUID, Exception]) -> bool:
    """Compare one part of the users of a large change, in a transaction of its own; tell whether there was one.

    Where that fails, each of its users becomes a part. A part of one user that fails is left for the next time, and the
    others are done all the same.

    Args:
        services: the database, and how applications are told.
        failed: the parts that failed, which are left out; another one is added.
    """
    part = list[uuid.UUID]()
    try:
        return await _compare_part(services, failed, part)
    except DatabaseUnavailable:
        raise
    except Exception as failure:
        if not part:
            raise
        log.exception("changed roles and groups: part %s failed", part[0])
        if not await _split(services, part[0]):
            failed[part[0]] = failure
        return True


async def _split(services: AccessServices, part_id: uuid.UUID) -> bool:
    """Make a part of each user of a part; return whether it had several."""
    async with services.db.write() as session:
        pending = await session.get(PendingAccessChange, part_id, with_for_update=True)
        if pending is None or len(pending.user_ids) < 2:
            return False
        names = ("client_ids", "since", "before", "actor", "created_at")
        same = {name: getattr(pending, name) for name in names}
        session.add_all(PendingAccessChange(user_ids=[user_id], **same) for user_id in pending.user_ids)
        await session.delete(pending)
        return True


async def _compare_part(services: AccessServices, failed: Collection[uuid.UUID], part: list[uuid.UUID]) -> bool:
    async with services.db.write() as session:
        oldest = select(PendingAccessChange).order_by(PendingAccessChange.id).limit(1)
        if failed:
            oldest = oldest.where(PendingAccessChange.id.not_in(failed))
        pending = (await session.execute(oldest.with_for_update(skip_locked=True))).scalar_one_or_none()
        if pending is None:
            return False
        part.append(pending.id)
        change = _change_of(pending)
        await session.delete(pending)
        await session.flush()
        await _compare(session, services, change)
        return True


async def work(services: AccessServices, stop: asyncio.Event, after_part: Callable[[], None] = lambda: None) -> None:
    """Go on with everything that was left for later, until it is done or ``stop``."""
    async with services.db.read() as session:
        if (await session.execute(select(PendingAccessChange.id).limit(1))).first() is None:
            return
    failed: dict[uuid.UUID, Exception] = {}
    while not stop.is_set() and await work_once(services, failed):
        after_part()


async def follow_the_clock(session: AsyncSession, services: EventServices) -> int:
    """Find the users for whom a role or group began or ended by time since the last call, and leave what follows to
    :func:`work_once`.

    Returns:
        How many users there were.
    """
    now = clock.now()
    row = (
        await session.execute(select(AccessClock).where(AccessClock.name == CLOCK).with_for_update())
    ).scalar_one_or_none()
    since = row.looked_until if row is not None else now
    if row is None:
        values = {"name": CLOCK, "looked_until": now}
        await session.execute(insert_for(session)(AccessClock).values(**values).on_conflict_do_nothing())
    elif row.looked_until < now:
        row.looked_until = now
    user_ids = await changes.changed_by_time(session, since, now) if since < now else []
    if _concerned(services.registry, None):  # in transactions of their own: a user for whom it fails stops nobody
        _leave_for_later(session, _Change(sorted(user_ids), None, SYSTEM, since, None))
    return len(user_ids)
