"""Users on their own pages. Every change of the own account begins with :func:`lock_own_account`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.services import AccountChanges
from sso.errors import Refusal
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import SessionFilter
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.logout.end_sessions import BATCH, end_sessions
from sso.platform.actor import Actor


class SessionEnded(Refusal):
    """The session of a user ended while a page of the own account was answered."""

    def __init__(self) -> None:
        super().__init__("the session has ended")


@dataclass(frozen=True, slots=True)
class OwnSession:
    """The session in which a user changes the own account.

    Args:
        user_id: the user.
        session_id: the session.
        idle: how long a session may be unused.
    """

    user_id: uuid.UUID
    session_id: uuid.UUID
    idle: timedelta


async def lock_own_account(session: AsyncSession, own: OwnSession) -> User:
    """Lock the account of a user, and check once more that the session is active. Every transaction that changes the
    own account begins with it: since the page was asked for, the owner may have ended the session, changed the
    password, or recovered the account.

    Raises:
        SessionEnded: when the session is not active any more.
    """
    user, now = await users.lock_user(session, own.user_id), clock.now()
    if user is None or not await sessions.is_active(session, own.session_id, now, now - own.idle):
        raise SessionEnded
    return user


async def end_own_sessions(
    session: AsyncSession,
    services: AccountChanges,
    own: OwnSession,
    chosen: uuid.UUID | Literal["others"],
    actor: Actor,
) -> int:
    """End one session of the own account, or all but the present one, however many there are; return how many.

    Args:
        session: the transaction.
        services: how users and applications are told.
        own: the session in which the user asks for it.
        chosen: the id of one session, or ``others``.
        actor: the user.
    """
    count = 0
    while ids := await _next(session, own, chosen):
        await end_sessions(session, services, ids, EndReason.BY_PERSON, actor=actor)
        count += len(ids)
    return count


async def _next(session: AsyncSession, own: OwnSession, chosen: uuid.UUID | Literal["others"]) -> Sequence[uuid.UUID]:
    """Return the sessions that end next, at most ``BATCH``; none are left when it is empty."""
    of_user = SessionFilter(user_id=own.user_id)
    if isinstance(chosen, uuid.UUID):
        return await sessions.not_ended(session, replace(of_user, session_id=chosen), 1)
    return await sessions.not_ended(session, replace(of_user, but=own.session_id), BATCH)
