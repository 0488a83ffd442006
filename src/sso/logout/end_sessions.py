"""Ending sessions: one function with one effect, whoever asks for it.

The session is over, what was granted within it is over (but for ``offline_access``), and every application that took
part is told, through the outbox, in the same transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.registry import Client, Registry
from sso.identity.sessions import store as sessions
from sso.identity.sessions.models import SessionClient
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import ClientSession, NotifiedBy, SessionFilter
from sso.oidc.models import EventStream
from sso.oidc.provider import Provider
from sso.oidc.store import store as tokens
from sso.platform.actor import UNKNOWN, Actor
from sso.platform.audit import record
from sso.platform.keys import KeyRing
from sso.platform.outbox import Abandon, DeliveryKind, enqueue
from sso.platform.security.outbound_errors import OutboundRefused
from sso.settings import Settings
from sso.ssf import events as signals

BACKCHANNEL_LOGOUT = DeliveryKind.BACKCHANNEL_LOGOUT
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TOKEN_TYP = "logout+jwt"
LOGOUT_TOKEN_SECONDS = 120
BATCH = 200


class LogoutTokenServices(Protocol):
    """What making a logout token needs."""

    @property
    def settings(self) -> Settings:
        """Every setting: the issuer is one."""

    @property
    def registry(self) -> Registry:
        """The registered applications."""

    @property
    def keys(self) -> KeyRing:
        """The signing keys."""

    def subject(self, client: Client, user_id: uuid.UUID) -> str:
        """Return the ``sub`` by which an application knows a user."""

    def id_token_alg(self, client: Client) -> str:
        """Return the algorithm with which tokens for an application are signed."""


async def end_sessions(
    session: AsyncSession,
    services: signals.EventServices,
    session_ids: Sequence[uuid.UUID],
    reason: EndReason,
    *,
    actor: Actor = UNKNOWN,
    in_browser: bool = False,
    note: str | None = None,
) -> list[ClientSession]:
    """End sessions within the transaction of ``session``.

    Args:
        session: the transaction.
        services: the registered applications and their event streams.
        session_ids: the sessions; ended ones are ignored.
        reason: why they end.
        actor: who ends them.
        in_browser: whether the browser of the user notifies the clients with front-channel logout.
        note: the reason that the actor wrote.

    Returns:
        The client sessions that ended, with their ``sid``.
    """
    now = clock.now()
    ended = await sessions.end(session, session_ids, reason, now)
    if not ended:
        return []
    await tokens.revoke_grants_of_sessions(session, ended, now)
    await sessions.lock_parts(session, SessionClient.session_id.in_(ended))  # nobody else tells of them meanwhile
    parts = [one for one in await sessions.participants(session, ended) if one.ended_at is None]
    told = await _tell(session, services, parts, reason, actor.name, in_browser)
    for session_id in ended:
        record(
            session,
            "session.ended",
            actor=actor.name,
            subject=str(session_id),
            address=actor.stored_ip_address,
            request_id=actor.request_id,
            data={
                "reason": reason,
                "clients": [one.client_id for one in told if one.session_id == session_id],
                **({"note": note} if note else {}),
            },
        )
    return told


async def end_client_sessions(
    session: AsyncSession,
    services: signals.EventServices,
    client_id: str,
    session_ids: Sequence[uuid.UUID],
    reason: EndReason,
    *,
    actor: str | None = None,
) -> list[ClientSession]:
    """End the part that one application takes in sessions: it was suspended or removed. It is told as if the sessions
    were over; for everybody else they go on (docs/decisions/0014)."""
    ended = await sessions.end_client_sessions(session, session_ids, client_id, clock.now(), reason)
    if not ended:
        return []
    parts = [one for one in await sessions.participants(session, ended) if one.client_id == client_id]
    told = await _tell(session, services, parts, reason, actor, in_browser=False)
    record(
        session,
        "session.part_ended",
        actor=actor,
        client_id=client_id,
        data={"reason": reason, "sessions": [str(session_id) for session_id in ended]},
    )
    return told


async def _tell(
    session: AsyncSession,
    services: signals.EventServices,
    parts: Sequence[ClientSession],
    reason: EndReason,
    actor: str | None,
    in_browser: bool,
) -> list[ClientSession]:
    """Write down how each application learns of an end, and put what is sent to it into the outbox."""
    if not parts:
        return []
    client_ids = {one.client_id for one in parts}
    streams = await signals.streams_of(session, services, client_ids)
    how = {name: how_told(services.registry, name, in_browser, streams.get(name)) for name in client_ids}
    ended = list({one.session_id for one in parts})
    for way in dict.fromkeys(how.values()):
        await sessions.record_notified_by(session, ended, way, [name for name, its in how.items() if its == way])
    told = [replace(one, told_by=how[one.client_id]) for one in parts]
    for one in told:
        client = services.registry.known(one.client_id)
        if client is not None and one.told_by == "back_channel":
            payload = {"client_id": one.client_id, "sid": one.sid, "user_id": str(one.user_id)}
            receiver = urlsplit(client.meta.backchannel_logout_uri or "").netloc
            about: dict[str, Any] = {"client_id": one.client_id, "session_id": one.session_id}
            enqueue(session, BACKCHANNEL_LOGOUT, payload, receiver=receiver, **about)
    await signals.session_revoked(session, services, streams, told, reason, actor)
    return told


def how_told(registry: Registry, client_id: str, in_browser: bool, stream: EventStream | None = None) -> NotifiedBy:
    """Return how an application learns that a session is over: by a notice, by an event, through the browser, or by
    itself when it wants new tokens, or not at all until the person comes by again."""
    client = registry.known(client_id)
    if client is None:
        return "not_at_all"
    if client.meta.backchannel_logout_uri:
        return "back_channel"
    if signals.is_told(stream, signals.SESSION_REVOKED):
        return "shared_signals"
    if in_browser and client.meta.frontchannel_logout_uri:
        return "front_channel"
    return "token_lifetime" if client.check_grant_type("refresh_token") else "not_at_all"


async def end_matching(
    session: AsyncSession,
    services: signals.EventServices,
    wanted: SessionFilter,
    reason: EndReason,
    *,
    actor: Actor,
) -> int:
    """End every session that matches and return how many; a batch at a time."""
    count = 0
    while True:
        found = await sessions.not_ended(session, wanted, BATCH)
        if not found:
            return count
        await end_sessions(session, services, found, reason, actor=actor)
        count += len(found)


def backchannel_logout(provider: Provider) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
    """Return the handler that tells an application of an ended session (Back-Channel Logout section 2.5)."""

    async def send(payload: Mapping[str, Any]) -> None:
        client = provider.registry.known(str(payload["client_id"]))
        if client is None:
            await provider.look()
            client = provider.registry.known(str(payload["client_id"]))
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


def logout_token(services: LogoutTokenServices, client_id: str, sid: str, user_id: uuid.UUID) -> str:
    """Return a logout token (Back-Channel Logout section 2.4): made when it is sent, because it is short-lived."""
    client = services.registry.known(client_id)
    assert client is not None
    now = clock.timestamp()
    claims = {
        "iss": services.settings.issuer,
        "aud": client_id,
        "iat": now,
        "exp": now + LOGOUT_TOKEN_SECONDS,
        "jti": uuid.uuid4().hex,
        "sub": services.subject(client, user_id),
        "sid": sid,
        "events": {LOGOUT_EVENT: {}},
    }
    return services.keys.sign(claims, services.id_token_alg(client), LOGOUT_TOKEN_TYP)
