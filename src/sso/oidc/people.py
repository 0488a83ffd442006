"""What happens to a person's account, with everything that follows for sessions, grants and applications."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.audit import record
from sso.delivery import enqueue
from sso.oidc import signals
from sso.oidc.ending import end_matching, end_sessions
from sso.oidc.provider import Provider
from sso.sessions import store as sessions
from sso.sessions.store import SessionFilter
from sso.tokens import store as tokens
from sso.users import store as users
from sso.users.models import User
from sso.users.service import UserError, keep_an_administrator

NOTICE = "notice"
"""The kind of delivery that is a mail to a person."""


async def disable_user(
    session: AsyncSession, provider: Provider, user: User, *, actor: str, request_id: str | None = None
) -> int:
    """Disable a person: every session is ended, everything granted is over, ``offline_access`` too.

    Returns:
        How many sessions were ended.

    Raises:
        UserError: when nobody would be an administrator any more.
    """
    await keep_an_administrator(session, user)
    now = clock.now()
    await users.set_disabled(session, user.id, now, now)
    await signals.about_person(session, provider, user.id, signals.ACCOUNT_DISABLED, {})
    notify(session, provider, user, "account_disabled")
    return await _end_everything(session, provider, user, "user.disabled", "user_disabled", actor, request_id)


async def enable_user(
    session: AsyncSession, provider: Provider, user: User, *, actor: str, request_id: str | None = None
) -> None:
    """Let a disabled person sign in again.

    Raises:
        UserError: when the person was deleted.
    """
    if user.deleted_at is not None:
        raise UserError("who was deleted cannot be enabled")
    await users.set_disabled(session, user.id, None, clock.now())
    await signals.about_person(session, provider, user.id, signals.ACCOUNT_ENABLED, {})
    record(session, "user.enabled", actor=actor, subject=str(user.id), request_id=request_id)


async def delete_user(
    session: AsyncSession, provider: Provider, user: User, *, actor: str, request_id: str | None = None
) -> int:
    """Delete a person: every session is ended, everything granted is over, and all that is known of them is erased.

    The id stays, for the audit log and for the proof that applications were told.

    Returns:
        How many sessions were ended.

    Raises:
        UserError: when nobody would be an administrator any more.
    """
    await keep_an_administrator(session, user)
    await signals.about_person(session, provider, user.id, signals.ACCOUNT_PURGED, {})
    count = await _end_everything(session, provider, user, "user.deleted", "user_deleted", actor, request_id)
    await tokens.forget_consents(session, user_id=user.id)
    await users.erase(session, user.id, clock.now())
    return count


async def change_password(session: AsyncSession, provider: Provider, user: User, hashed: str, *, actor: str) -> int:
    """Give a person another password, of which ``hashed`` is the hash, and end whatever the old one opened.

    Returns:
        How many sessions were ended.
    """
    await users.set_password_hash(session, user.id, hashed, clock.now())
    about: dict[str, Any] = {"credential_type": "password", "change_type": "update"}
    about["initiating_entity"] = "user" if actor == str(user.id) else "admin"
    await signals.about_person(session, provider, user.id, signals.CREDENTIAL_CHANGE, about)
    notify(session, provider, user, "password_changed")
    return await _end_everything(session, provider, user, "user.password_changed", "password_changed", actor)


async def end_session_of_person(
    session: AsyncSession,
    provider: Provider,
    session_id: uuid.UUID,
    *,
    actor: str,
    address: str | None = None,
    request_id: str | None = None,
    note: str | None = None,
) -> bool:
    """End one session for an administrator, and tell its person; tell whether it was not over already.

    Args:
        session: the transaction.
        provider: the provider.
        session_id: the session.
        actor: who asks.
        address: the network address it came from, in the form in which it is kept.
        request_id: the reference for log and audit.
        note: why, in the words of who asks.
    """
    found = await sessions.get(session, session_id)
    if found is None or found[0].ended_at is not None:
        return False
    about: dict[str, Any] = {"actor": actor, "address": address, "request_id": request_id, "note": note}
    await end_sessions(session, provider, [session_id], "administrator", **about)
    notify(session, provider, found[1], "sessions_ended")
    return True


def notify(session: AsyncSession, provider: Provider, user: User, about: str) -> None:
    """Put a mail to a person into the outbox, where mail is sent at all."""
    if provider.settings.smtp_url is not None:
        enqueue(session, NOTICE, {"notice": about, "user_id": str(user.id), "at": clock.now().isoformat()})


async def _end_everything(
    session: AsyncSession,
    provider: Provider,
    user: User,
    event: str,
    reason: str,
    actor: str,
    request_id: str | None = None,
) -> int:
    """End every grant of a person, ``offline_access`` too, and every session; return how many sessions."""
    await tokens.revoke_grants_of_user(session, user.id, clock.now())
    record(session, event, actor=actor, subject=str(user.id), request_id=request_id)
    return await end_matching(session, provider, SessionFilter(user_id=user.id), reason, actor=actor)
