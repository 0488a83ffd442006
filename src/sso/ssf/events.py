"""What applications are told of by Shared Signals (OpenID SSF 1.0, CAEP 1.0, RISC 1.0): making and sending events.

An event is written to the outbox in the transaction of its cause, for each application that has a stream, asked for
this kind of event, knows the person, and has not excluded them. Streams are managed in ``streams.py``.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NotRequired, Protocol, TypedDict, cast
from urllib.parse import urlsplit

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.services import HasRegistry
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason, Initiator, initiator
from sso.identity.sessions.store import ClientSession
from sso.identity.users.models import Credential
from sso.oidc.models import EventStream, ExcludedName, ExcludedSubject
from sso.oidc.services import HasSubjects, SigningServices
from sso.oidc.store import store as tokens
from sso.platform.db import new_id
from sso.platform.outbox import Abandon, DeliveryKind, DeliveryStatus, ReceiverAnswered, enqueue
from sso.platform.security.json_documents import members, read_json
from sso.platform.security.outbound_errors import OutboundRefused
from sso.platform.security.tokens import token_hash
from sso.platform.services import HasBox, HasDatabase, HasOutbound

_CAEP, _RISC = (f"https://schemas.openid.net/secevent/{name}/event-type/" for name in ("caep", "risc"))
_SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
SESSION_REVOKED = f"{_CAEP}session-revoked"
CREDENTIAL_CHANGE = f"{_CAEP}credential-change"
TOKEN_CLAIMS_CHANGE = f"{_CAEP}token-claims-change"
ACCOUNT_DISABLED = f"{_RISC}account-disabled"
ACCOUNT_ENABLED = f"{_RISC}account-enabled"
ACCOUNT_PURGED = f"{_RISC}account-purged"
EVENTS = (
    SESSION_REVOKED,
    CREDENTIAL_CHANGE,
    TOKEN_CLAIMS_CHANGE,
    ACCOUNT_DISABLED,
    ACCOUNT_ENABLED,
    ACCOUNT_PURGED,
)
"""Every kind of event that a stream can ask for."""
VERIFICATION = f"{_SSF}verification"

PUSH, POLL = DeliveryKind.SSF_PUSH, DeliveryKind.SSF_POLL
SET_TYP = "secevent+jwt"
_CREDENTIAL_TYPES = {"password": "password", "totp": "app", "recovery_code": "recovery-code"}
"""The types of CAEP section 3.3.1 by our kinds. It has none for recovery codes: theirs is our own."""


Change = Literal["create", "update", "revoke", "delete"]
"""What happens to a credential (CAEP section 3.3.1): the person or an administrator takes one away that is lost
(``revoke``), or the person removes one (``delete``)."""


class EventServices(HasRegistry, HasSubjects, Protocol):
    """What telling applications of an event needs."""

    @property
    def has_streams(self) -> bool:
        """Whether an application has ever had a stream."""


class PushServices(SigningServices, HasDatabase, HasBox, HasOutbound, Protocol):
    """What pushing an event needs."""

    async def look(self) -> int:
        """Read what changed in the registered applications."""


ClaimValue = str | tuple[str, ...] | None
"""The value of a claim. None: the user has none any more."""


@dataclass(frozen=True, slots=True)
class CredentialChange:
    """A change of a credential, in the words of CAEP section 3.3.1."""

    credential_type: str
    change_type: Change


@dataclass(frozen=True, slots=True)
class Concerned:
    """Whom an event is about, as one application knows them. ``sid`` where it is about a session."""

    client_id: str
    user_id: uuid.UUID
    session_id: uuid.UUID | None = None
    sid: str | None = None


_STREAMS_OF = select(EventStream).where(
    EventStream.client_id.in_(bindparam("client_ids", expanding=True)), EventStream.status != "disabled"
)


async def streams_of(
    session: AsyncSession, services: EventServices, client_ids: Collection[str]
) -> dict[str, EventStream]:
    """Return the streams of applications that are not disabled. No statement as long as nobody has ever had one."""
    if not services.has_streams or not client_ids:
        return {}
    rows = await session.execute(_STREAMS_OF, {"client_ids": [*client_ids]})
    return {stream.client_id: stream for stream in rows.scalars()}


def receives(stream: EventStream | None, event: str) -> bool:
    """Tell whether a stream asks for a kind of event."""
    return stream is not None and event in stream.events_requested


async def session_revoked(
    session: AsyncSession,
    services: EventServices,
    streams: Mapping[str, EventStream],
    ended: Sequence[ClientSession],
    reason: EndReason,
    actor: str | None,
) -> None:
    """Tell applications of sessions that are over for them (CAEP section 3.1). ``actor``: who asked for it."""
    by_another = actor is not None and any(str(client_session.user_id) != actor for client_session in ended)
    concerned = [
        Concerned(client_session.client_id, client_session.user_id, client_session.session_id, client_session.sid)
        for client_session in ended
    ]
    await _emit(
        session,
        services,
        streams,
        SESSION_REVOKED,
        concerned,
        [{"initiating_entity": initiator(reason, by_another=by_another)}],
    )


async def about_person(
    session: AsyncSession, services: EventServices, user_id: uuid.UUID, event: str, *bodies: dict[str, object]
) -> None:
    """Tell every application that a person has used of something that happened to their account: one event for each of
    ``bodies``."""
    if not services.has_streams or not bodies:
        return
    known = await sessions.clients_of_user(session, user_id) | await tokens.clients_of_user(session, user_id)
    streams = await streams_of(session, services, known)
    await _emit(session, services, streams, event, [Concerned(client_id, user_id) for client_id in streams], bodies)


def credential_type(kind: str, data: Mapping[str, object]) -> str:
    """Return the type of a credential in the words of CAEP section 3.3.1.

    Args:
        kind: of the credential (:class:`sso.identity.users.models.Credential`).
        data: what is known of it. A passkey that is part of a device, or synced between devices, is ``fido2-platform``;
            one on a key that is carried around is ``fido2-roaming``.
    """
    if kind != "passkey":
        return _CREDENTIAL_TYPES[kind]
    transports = data.get("transports")
    if isinstance(transports, list) and transports:
        platform = "internal" in transports
    else:  # older browsers, and passkeys from before transports were stored
        platform = data.get("attachment") == "platform" or bool(data.get("backed_up"))
    return "fido2-platform" if platform else "fido2-roaming"


def replaced(known: Sequence[Credential], kind: str) -> CredentialChange:
    """Return the change of a person with the credentials ``known`` who gets a new one in place of any other of its
    kind."""
    had = any(credential.kind == kind for credential in known)
    return CredentialChange(credential_type(kind, {}), "update" if had else "create")


def factor_changes(known: Sequence[Credential], change: Change) -> list[CredentialChange]:
    """Return the change of every second factor among credentials, once for each type."""
    return credential_changes([credential for credential in known if credential.kind != "password"], change)


def credential_changes(chosen: Sequence[Credential], change: Change) -> list[CredentialChange]:
    """Return the change of credentials, once for each type."""
    types = [credential_type(credential.kind, credential.data) for credential in chosen]
    return [CredentialChange(credential, change) for credential in dict.fromkeys(types)]


async def credentials_changed(
    session: AsyncSession,
    services: EventServices,
    user_id: uuid.UUID,
    changes: Sequence[CredentialChange],
    by: Initiator,
) -> None:
    """Tell applications of changed credentials of a person (CAEP section 3.3)."""
    bodies = [{**asdict(credential_change), "initiating_entity": by} for credential_change in changes]
    await about_person(session, services, user_id, CREDENTIAL_CHANGE, *bodies)


async def claims_changed(
    session: AsyncSession,
    services: EventServices,
    changed: Mapping[Concerned, Mapping[str, ClaimValue]],
    by: Initiator,
) -> int:
    """Tell applications of changed claims of their users (CAEP section 3.2: token claims change).

    Args:
        session: the transaction.
        services: the registered applications and their event streams.
        changed: the new values of the claims, by the user and the application that is told; None: the claim is gone. An
            application is told only of the claims that are given here for it.
        by: who changed them.

    Returns:
        How many events were written.
    """
    streams = await streams_of(session, services, {concerned.client_id for concerned in changed})
    addressed = [
        (concerned, streams[concerned.client_id])
        for concerned in changed
        if receives(streams.get(concerned.client_id), TOKEN_CLAIMS_CHANGE)
    ]
    if not addressed:
        return 0
    excluded, count = await _excluded(session, services, addressed), 0
    for concerned, stream in addressed:
        if (stream.id, concerned.user_id) in excluded:
            continue
        body = {"claims": dict(changed[concerned]), "initiating_entity": by, "event_timestamp": clock.timestamp()}
        send(session, stream, TOKEN_CLAIMS_CHANGE, body, about=concerned)
        count += 1
    return count


async def _emit(
    session: AsyncSession,
    services: EventServices,
    streams: Mapping[str, EventStream],
    event: str,
    concerned: Sequence[Concerned],
    bodies: Sequence[dict[str, object]],
) -> None:
    addressed = [
        (concerned_client, streams[concerned_client.client_id])
        for concerned_client in concerned
        if receives(streams.get(concerned_client.client_id), event)
    ]
    if not addressed:
        return
    excluded = await _excluded(session, services, addressed)
    for concerned_client, stream in addressed:
        if (stream.id, concerned_client.user_id) not in excluded:
            for body in bodies:
                send(session, stream, event, {**body, "event_timestamp": clock.timestamp()}, about=concerned_client)


_EXCLUDED_NAMES = select(ExcludedName.stream_id, ExcludedName.name_hash).where(
    ExcludedName.stream_id.in_(bindparam("streams", expanding=True)),
    ExcludedName.name_hash.in_(bindparam("names", expanding=True)),
)
_EXCLUDED_USERS = select(ExcludedSubject.stream_id, ExcludedSubject.user_id).where(
    ExcludedSubject.stream_id.in_(bindparam("streams", expanding=True)),
    ExcludedSubject.user_id.in_(bindparam("users", expanding=True)),
)


async def _excluded(
    session: AsyncSession, services: EventServices, addressed: Sequence[tuple[Concerned, EventStream]]
) -> set[tuple[uuid.UUID, uuid.UUID]]:
    """Return (stream, person) of those of whom an application does not want to be told."""
    names = {
        (stream.id, name_hash(services.subject(client, concerned.user_id))): concerned.user_id
        for concerned, stream in addressed
        if (client := services.registry.known(concerned.client_id)) is not None
    }
    streams = list({stream.id for _, stream in addressed})
    by_name = {"streams": streams, "names": list({name for _, name in names})}
    by_person = {"streams": streams, "users": list({concerned.user_id for concerned, _ in addressed})}
    rows = (await session.execute(_EXCLUDED_NAMES, by_name)).all()
    excluded = {(row[0], names[row[0], row[1]]) for row in rows if (row[0], row[1]) in names}
    return excluded | {(row[0], row[1]) for row in (await session.execute(_EXCLUDED_USERS, by_person)).all()}


def name_hash(sub: str) -> bytes:
    """Return the form in which the name of an excluded person is kept."""
    return token_hash(sub)


class EventPayload(TypedDict):
    """What is stored of an event until it is delivered: the token is signed when it is sent."""

    jti: str
    client_id: str
    stream_id: str
    event: str
    body: Mapping[str, object]
    iat: int
    user_id: NotRequired[str]
    sid: NotRequired[str | None]


def send(
    session: AsyncSession,
    stream: EventStream,
    event: str,
    body: Mapping[str, object],
    *,
    about: Concerned | None = None,
) -> None:
    """Write one event for one stream to the outbox. ``about`` nobody: about the stream itself."""
    event_id = new_id()
    payload: EventPayload = {
        "jti": event_id.hex,
        "client_id": stream.client_id,
        "stream_id": str(stream.id),
        "event": event,
        "body": body,
        "iat": clock.timestamp(),
    }
    if about is not None:
        payload |= {"user_id": str(about.user_id), "sid": about.sid}
    push = stream.method == "push"
    enqueue(
        session,
        PUSH if push else POLL,
        {**payload},
        client_id=stream.client_id,
        session_id=about.session_id if about else None,
        receiver=urlsplit(stream.endpoint_url or "").netloc if push else None,
        status=DeliveryStatus.PENDING if push and stream.status == "enabled" else DeliveryStatus.HELD,
        delivery_id=event_id,
    )


def security_event_token(services: SigningServices, payload: EventPayload) -> str | None:
    """Return the SET of an event (RFC 8417), signed now; None where its application is gone."""
    client = services.registry.known(payload["client_id"])
    if client is None:
        return None
    issuer = services.settings.issuer
    subject: dict[str, object] = {"format": "opaque", "id": payload["stream_id"]}
    if user_id := payload.get("user_id"):
        sub = services.subject(client, uuid.UUID(user_id))
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
    alg = services.id_token_alg(client)
    return services.keys.sign(claims, "RS256" if alg == "none" else alg, SET_TYP)


def push_event(services: PushServices) -> Callable[[Mapping[str, object]], Awaitable[None]]:
    """Return the handler that pushes events (RFC 8935 section 2)."""

    async def push(stored: Mapping[str, object]) -> None:
        payload = cast(EventPayload, stored)
        async with services.db.read() as session:
            stream = await session.get(EventStream, uuid.UUID(payload["stream_id"]))
        token = security_event_token(services, payload)
        if token is None:
            await services.look()
            token = security_event_token(services, payload)
        if stream is None or token is None or stream.endpoint_url is None or stream.status == "disabled":
            raise Abandon("the stream is gone, or disabled")
        headers = {"Content-Type": f"application/{SET_TYP}", "Accept": "application/json"}
        if stream.authorization_header is not None:
            authorization = services.box.decrypt(stream.authorization_header, header_purpose(stream.id))
            headers["Authorization"] = authorization.decode()
        try:
            status, body = await services.outbound.post(stream.endpoint_url, token.encode(), headers)
        except OutboundRefused as error:
            raise Abandon(str(error)) from None
        if status == 400:
            raise Abandon(f"the application refused it: {_error_of(body)}")
        if not 200 <= status < 300:
            raise ReceiverAnswered(f"the application answered {status}", status)

    return push


def header_purpose(stream_id: uuid.UUID) -> str:
    """Return for what the authorization header of a stream is encrypted."""
    return f"event-stream:{stream_id}"


def _error_of(body: bytes) -> str:
    """Return the error of RFC 8935 section 2.3."""
    try:
        document = members(read_json(body))
        return f"{document['err']} {document.get('description', '')}"[:200]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "400"
