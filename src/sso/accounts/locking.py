"""Locking an account after a user reported a sign-in as not theirs."""

from __future__ import annotations

import uuid
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.guards import is_locked
from sso.accounts.revocation import end_pending
from sso.accounts.services import AccountChanges, AccountServices
from sso.identity.authn import recovery_requests as recovery
from sso.identity.notifications import not_me_session, notify
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import SessionFilter
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.logout.end_sessions import end_matching
from sso.oidc.store import store as tokens
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.db import run_bridged
from sso.platform.security.rate_limits import Purpose
from sso.platform.security.replay import first_use
from sso.platform.visitor import Visitor

NOT_ME_DAYS = 30
"""How long the link "this was not me" works."""


async def not_me(
    session: AsyncSession, services: AccountChanges, session_id: uuid.UUID, visitor: Visitor
) -> User | None:
    """Lock the account whose user reports a sign-in as not theirs. Every session and every grant ends,
    ``offline_access`` too, no browser is trusted any more, and recoveries that wait are stopped: the stranger may have
    more than one of them. Until the lock ends or the account is recovered, only help is left.

    A link locks once: a reader of an old mail cannot lock the account again and again.

    Returns:
        The user; None where the session is unknown or too old, or its link was used.
    """
    reported = await sessions.get(session, session_id)
    if reported is None:
        return None
    sso_session, owner = reported
    if sso_session.created_at < clock.now() - timedelta(days=NOT_ME_DAYS) or owner.deleted_at:
        return None
    user = await users.lock_user(session, owner.id)
    if user is None:
        return None
    link_ends = sso_session.created_at + timedelta(days=NOT_ME_DAYS)
    if not await run_bridged(session, lambda sync: first_use(sync, "not-me", session_id.hex, link_ends)):
        return user if is_locked(user) else None
    await end_pending(session, user)
    user.locked_until = clock.now() + services.settings.account_lock_duration
    await session.flush()
    actor = Actor(str(user.id), request_id=visitor.request_id)
    await _end_all_access(session, services, user, session_id, actor)
    record_by(session, actor, "user.locked", subject=str(user.id), address=visitor.stored_ip_address)
    notify(session, services, user, "locked", until=user.locked_until.isoformat())
    return user


async def _end_all_access(
    session: AsyncSession, services: AccountChanges, user: User, reported_id: uuid.UUID, actor: Actor
) -> None:
    """End the recoveries, sessions, grants and trusted browsers of a user, and forget the device of the reported
    session."""
    of_user = SessionFilter(user_id=user.id)
    await recovery.delete_of_user(session, user.id)
    await sessions.lock_matching(session, of_user)
    await sessions.clear_device(session, reported_id)
    await sessions.distrust(session, user.id)
    await tokens.revoke_grants_of_user(session, user.id, clock.now())
    await end_matching(session, services, of_user, EndReason.NOT_ME, actor=actor)


async def report_sign_in(services: AccountServices, visitor: Visitor, token: str) -> User | None:
    """Lock the account of a sign-in that the link of a message reports as not the user's; see :func:`not_me`.

    Args:
        services: the database, encryption, passwords and limits.
        visitor: who follows the link.
        token: the value of the link.

    Returns:
        The user; None where the link is wrong, too old or used.

    Raises:
        TooManyFailures: after too many wrong links.
    """
    attempt = await services.attempts.reserve(Purpose.LINK, "", visitor.ip_address)
    session_id = not_me_session(services, token)
    if session_id is None:
        return None
    async with services.db.write() as session:
        user = await not_me(session, services.changes, session_id, visitor)
    if user is not None:
        await attempt.succeeded()
    return user
