"""Giving and ending roles of applications, and who may: see :mod:`sso.accounts.role_rules`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.access_changes import INSTANT, access_changed, is_followed
from sso.accounts.role_rules import REFUSALS, Gift, Giver, Refused, why_not, why_not_confirm, why_not_end
from sso.accounts.sandbox_users import can_try, users_of_sandbox
from sso.clients import store as clients
from sso.clients.models import SANDBOX_END
from sso.clients.registry import Client
from sso.errors import Refusal
from sso.identity.employees.store import is_employee
from sso.identity.groups import assignments as store
from sso.identity.groups import changes, tree
from sso.identity.groups.models import Group, RoleAssignment
from sso.identity.sessions import store as sessions
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.oidc.store import store as tokens
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.portal import teams
from sso.ssf.events import EventServices

MAX_AT_ONCE = 100
"""How many roles one request gives."""
MAX_REASON_CHARS = 500
MAX_TIME = timedelta(days=3660)
"""How far in the future a role may begin or end."""
GIVES, READS = "assignments:write", "assignments:read"
"""The permissions to give and end, and to see, the roles of every application."""
Code = Literal["not_found", "already_given", "already_ended", "invalid_request", "not_yours"]
_STATUS: dict[Code, int] = {
    "not_found": 404,
    "already_given": 409,
    "already_ended": 409,
    "invalid_request": 422,
    "not_yours": 403,
}


class RoleError(Refusal):
    """A role cannot be given, ended or confirmed.

    Args:
        code: names the refusal.
        text: says why.
        field: the value that is wrong; empty: none of them.
    """

    def __init__(self, code: Code, text: str, field: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.status = _STATUS[code]
        self.field = field

    @property
    def located_mistakes(self) -> list[tuple[str, str]]:
        """The value that is wrong, where one is."""
        return [(f"/{self.field}", str(self))] if self.field else []


class NotYours(RoleError):
    """The actor may not give, end or confirm this role: ``refused`` says which part of the rule says so."""

    def __init__(self, refused: Refused) -> None:
        super().__init__("invalid_request" if refused == "not_defined" else "not_yours", REFUSALS[refused], "role")
        self.refused = refused


@dataclass(frozen=True, slots=True)
class NewAssignment:
    """A role that is to be given: to a user or to a group.

    Args:
        role: the name of the role.
        user_id: the user.
        group_id: the group or unit.
        with_units_below: of a unit: the members of the units below it have the role too.
        unit_id: the unit that the role is limited to.
        valid_from: when it begins; None: now.
        valid_until: when it ends; None: it has no end.
        reason: why.
    """

    role: str
    reason: str
    user_id: uuid.UUID | None = None
    group_id: uuid.UUID | None = None
    with_units_below: bool = False
    unit_id: uuid.UUID | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None


async def giver_of(session: AsyncSession, actor: Actor, client_id: str, user_id: uuid.UUID | None) -> Giver:
    """Return who gives roles of an application.

    Args:
        session: for reading.
        actor: the actor, with the permissions that they have now.
        client_id: the application.
        user_id: the user; None: a program without a user.
    """
    gives_all = GIVES in actor.permissions
    if user_id is None:
        return Giver(None, gives_all)
    units = await tree.administered_by(session, user_id)
    team = await teams.role_of(session, client_id.removesuffix(SANDBOX_END), user_id)
    reviews = team == "owner" and await store.is_reviewed(session, client_id)
    return Giver(user_id, gives_all, team is not None, units, reviews)


async def give_roles(
    session: AsyncSession,
    services: EventServices,
    client_id: str,
    given: Sequence[NewAssignment],
    *,
    giver: Giver,
    actor: Actor,
) -> list[RoleAssignment]:
    """Give roles of one application, all of them or none.

    Args:
        session: the transaction.
        services: the registered applications and their event streams.
        client_id: the application.
        given: at most ``MAX_AT_ONCE``.
        giver: who gives them, for the rule.
        actor: who acts, for the audit log.

    Raises:
        RoleError: when one of them cannot be given, or the giver may not give it.
    """
    since = clock.now() - INSTANT
    created, affected = await write_roles(session, services, client_id, given, giver=giver, actor=actor)
    await access_changed(session, services, user_ids=affected, client_ids=[client_id], actor=actor, since=since)
    return created


async def write_roles(
    session: AsyncSession,
    services: EventServices,
    client_id: str,
    given: Sequence[NewAssignment],
    *,
    giver: Giver,
    actor: Actor,
) -> tuple[list[RoleAssignment], set[uuid.UUID]]:
    """Write the rows of :func:`give_roles`, and return them with the users whom they reach: the caller calls
    ``access_changed`` after all changes of the transaction. Arguments and errors as there."""
    if not 0 < len(given) <= MAX_AT_ONCE:
        raise RoleError("invalid_request", f"give 1 to {MAX_AT_ONCE} roles at once")
    client = await _locked_client(session, services, client_id)
    # Nobody is deleted meanwhile.
    await users.lock_users(session, {new.user_id for new in given if new.user_id is not None})
    created: list[RoleAssignment] = []
    for new in given:
        check_times(new)
        await _check_target(session, client, new)
        assignment = _assignment(client_id, new, actor)
        refused = why_not(giver, await gift_of(session, client, assignment, giver))
        if refused is not None:
            raise NotYours(refused)
        if await store.same_as(session, assignment, clock.now()) is not None:
            raise RoleError("already_given", "this role is already given, and has not ended")
        session.add(assignment)
        await session.flush()
        created.append(assignment)
        await _record(session, "role.given", assignment, assignment.reason, actor)
    return created, await users_reached(session, services, created, clock.now())


async def write_times(session: AsyncSession, assignment: RoleAssignment, new: NewAssignment, *, actor: Actor) -> bool:
    """Give an assignment, whose application is locked, other times with a new reason, as a part of a larger change
    that tells applications itself. Tell whether it begins now: only then does this change who has which role.

    Raises:
        RoleError: when the assignment has ended, or a time is wrong.
    """
    now = clock.now()
    check_times(new)
    await session.refresh(assignment)
    if assignment.valid_until is not None and assignment.valid_until <= now:
        raise RoleError("already_ended", "this role has ended already")
    was_later, is_later = _is_later(assignment.valid_from, now), _is_later(new.valid_from, now)
    if is_later and not was_later:
        raise RoleError("invalid_request", "this role has begun already: end it, and give it again", "valid_from")
    assignment.valid_from, assignment.valid_until = new.valid_from, new.valid_until
    assignment.reason = _line(new.reason)
    await session.flush()
    await _record(session, "role.changed", assignment, new.reason, actor)
    return was_later and not is_later


def _is_later(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment > now


async def end_role(
    session: AsyncSession,
    services: EventServices,
    assignment_id: uuid.UUID,
    *,
    giver: Giver,
    actor: Actor,
    reason: str,
    client_id: str = "",
) -> RoleAssignment:
    """End a role now.

    Args:
        session: the transaction.
        services: the registered applications and their event streams.
        assignment_id: the assignment.
        giver: who ends it, for the rule.
        actor: who acts, for the audit log.
        reason: why.
        client_id: the application that the assignment must be of; empty: any.

    Raises:
        RoleError: when there is no such assignment, it has ended, the giver may not end it, or there is no reason.
    """
    [assignment] = await end_roles(
        session, services, [assignment_id], giver=giver, actor=actor, reason=reason, client_id=client_id
    )
    return assignment


async def end_roles(
    session: AsyncSession,
    services: EventServices,
    assignment_ids: Sequence[uuid.UUID],
    *,
    giver: Giver,
    actor: Actor,
    reason: str,
    client_id: str = "",
) -> list[RoleAssignment]:
    """End roles of one application now, all of them or none: see :func:`end_role`. Members are read once."""
    checked_reason(reason)
    ended: list[RoleAssignment] = []
    for assignment_id in dict.fromkeys(assignment_ids):
        assignment = await _locked_assignment(session, assignment_id, client_id)
        client = services.registry.known(assignment.client_id)
        if client is None:
            raise RoleError("not_found", "there is no such application")
        refused = why_not_end(giver, await gift_of(session, client, assignment, giver))
        if refused is not None:
            raise NotYours(refused)
        ended.append(assignment)
    await end_assignments(session, services, ended, actor=actor, reason=reason)
    return ended


async def end_assignments(
    session: AsyncSession,
    services: EventServices,
    ended: Sequence[RoleAssignment],
    *,
    actor: Actor,
    reason: str,
) -> None:
    """End assignments of one application, whose client is locked, without a question who may."""
    now = clock.now()
    affected = await users_reached(session, services, ended, now)
    await write_ends(session, ended, now=now, actor=actor, reason=reason)
    names = {assignment.client_id for assignment in ended}
    await access_changed(session, services, user_ids=affected, client_ids=names, actor=actor, since=now - INSTANT)


async def write_ends(
    session: AsyncSession, ended: Sequence[RoleAssignment], *, now: datetime, actor: Actor, reason: str
) -> None:
    """End assignments as a part of a larger change that tells applications itself."""
    for assignment in ended:
        # What would begin later never begins: its whole time is over.
        if assignment.valid_from is not None and assignment.valid_from > now:
            assignment.valid_from = now
        assignment.valid_until, assignment.ended_by, assignment.end_reason = now, actor.name or "", _line(reason)
        await _record(session, "role.ended", assignment, reason, actor)
    await session.flush()


async def users_reached(
    session: AsyncSession, services: EventServices, reaching: Sequence[RoleAssignment], now: datetime
) -> set[uuid.UUID]:
    """Return the users whom assignments reach, or will reach."""
    affected: set[uuid.UUID] = set()
    for client_id in sorted({assignment.client_id for assignment in reaching}):
        of_client = [assignment for assignment in reaching if assignment.client_id == client_id]
        affected |= await _users_of(session, services, client_id, of_client, now)
    return affected


async def confirm_role(
    session: AsyncSession,
    services: EventServices,
    assignment_id: uuid.UUID,
    *,
    giver: Giver,
    actor: Actor,
    client_id: str = "",
) -> RoleAssignment:
    """Record that a role is still right.

    Raises:
        RoleError: when there is no such assignment, it has ended, or the giver could not give it.
    """
    assignment = await _locked_assignment(session, assignment_id, client_id)
    client = services.registry.get(assignment.client_id)
    if client is None:
        raise RoleError("not_found", "there is no such application")
    refused = why_not_confirm(giver, await gift_of(session, client, assignment, giver))
    if refused is not None:
        raise NotYours(refused)
    assignment.confirmed_at = clock.now()
    await _record(session, "role.confirmed", assignment, "", actor)
    return assignment


@dataclass(frozen=True, slots=True)
class Sight:
    """Which role assignments somebody sees.

    Args:
        everything: whether they have the permission ``assignments:read``.
        teams: the applications of their teams, with the sandboxes.
        units: the units that they look after.
        user_id: the user, whose own memberships for others do not count.
    """

    everything: bool
    teams: frozenset[str] = frozenset()
    units: frozenset[uuid.UUID] = frozenset()
    user_id: uuid.UUID | None = None

    @property
    def is_empty(self) -> bool:
        """Whether they see none."""
        return not (self.everything or self.teams or self.units)


async def sight_of(session: AsyncSession, actor: Actor, user_id: uuid.UUID | None) -> Sight:
    """Return which assignments somebody sees. ``user_id`` None: a command, or a program without a user."""
    everything = not actor.permissions.isdisjoint({READS, GIVES})
    if everything or user_id is None:
        return Sight(everything)
    mine = await teams.teams_with(session, user_id)
    names = frozenset(name for application_id in mine for name in (application_id, application_id + SANDBOX_END))
    return Sight(False, names, await tree.administered_by(session, user_id), user_id)


async def seen_by(
    session: AsyncSession, services: EventServices, sight: Sight, chosen: store.AssignmentFilter
) -> store.AssignmentFilter:
    """Return a filter limited to what somebody sees: all; the applications of their teams; and, of the applications
    whose roles administrators of units give, the roles of a user or group of their units, and those that are limited to
    one of their units, whoever has them."""
    if sight.everything:
        return chosen
    clients_seen = set(sight.teams)
    of_units = frozenset(
        client.client_id
        for client in services.registry.with_access()
        if any(role.units_give != "no" for role in client.meta.application_roles.values())
    )
    if sight.units and sight.units & await _where(session, chosen.user_id, chosen.group_id, sight.user_id):
        clients_seen |= of_units
    return replace(chosen, clients=frozenset(clients_seen), limited_below=sight.units, of_units=of_units)


async def may_see(session: AsyncSession, services: EventServices, sight: Sight, assignment: RoleAssignment) -> bool:
    """Tell whether somebody sees an assignment."""
    about = store.AssignmentFilter(user_id=assignment.user_id, group_id=assignment.group_id)
    seen = await seen_by(session, services, sight, about)
    if seen.clients is None or assignment.client_id in seen.clients:
        return True
    if assignment.unit_id is None or assignment.client_id not in seen.of_units:
        return False
    return bool(sight.units & await store.above(session, assignment.unit_id))


async def find_user_of(session: AsyncSession, giver: Giver, client_id: str, user: User | None) -> User | None:
    """Return a user whom somebody may name as the receiver of a role; None: not one of theirs, or nobody.

    Who gives the roles of every application finds every user. The team of an application finds its members, the users
    of the application, employees and the members of units; in its sandbox, which anybody can create, only who can sign
    in there. An administrator of a unit finds the members of the unit, without those whom they made one. Others get the
    answer that they get for nobody, so that the form does not tell who has an account.
    """
    if user is None or user.deleted_at is not None:
        return None
    if client_id.endswith(SANDBOX_END):
        return user if await can_try(session, client_id, user) else None
    if giver.gives_all:
        return user
    now = clock.now()
    if giver.units & await store.where_user_is(session, user.id, now, but_of=giver.user_id):
        return user
    if giver.in_team and await _works_or_uses(session, client_id, user.id, now):
        return user
    return None


async def _works_or_uses(session: AsyncSession, client_id: str, user_id: uuid.UUID, now: datetime) -> bool:
    """Tell whether a user works for the city, or has to do with an application."""
    works = await store.where_user_is(session, user_id, now) or await is_employee(session, user_id, now)
    return bool(works) or await _knows(session, client_id, user_id)


async def _knows(session: AsyncSession, client_id: str, user_id: uuid.UUID) -> bool:
    """Tell whether a user is in the team of an application, or has used the application or its sandbox."""
    stem = client_id.removesuffix(SANDBOX_END)
    if await teams.role_of(session, stem, user_id) is not None:
        return True
    used = await sessions.clients_of_user(session, user_id) | await tokens.clients_of_user(session, user_id)
    return bool(used & {stem, stem + SANDBOX_END})


def checked_reason(reason: str) -> str:
    """Return a reason as it is stored.

    Raises:
        RoleError: when there is none.
    """
    line = _line(reason)
    if not line:
        raise RoleError("invalid_request", "write the reason", "reason")
    return line


def check_times(new: NewAssignment) -> None:
    """Check the times and the reason of a role that is given.

    Raises:
        RoleError: when one of them is wrong.
    """
    now = clock.now()
    begins = new.valid_from or now
    checked_reason(new.reason)
    if new.valid_until is not None and new.valid_until <= now:
        raise RoleError("invalid_request", "the end must be in the future", "valid_until")
    if new.valid_until is not None and new.valid_until <= begins:
        raise RoleError("invalid_request", "the end must be after the beginning", "valid_until")
    if max(begins, new.valid_until or begins) > now + MAX_TIME:
        raise RoleError("invalid_request", "a role begins and ends within ten years", "valid_until")


async def _locked_client(session: AsyncSession, services: EventServices, client_id: str) -> Client:
    """Lock an application, so that nobody else gives or ends its roles meanwhile.

    Raises:
        RoleError: when there is none.
    """
    row = await clients.lock_client(session, client_id)
    client = services.registry.get(client_id) if row is not None else None
    if client is None:
        raise RoleError("not_found", "there is no such application")
    return client


async def _locked_assignment(session: AsyncSession, assignment_id: uuid.UUID, client_id: str) -> RoleAssignment:
    """Return an assignment that has not ended, with its application locked.

    Raises:
        RoleError: when there is none.
    """
    listed = await store.get(session, assignment_id)
    if listed is None or (client_id and listed.assignment.client_id != client_id):
        raise RoleError("not_found", "there is no such role assignment")
    await clients.lock_client(session, listed.assignment.client_id)
    listed = await store.get(session, assignment_id)
    if listed is None:
        raise RoleError("not_found", "there is no such role assignment")
    until = listed.assignment.valid_until
    if until is not None and until <= clock.now():
        raise RoleError("already_ended", "this role has ended already")
    return listed.assignment


async def _check_target(session: AsyncSession, client: Client, new: NewAssignment) -> None:
    """Check that the user or group, and the unit, exist and can have a role.

    Raises:
        RoleError: when not.
    """
    if (new.user_id is None) == (new.group_id is None):
        raise RoleError("invalid_request", "name either a user or a group", "user_id")
    if new.user_id is not None:
        if new.with_units_below:
            raise RoleError("invalid_request", "only a role of a unit is for the units below it", "with_units_below")
        user = await session.get(User, new.user_id)
        if user is None or user.deleted_at is not None:
            raise RoleError("not_found", "there is no such user", "user_id")
        if client.sandbox and not await can_try(session, client.client_id, user):
            raise RoleError("not_found", "there is no such user", "user_id")
        if user.preferences.get("test") and not client.sandbox:
            raise RoleError("invalid_request", "a test user has roles in sandboxes only", "user_id")
    else:
        group = await _valid_group(session, new.group_id, "group_id")
        if new.with_units_below and group.kind != "unit":
            raise RoleError("invalid_request", "only a role of a unit is for the units below it", "with_units_below")
    if new.unit_id is not None and (await _valid_group(session, new.unit_id, "unit_id")).kind != "unit":
        raise RoleError("invalid_request", "a role is limited to a unit of the tree, not to a group", "unit_id")


async def _valid_group(session: AsyncSession, group_id: uuid.UUID | None, field_name: str) -> Group:
    group = await session.get(Group, group_id) if group_id is not None else None
    if group is None or (group.valid_until is not None and group.valid_until <= clock.now()):
        raise RoleError("not_found", "there is no such unit or group", field_name)
    return group


def _assignment(client_id: str, new: NewAssignment, actor: Actor) -> RoleAssignment:
    return RoleAssignment(
        client_id=client_id,
        role=new.role,
        user_id=new.user_id,
        group_id=new.group_id,
        with_units_below=new.with_units_below,
        unit_id=new.unit_id,
        valid_from=new.valid_from,
        valid_until=new.valid_until,
        reason=_line(new.reason),
        given_by=actor.name or "",
        created_at=clock.now(),
    )


async def gift_of(session: AsyncSession, client: Client, assignment: RoleAssignment, giver: Giver) -> Gift:
    """Return the facts of an assignment for the rule. Of its members only the giver is asked for: there can be tens of
    thousands."""
    defined = client.meta.application_roles.get(assignment.role)
    reaches_giver = giver.user_id is not None and giver.user_id == assignment.user_id
    if assignment.group_id is not None and giver.user_id is not None:
        below = assignment.with_units_below
        reaches_giver = await store.reaches(session, assignment.group_id, giver.user_id, with_units_below=below)
    limited = await store.above(session, assignment.unit_id) if assignment.unit_id is not None else None
    return Gift(
        is_defined=defined is not None,
        units_give=defined.units_give if defined is not None else "no",
        team_gives=client.meta.team_gives_roles,
        is_sandbox=client.sandbox,
        reached=frozenset({giver.user_id} if reaches_giver and giver.user_id is not None else ()),
        where=await _where(session, assignment.user_id, assignment.group_id, giver.user_id),
        limited_to=limited,
        given_by_units=await _by_units(session, assignment.given_by, giver),
    )


async def _by_units(session: AsyncSession, given_by: str, giver: Giver) -> bool:
    """Tell whether an administrator of the units of the giver, or of units below, gave a role."""
    if not giver.units or giver.gives_all:
        return False
    try:
        user_id = uuid.UUID(given_by)
    except ValueError:  # a command or a program
        return False
    return await store.looks_after_within(session, user_id, giver.units)


async def _where(
    session: AsyncSession, user_id: uuid.UUID | None, group_id: uuid.UUID | None, but_of: uuid.UUID | None
) -> frozenset[uuid.UUID]:
    if group_id is not None:
        return await store.above(session, group_id)
    if user_id is None:
        return frozenset()
    return await store.where_user_is(session, user_id, clock.now(), but_of=but_of)


async def _users_of(
    session: AsyncSession, services: EventServices, client_id: str, assignments: Sequence[RoleAssignment], now: datetime
) -> set[uuid.UUID]:
    """Return the users whom roles of an application reach: of a sandbox, those who can sign in. One statement for all
    groups, none where the application is told of nothing."""
    direct = {assignment.user_id for assignment in assignments if assignment.user_id is not None}
    groups: dict[bool, set[uuid.UUID]] = {False: set(), True: set()}
    for assignment in assignments:
        if assignment.group_id is not None:
            groups[assignment.with_units_below].add(assignment.group_id)
    client = services.registry.known(client_id)
    if not (groups[False] or groups[True]) or client is None or not is_followed(services, [client_id]):
        return direct
    only = await users_of_sandbox(session, client)
    return direct | await changes.members_reached(session, groups[False], groups[True], now, only)


async def _record(session: AsyncSession, event: str, assignment: RoleAssignment, reason: str, actor: Actor) -> None:
    """Record what was done, with the words that make a sentence of it."""
    group = await session.get(Group, assignment.group_id) if assignment.group_id is not None else None
    unit = await session.get(Group, assignment.unit_id) if assignment.unit_id is not None else None
    until = assignment.valid_until.isoformat() if assignment.valid_until is not None else ""
    data = {
        "assignment": str(assignment.id),
        "role": assignment.role if unit is None else f"{assignment.role}@{unit.code}",
        "group": group.code if group is not None else "",
        "until": until if event in ("role.given", "role.changed") else "",
        "note": _line(reason),
    }
    record_by(
        session,
        actor,
        event,
        subject=str(assignment.user_id or assignment.group_id),
        client_id=assignment.client_id,
        address=actor.stored_ip_address,
        data={name: value for name, value in data.items() if value}
        | ({"with_units_below": True} if assignment.with_units_below else {}),
    )


def _line(text: str) -> str:
    return " ".join(text.split())[:MAX_REASON_CHARS]
