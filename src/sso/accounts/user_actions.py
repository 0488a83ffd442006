"""The actions of administrators on one account: which permission each needs, and what each does.

Every action has a reason. It runs in one transaction with the check that the administrator has all of the power of the
account, and with its audit event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.administration import change_person, disable_user, enable_user, give_roles
from sso.accounts.attributes import change_values, staff_of
from sso.accounts.credentials import require_new_password, reset_factors
from sso.accounts.deletion import delete_user
from sso.accounts.employees import EmploymentDetails, employ, end_employment, refuse_own_employment
from sso.accounts.helpdesk import start_recovery
from sso.accounts.identity_checks import check_identity, read_check, revoke_identity_check
from sso.accounts.merging import lock_to_merge, merge_users
from sso.accounts.power import check_power, check_power_over, invited_power
from sso.accounts.services import AccountActions
from sso.identity.authn import recovery_requests
from sso.identity.employees import store as employees
from sso.identity.employees.rules import (
    MAX_GRADE_CHARS,
    MAX_POSITION_CHARS,
    read_day,
    read_last_day,
    read_status,
)
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import SessionFilter
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.identity.users.nip import normal_nip, normal_old_nip
from sso.identity.users.schemas import UserChange
from sso.identity.users.service import UserError, find
from sso.logout.bulk import begin
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.permissions import ROLES, power_of
from sso.platform.security.encryption import SecretBox

MAX_IDENTIFIER_CHARS = 254
Value = TypeVar("Value")
EDITED_FIELDS = ("name", "username", "email", "phone_number")
"""The fields of the form that changes name and identifiers."""


@dataclass(frozen=True, slots=True)
class ActionValues:
    """What an administrator typed in the form of an action; each action reads some of it.

    Args:
        name: the name of the user.
        username: the user name; empty: none.
        email: the e-mail address; empty: none.
        phone_number: the telephone number; empty: none.
        email_verified: the e-mail address counts as verified.
        phone_number_verified: the telephone number counts as verified.
        roles: every role that the user shall have.
        groups: the groups of applications that the user shall administer.
        document: the kind of the document that was seen.
        document_number: its number.
        place: where it was seen.
        other: an identifier of the account that is merged into this one.
        sure: the deletion was confirmed.
        nip: the NIP of an employee; empty: none.
        old_nip: its old form of 9 digits; empty: none.
        status: the kind of employment.
        grade: the grade; empty: none.
        unit: the code of the main unit; empty: none.
        position: what the employee is there.
        since: the first day of the employment; empty: it is not known.
        until: its last day; empty: no end is known.
        attributes: the values of attributes, by their names.
    """

    name: str = ""
    username: str = ""
    email: str = ""
    phone_number: str = ""
    email_verified: bool = False
    phone_number_verified: bool = False
    roles: frozenset[str] = frozenset()
    groups: tuple[str, ...] = ()
    document: str = ""
    document_number: str = ""
    place: str = ""
    other: str = ""
    sure: bool = False
    nip: str = ""
    old_nip: str = ""
    status: str = ""
    grade: str = ""
    unit: str = ""
    position: str = ""
    since: str = ""
    until: str = ""
    attributes: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """What an administrator asks for.

    Args:
        name: one of ``ACTIONS``.
        user_id: the account.
        values: what was typed in the form of the action.
        reason: the reason, for the audit log.
        actor: the administrator.
        rights: the permissions that the administrator has everywhere, not for some groups of applications only.
    """

    name: str
    user_id: UUID
    values: ActionValues
    reason: str
    actor: Actor
    rights: frozenset[str]


@dataclass(frozen=True, slots=True)
class ActionDone:
    """The result of an action. ``code``: the recovery code that it made; empty for every other action."""

    code: str = ""


Action = Callable[[AsyncSession, AccountActions, User, ActionRequest], Awaitable[str | None]]


async def perform(services: AccountActions, request: ActionRequest) -> ActionDone | None:
    """Carry an action out, with its audit event.

    Returns:
        What was done; None: the account does not exist.

    Raises:
        TooPowerful: when the account, or what the action would give it, has permissions that the administrator lacks.
        UserError: when a rule forbids the action.
        ValidationError: when a value of the form is not valid.
    """
    _, action = ACTIONS[request.name]
    async with services.db.write() as session:
        user = await _lock(session, services.box, request)
        if user is None:
            return None
        await check_power_over(session, services.registry, [request.user_id], request.rights)
        code = await action(session, services, user, request)
        record_by(
            session,
            request.actor,
            "user.administered",
            subject=str(request.user_id),
            data={"act": request.name, "note": request.reason},
        )
    return ActionDone(code or "")


async def _lock(session: AsyncSession, box: SecretBox, request: ActionRequest) -> User | None:
    """Lock the account until the transaction ends; for a merge, both accounts."""
    if request.name != "merge":
        return await users.lock_user(session, request.user_id)
    other = await _other(session, box, request)
    return (await lock_to_merge(session, request.user_id, other.id))[0]


async def _other(session: AsyncSession, box: SecretBox, request: ActionRequest) -> User:
    """Return the user whose account is merged into this one."""
    return await find(session, request.values.other, box)


async def _disable(session: AsyncSession, services: AccountActions, user: User, request: ActionRequest) -> None:
    await disable_user(session, services, user, actor=request.actor)


async def _enable(session: AsyncSession, services: AccountActions, user: User, request: ActionRequest) -> None:
    await enable_user(session, services, user, actor=request.actor)


async def _end_sessions(session: AsyncSession, _: AccountActions, user: User, request: ActionRequest) -> None:
    of_user = SessionFilter(user_id=user.id)
    await begin(session, of_user, EndReason.ADMINISTRATOR, actor=request.actor, note=request.reason)


async def _make_recovery_code(
    session: AsyncSession, services: AccountActions, user: User, request: ActionRequest
) -> str:
    return await start_recovery(session, services, user, actor=request.actor)


async def _require_password(
    session: AsyncSession, services: AccountActions, user: User, request: ActionRequest
) -> None:
    await require_new_password(session, services, user, actor=request.actor)


async def _reset_factors(session: AsyncSession, services: AccountActions, user: User, request: ActionRequest) -> None:
    await reset_factors(session, services, user, actor=request.actor)


async def _unlock(_: AsyncSession, __: AccountActions, user: User, ___: ActionRequest) -> None:
    user.locked_until = None


async def _stop_recovery(session: AsyncSession, _: AccountActions, user: User, __: ActionRequest) -> None:
    await recovery_requests.delete_of_user(session, user.id)


async def _set_roles(session: AsyncSession, services: AccountActions, user: User, request: ActionRequest) -> None:
    roles = [name for name in ROLES if name in request.values.roles]
    check_power(request.rights, power_of(roles, ()))
    groups = request.values.groups
    await give_roles(
        session, services, user, roles, groups=groups if "group_admin" in roles else [], actor=request.actor
    )


async def _edit(session: AsyncSession, services: AccountActions, user: User, request: ActionRequest) -> None:
    changes = await _changes(session, user, request.values)
    if not changes:
        return
    change = UserChange.model_validate(changes)
    lookups = [lookup for lookup in (change.username, change.email, change.phone_number) if lookup]
    check_power(request.rights, await invited_power(session, services.registry, lookups))
    await change_person(session, services, user, change, actor=request.actor)


async def _changes(session: AsyncSession, user: User, values: ActionValues) -> dict[str, str | bool | None]:
    """Return the values of the form that differ from the account, by the name of the field."""
    changes: dict[str, str | bool | None] = {}
    name = " ".join(values.name.split())
    if name != user.name:
        changes["name"] = name
    primary = {known.kind: known for known in await users.identifiers_of(session, user.id) if known.is_primary}
    typed_identifiers = (
        ("username", "username", values.username, False),
        ("email", "email", values.email, values.email_verified),
        ("phone_number", "phone", values.phone_number, values.phone_number_verified),
    )
    for field, kind, typed, verified in typed_identifiers:
        present = primary.get(kind)
        if typed != (present.value if present is not None else ""):
            changes[field] = typed or None
        was_verified = present is not None and present.verified_at is not None
        if kind != "username" and (field in changes or verified != was_verified):
            changes[f"{field}_verified"] = verified
    return changes


async def _check(session: AsyncSession, services: AccountActions, user: User, request: ActionRequest) -> None:
    if str(user.id) == request.actor.name:
        raise UserError("you cannot verify your own identity")
    values = request.values
    seen = read_check(values.document, values.document_number, values.place)
    await check_identity(session, services, user, seen, actor=request.actor)


async def _revoke_check(session: AsyncSession, services: AccountActions, user: User, request: ActionRequest) -> None:
    await revoke_identity_check(session, services, user, actor=request.actor)


async def _employ(session: AsyncSession, services: AccountActions, user: User, request: ActionRequest) -> None:
    refuse_own_employment(user.id, request.actor)
    typed = request.values
    main, unit_id = await _units_of(session, user, request)
    position = (" ".join(typed.position.split())[:MAX_POSITION_CHARS] or None) if unit_id else None
    keep_unit = "groups:write" not in request.rights
    if keep_unit and main is not None and position != main.position:
        raise UserError("to change the position you need the permission groups:write")
    status = _read(typed.status, read_status)
    if status is None:
        raise UserError("employment_status: is missing")
    details = EmploymentDetails(
        status=status,
        nip=_read(typed.nip, normal_nip),
        old_nip=_read(typed.old_nip, normal_old_nip),
        grade=" ".join(typed.grade.split())[:MAX_GRADE_CHARS] or None,
        unit_id=unit_id,
        position=position,
        valid_from=_read(typed.since, lambda text: read_day(text, services.settings.time_zone)),
        valid_until=_read(typed.until, lambda text: read_last_day(text, services.settings.time_zone)),
        keep_unit=keep_unit,
    )
    await employ(session, services, user, details, source="manual", actor=request.actor, reason=request.reason)


def _read(text: str, read: Callable[[str], Value]) -> Value | None:
    """Return a value that may be empty.

    Raises:
        UserError: saying what is wrong.
    """
    try:
        return read(text) if text.strip() else None
    except ValueError as error:
        raise UserError(str(error)) from None


async def _units_of(
    session: AsyncSession, user: User, request: ActionRequest
) -> tuple[employees.MainUnit | None, UUID | None]:
    """Return the main unit, and the one that was typed. Whoever may not change who belongs to units leaves it as it
    is."""
    code = request.values.unit.strip()
    main = await employees.main_unit(session, user.id, clock.now())
    if code == (main.code if main is not None else ""):
        return main, main.id if main is not None else None
    if "groups:write" not in request.rights:
        raise UserError("to choose the unit you need the permission groups:write")
    if not code:
        return main, None
    unit = (await employees.units_by_code(session, [code])).get(code)
    if unit is None:
        raise UserError(f"there is no unit {code}")
    return main, unit.id


async def _end_employment(session: AsyncSession, services: AccountActions, user: User, request: ActionRequest) -> None:
    refuse_own_employment(user.id, request.actor)
    at = _read(request.values.until, lambda text: read_last_day(text, services.settings.time_zone))
    await end_employment(session, services, user, at=at, actor=request.actor, reason=request.reason)


async def _merge(session: AsyncSession, services: AccountActions, user: User, request: ActionRequest) -> None:
    other = await _other(session, services.box, request)
    await check_power_over(session, services.registry, [other.id], request.rights)
    await merge_users(session, services, user, other, actor=request.actor)


async def _delete(session: AsyncSession, services: AccountActions, user: User, request: ActionRequest) -> None:
    if not request.values.sure:
        raise UserError("tick the box if you are sure")
    await delete_user(session, services, user, actor=request.actor)


async def _change_attributes(
    session: AsyncSession, services: AccountActions, user: User, request: ActionRequest
) -> None:
    who = staff_of(request.rights)
    given, reason = request.values.attributes or {}, request.reason
    await change_values(session, services.box, user.id, given, who=who, actor=request.actor, reason=reason)


ACTIONS: dict[str, tuple[str, Action]] = {
    "edit": ("users:write", _edit),
    "disable": ("users:write", _disable),
    "enable": ("users:write", _enable),
    "new_password": ("users:write", _require_password),
    "reset_factors": ("users:write", _reset_factors),
    "unlock": ("users:write", _unlock),
    "roles": ("users:roles", _set_roles),
    "attributes": ("users:recover", _change_attributes),
    "end_sessions": ("sessions:end_many", _end_sessions),
    "recovery": ("users:recover", _make_recovery_code),
    "stop_recovery": ("users:recover", _stop_recovery),
    "check": ("users:check_identity", _check),
    "uncheck": ("users:check_identity", _revoke_check),
    "employ": ("users:check_identity", _employ),
    "end_employment": ("users:check_identity", _end_employment),
    "merge": ("users:merge", _merge),
    "delete": ("users:delete", _delete),
}
"""The actions: the permission that each needs, and what it does."""
