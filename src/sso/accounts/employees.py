"""Employments: recording and ending them, by the personnel office's import, by an officer, and by time.

An employment gives the user the role ``employee``, the NIP as an identifier, and a membership in the main unit. When it
ends, the user loses all three, with every other membership in units. The account stays: a citizen is nobody less.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.access_changes import INSTANT, access_changed
from sso.accounts.administration import give_roles
from sso.accounts.contact_changes import contacts_notified, has_other_sign_in_name
from sso.accounts.employee_claims import EmployeeClaims, claims_before, employee_claims_changed
from sso.accounts.groups import ENDED, GroupRefused, NewMembership, remove_administrator, write_end, write_membership
from sso.accounts.guards import refuse_locked, refuse_test_user
from sso.accounts.role_assignments import write_ends
from sso.accounts.services import AccountChanges
from sso.clients.registry import Client
from sso.identity.employees import store
from sso.identity.employees.models import Employment
from sso.identity.employees.rules import WITHOUT_NIP, State, Status, state_of
from sso.identity.employees.store import EMPLOYEE
from sso.identity.groups import assignments
from sso.identity.groups.models import Membership, RoleAssignment
from sso.identity.groups.schemas import Source
from sso.identity.notifications import notify
from sso.identity.users import store as users
from sso.identity.users.models import Identifier, User
from sso.identity.users.service import UserError
from sso.platform.actor import SYSTEM, Actor
from sso.platform.audit import record_by
from sso.platform.db import new_id

ENDED_BY_TIME = "the last day of the employment is over"
OWN_EMPLOYMENT = "nobody confirms their own employment"
NIP_TAKEN = "another account has this NIP"
NIP_IS_USER_NAME = "another account has this NIP as its username: change that username first"


@dataclass(frozen=True, slots=True)
class EmploymentDetails:
    """What is recorded of an employment.

    Args:
        status: the kind of employment.
        nip: 18 digits, normalised; None: there is none (a contract worker).
        old_nip: the 9 digits of the time before 2008, with which the employee signs in too.
        grade: the grade (golongan), such as III/b.
        unit_id: the main unit; None: none is known.
        position: what the employee is there.
        valid_from: the beginning; None: since before records.
        valid_until: the end; None: no end is known.
        keep_unit: whoever records it may not change who belongs to units: the unit and the position stay as they are.
    """

    status: Status
    nip: str | None = None
    old_nip: str | None = None
    grade: str | None = None
    unit_id: uuid.UUID | None = None
    position: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    keep_unit: bool = False


StoredEmployment = TypedDict(
    "StoredEmployment",
    {
        "status": Status,
        "nip": str | None,
        "old_nip": str | None,
        "grade": str | None,
        "unit_code": str | None,
        "position": str | None,
        "from": str | None,
        "until": str | None,
        "reason": str,
    },
)
"""An employment as a proposal keeps it; ``from`` and ``until`` are moments (ISO 8601)."""


def stored_details(details: EmploymentDetails, unit_code: str | None, reason: str) -> StoredEmployment:
    """Return an employment as a proposal keeps it, encrypted, until somebody decides."""
    return {
        "status": details.status,
        "nip": details.nip,
        "old_nip": details.old_nip,
        "grade": details.grade,
        "unit_code": unit_code,
        "position": details.position,
        "from": details.valid_from.isoformat() if details.valid_from else None,
        "until": details.valid_until.isoformat() if details.valid_until else None,
        "reason": reason,
    }


async def details_of_stored(session: AsyncSession, stored: StoredEmployment) -> EmploymentDetails:
    """Return the employment of :func:`stored_details`. A unit that is gone by now is left out."""
    code = stored["unit_code"]
    unit = (await store.units_by_code(session, [code])).get(code) if code else None
    return EmploymentDetails(
        status=stored["status"],
        nip=stored["nip"],
        old_nip=stored["old_nip"],
        grade=stored["grade"],
        unit_id=unit.id if unit is not None else None,
        position=stored["position"] if unit is not None else None,
        valid_from=datetime.fromisoformat(stored["from"]) if stored["from"] else None,
        valid_until=datetime.fromisoformat(stored["until"]) if stored["until"] else None,
    )


async def employ(
    session: AsyncSession,
    services: AccountChanges,
    user: User,
    details: EmploymentDetails,
    *,
    source: str,
    actor: Actor,
    reason: str,
) -> Employment:
    """Record the employment of a user, or change the present one. Every contact of the user is told of a new NIP.

    Args:
        session: the transaction.
        services: how users and applications are told.
        user: the user, locked.
        details: the employment.
        source: ``import`` or ``manual``.
        actor: who confirms it: the import of the personnel office, or an officer.
        reason: why, for the audit log.

    Raises:
        UserError: when the NIP is another account's, the account is locked or a test user, or the actor is the user.
    """
    refuse_test_user(user)
    refuse_locked(user)
    async with contacts_notified(session, services, user):
        return await employ_in_change(session, services, user, details, source=source, actor=actor, reason=reason)


async def employ_in_change(
    session: AsyncSession,
    services: AccountChanges,
    user: User,
    details: EmploymentDetails,
    *,
    source: str,
    actor: Actor,
    reason: str,
) -> Employment:
    """Do what :func:`employ` does, within a change that tells the user of the identifiers itself."""
    refuse_own_employment(user.id, actor)
    _check(details)
    now = clock.now()
    employment = await store.open_of_user(session, user.id)
    is_new = employment is None
    if employment is None:
        employment = Employment(id=new_id(), user_id=user.id, created_at=now)
    before = _recorded(employment) if not is_new else {}
    former_claims = await claims_before(session, services, employment, now)
    employment.status, employment.nip, employment.grade = details.status, details.nip, details.grade
    employment.valid_from, employment.valid_until = details.valid_from, details.valid_until
    employment.source, employment.verified_at, employment.verified_by = source, now, actor.name or "system"
    employment.updated_at = now
    session.add(employment)
    await _set_nip(session, user, details, now)
    if not details.keep_unit:
        await _set_unit(session, employment, details, now, actor, reason)
    elif details.valid_until is not None:
        await _shorten_units(session, employment.user_id, details.valid_until, now, actor, reason)
    await session.flush()
    after = _recorded(employment)
    changed = sorted(name for name, value in after.items() if before.get(name) != value)
    type_ = "employment.recorded" if is_new else "employment.changed"
    _record(session, type_, user.id, actor, reason, {"source": source} if is_new else {"changed": changed})
    user.updated_at = now
    await _follow_time(session, services, user, employment, former_claims, now, actor, reason)
    return employment


def refuse_own_employment(user_id: uuid.UUID, actor: Actor) -> None:
    """Refuse to create or to prolong one's own employment: an office with power over users would hire its officers
    itself.

    Raises:
        UserError: when the actor is the user.
    """
    if actor.name == str(user_id):
        raise UserError(OWN_EMPLOYMENT)


def _check(details: EmploymentDetails) -> None:
    if details.nip is None and details.status not in WITHOUT_NIP:
        raise UserError("an employee of this kind has a NIP")
    if details.valid_from and details.valid_until and details.valid_from >= details.valid_until:
        raise UserError("the employment ends before it begins")


def _recorded(employment: Employment) -> Mapping[str, object]:
    names = ("status", "nip", "grade", "valid_from", "valid_until", "membership_id")
    return {name: getattr(employment, name) for name in names}


async def _set_nip(session: AsyncSession, user: User, details: EmploymentDetails, now: datetime) -> None:
    """Let the NIP be a verified identifier of a user: a user name with these digits becomes it. The old form is added
    where nobody else has it; a NIP that was replaced is removed.

    Raises:
        UserError: when another account has the NIP.
    """
    lookups = {lookup for lookup in (details.nip, details.old_nip) if lookup}
    own = {identifier.lookup: identifier for identifier in await users.identifiers_of(session, user.id)}
    if details.nip is not None:
        await _refuse_taken(session, user, details.nip)
    others = await users.taken(session, lookups, but=user.id)
    for identifier in own.values():
        replaced = identifier.kind == "nip" and len(identifier.lookup) == len(details.nip or "")
        if replaced and identifier.lookup not in lookups:
            await session.delete(identifier)
    await session.flush()
    for lookup in sorted(lookups - others):
        present = own.get(lookup)
        if present is None:
            present = Identifier(user_id=user.id, value=lookup, lookup=lookup, is_primary=False, created_at=now)
            present.asserted_at = now
            session.add(present)
        elif lookup != details.nip and present.kind != "nip":
            continue  # nine digits that are the user name stay it
        present.kind, present.verified_at = "nip", present.verified_at or now
    await session.flush()
    await store.set_nip_times(session, user.id, details.valid_from, details.valid_until)


async def _refuse_taken(session: AsyncSession, user: User, nip: str) -> None:
    owner = await users.verified_owners(session, [nip])
    if owner and owner[0][0].id != user.id:
        raise UserError(NIP_TAKEN if owner[0][1].kind == "nip" else NIP_IS_USER_NAME)


async def _set_unit(
    session: AsyncSession,
    employment: Employment,
    details: EmploymentDetails,
    now: datetime,
    actor: Actor,
    reason: str,
) -> None:
    """Let the main unit of an employment be the one that ``details`` names: the membership in the one before ends."""
    current = await store.unit_memberships(session, employment.user_id, now)
    before = next((membership for membership in current if membership.id == employment.membership_id), None)
    there = next((membership for membership in current if membership.group_id == details.unit_id), None)
    main = there if there is not None and _fits(there, details) else None
    for membership in {membership.id: membership for membership in (before, there) if membership}.values():
        if membership is not main:
            await _end_unit(session, membership, now, actor, reason)
    if main is None and details.unit_id is not None and not _has_ended(details, now):
        starts = details.valid_from if details.valid_from and details.valid_from > now else None
        source: Source = "import" if employment.source == "import" else "manual"
        new = NewMembership(details.unit_id, details.position, starts, details.valid_until, source)
        main = await write_membership(session, employment.user_id, new, now=now, actor=actor, reason=reason)
    employment.membership_id = main.id if main is not None else None


async def _shorten_units(
    session: AsyncSession, user_id: uuid.UUID, at: datetime, now: datetime, actor: Actor, reason: str
) -> None:
    """Let no membership in units be longer than the employment."""
    for membership in await store.unit_memberships(session, user_id, now):
        if membership.valid_until is None or membership.valid_until > at:
            await _end_unit(session, membership, now, actor, reason, at)


async def _end_unit(
    session: AsyncSession, membership: Membership, now: datetime, actor: Actor, reason: str, at: datetime | None = None
) -> None:
    """End a membership. One that has ended already is done."""
    try:
        await write_end(session, membership.id, at=at, now=now, actor=actor, reason=reason)
    except GroupRefused as refused:
        if refused.text != ENDED:
            raise


def _fits(membership: Membership, details: EmploymentDetails) -> bool:
    return membership.position == details.position and membership.valid_until == details.valid_until


def _has_ended(details: EmploymentDetails, now: datetime) -> bool:
    return details.valid_until is not None and details.valid_until <= now


async def _follow_time(
    session: AsyncSession,
    services: AccountChanges,
    user: User,
    employment: Employment,
    former_claims: EmployeeClaims,
    now: datetime,
    actor: Actor,
    reason: str,
) -> None:
    """Let an employment begin or end that has begun or ended by its time, and tell applications of everything that
    changed since ``now``. ``former_claims``: those of which they were told before."""
    state = state_of(employment.valid_from, employment.valid_until, now)
    if state == "ended":
        await _end(session, services, user, employment, former_claims, now, actor, reason)
        return
    if state == "planned":
        employment.begun_at = None  # it begins again, and is told then
    elif employment.begun_at is None:
        await _begin(session, services, user, employment, actor)
    await _tell_applications(session, services, user, former_claims, now, actor)


async def _tell_applications(
    session: AsyncSession,
    services: AccountChanges,
    user: User,
    former_claims: EmployeeClaims,
    now: datetime,
    actor: Actor,
    closed_to: Collection[str] = (),
) -> None:
    """Tell applications of what changed since ``now``, once: after this no row of the person may be changed, because
    grants and sessions are locked after these (:mod:`sso.platform.db.locks`)."""
    await session.flush()
    await employee_claims_changed(session, services, user.id, former_claims, actor)
    await access_changed(
        session,
        services,
        user_ids=[user.id],
        client_ids=None,
        actor=actor,
        since=now - INSTANT,
        closed_to=closed_to,
    )


async def _begin(
    session: AsyncSession, services: AccountChanges, user: User, employment: Employment, actor: Actor
) -> None:
    employment.begun_at = clock.now()
    roles = await users.roles_of(session, user.id)
    if EMPLOYEE not in roles:
        await give_roles(session, services, user, [*roles, EMPLOYEE], actor=actor)
    await session.flush()


async def end_employment(
    session: AsyncSession,
    services: AccountChanges,
    user: User,
    *,
    at: datetime | None = None,
    actor: Actor,
    reason: str,
) -> Employment:
    """End the employment of a user, with everything that the user has through it. The account stays.

    Args:
        session: the transaction.
        services: how users and applications are told.
        user: the user, locked.
        at: the end; None or past: now.
        actor: who acts.
        reason: why, for the audit log.

    Raises:
        UserError: when the user has no employment that could end, or prolongs the own one.
    """
    employment = await store.open_of_user(session, user.id)
    if employment is None:
        raise UserError("the user has no employment that could end")
    now = clock.now()
    if at is None or at <= now:
        former_claims = await claims_before(session, services, employment, now)
        await _end(session, services, user, employment, former_claims, now, actor, reason)
        return employment
    if employment.valid_until is not None and at > employment.valid_until:
        refuse_own_employment(user.id, actor)
    employment.valid_until, employment.updated_at = at, now
    await store.set_nip_times(session, user.id, employment.valid_from, at)
    await _shorten_units(session, user.id, at, now, actor, reason)
    _record(session, "employment.changed", user.id, actor, reason, {"changed": ["valid_until"]})
    return employment


async def _end(
    session: AsyncSession,
    services: AccountChanges,
    user: User,
    employment: Employment,
    former_claims: EmployeeClaims,
    now: datetime,
    actor: Actor,
    reason: str,
) -> None:
    """End an employment with everything that the user has through it: first every row of the person, then grants and
    sessions."""
    end = min(employment.valid_until or now, now)
    employment.valid_until, employment.ended_at, employment.updated_at = end, now, now
    await end_nip(session, user, employment, end)
    for membership in await store.unit_memberships(session, user.id, now):
        await _end_unit(session, membership, now, actor, reason)
    await remove_administrator(session, user.id, actor=actor, reason=reason)
    roles = await users.roles_of(session, user.id)
    lost = _for_employees(services, set(roles) - {EMPLOYEE})
    left = await _end_roles_of_work(session, user, lost, now, actor, reason)
    if EMPLOYEE in roles:
        await give_roles(session, services, user, [role for role in roles if role != EMPLOYEE], actor=actor)
    user.updated_at = now
    await session.flush()
    data: dict[str, object] = {"source": employment.source, **({"roles_left": left} if left else {})}
    _record(session, "employment.ended", user.id, actor, reason, data)
    notify(session, services, user, "employment_ended")
    ends = [client.client_id for client in lost.values() if client.meta.end_session_on_role_loss]
    await _tell_applications(session, services, user, former_claims, now, actor, closed_to=ends)


def _for_employees(services: AccountChanges, roles: Set[str]) -> dict[str, Client]:
    """Return the applications that a user with these roles had as an employee: those with the scope ``employee``, and
    those whose policy names employees and none of the roles. Everything else a citizen can have."""
    return {
        client.client_id: client
        for client in services.registry
        if "employee" in client.scopes
        or (EMPLOYEE in client.meta.allowed_roles and not roles & set(client.meta.allowed_roles))
    }


async def _end_roles_of_work(
    session: AsyncSession, user: User, lost: Collection[str], now: datetime, actor: Actor, reason: str
) -> list[str]:
    """End the roles that were given to a user for the work: those for one unit, and those in the applications ``lost``.
    Return the others, which a citizen can have: somebody must look at them."""
    of_work: list[RoleAssignment] = []
    left: list[str] = []
    for assignment in await assignments.direct_of_user(session, user.id, now):
        if assignment.unit_id is not None or assignment.client_id in lost:
            of_work.append(assignment)
        else:
            left.append(f"{assignment.client_id}: {assignment.role}")
    await write_ends(session, of_work, now=now, actor=actor, reason=reason)
    return left


async def end_nip(session: AsyncSession, user: User, employment: Employment, end: datetime) -> None:
    """Let the NIP of a user, and its old form, sign in no more. Whoever has nothing else to sign in with keeps it until
    there is something else (``sso.accounts.contact_changes``)."""
    own = await users.identifiers_of(session, user.id)
    is_last_sign_in_name = not has_other_sign_in_name(own)
    await store.set_nip_times(session, user.id, employment.valid_from, None if is_last_sign_in_name else end)
    for identifier in own:
        if identifier.kind == "nip":
            identifier.is_primary = False


@dataclass(frozen=True, slots=True)
class EmploymentView:
    """An employment, as pages and exports show it.

    Args:
        employment: the row.
        state: whether it is planned, active or over.
        unit: the name of the main unit; empty: none.
        unit_code: its code.
        position: what the employee is there.
    """

    employment: Employment
    state: State
    unit: str = ""
    unit_code: str = ""
    position: str = ""

    @property
    def last_moment(self) -> datetime | None:
        """The last moment of the employment, whose date is its last day."""
        until = self.employment.valid_until
        return until - timedelta(seconds=1) if until is not None else None


async def employments_of(session: AsyncSession, user_id: uuid.UUID) -> list[EmploymentView]:
    """Return the employments of a user, the newest first. Two statements, one where there are none."""
    rows, now = await store.of_user(session, user_id), clock.now()
    units = await store.memberships_with_units(session, [row.membership_id for row in rows if row.membership_id])
    employments = []
    for row in rows:
        state = "ended" if row.ended_at is not None else state_of(row.valid_from, row.valid_until, now)
        membership, unit = units.get(row.membership_id, (None, None)) if row.membership_id else (None, None)
        if state != "ended" and membership is not None and not _goes_on(membership, now):
            membership = None
        if membership is None or unit is None:
            employments.append(EmploymentView(row, state))
        else:
            employments.append(EmploymentView(row, state, unit.name_id, unit.code, membership.position or ""))
    return employments


def _goes_on(membership: Membership, now: datetime) -> bool:
    """Tell whether a membership is valid now or later."""
    start, end = membership.valid_from, membership.valid_until
    return end is None or (end > now and (start is None or start < end))


async def follow_employment(session: AsyncSession, services: AccountChanges, user_id: uuid.UUID) -> bool:
    """Begin or end the employment of a user whose time has come; return that there is no more to do."""
    user = await users.lock_user(session, user_id)
    employment = await store.open_of_user(session, user_id)
    if user is not None and employment is not None:
        now = clock.now()
        former_claims = await claims_before(session, services, employment, now)
        await _follow_time(session, services, user, employment, former_claims, now, SYSTEM, ENDED_BY_TIME)
    return False


def _record(
    session: AsyncSession, type_: str, user_id: uuid.UUID, actor: Actor, reason: str, data: Mapping[str, object]
) -> None:
    record_by(
        session, actor, type_, subject=str(user_id), address=actor.stored_ip_address, data={**data, "note": reason}
    )
