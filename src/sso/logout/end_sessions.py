"""Ending sessions: one function with one effect, whoever asks for it.

The session is over, what was granted within it is over (but for ``offline_access``), and every application that took
part is told, through the outbox, in the same transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import NotRequired, Protocol, TypedDict, cast
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.registry import Registry
from sso.identity.sessions import store as sessions
from sso.identity.sessions.models import SessionClient
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import ClientSession, NotifiedBy, SessionFilter
from sso.logout.cas import Tickets, is_cas, receiver_of, send_logout_requests, tickets_of
from sso.oidc.models import EventStream
from sso.oidc.services import SigningServices
from sso.oidc.store import store as tokens
from sso.platform.actor import UNKNOWN, Actor
from sso.platform.audit import record, record_by
from sso.platform.outbox import Abandon, DeliveryKind, ReceiverAnswered, enqueue
from sso.platform.security.outbound_errors import OutboundRefused
from sso.platform.services import HasBox, HasOutbound
from sso.ssf import events as signals

BACKCHANNEL_LOGOUT = DeliveryKind.BACKCHANNEL_LOGOUT
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TOKEN_TYP = "logout+jwt"
LOGOUT_TOKEN_SECONDS = 120
BATCH = 200


class LogoutServices(SigningServices, HasBox, HasOutbound, Protocol):
    """What notifying an application of an ended session needs."""

    async def look(self) -> int:
        """Read what changed in the registered applications."""


class EndServices(signals.EventServices, Protocol):
    """What ending sessions needs: the registered applications and their event streams."""


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
    # Locked, so that nobody else notifies of them meanwhile.
    await sessions.lock_client_sessions(session, SessionClient.session_id.in_(ended))
    active = [used for used in await sessions.participants(session, ended) if used.ended_at is None]
    notified = await _tell(session, services, active, reason, actor.name, in_browser)
    for session_id in ended:
        record_by(
            session,
            actor,
            "session.ended",
            subject=str(session_id),
            address=actor.stored_ip_address,
            data={
                "reason": reason,
                "clients": [used.client_id for used in notified if used.session_id == session_id],
                **({"note": note} if note else {}),
            },
        )
    return notified


async def end_client_sessions(
    session: AsyncSession,
    services: signals.EventServices,
    client_id: str,
    session_ids: Sequence[uuid.UUID],
    reason: EndReason,
    *,
    actor: Actor = UNKNOWN,
) -> list[ClientSession]:
    """End the part that one application takes in sessions: it was suspended or removed. It is told as if the sessions
    were over; for everybody else they go on (docs/decisions/0014)."""
    ended = await sessions.end_client_sessions(session, session_ids, client_id, clock.now(), reason)
    if not ended:
        return []
    client_sessions = [
        client_session
        for client_session in await sessions.participants(session, ended)
        if client_session.client_id == client_id
    ]
    notified = await _tell(session, services, client_sessions, reason, actor.name, in_browser=False)
    record(
        session,
        "session.part_ended",
        actor=actor.name,
        address=actor.stored_ip_address,
        request_id=actor.request_id,
        client_id=client_id,
        data={"reason": reason, "sessions": [str(session_id) for session_id in ended]},
    )
    return notified


async def _tell(
    session: AsyncSession,
    services: signals.EventServices,
    client_sessions: Sequence[ClientSession],
    reason: EndReason,
    actor: str | None,
    in_browser: bool,
) -> list[ClientSession]:
    """Write down how each application learns of an end, and put what is sent to it into the outbox."""
    if not client_sessions:
        return []
    client_ids = {client_session.client_id for client_session in client_sessions}
    streams = await signals.streams_of(session, services, client_ids)
    how = {name: notification_way(services.registry, name, in_browser, streams.get(name)) for name in client_ids}
    ended = list({client_session.session_id for client_session in client_sessions})
    for way in dict.fromkeys(how.values()):
        await sessions.record_notified_by(session, ended, way, [name for name, its in how.items() if its == way])
    notified = [
        replace(client_session, notified_by=how[client_session.client_id]) for client_session in client_sessions
    ]
    tickets = await tickets_of(session, services.registry, client_sessions)
    for client_session in notified:
        client = services.registry.known(client_session.client_id)
        if client is not None and client_session.notified_by == "back_channel":
            payload: LogoutPayload = {
                "client_id": client_session.client_id,
                "sid": client_session.sid,
                "user_id": str(client_session.user_id),
            }
            receiver = urlsplit(client.meta.backchannel_logout_uri or "").netloc
            if is_cas(client):
                payload["tickets"] = tickets.get((client_session.session_id, client_session.client_id), [])
                receiver = receiver_of(client, payload["tickets"])
            enqueue(
                session,
                BACKCHANNEL_LOGOUT,
                {**payload},
                receiver=receiver,
                client_id=client_session.client_id,
                session_id=client_session.session_id,
            )
    await signals.session_revoked(session, services, streams, notified, reason, actor)
    return notified


def notification_way(
    registry: Registry, client_id: str, in_browser: bool, stream: EventStream | None = None
) -> NotifiedBy:
    """Return how an application learns that a session is over: by the gate, which lets no request pass, by a notice, by
    an event, through the browser, or by itself when it wants new tokens, or not at all until the person comes by
    again."""
    client = registry.known(client_id)
    if client is None:
        return "not_at_all"
    if is_cas(client):
        return "back_channel" if client.meta.cas_logout_requests else "not_at_all"
    if client.meta.gate is not None:
        return "gate"
    if client.meta.backchannel_logout_uri:
        return "back_channel"
    if signals.receives(stream, signals.SESSION_REVOKED):
        return "shared_signals"
    if in_browser and client.meta.frontchannel_logout_uri:
        return "front_channel"
    return "token_lifetime" if client.check_grant_type("refresh_token") else "not_at_all"


async def end_matching(
    session: AsyncSession,
    services: signals.EventServices,
    chosen: SessionFilter,
    reason: EndReason,
    *,
    actor: Actor,
) -> int:
    """End every session that matches and return how many; a batch at a time."""
    count = 0
    while True:
        session_ids = await sessions.not_ended(session, chosen, BATCH)
        if not session_ids:
            return count
        await end_sessions(session, services, session_ids, reason, actor=actor)
        count += len(session_ids)


class LogoutPayload(TypedDict):
    """What is stored of a back-channel logout until it is delivered: the token is signed when it is sent. ``tickets``:
    of an application that speaks CAS, encrypted."""

    client_id: str
    sid: str
    user_id: str
    tickets: NotRequired[Tickets]


def backchannel_logout(services: LogoutServices) -> Callable[[Mapping[str, object]], Awaitable[None]]:
    """Return the handler that tells an application of an ended session (Back-Channel Logout section 2.5)."""

    async def send(stored: Mapping[str, object]) -> None:
        payload = cast(LogoutPayload, stored)
        client = services.registry.known(payload["client_id"])
        if client is None:
            await services.look()
            client = services.registry.known(payload["client_id"])
        if client is not None and is_cas(client) and client.meta.cas_logout_requests:
            await send_logout_requests(services, client, payload.get("tickets", []))
            return
        if client is None or is_cas(client) or not client.meta.backchannel_logout_uri:
            raise Abandon("the application is gone, or no longer asks to be told")
        token = logout_token(services, payload["client_id"], payload["sid"], uuid.UUID(payload["user_id"]))
        try:
            status = await services.outbound.post_form(client.meta.backchannel_logout_uri, {"logout_token": token})
        except OutboundRefused as error:
            raise Abandon(str(error)) from None
        if not 200 <= status < 300:
            raise ReceiverAnswered(f"the application answered {status}", status)

    return send


def logout_token(services: SigningServices, client_id: str, sid: str, user_id: uuid.UUID) -> str:
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
