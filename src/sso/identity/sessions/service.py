"""Rules of sessions: how one starts and how long it lives."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.authn.authenticated import Authenticated
from sso.identity.sessions import store
from sso.identity.sessions.devices import MAX_USER_AGENT_CHARS
from sso.identity.sessions.store import LiveSession
from sso.platform.audit import record
from sso.platform.db import new_id
from sso.platform.security.tokens import random_token, token_hash
from sso.settings import Settings


def idle_since(settings: Settings, now: datetime) -> datetime:
    """Return the moment before which a session must not have been used last."""
    return now - settings.session_idle_timeout


class ReportFinished(Exception):
    """What somebody proved is worth nothing any more: meanwhile their account was disabled, or its password changed."""


@dataclass(frozen=True, slots=True)
class Started:
    """A session that began, and the value of its cookie. ``surplus``: the person's sessions that are too many now."""

    session: LiveSession
    token: str
    surplus: list[uuid.UUID]


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody signs in. ``trusted_until``: the person asks that this browser need no second step until then."""

    device_hash: bytes | None = None
    country: str | None = None
    trusted_until: datetime | None = None


def lifetime(settings: Settings, now: datetime, *, remember: bool) -> dict[str, datetime | None]:
    """Return until when a session lives that starts now: not used, and where the device is remembered, in all."""
    if not remember or not settings.remembered_session_lifetime:
        return {"expires_at": now + settings.session_lifetime, "remembered_until": None}
    return {
        "expires_at": now + settings.remembered_session_idle_timeout,
        "remembered_until": now + settings.remembered_session_lifetime,
    }


async def touch(session: AsyncSession, settings: Settings, session_id: uuid.UUID, now: datetime) -> None:
    """Record that a session was used. One statement."""
    await store.touch(session, session_id, now, now + settings.remembered_session_idle_timeout)


async def start(
    session: AsyncSession,
    settings: Settings,
    proof: Authenticated,
    *,
    current: LiveSession | None,
    address: str | None,
    user_agent: str,
    request_id: str,
    remember: bool = False,
    place: Place | None = None,
) -> Started:
    """Start a session, or renew the browser's own when the same person proves it again.

    The cookie's value is new each time, so that one known before signing in is worth nothing (session fixation).

    Args:
        session: the transaction.
        settings: how long sessions live.
        proof: who it is and how that was proven.
        current: the browser's living session, whoever it belongs to.
        address: the network address it came from, in the form in which it is kept.
        user_agent: what the browser says it is.
        request_id: the reference for log and audit.
        remember: the person asks that this device be remembered.
        place: the browser and the country, where they are known.

    Raises:
        ProofOver: when the person was disabled, or what opens the account was changed, since they proved who they are.
    """
    place = place or Place()
    now, token = clock.now(), random_token()
    values = {
        "token_hash": token_hash(token),
        "last_seen_at": now,
        **lifetime(settings, now, remember=remember),
        "auth_time": proof.auth_time or now,
        "device_hash": place.device_hash,
        "country": place.country,
        **({"trusted_until": place.trusted_until} if place.trusted_until else {}),
        "acr": proof.acr,
        "amr": proof.amr,
        "address": address,
        "user_agent": user_agent[:MAX_USER_AGENT_CHARS],
    }
    session_id, limit = new_id(), settings.sessions_per_user
    event = "session.started"
    own = current is not None and current.user_id == proof.user.id
    if current is not None and own and await store.renew(session, current.id, now, idle_since(settings, now), values):
        session_id, event = current.id, "session.renewed"
        others = 0
    else:
        row = {"id": session_id, "user_id": proof.user.id, "created_at": now, **values}
        stored = await store.insert(session, row, proof.user.security_version)
        if stored is None:
            raise ReportFinished
        others = stored
    made = LiveSession(session_id, proof.user.id, proof.auth_time or now, now, proof.acr, proof.amr)
    who = str(proof.user.id)
    record(session, event, actor=who, subject=who, address=address, request_id=request_id, data={"amr": proof.amr})
    surplus = await store.surplus(session, made.user_id, limit) if limit and others > limit else []
    return Started(made, token, surplus)
