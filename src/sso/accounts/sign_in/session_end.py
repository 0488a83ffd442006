"""Why the session of a browser ended: said once, to the browser that holds its cookie.

Only the value of the cookie finds the session, so a stranger learns nothing. Nothing is read where the browser has no
cookie or its session is active.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sso import clock
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import EndedSession
from sso.platform.db import Database
from sso.platform.security.tokens import token_hash
from sso.platform.visitor import Visitor

Cause = EndReason | Literal["idle", "lifetime", "device_idle", "device_lifetime"]
"""Why a session ended: a reason that is stored; or the limit that it reached: unused for too long or too old, as an
ordinary session or as that of a remembered device."""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """When and why the last session of a browser ended."""

    cause: Cause
    at: datetime


async def last_session_end(db: Database, idle: timedelta, visitor: Visitor) -> SessionEnd | None:
    """Return when and why the session of a browser ended in which nobody is signed in; None: it had none, or nothing is
    known of it any more. One statement, none without cookie.

    Args:
        db: the database.
        idle: how long a session may be unused.
        visitor: the browser.
    """
    if not visitor.session_tokens:
        return None
    async with db.read() as session:
        rows = await sessions.ended_of_browser(session, [token_hash(token) for token in visitor.session_tokens])
    now = clock.now()
    ends = [end for row in rows if (end := end_of(row, idle)).at <= now]
    return max(ends, key=lambda end: end.at, default=None)


def end_of(row: EndedSession, idle: timedelta) -> SessionEnd:
    """Return when and why a session ended, or will end if nobody uses it."""
    if row.ended_at is not None and row.end_reason != EndReason.EXPIRED:
        try:
            return SessionEnd(EndReason(row.end_reason or ""), row.ended_at)
        except ValueError:  # a reason of another release
            return SessionEnd(EndReason.EXPIRED, row.ended_at)
    if row.user_disabled_at is not None:
        return SessionEnd(EndReason.USER_DISABLED, row.user_disabled_at)
    if row.remembered_until is not None:
        used_up = row.expires_at >= row.remembered_until
        return SessionEnd("device_lifetime" if used_up else "device_idle", row.expires_at)
    unused_since = row.last_seen_at + idle
    if unused_since < row.expires_at:
        return SessionEnd("idle", unused_since)
    return SessionEnd("lifetime", row.expires_at)
