"""What applications are told of by Shared Signals (OpenID SSF 1.0, CAEP 1.0, RISC 1.0): making and sending events.

An event is written to the outbox in the transaction of its cause, for each application that has a stream, asked for
this kind of event, knows the person, and has not excluded them. Streams are managed in ``streams.py``.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.db import new_id
from sso.delivery import Abandon, enqueue
from sso.oidc.models import EventStream, ExcludedSubject
from sso.oidc.provider import Provider
from sso.security.documents import read_json
from sso.security.outbound import OutboundRefused
from sso.sessions import store as sessions
from sso.sessions.store import Participation
from sso.tokens import store as tokens

_CAEP, _RISC = (f"https://schemas.openid.net/secevent/{name}/event-type/" for name in ("caep", "risc"))
_SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
SESSION_REVOKED = f"{_CAEP}session-revoked"
CREDENTIAL_CHANGE = f"{_CAEP}credential-change"
ACCOUNT_DISABLED = f"{_RISC}account-disabled"
ACCOUNT_ENABLED = f"{_RISC}account-enabled"
ACCOUNT_PURGED = f"{_RISC}account-purged"
EVENTS = (SESSION_REVOKED, CREDENTIAL_CHANGE, ACCOUNT_DISABLED, ACCOUNT_ENABLED, ACCOUNT_PURGED)
"""Every kind of event that a stream can ask for."""
VERIFICATION = f"{_SSF}verification"

PUSH, POLL = "ssf_push", "ssf_poll"
SET_TYP = "secevent+jwt"
_BY_ADMINISTRATOR = ("administrator", "user_disabled", "user_deleted")
_BY_PERSON = ("signed_out", "other_person", "by_person", "password_changed")


@dataclass(frozen=True, slots=True)
class Concerned:
    """Whom an event is about, as one application knows them. ``sid`` where it is about a session."""

    client_id: str
    user_id: uuid.UUID
    session_id: uuid.UUID | None = None
    sid: str | None = None


async def streams_of(session: AsyncSession, provider: Provider, client_ids: Collection[str]) -> dict[str, EventStream]:
    """Return the streams of applications that are not disabled. No statement as long as nobody has ever had one."""
    if not provider.has_streams or not client_ids:
        return {}
    statement = select(EventStream).where(EventStream.client_id.in_(client_ids), EventStream.status != "disabled")
    return {one.client_id: one for one in (await session.execute(statement)).scalars()}


def is_told(stream: EventStream | None, event: str) -> bool:
    """Tell whether a stream asks for a kind of event."""
    return stream is not None and event in stream.events_requested


async def session_revoked(
    session: AsyncSession, streams: Mapping[str, EventStream], ended: Sequence[Participation], reason: str
) -> None:
    """Tell applications of sessions that are over for them (CAEP section 3.1)."""
    concerned = [Concerned(one.client_id, one.user_id, one.session_id, one.sid) for one in ended]
    await _emit(session, streams, SESSION_REVOKED, concerned, {"initiating_entity": initiator(reason)})


async def about_person(
    session: AsyncSession, provider: Provider, user_id: uuid.UUID, event: str, body: dict[str, Any]
) -> None:
    """Tell every application that a person has used of something that happened to their account."""
    if not provider.has_streams:
        return
    known = await sessions.clients_of_user(session, user_id) | await tokens.clients_of_user(session, user_id)
    streams = await streams_of(session, provider, known)
    await _emit(session, streams, event, [Concerned(one, user_id) for one in streams], body)


def initiator(reason: str) -> str:
    """Return who ended a session, in the words of CAEP section 2."""
    if reason in _BY_ADMINISTRATOR:
        return "admin"
    return "user" if reason in _BY_PERSON else "policy"


async def _emit(
    session: AsyncSession,
    streams: Mapping[str, EventStream],
    event: str,
    concerned: Sequence[Concerned],
    body: dict[str, Any],
) -> None:
    told = [(one, streams[one.client_id]) for one in concerned if is_told(streams.get(one.client_id), event)]
    if not told:
        return
    statement = select(ExcludedSubject.stream_id, ExcludedSubject.user_id).where(
        ExcludedSubject.stream_id.in_({stream.id for _, stream in told}),
        ExcludedSubject.user_id.in_({one.user_id for one, _ in told}),
    )
    excluded = {(row[0], row[1]) for row in (await session.execute(statement)).all()}
    for one, stream in told:
        if (stream.id, one.user_id) not in excluded:
            send(session, stream, event, {**body, "event_timestamp": clock.timestamp()}, about=one)


def send(
    session: AsyncSession, stream: EventStream, event: str, body: dict[str, Any], *, about: Concerned | None = None
) -> None:
    """Write one event for one stream to the outbox. ``about`` nobody: about the stream itself."""
    event_id = new_id()
    payload: dict[str, Any] = {"jti": event_id.hex, "client_id": stream.client_id, "stream_id": str(stream.id)}
    payload |= {"event": event, "body": body, "iat": clock.timestamp()}
    if about is not None:
        payload |= {"user_id": str(about.user_id), "sid": about.sid}
    push = stream.method == "push"
    enqueue(
        session,
        PUSH if push else POLL,
        payload,
        client_id=stream.client_id,
        session_id=about.session_id if about else None,
        receiver=urlsplit(stream.endpoint_url or "").netloc if push else None,
        status="pending" if push and stream.status == "enabled" else "held",
        delivery_id=event_id,
    )


def security_event_token(provider: Provider, payload: Mapping[str, Any]) -> str | None:
    """Return the SET of an event (RFC 8417), signed now; None where its application is gone."""
    client = provider.registry.known(str(payload["client_id"]))
    if client is None:
        return None
    issuer = provider.settings.issuer
    subject: dict[str, Any] = {"format": "opaque", "id": payload["stream_id"]}
    if payload.get("user_id"):
        sub = provider.subject(client, uuid.UUID(payload["user_id"]))
        subject = {"format": "iss_sub", "iss": issuer, "sub": sub}
        if payload.get("sid"):
            subject = {"format": "complex", "user": subject, "session": {"format": "opaque", "id": payload["sid"]}}
    claims = {
        "iss": issuer,
        "aud": client.client_id,
        "iat": payload["iat"],
        "jti": payload["jti"],
        "sub_id": subject,
        "events": {payload["event"]: payload["body"]},
    }
    alg = provider.id_token_alg(client)
    return provider.keys.sign(claims, "RS256" if alg == "none" else alg, SET_TYP)


def push_event(provider: Provider) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
    """Return the handler that pushes events (RFC 8935 section 2)."""

    async def push(payload: Mapping[str, Any]) -> None:
        async with provider.db.read() as session:
            stream = await session.get(EventStream, uuid.UUID(payload["stream_id"]))
        token = security_event_token(provider, payload)
        if token is None:
            await provider.look()
            token = security_event_token(provider, payload)
        if stream is None or token is None or stream.endpoint_url is None or stream.status == "disabled":
            raise Abandon("the stream is gone, or disabled")
        headers = {"Content-Type": f"application/{SET_TYP}", "Accept": "application/json"}
        if stream.authorization_header is not None:
            sealed = provider.box.open(stream.authorization_header, header_purpose(stream.id))
            headers["Authorization"] = sealed.decode()
        try:
            status, body = await provider.outbound.post(stream.endpoint_url, token.encode(), headers)
        except OutboundRefused as error:
            raise Abandon(str(error)) from None
        if status == 400:
            raise Abandon(f"the application refused it: {_error_of(body)}")
        if not 200 <= status < 300:
            raise RuntimeError(f"the application answered {status}")

    return push


def header_purpose(stream_id: uuid.UUID) -> str:
    """Return for what the authorization header of a stream is sealed."""
    return f"event-stream:{stream_id}"


def _error_of(body: bytes) -> str:
    """Return the error of RFC 8935 section 2.3."""
    try:
        said = read_json(body)
        return f"{said['err']} {said.get('description', '')}"[:200]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "400"
