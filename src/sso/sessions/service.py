"""Rules of sessions: how one starts and how long it lives."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.audit import record
from sso.authn.service import Authenticated
from sso.db import new_id
from sso.security.tokens import random_token, token_hash
from sso.sessions import store
from sso.sessions.store import LiveSession
from sso.settings import Settings

MAX_USER_AGENT_CHARS = 400


def idle_since(settings: Settings, now: datetime) -> datetime:
    """Return the moment before which a session must not have been used last."""
    return now - timedelta(seconds=settings.session_idle_seconds)


async def start(
    session: AsyncSession,
    settings: Settings,
    proof: Authenticated,
    *,
    current: LiveSession | None,
    address: str,
    user_agent: str,
    request_id: str,
) -> tuple[LiveSession, str]:
    """Start a session, or renew the browser's own when the same person proves it again.

    The cookie's value is new each time, so that one known before signing in is worth nothing (session fixation).

    Args:
        session: the transaction.
        settings: how long sessions live.
        proof: who it is and how that was proven.
        current: the browser's living session, whoever it belongs to.
        address: the network address it came from.
        user_agent: what the browser says it is.
        request_id: the reference for log and audit.

    Returns:
        The session and the value of its cookie.
    """
    now, token = clock.now(), random_token()
    values = {
        "token_hash": token_hash(token),
        "last_seen_at": now,
        "expires_at": now + timedelta(seconds=settings.session_absolute_seconds),
        "auth_time": now,
        "acr": proof.acr,
        "amr": proof.amr,
        "address": address[:45],
        "user_agent": user_agent[:MAX_USER_AGENT_CHARS],
    }
    session_id = new_id()
    event = "session.started"
    own = current is not None and current.user_id == proof.user.id
    if current is not None and own and await store.renew(session, current.id, now, idle_since(settings, now), values):
        session_id, event = current.id, "session.renewed"
    else:
        await store.insert(session, {"id": session_id, "user_id": proof.user.id, "created_at": now, **values})
    made = LiveSession(session_id, proof.user.id, now, now, proof.acr, proof.amr)
    who = str(proof.user.id)
    record(session, event, actor=who, subject=who, address=address, request_id=request_id, data={"amr": proof.amr})
    return made, token
