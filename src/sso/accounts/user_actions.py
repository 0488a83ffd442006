"""The actions of administrators on one account: which permission each needs, and what each does.

Every action has a reason. It runs in one transaction with the check that the administrator has all of the power of the
account, and with its audit event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.administration import change_person, disable_user, enable_user, give_roles
from sso.accounts.credentials import require_new_password, reset_factors
from sso.accounts.deletion import delete_user
from sso.accounts.helpdesk import start_recovery
from sso.accounts.identity_checks import check_identity, read_check, revoke_identity_check
from sso.accounts.merging import lock_to_merge, merge_users
from sso.accounts.power import check_power, check_power_over, invited_power
from sso.identity.authn import recovery_requests
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import SessionFilter
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.identity.users.schemas import UserChange
from sso.identity.users.service import UserError, find
from sso.logout.bulk import begin
from sso.oidc.provider import Provider
from sso.platform.actor import Actor
from sso.platform.audit import record
from sso.platform.permissions import ROLES, power_of
from sso.platform.security.encryption import SecretBox

MAX_IDENTIFIER_CHARS = 254
EDITED_FIELDS = ("name", "username", "email", "phone_number")
"""The fields of the form that changes name and identifiers."""
_KINDS = {"username": "username", "email": "email", "phone_number": "phone"}


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """What an administrator asks for.

    Args:
        name: one of ``ACTIONS``.
        user_id: the account.
        fields: the fields of the form of the action.
        reason: the reason, for the audit log.
        actor: the administrator.
        rights: the permissions that the administrator has everywhere, not for some groups of applications only.
    """

    name: str
    user_id: UUID
    fields: Mapping[str, str]
    reason: str
    actor: Actor
    rights: frozenset[str]


@dataclass(frozen=True, slots=True)
class ActionDone:
    """The result of an action. ``code``: the recovery code that it made; empty for every other action."""

    code: str = ""


Action = Callable[[AsyncSession, Provider, User, ActionRequest], Awaitable[str | None]]


async def perform(provider: Provider, request: ActionRequest) -> ActionDone | None:
    """Carry an action out, with its audit event.

    Returns:
        What was done; None: the account does not exist.

    Raises:
        TooPowerful: when the account, or what the action would give it, has permissions that the administrator lacks.
        UserError: when a rule forbids the action.
        ValidationError: when a value of the form is not valid.
    """
    _, action = ACTIONS[request.name]
    async with provider.db.write() as session:
        user = await _lock(session, provider.box, request)
        if user is None:
            return None
        await check_power_over(session, provider.registry, [request.user_id], request.rights)
        code = await action(session, provider, user, request)
        record(
            session,
            "user.administered",
            actor=request.actor.name,
            request_id=request.actor.request_id,
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
    return await find(session, request.fields.get("other", "").strip()[:MAX_IDENTIFIER_CHARS], box)


async def _disable(session: AsyncSession, provider: Provider, user: User, request: ActionRequest) -> None:
    await disable_user(session, provider, user, actor=request.actor)


async def _enable(session: AsyncSession, provider: Provider, user: User, request: ActionRequest) -> None:
    await enable_user(session, provider, user, actor=request.actor)


async def _end_sessions(session: AsyncSession, _: Provider, user: User, request: ActionRequest) -> None:
    of_user = SessionFilter(user_id=user.id)
    await begin(session, of_user, EndReason.ADMINISTRATOR, actor=str(request.actor.name), note=request.reason)


async def _make_recovery_code(session: AsyncSession, provider: Provider, user: User, request: ActionRequest) -> str:
    return await start_recovery(session, provider, user, actor=request.actor)


async def _require_password(session: AsyncSession, provider: Provider, user: User, request: ActionRequest) -> None:
    await require_new_password(session, provider, user, actor=request.actor)


async def _reset_factors(session: AsyncSession, provider: Provider, user: User, request: ActionRequest) -> None:
    await reset_factors(session, provider, user, actor=request.actor)


async def _unlock(_: AsyncSession, __: Provider, user: User, ___: ActionRequest) -> None:
    user.locked_until = None


async def _stop_recovery(session: AsyncSession, _: Provider, user: User, __: ActionRequest) -> None:
    await recovery_requests.delete_of_user(session, user.id)


async def _set_roles(session: AsyncSession, provider: Provider, user: User, request: ActionRequest) -> None:
    roles = [name for name in ROLES if request.fields.get(f"role {name}") == "1"]
    check_power(request.rights, power_of(roles, ()))
    groups = [
        name.removeprefix("group ") for name, value in request.fields.items() if name.startswith("group ") and value
    ]
    await give_roles(
        session, provider, user, roles, groups=groups if "group_admin" in roles else [], actor=request.actor
    )


async def _edit(session: AsyncSession, provider: Provider, user: User, request: ActionRequest) -> None:
    changes = await _changes(session, user, request.fields)
    if not changes:
        return
    change = UserChange.model_validate(changes)
    lookups = [lookup for lookup in (change.username, change.email, change.phone_number) if lookup]
    check_power(request.rights, await invited_power(session, provider.registry, lookups))
    await change_person(session, provider, user, change, actor=request.actor)


async def _changes(session: AsyncSession, user: User, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of the form that differ from the account, and their values."""
    changes: dict[str, Any] = {}
    name = " ".join(fields.get("name", "").split())
    if name != user.name:
        changes["name"] = name
    primary = {known.kind: known for known in await users.identifiers_of(session, user.id) if known.is_primary}
    for field, kind in _KINDS.items():
        typed, present = fields.get(field, "").strip(), primary.get(kind)
        if typed != (present.value if present is not None else ""):
            changes[field] = typed or None
        if kind != "username":
            verified = fields.get(f"{field}_verified") == "1"
            if field in changes or verified != (present is not None and present.verified_at is not None):
                changes[f"{field}_verified"] = verified
    return changes


async def _check(session: AsyncSession, provider: Provider, user: User, request: ActionRequest) -> None:
    if str(user.id) == request.actor.name:
        raise UserError("nobody checks their own identity")
    fields = request.fields
    seen = read_check(fields.get("document", ""), fields.get("number", ""), fields.get("place", ""))
    await check_identity(session, provider, user, seen, actor=request.actor)


async def _revoke_check(session: AsyncSession, provider: Provider, user: User, request: ActionRequest) -> None:
    await revoke_identity_check(session, provider, user, actor=request.actor)


async def _merge(session: AsyncSession, provider: Provider, user: User, request: ActionRequest) -> None:
    other = await _other(session, provider.box, request)
    await check_power_over(session, provider.registry, [other.id], request.rights)
    await merge_users(session, provider, user, other, actor=request.actor)


async def _delete(session: AsyncSession, provider: Provider, user: User, request: ActionRequest) -> None:
    if request.fields.get("sure") != "1":
        raise UserError("tick the box if you are sure")
    await delete_user(session, provider, user, actor=request.actor)


ACTIONS: dict[str, tuple[str, Action]] = {
    "edit": ("users:write", _edit),
    "disable": ("users:write", _disable),
    "enable": ("users:write", _enable),
    "new_password": ("users:write", _require_password),
    "reset_factors": ("users:write", _reset_factors),
    "unlock": ("users:write", _unlock),
    "roles": ("users:roles", _set_roles),
    "end_sessions": ("sessions:end_many", _end_sessions),
    "recovery": ("users:recover", _make_recovery_code),
    "stop_recovery": ("users:recover", _stop_recovery),
    "check": ("users:check_identity", _check),
    "uncheck": ("users:check_identity", _revoke_check),
    "merge": ("users:merge", _merge),
    "delete": ("users:delete", _delete),
}
"""The actions: the permission that each needs, and what it does."""
