"""Ending what an account has open: pending flows, sessions and grants. Every change that must do so does it here."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.services import AccountChanges
from sso.identity.authn import pending_flows
from sso.identity.notifications import notify
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason, Initiator
from sso.identity.sessions.store import SessionFilter
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.logout.end_sessions import end_matching
from sso.oidc.store import store as tokens
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.ssf import events as signals
from sso.ssf.events import CredentialChange


@dataclass(frozen=True, slots=True)
class Cause:
    """Why everything that an account has open ends.

    Args:
        event: the type of the audit event.
        reason: the reason that is stored with the sessions.
        notice: the notice that the user receives; one of ``NOTICES`` in ``http/common/mail_texts.py``.
    """

    event: str
    reason: EndReason
    notice: str = ""


DISABLED = Cause("user.disabled", EndReason.USER_DISABLED)
DELETED = Cause("user.deleted", EndReason.USER_DELETED)
DELETION_PLANNED = Cause("user.deletion_planned", EndReason.DELETION_PLANNED)
PASSWORD_CHANGED = Cause("user.password_changed", EndReason.PASSWORD_CHANGED, "password_changed")
PASSWORD_REQUIRED = Cause("user.password_required", EndReason.PASSWORD_REQUIRED, "new_password_needed")
FACTORS_RESET = Cause("user.factors_reset", EndReason.FACTORS_RESET, "factors_reset")
RECOVERED = Cause("user.recovered", EndReason.RECOVERED, "recovered")


async def end_pending(session: AsyncSession, user: User) -> None:
    """Lock the row of a user, and end every sign-in that is under way: those that wait for a second factor, and those
    that are about to start a session."""
    await users.invalidate_sign_ins(session, user.id)
    await pending_flows.end_those_of(session, user.id)


async def end_everything(
    session: AsyncSession,
    services: AccountChanges,
    user: User,
    cause: Cause,
    actor: Actor,
    keep: uuid.UUID | None = None,
) -> int:
    """End every grant of a user, ``offline_access`` too, and every session.

    Args:
        session: the transaction.
        services: how users and applications are told.
        user: the user, locked.
        cause: why.
        actor: who acts.
        keep: the session that stays.

    Returns:
        How many sessions ended.
    """
    record_by(session, actor, cause.event, subject=str(user.id))
    of_user = SessionFilter(user_id=user.id, but=keep)
    await sessions.lock_matching(session, of_user)
    await tokens.revoke_grants_of_user(session, user.id, clock.now(), but=keep)
    return await end_matching(
        session, services, of_user, cause.reason, actor=Actor(actor.name, request_id=actor.request_id)
    )


async def credentials_changed(
    session: AsyncSession,
    services: AccountChanges,
    user: User,
    cause: Cause,
    changes: Sequence[CredentialChange],
    actor: Actor,
    keep: uuid.UUID | None = None,
) -> int:
    """End everything that changed credentials opened, and tell the user and the applications (CAEP section 3.3).

    Args:
        session: the transaction.
        services: how users and applications are told.
        user: the user, locked.
        cause: why; with a notice.
        changes: what changed, for the applications.
        actor: who acts.
        keep: the session that stays.

    Returns:
        How many sessions ended.
    """
    await sessions.distrust(session, user.id)
    by: Initiator = "user" if actor.name == str(user.id) else "admin"
    await signals.credentials_changed(session, services, user.id, changes, by)
    notify(session, services, user, cause.notice)
    return await end_everything(session, services, user, cause, actor, keep)
