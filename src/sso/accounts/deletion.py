"""Deleting accounts: at once, or after the time in which the user can come back."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.guards import refuse_only_owner
from sso.accounts.revocation import DELETED, DELETION_PLANNED, end_everything, end_pending
from sso.accounts.services import AccountChanges
from sso.identity.attributes import store as attributes
from sso.identity.authn import recovery_requests as recovery
from sso.identity.employees import store as employees
from sso.identity.groups import store as groups
from sso.identity.notifications import MessageServices, notify
from sso.identity.sessions import store as sessions
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.identity.users.service import UserError, keep_an_administrator
from sso.oidc.store import store as tokens
from sso.platform.actor import SYSTEM, Actor
from sso.platform.audit import record_by, redact
from sso.portal import teams
from sso.ssf import events as signals


async def delete_user(session: AsyncSession, services: AccountChanges, user: User, *, actor: Actor) -> int:
    """Delete an account: every session and every grant ends, and the data of the user are erased.

    The id stays, for the audit log and for the reports that applications were notified.

    Returns:
        How many sessions ended.

    Raises:
        UserError: when no administrator would be left, or an application would have no owner.
    """
    await _prepare_deletion(session, user)
    await signals.about_person(session, services, user.id, signals.ACCOUNT_PURGED, {})
    await users.erase(session, user.id, clock.now())
    await employees.delete_of_user(session, user.id)
    await groups.delete_of_user(session, user.id)
    await attributes.delete_of_user(session, user.id)
    await recovery.delete_of_user(session, user.id)
    await sessions.clear_places(session, user.id)
    await tokens.delete_consents(session, user_id=user.id)
    count = await end_everything(session, services, user, DELETED, actor)
    await teams.leave_all(session, user.id)
    await session.flush()
    await redact(session, services.box, str(user.id))
    return count


async def _prepare_deletion(session: AsyncSession, user: User) -> None:
    """End the pending flows of a user, and check that nobody needs the account.

    Raises:
        UserError: when no administrator would be left, or an application would have no owner.
    """
    await end_pending(session, user)
    await keep_an_administrator(session, user)
    await refuse_only_owner(session, user)


async def plan_deletion(session: AsyncSession, services: AccountChanges, user: User, *, actor: Actor) -> int:
    """Plan the deletion of an account after the grace period; the user is signed out everywhere at once.

    Returns:
        How many sessions ended.

    Raises:
        UserError: when no administrator would be left, or an application would have no owner.
    """
    await _prepare_deletion(session, user)
    user.delete_at = clock.now() + services.settings.deletion_grace_period
    notify(session, services, user, "deletion_planned", until=user.delete_at.isoformat())
    await session.flush()
    return await end_everything(session, services, user, DELETION_PLANNED, actor)


async def cancel_deletion(session: AsyncSession, services: MessageServices, user: User, *, actor: Actor) -> None:
    """Keep the account of a user who had asked for its deletion."""
    user.delete_at = None
    notify(session, services, user, "deletion_cancelled")
    record_by(session, actor, "user.deletion_cancelled", subject=str(user.id))


async def delete_due(session: AsyncSession, services: AccountChanges, limit: int) -> int:
    """Delete accounts whose grace period is over; return how many."""
    due = await users.due_for_deletion(session, clock.now(), limit)
    for user_id in due:
        user = await users.lock_user(session, user_id)
        if user is not None and user.delete_at is not None:
            try:
                await delete_user(session, services, user, actor=SYSTEM)
            except UserError:  # the last administrator stays, and the only owner of an application
                user.delete_at = None
    return len(due)
