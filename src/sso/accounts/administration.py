"""What administrators do with accounts: change, disable, enable, give roles, end a session."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.contact_changes import contacts_notified
from sso.accounts.guards import refuse_locked, refuse_test_user
from sso.accounts.revocation import DISABLED, end_everything, end_pending
from sso.accounts.services import AccountChanges
from sso.identity.notifications import notify
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import SessionFilter
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.identity.users.schemas import UserChange
from sso.identity.users.service import UserError, change_user, keep_an_administrator, set_roles
from sso.logout.end_sessions import end_matching, end_sessions
from sso.oidc.store import store as tokens
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.ssf import events as signals

OPENS = frozenset({"username", "email", "email_verified", "phone_number", "phone_number_verified"})
"""The fields of a user's record with which the user signs in or recovers the account."""


async def change_person(
    session: AsyncSession, services: AccountChanges, user: User, change: UserChange, *, actor: Actor
) -> None:
    """Change the fields that ``change`` names, and tell every contact of the user about changes of identifiers.

    Raises:
        UserError: when another user has the identifier, or the account is locked.
    """
    refuse_test_user(user)
    if change.model_fields_set & OPENS:
        refuse_locked(user)
    async with contacts_notified(session, services, user):
        await change_user(session, user, change, actor=actor)


async def disable_user(session: AsyncSession, services: AccountChanges, user: User, *, actor: Actor) -> int:
    """Disable an account: every session and every grant ends, ``offline_access`` too.

    Returns:
        How many sessions ended.

    Raises:
        UserError: when no administrator would be left.
    """
    await end_pending(session, user)
    await keep_an_administrator(session, user)
    now = clock.now()
    if user.disabled_at is None:
        await users.set_disabled(session, user.id, now, now)
        await signals.about_person(session, services, user.id, signals.ACCOUNT_DISABLED, {})
        notify(session, services, user, "account_disabled")
    return await end_everything(session, services, user, DISABLED, actor)


async def enable_user(session: AsyncSession, services: AccountChanges, user: User, *, actor: Actor) -> None:
    """Let a disabled user sign in again.

    Raises:
        UserError: when the account was deleted.
    """
    if user.deleted_at is not None:
        raise UserError("the user was deleted")
    await users.set_disabled(session, user.id, None, clock.now())
    await signals.about_person(session, services, user.id, signals.ACCOUNT_ENABLED, {})
    record_by(session, actor, "user.enabled", subject=str(user.id))


async def give_roles(
    session: AsyncSession,
    services: AccountChanges,
    user: User,
    roles: Collection[str],
    *,
    groups: Collection[str] | None = None,
    actor: Actor,
) -> int:
    """Give a user these roles in place of any others. Where one of them is the first that needs a second factor,
    everything that was opened without one ends: sessions, grants, trusted browsers, and sign-ins that are under way.

    Args:
        session: the transaction.
        services: how users and applications are told.
        user: the user, locked.
        roles: the roles.
        groups: the groups of applications that the user administers; None: they stay as they are.
        actor: who acts.

    Returns:
        How many sessions ended.

    Raises:
        UserError: when there is no such role, or no administrator would be left.
    """
    before, need_factor = set(await users.roles_of(session, user.id)), set(services.settings.second_factor_roles)
    ends = bool(set(roles) & need_factor) and not before & need_factor
    if ends:
        await end_pending(session, user)
    if groups is None or set(roles) != before:
        await set_roles(session, user, roles, actor=actor)
    if groups is not None:
        await _replace_groups(session, user, sorted(groups), actor)
    if not ends:
        return 0
    await session.flush()
    await sessions.distrust(session, user.id)
    of_user = SessionFilter(user_id=user.id)
    await sessions.lock_matching(session, of_user)
    await tokens.revoke_grants_of_user(session, user.id, clock.now())
    return await end_matching(
        session, services, of_user, EndReason.ADMINISTRATOR, actor=Actor(actor.name, request_id=actor.request_id)
    )


async def _replace_groups(session: AsyncSession, user: User, groups: list[str], actor: Actor) -> None:
    if groups == await users.groups_of(session, user.id):
        return
    await users.replace_groups(session, user.id, groups)
    record_by(session, actor, "user.groups_changed", subject=str(user.id), data={"groups": groups})


async def end_session_of_person(
    session: AsyncSession, services: AccountChanges, session_id: uuid.UUID, *, actor: Actor, note: str | None = None
) -> bool:
    """End one session for an administrator, and tell its user.

    Args:
        session: the transaction.
        services: how users and applications are told.
        session_id: the session.
        actor: who acts.
        note: the reason that the administrator wrote.

    Returns:
        Whether the session was active.
    """
    present = await sessions.get(session, session_id)
    if present is None or not await sessions.lock(session, *sessions.where_not_ended([session_id])):
        return False
    _, user = present
    await end_sessions(session, services, [session_id], EndReason.ADMINISTRATOR, actor=actor, note=note)
    notify(session, services, user, "sessions_ended")
    return True
