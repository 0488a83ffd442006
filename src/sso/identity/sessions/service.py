"""Starting sessions and their lifetime."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.authn.authenticated import Authenticated
from sso.identity.sessions import store
from sso.identity.sessions.devices import MAX_USER_AGENT_CHARS
from sso.identity.sessions.store import ActiveSession, SessionColumns
from sso.platform.audit import record
from sso.platform.db import new_id
from sso.platform.security.tokens import random_token, token_hash
from sso.settings import Settings


def idle_since(settings: Settings, now: datetime) -> datetime:
    """Return the time before which the last use of a session means that it is idle."""
    return now - settings.session_idle_timeout


class AuthenticationOutdated(Exception):
    """The user was disabled or the credentials changed since the authentication."""


@dataclass(frozen=True, slots=True)
class Started:
    """A new session and the value of its cookie. ``surplus``: sessions of the user beyond the permitted number."""

    session: ActiveSession
    token: str
    surplus: list[uuid.UUID]


@dataclass(frozen=True, slots=True)
class Place:
    """The browser and country of a sign-in. ``trusted_until``: until then the browser needs no second factor."""

    device_hash: bytes | None = None
    country: str | None = None
    trusted_until: datetime | None = None


def lifetime(settings: Settings, now: datetime, *, remember: bool) -> SessionColumns:
    """Return when a session that starts now expires: without use, and for a remembered device at the latest."""
    if not remember or not settings.remembered_session_lifetime:
        return {"expires_at": now + settings.session_lifetime, "remembered_until": None}
    return {
        "expires_at": now + settings.remembered_session_idle_timeout,
        "remembered_until": now + settings.remembered_session_lifetime,
    }


async def touch(session: AsyncSession, settings: Settings, session_id: uuid.UUID, now: datetime) -> None:
    """Record the use of a session. One statement."""
    await store.touch(session, session_id, now, now + settings.remembered_session_idle_timeout)


async def start(
    session: AsyncSession,
    settings: Settings,
    authenticated: Authenticated,
    *,
    current: ActiveSession | None,
    address: str | None,
    user_agent: str,
    request_id: str,
    remember: bool = False,
    place: Place | None = None,
) -> Started:
    """Start a session, or renew the session of the browser if it belongs to the same user.

    The cookie gets a new value each time, which prevents session fixation.

    Args:
        session: the transaction.
        settings: how long sessions last.
        authenticated: the user and the authentication.
        current: the active session of the browser, of any user.
        address: the IP address of the browser, in the stored form.
        user_agent: the User-Agent header.
        request_id: the reference for log and audit.
        remember: whether the user asked to remember this device.
        place: the browser and the country, if known.

    Raises:
        AuthenticationOutdated: when the user was disabled or the credentials changed since the authentication.
    """
    now, token = clock.now(), random_token()
    values: SessionColumns = {
        "token_hash": token_hash(token),
        "last_seen_at": now,
        **lifetime(settings, now, remember=remember),
        "auth_time": authenticated.auth_time or now,
        **_place_columns(place or Place()),
        "acr": authenticated.acr,
        "amr": authenticated.amr,
        "address": address,
        "user_agent": user_agent[:MAX_USER_AGENT_CHARS],
    }
    session_id, event, count = await _store(session, settings, authenticated, current, now, values)
    user_id, auth_time, amr = authenticated.user.id, authenticated.auth_time or now, authenticated.amr
    started = ActiveSession(session_id, user_id, auth_time, now, authenticated.acr, amr)
    actor, limit = str(user_id), settings.sessions_per_user
    record(session, event, actor=actor, subject=actor, address=address, request_id=request_id, data={"amr": amr})
    surplus = await store.surplus(session, started.user_id, limit) if limit and count > limit else []
    return Started(started, token, surplus)


async def _store(
    session: AsyncSession,
    settings: Settings,
    authenticated: Authenticated,
    current: ActiveSession | None,
    now: datetime,
    values: SessionColumns,
) -> tuple[uuid.UUID, str, int]:
    """Renew ``current`` if it belongs to the same user and is active; otherwise insert a session.

    Returns:
        The id, the type of the audit event, and how many sessions the user has (0 after a renewal).
    """
    is_own = current is not None and current.user_id == authenticated.user.id
    if (
        current is not None
        and is_own
        and await store.renew(session, current.id, now, idle_since(settings, now), values)
    ):
        return current.id, "session.renewed", 0
    session_id = new_id()
    row: SessionColumns = {"id": session_id, "user_id": authenticated.user.id, "created_at": now, **values}
    count = await store.insert(session, row, authenticated.user.security_version)
    if count is None:
        raise AuthenticationOutdated
    return session_id, "session.started", count


def _place_columns(place: Place) -> SessionColumns:
    columns: SessionColumns = {"device_hash": place.device_hash, "country": place.country}
    return {**columns, "trusted_until": place.trusted_until} if place.trusted_until else columns
