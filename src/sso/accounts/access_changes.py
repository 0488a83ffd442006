"""What follows a change of roles, groups and memberships: applications are told, and sessions end by policy.

Everything that changes who has which role or group calls :func:`access_changed` in its transaction. Tokens,
introspection and userinfo read the database each time, so that they need nothing here.

What a user had before is read from the same rows, which keep the time at which they ended.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
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
RECENT = timedelta(seconds=10)
"""How long before a call the change that it is about was written, at most."""
CLOCK = "roles"
ROLES, GROUPS = "roles", "groups"
"""The scopes, and the claims, with which an application hears of roles and groups."""


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


async def access_changed(
    session: AsyncSession,
    services: EventServices,
    *,
    user_ids: Collection[uuid.UUID],
    client_ids: Collection[str] | None,
    actor: Actor,
    since: datetime | None = None,
    unknown_before: bool = False,
) -> None:
    """Tell applications of changed roles and groups of users, and end their sessions where the application wants it.

    Call it in the transaction of the change, after the change was flushed. The first hundred users are compared at
    once; a job goes on with the others.

    Args:
        session: the transaction.
        services: the registered applications and their event streams.
        user_ids: the users whose roles, groups or memberships changed.
        client_ids: the applications; None: every application that defines roles or wants to hear of groups.
        actor: who made the change.
        since: a moment before the change; by default ten seconds ago.
        unknown_before: the change is not one of times, such as the move of a unit: what the users had before cannot be
            read any more, and counts as lost.
    """
    before = since or clock.now() - RECENT
    users = sorted(set(user_ids))
    if not users or not _concerned(services.registry, client_ids):
        return
    await _compare(session, services, users[:PART], client_ids, actor, before, unknown_before)
    _leave_for_later(session, users[PART:], client_ids, actor, before, unknown_before)


def _leave_for_later(
    session: AsyncSession,
    users: Sequence[uuid.UUID],
    client_ids: Collection[str] | None,
    actor: Actor,
    before: datetime,
    unknown_before: bool = False,
) -> None:
    for start in range(0, len(users), PART):
        part = [str(user_id) for user_id in users[start : start + PART]]
        named = None if client_ids is None else sorted(client_ids)
        session.add(
            PendingAccessChange(
                user_ids=part,
                client_ids=named,
                since=before,
                unknown_before=unknown_before,
                actor=actor.name,
                created_at=clock.now(),
            )
        )


def _concerned(registry: Registry, client_ids: Collection[str] | None) -> dict[str, Client]:
    """Return the applications that a change can concern."""
    if client_ids is None:
        return {client.client_id: client for client in registry.with_access()}
    known = ((client_id, registry.get(client_id)) for client_id in client_ids)
    return {client_id: client for client_id, client in known if client is not None}


async def _compare(
    session: AsyncSession,
    services: EventServices,
    user_ids: Sequence[uuid.UUID],
    client_ids: Collection[str] | None,
    actor: Actor,
    since: datetime,
    unknown_before: bool,
) -> None:
    """Compare at most ``PART`` users, and do what follows."""
    clients = _concerned(services.registry, client_ids)
    telling = services.has_streams
    ending = {client_id for client_id, client in clients.items() if client.meta.end_session_on_role_loss}
    clients = clients if telling else {client_id: clients[client_id] for client_id in ending}
    if not clients:
        return
    known = await tokens.scopes_known(session, user_ids, clients)
    used = known.keys()
    clients = {client_id: client for client_id, client in clients.items() if any(pair[1] == client_id for pair in used)}
    if not clients:
        return
    roles = await changes.roles_over_time(session, user_ids, clients, since)
    groups = await changes.groups_over_time(session, user_ids, since)
    now = clock.now()
    compared = {
        (user_id, client_id): compare(
            clients[client_id],
            [role for role in roles if role.user_id == user_id and role.client_id == client_id],
            [group for group in groups if group.user_id == user_id],
            since,
            now,
            unknown_before=unknown_before,
        )
        for user_id, client_id in used
        if client_id in clients
    }
    await _tell(session, services, clients, compared, known, actor)
    await _end(session, services, {pair: result for pair, result in compared.items() if pair[1] in ending}, actor)


def compare(
    client: Client,
    roles: Sequence[HeldRole],
    groups: Sequence[ReachedGroup],
    since: datetime,
    now: datetime,
    *,
    unknown_before: bool = False,
) -> Comparison:
    """Return what changed for a user in an application, from the rows of the user that held at or after ``since``.

    Args:
        client: the application.
        roles: the roles of the user in it.
        groups: the groups of the user.
        since: a moment before the change.
        now: a moment after it.
        unknown_before: what the user had through a group before is not in the rows.
    """
    present = _told(client, changes.at(roles, now), changes.at(groups, now))
    held_roles = [role for role in roles if role.span.held_in(since, now)]
    held_groups = [group for group in groups if group.span.held_in(since, now)]
    lost = _told(client, held_roles, held_groups).has_more_than(present)
    before = _told(
        client,
        [role for role in roles if role.span.held_at(since)],
        [group for group in groups if group.span.held_at(since)],
    )
    if unknown_before:
        return Comparison(present, True, now)
    spans = [*(role.span for role in held_roles), *(group.span for group in held_groups)]
    ends = [span.until for span in spans if span.until is not None and span.until <= now]
    lost_at = max(ends, default=now) if lost else None
    return Comparison(present, lost or present.has_more_than(before), lost_at)


def _told(client: Client, roles: Sequence[HeldRole], groups: Sequence[ReachedGroup]) -> AccessNow:
    meta = client.meta
    return AccessNow(
        tuple(role_claims([(role.role, role.code) for role in roles], meta.application_roles)),
        tuple(group_claims(changes.codes_of(groups), meta.groups_of_interest)),
    )


async def told_applications(
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
    roles = changes.at(await changes.roles_over_time(session, [user_id], clients, now), now)
    groups = changes.at(await changes.groups_over_time(session, [user_id], now), now)
    told: list[tuple[Client, AccessNow]] = []
    for client_id, client in sorted(clients.items()):
        scopes = known[user_id, client_id] & client.scopes
        whole = _told(client, [role for role in roles if role.client_id == client_id], groups)
        seen = AccessNow(whole.roles if ROLES in scopes else (), whole.groups if GROUPS in scopes else ())
        if seen != AccessNow():
            told.append((client, seen))
    return told


async def _tell(
    session: AsyncSession,
    services: EventServices,
    clients: Mapping[str, Client],
    compared: Mapping[tuple[uuid.UUID, str], Comparison],
    known: Mapping[tuple[uuid.UUID, str], set[str]],
    actor: Actor,
) -> None:
    """Write the events. An application hears of a claim whose scope it has registered, and was granted by the user."""
    told: dict[Concerned, dict[str, tuple[str, ...]]] = {}
    for (user_id, client_id), result in compared.items():
        scopes = known[user_id, client_id] & clients[client_id].scopes
        claims = {
            name: values for name, values in ((ROLES, result.now.roles), (GROUPS, result.now.groups)) if name in scopes
        }
        if result.changed and claims:
            told[Concerned(client_id, user_id)] = claims
    if told:
        await signals.claims_changed(session, services, told, "policy" if actor == SYSTEM else "admin")


async def _end(
    session: AsyncSession,
    services: EventServices,
    compared: Mapping[tuple[uuid.UUID, str], Comparison],
    actor: Actor,
) -> None:
    """End the part that an application takes in the sessions of users who lost something, with its grants.

    An application that used the session after the loss knows what the user has now: its part goes on.
    """
    lost: dict[str, dict[uuid.UUID, datetime]] = {}
    for (user_id, client_id), result in compared.items():
        if result.lost_at is not None:
            lost.setdefault(client_id, {})[user_id] = result.lost_at
    now = clock.now()
    for client_id, moments in sorted(lost.items()):
        await tokens.revoke_grants_of_users(session, sorted(moments), client_id, now, max(moments.values()))
    for client_id, moments in sorted(lost.items()):
        parts = await sessions.parts_of_users(session, sorted(moments), client_id)
        over = [session_id for session_id, user_id, used in parts if used <= moments[user_id]]
        await end_client_sessions(session, services, client_id, over, EndReason.ROLE_LOST, actor=actor.name)


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
        names = ("client_ids", "since", "unknown_before", "actor", "created_at")
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
        user_ids = [uuid.UUID(user_id) for user_id in pending.user_ids]
        actor = SYSTEM if pending.actor == SYSTEM.name else Actor(pending.actor)
        await session.delete(pending)
        await session.flush()
        await _compare(session, services, user_ids, pending.client_ids, actor, pending.since, pending.unknown_before)
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
        _leave_for_later(session, sorted(user_ids), None, SYSTEM, since)
    return len(user_ids)
