"""Ending sessions: one function with one effect, whoever asks for it.

The session is over, what was granted within it is over (but for ``offline_access``), and every application that took
part is told, through the outbox, in the same transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.audit import record
from sso.delivery import Abandon, enqueue
from sso.oidc.provider import Provider
from sso.security.outbound import OutboundRefused
from sso.sessions import store as sessions
from sso.sessions.store import HowTold, Participation, SessionFilter
from sso.tokens import store as tokens
from sso.users import store as users
from sso.users.models import User

BACKCHANNEL_LOGOUT = "backchannel_logout"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TOKEN_TYP = "logout+jwt"
LOGOUT_TOKEN_SECONDS = 120
BATCH = 200


async def end_sessions(
    session: AsyncSession,
    provider: Provider,
    session_ids: Sequence[uuid.UUID],
    reason: str,
    *,
    actor: str | None = None,
    address: str | None = None,
    request_id: str | None = None,
    in_browser: bool = False,
) -> list[Participation]:
    """End sessions within the transaction of ``session``.

    Args:
        session: the transaction.
        provider: the provider.
        session_ids: those that are over already are left alone.
        reason: ``signed_out``, ``other_person``, ``expired``, ``administrator``, ``user_disabled``...
        actor: who asked for it.
        address: the network address it came from.
        request_id: the reference for log and audit.
        in_browser: the person's own browser is here, and tells those that are told through it.

    Returns:
        Every application that took part, with the ``sid`` by which it knows the session.
    """
    now = clock.now()
    ended = await sessions.end(session, session_ids, reason, now)
    if not ended:
        return []
    await tokens.revoke_grants_of_sessions(session, ended, now)
    taken_part = await sessions.participants(session, ended)
    how = {one.client_id: how_told(provider, one.client_id, in_browser) for one in taken_part}
    for way in dict.fromkeys(how.values()):
        await sessions.remember_how_told(session, ended, way, [name for name, its in how.items() if its == way])
    told = [replace(one, told_by=how[one.client_id]) for one in taken_part]
    for one in told:
        client = provider.registry.get(one.client_id)
        if client is not None and one.told_by == "back_channel":
            payload = {"client_id": one.client_id, "sid": one.sid, "user_id": str(one.user_id)}
            receiver = urlsplit(client.meta.backchannel_logout_uri or "").netloc
            about: dict[str, Any] = {"client_id": one.client_id, "session_id": one.session_id}
            enqueue(session, BACKCHANNEL_LOGOUT, payload, receiver=receiver, **about)
    for session_id in ended:
        record(
            session,
            "session.ended",
            actor=actor,
            subject=str(session_id),
            address=address,
            request_id=request_id,
            data={"reason": reason, "clients": [one.client_id for one in told if one.session_id == session_id]},
        )
    return told


def how_told(provider: Provider, client_id: str, in_browser: bool) -> HowTold:
    """Return how an application learns that a session is over: by a notice, through the browser, or by itself when it
    wants new tokens, or not at all until the person comes by again."""
    client = provider.registry.get(client_id)
    if client is None:
        return "not_at_all"
    if client.meta.backchannel_logout_uri:
        return "back_channel"
    if in_browser and client.meta.frontchannel_logout_uri:
        return "front_channel"
    return "token_lifetime" if client.check_grant_type("refresh_token") else "not_at_all"


async def end_matching(
    session: AsyncSession, provider: Provider, wanted: SessionFilter, reason: str, *, actor: str
) -> int:
    """End every session that matches and return how many; a batch at a time."""
    count = 0
    while True:
        found = await sessions.not_ended(session, wanted, BATCH)
        if not found:
            return count
        await end_sessions(session, provider, found, reason, actor=actor)
        count += len(found)


async def disable_user(session: AsyncSession, provider: Provider, user: User, *, actor: str) -> int:
    """Disable a person: every session is ended, everything granted is over, ``offline_access`` too.

    Returns:
        How many sessions were ended.
    """
    now = clock.now()
    await users.set_disabled(session, user.id, now, now)
    return await _end_everything(session, provider, user, "user.disabled", "user_disabled", actor)


async def change_password(session: AsyncSession, provider: Provider, user: User, hashed: str, *, actor: str) -> int:
    """Give a person another password, of which ``hashed`` is the hash, and end whatever the old one opened.

    Returns:
        How many sessions were ended.
    """
    await users.set_password_hash(session, user.id, hashed, clock.now())
    return await _end_everything(session, provider, user, "user.password_changed", "password_changed", actor)


async def _end_everything(
    session: AsyncSession, provider: Provider, user: User, event: str, reason: str, actor: str
) -> int:
    """End every grant of a person, ``offline_access`` too, and every session; return how many sessions."""
    await tokens.revoke_grants_of_user(session, user.id, clock.now())
    record(session, event, actor=actor, subject=str(user.id))
    return await end_matching(session, provider, SessionFilter(user_id=user.id), reason, actor=actor)


def backchannel_logout(provider: Provider) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
    """Return the handler that tells an application of an ended session (Back-Channel Logout section 2.5)."""

    async def send(payload: Mapping[str, Any]) -> None:
        client = provider.registry.get(str(payload["client_id"]))
        if client is None or not client.meta.backchannel_logout_uri:
            raise Abandon("the application is gone, or no longer asks to be told")
        token = logout_token(provider, str(payload["client_id"]), str(payload["sid"]), uuid.UUID(payload["user_id"]))
        try:
            status = await provider.outbound.post_form(client.meta.backchannel_logout_uri, {"logout_token": token})
        except OutboundRefused as error:
            raise Abandon(str(error)) from None
        if not 200 <= status < 300:
            raise RuntimeError(f"the application answered {status}")

    return send


def logout_token(provider: Provider, client_id: str, sid: str, user_id: uuid.UUID) -> str:
    """Return a logout token (Back-Channel Logout section 2.4): made when it is sent, because it is short-lived."""
    client = provider.registry.get(client_id)
    assert client is not None
    now = clock.timestamp()
    claims = {
        "iss": provider.settings.issuer,
        "aud": client_id,
        "iat": now,
        "exp": now + LOGOUT_TOKEN_SECONDS,
        "jti": uuid.uuid4().hex,
        "sub": provider.subject(client, user_id),
        "sid": sid,
        "events": {LOGOUT_EVENT: {}},
    }
    return provider.keys.sign(claims, provider.id_token_alg(client), LOGOUT_TOKEN_TYP)
