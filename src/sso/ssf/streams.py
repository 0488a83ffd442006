"""Streams of Shared Signals: how an application that may have one (scope ``ssf.manage``) says what it wants to be told,
and how it fetches it (OpenID Shared Signals Framework 1.0 section 8, RFC 8936). Each application has one at most.

Requests and answers are JSON; who asks is proven by an access token of this server (section 8.1.1).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal, Protocol, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.registry import Client
from sso.errors import Refusal, validation_line
from sso.identity.users.identifiers import Kind, normalise_as
from sso.identity.users.store import verified_owner
from sso.oidc.models import EventStream, ExcludedName, ExcludedSubject
from sso.oidc.services import HasSubjects, SigningServices
from sso.platform.audit import record
from sso.platform.db import bump_version, insert_for, new_id
from sso.platform.outbox import store as deliveries
from sso.platform.security.encryption import SecretBox
from sso.platform.security.numbers import read_uuid
from sso.platform.services import HasBox, HasSettings
from sso.settings import Settings
from sso.ssf import events as signals
from sso.ssf.events import EVENTS, POLL, PUSH

MANAGE, READ = "ssf.manage", "ssf.read"
"""The scopes (CAEP Interoperability Profile 1.0 section 2.7.2)."""
PUSH_METHOD: Literal["urn:ietf:rfc:8935"] = "urn:ietf:rfc:8935"
POLL_METHOD: Literal["urn:ietf:rfc:8936"] = "urn:ietf:rfc:8936"
METHODS = {PUSH_METHOD: "push", POLL_METHOD: "poll"}
MIN_VERIFICATION_SECONDS = 10
MAX_EVENTS = 100
MAX_EXCLUDED = 100_000
MAX_ALIASES = 10
_MEMBERS = {"iss_sub": "sub", "opaque": "id", "email": "email", "phone_number": "phone_number"}
"""The member that names the person in each format of a subject."""
_FORMATS = "iss_sub (iss and sub), opaque (id: the sub), email, phone_number, aliases, or complex (user)"

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class StreamRefused(Refusal):
    """The request about a stream is refused. ``status``: the HTTP status of the answer (section 8)."""

    error = "invalid_request"

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = MIN_VERIFICATION_SECONDS if status == 429 else None


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")


class DeliveryMethod(_Message):
    """How events come (section 6.1)."""

    method: Literal["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"] = POLL_METHOD
    endpoint_url: Annotated[str, StringConstraints(max_length=2000)] | None = None
    authorization_header: Annotated[str, StringConstraints(max_length=2000, pattern=r"^[\x21-\x7e ]+$")] | None = None


class StreamSettings(_Message):
    """What an application says of its stream (section 8.1.1)."""

    stream_id: str | None = None
    delivery: DeliveryMethod | None = None
    events_requested: Annotated[list[Text], Field(max_length=50)] | None = None
    description: Text | None = None


class StatusChange(_Message):
    """Another status of a stream (section 8.1.2)."""

    stream_id: str
    status: Literal["enabled", "paused", "disabled"]
    reason: Text | None = None


class SubjectChange(_Message):
    """A person to be told of, or not (section 8.1.3)."""

    stream_id: str
    subject: dict[str, object]


class VerificationRequest(_Message):
    """A wish to see whether events arrive (section 8.1.4)."""

    stream_id: str
    state: Annotated[str, StringConstraints(max_length=500)] | None = None


class PollRequest(BaseModel):
    """What a receiver asks for when it polls (RFC 8936 section 2.4)."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    max_events: Annotated[int, Field(ge=0, alias="maxEvents")] = MAX_EVENTS
    return_immediately: bool = Field(False, alias="returnImmediately")
    ack: Annotated[list[str], Field(max_length=1000)] = Field(default_factory=list)
    set_errs: Annotated[dict[str, dict[str, object]], Field(max_length=1000)] = Field(
        default_factory=dict, alias="setErrs"
    )


@dataclass(frozen=True, slots=True)
class Poll:
    """What a receiver gets (RFC 8936 section 2.3)."""

    sets: dict[str, str]
    more: bool

    def body(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {"sets": self.sets, **({"moreAvailable": True} if self.more else {})}


Message = TypeVar("Message", bound=BaseModel)


def read_message(kind: type[Message], document: object) -> Message:
    """Return a message of the given kind.

    Raises:
        StreamRefused: saying what is wrong with it.
    """
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise StreamRefused(400, validation_line(error.errors()[0], whole="the body")) from None


class NewStreamServices(HasSettings, HasBox, Protocol):
    """What creating a stream needs."""

    has_streams: bool
    """Whether an application has ever had a stream."""


class StreamSubjectServices(HasSettings, HasSubjects, Protocol):
    """What finding the subject that an application names needs."""

    @property
    def nik_key(self) -> bytes:
        """The key under which NIKs are found."""


def transmitter_metadata(settings: Settings) -> dict[str, object]:
    """Return the document at /.well-known/ssf-configuration (section 7.1)."""
    return {
        "spec_version": "1_0",
        "issuer": settings.issuer,
        "jwks_uri": f"{settings.issuer}/jwks",
        "delivery_methods_supported": list(METHODS),
        "configuration_endpoint": f"{settings.issuer}/ssf/stream",
        "status_endpoint": f"{settings.issuer}/ssf/status",
        "add_subject_endpoint": f"{settings.issuer}/ssf/subjects/add",
        "remove_subject_endpoint": f"{settings.issuer}/ssf/subjects/remove",
        "verification_endpoint": f"{settings.issuer}/ssf/verify",
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
        "default_subjects": "ALL",
    }


def configuration(settings: Settings, stream: EventStream) -> dict[str, object]:
    """Return what a stream is (section 8.1.1)."""
    push = stream.method == "push"
    delivery: dict[str, object] = {"method": PUSH_METHOD if push else POLL_METHOD}
    delivery["endpoint_url"] = stream.endpoint_url if push else f"{settings.issuer}/ssf/poll/{stream.id}"
    return {
        "stream_id": str(stream.id),
        "iss": settings.issuer,
        "aud": stream.client_id,
        "delivery": delivery,
        "events_supported": list(EVENTS),
        "events_requested": stream.events_requested,
        "events_delivered": [event for event in EVENTS if event in stream.events_requested],
        "min_verification_interval": MIN_VERIFICATION_SECONDS,
        **({"description": stream.description} if stream.description else {}),
    }


async def create(
    session: AsyncSession, services: NewStreamServices, client: Client, requested: StreamSettings
) -> EventStream:
    """Make the stream of an application (section 8.1.1.1).

    Raises:
        StreamRefused: when it has one, or what it wants cannot be.
    """
    if await _own(session, client) is not None:
        raise StreamRefused(409, "This application has a stream already: change or delete that.")
    now, stream_id = clock.now(), new_id()
    stream = EventStream(id=stream_id, client_id=client.client_id, status="enabled", created_at=now, updated_at=now)
    _set_up(services.settings, services.box, stream, requested)
    session.add(stream)
    await bump_version(session, "streams")
    await session.flush()
    services.has_streams = True
    _recorded(session, client, stream, "created")
    return stream


async def find(session: AsyncSession, client: Client, stream_id: str | None) -> EventStream:
    """Return the stream of an application.

    Raises:
        StreamRefused: when it has none, or another.
    """
    stream = await _own(session, client)
    if stream is None or (stream_id is not None and str(stream.id) != stream_id):
        raise StreamRefused(404, "This application has no such stream.")
    return stream


async def change(
    session: AsyncSession,
    settings: Settings,
    box: SecretBox,
    client: Client,
    requested: StreamSettings,
    *,
    replace: bool,
) -> EventStream:
    """Change the stream of an application, or replace what it is (sections 8.1.1.3 and 8.1.1.4).

    Raises:
        StreamRefused: when there is none, or what it wants cannot be.
    """
    if requested.stream_id is None:
        raise StreamRefused(400, "stream_id is required.")
    stream = await find(session, client, requested.stream_id)
    before = stream.method
    _set_up(settings, box, stream, requested, present=None if replace else stream)
    if stream.method != before:  # what waits goes the new way, or waits in the new place
        kind_before, kind = (PUSH, POLL) if before == "push" else (POLL, PUSH)
        await deliveries.change_kind(session, client.client_id, kind_before, kind, _receiver(stream), _waits(stream))
    stream.updated_at = clock.now()
    _recorded(session, client, stream, "changed")
    return stream


async def remove(session: AsyncSession, client: Client, stream_id: str | None) -> None:
    """Delete the stream of an application (section 8.1.1.5).

    Raises:
        StreamRefused: when there is none.
    """
    stream = await find(session, client, stream_id)
    await _drop_waiting(session, client, "the stream was deleted")
    for kind in (ExcludedName, ExcludedSubject):
        await session.execute(delete(kind).where(kind.stream_id == stream.id))
    await session.delete(stream)
    _recorded(session, client, stream, "deleted")


async def set_status(session: AsyncSession, client: Client, requested: StatusChange) -> EventStream:
    """Enable, pause or disable a stream (section 8.1.2.2): paused, events wait; disabled, there are none.

    Raises:
        StreamRefused: when there is none.
    """
    stream = await find(session, client, requested.stream_id)
    stream.status, stream.status_reason, stream.updated_at = requested.status, requested.reason, clock.now()
    if requested.status == "disabled":
        await _drop_waiting(session, client, "the stream was disabled")
    elif stream.method == "push":
        before, after = ("held", "pending") if requested.status == "enabled" else ("pending", "held")
        await deliveries.set_aside(session, client.client_id, PUSH, before, after)
    _recorded(session, client, stream, requested.status)
    return stream


def status_of(stream: EventStream) -> dict[str, object]:
    """Return the status of a stream (section 8.1.2.1)."""
    reason = {"reason": stream.status_reason} if stream.status_reason else {}
    return {"stream_id": str(stream.id), "status": stream.status, **reason}


async def set_subject(
    session: AsyncSession, services: StreamSubjectServices, client: Client, requested: SubjectChange, *, excluded: bool
) -> None:
    """Leave a person out, or take them in again (section 8.1.3). Whether there is such a person is not looked up, and
    not said: the name is kept, and compared when there is an event.

    Raises:
        StreamRefused: when there is no stream, the subject cannot be understood, or too many are left out.
    """
    stream = await find(session, client, requested.stream_id)
    names = await _names(session, services, client, requested.subject)
    hashes = [signals.name_hash(name) for name in names]
    if not hashes:
        return
    if excluded:
        await _check_room(session, stream)
        rows = [{"stream_id": stream.id, "name_hash": name, "created_at": clock.now()} for name in hashes]
        await session.execute(insert_for(session)(ExcludedName).values(rows).on_conflict_do_nothing())
        return
    mine = (ExcludedName.stream_id == stream.id) & ExcludedName.name_hash.in_(hashes)
    await session.execute(delete(ExcludedName).where(mine))
    before = select(ExcludedSubject.user_id).where(ExcludedSubject.stream_id == stream.id)
    matching = [name for name in (await session.execute(before)).scalars() if services.subject(client, name) in names]
    if matching:
        theirs = (ExcludedSubject.stream_id == stream.id) & ExcludedSubject.user_id.in_(matching)
        await session.execute(delete(ExcludedSubject).where(theirs))


async def _check_room(session: AsyncSession, stream: EventStream) -> None:
    mine = select(ExcludedName.name_hash).where(ExcludedName.stream_id == stream.id).limit(MAX_EXCLUDED)
    count = (await session.execute(select(func.count()).select_from(mine.subquery()))).scalar_one()
    if count >= MAX_EXCLUDED:
        raise StreamRefused(403, f"At most {MAX_EXCLUDED} subjects can be left out of a stream.")


async def verify(session: AsyncSession, client: Client, requested: VerificationRequest) -> None:
    """Send a verification event (section 8.1.4).

    Raises:
        StreamRefused: when there is no stream, it is disabled, or this was asked for a moment ago.
    """
    stream, now = await find(session, client, requested.stream_id), clock.now()
    if stream.status == "disabled":
        raise StreamRefused(409, "The stream is disabled: enable it first.")
    before = now - timedelta(seconds=MIN_VERIFICATION_SECONDS)
    due = (EventStream.verified_at.is_(None)) | (EventStream.verified_at <= before)
    mine = update(EventStream).where(EventStream.id == stream.id, due).values(verified_at=now).returning(EventStream.id)
    if (await session.execute(mine.execution_options(synchronize_session=False))).first() is None:
        raise StreamRefused(429, f"Verification can be asked for every {MIN_VERIFICATION_SECONDS} seconds.")
    body = {"state": requested.state} if requested.state is not None else {}
    signals.send(session, stream, signals.VERIFICATION, body)


async def poll(
    session: AsyncSession, services: SigningServices, client: Client, stream_id: str, requested: PollRequest
) -> Poll | None:
    """Take what a receiver says of earlier events, and return those that wait for it (RFC 8936 section 2).

    Returns:
        The events; None where there are none and the receiver would rather wait.

    Raises:
        StreamRefused: when there is no such stream, or it is not polled.
    """
    stream = await find(session, client, stream_id)
    if stream.method != "poll":
        raise StreamRefused(404, "The events of this stream are pushed.")
    await _settle(session, client, requested)
    if stream.status != "enabled" or requested.max_events == 0:
        return Poll({}, more=False)
    maximum = min(requested.max_events, MAX_EVENTS)
    waiting = await deliveries.held(session, client.client_id, POLL, maximum + 1)
    if not waiting and not requested.return_immediately:
        return None
    given = waiting[:maximum]
    if given:
        await deliveries.fetched(session, client.client_id, POLL, [delivery.id for delivery in given], clock.now())
    sets = {
        delivery.id.hex: signals.security_event_token(services, cast(signals.EventPayload, delivery.payload)) or ""
        for delivery in given
    }
    return Poll(sets, more=len(waiting) > maximum)


async def _settle(session: AsyncSession, client: Client, requested: PollRequest) -> None:
    taken = [delivery_id for jti in requested.ack if (delivery_id := _id(jti)) is not None]
    if taken:
        await deliveries.settle(session, client.client_id, POLL, taken, None)
    for jti, set_error in requested.set_errs.items():
        if (delivery_id := _id(jti)) is not None:
            text = f"{set_error.get('err', 'error')} {set_error.get('description', '')}".strip()[:200]
            await deliveries.settle(
                session, client.client_id, POLL, [delivery_id], f"the application refused it: {text}"
            )


def _id(jti: str) -> uuid.UUID | None:
    try:
        return read_uuid(jti)
    except ValueError:
        return None


_OWN = select(EventStream).where(EventStream.client_id == bindparam("client_id"))


async def _own(session: AsyncSession, client: Client) -> EventStream | None:
    return (await session.execute(_OWN, {"client_id": client.client_id})).scalar_one_or_none()


def _set_up(
    settings: Settings,
    box: SecretBox,
    stream: EventStream,
    requested: StreamSettings,
    present: EventStream | None = None,
) -> None:
    """Put into a stream what was said; what was not said stays, where there is a present one."""
    if requested.delivery is not None or present is None:
        delivery = requested.delivery or DeliveryMethod()
        method = METHODS[delivery.method]
        if method == "push":
            _check_endpoint(settings, delivery.endpoint_url)
        stream.method = method
        stream.endpoint_url = delivery.endpoint_url if method == "push" else None
        stream.authorization_header = None
        if method == "push" and delivery.authorization_header:
            header = delivery.authorization_header.encode()
            stream.authorization_header = box.encrypt(header, signals.header_purpose(stream.id))
    if requested.events_requested is not None or present is None:
        stream.events_requested = list(dict.fromkeys(requested.events_requested or []))
    if requested.description is not None or present is None:
        stream.description = requested.description


def _check_endpoint(settings: Settings, url: str | None) -> None:
    parts = urlsplit(url or "")
    loopback = parts.scheme == "http" and settings.loopback
    if not parts.hostname or parts.username is not None or (parts.scheme != "https" and not loopback):
        raise StreamRefused(400, "delivery.endpoint_url: must be an https address.")


def _receiver(stream: EventStream) -> str | None:
    return urlsplit(stream.endpoint_url or "").netloc or None


def _waits(stream: EventStream) -> str:
    return "pending" if stream.method == "push" and stream.status == "enabled" else "held"


async def _drop_waiting(session: AsyncSession, client: Client, why: str) -> None:
    for kind, status in ((PUSH, "pending"), (PUSH, "held"), (POLL, "held")):
        await deliveries.set_aside(session, client.client_id, kind, status, "given_up", why)


async def _names(
    session: AsyncSession,
    services: StreamSubjectServices,
    client: Client,
    subject: Mapping[str, object],
    *,
    nested: bool = False,
) -> list[str]:
    """Return by which ``sub`` the application knows the person whom it means (RFC 9493); nothing where nobody can be
    meant. At most one statement for each identifier.

    Args:
        session: for reading.
        services: what this needs of the process.
        client: the application.
        subject: the subject identifier.
        nested: whether it is one of several aliases.

    Raises:
        StreamRefused: when it cannot be understood.
    """
    kind = subject.get("format")
    user, identifiers = subject.get("user"), subject.get("identifiers")
    if kind == "complex" and isinstance(user, dict) and not nested:
        return await _names(session, services, client, user)
    if kind == "aliases" and isinstance(identifiers, list) and not nested:
        aliases = identifiers[:MAX_ALIASES]
        if not all(isinstance(alias, dict) for alias in aliases):
            raise StreamRefused(400, "subject: the identifiers of aliases must be objects (RFC 9493 section 3.2.8).")
        return [name for alias in aliases for name in await _names(session, services, client, alias, nested=True)]
    member = _MEMBERS.get(str(kind))
    value = subject.get(member) if member is not None else None
    if not isinstance(value, str):
        raise StreamRefused(400, f"subject: must have one of these formats (RFC 9493 section 3.2): {_FORMATS}.")
    if kind in ("iss_sub", "opaque"):
        return [value] if kind == "opaque" or subject.get("iss") == services.settings.issuer else []
    user_id = await _owner(session, services.nik_key, "email" if kind == "email" else "phone", value)
    return [services.subject(client, user_id)] if user_id is not None else []


async def _owner(session: AsyncSession, nik_key: bytes, kind: Kind, value: str) -> uuid.UUID | None:
    """Return who has proven that an e-mail address or a telephone number is theirs."""
    try:
        identifier = normalise_as(kind, value)
    except ValueError:
        return None
    return await verified_owner(session, identifier.lookup(nik_key))


def _recorded(session: AsyncSession, client: Client, stream: EventStream, what: str) -> None:
    about = {"stream": str(stream.id), "method": stream.method, "what": what}
    record(session, "client.event_stream", actor=client.client_id, client_id=client.client_id, data=about)


async def reencrypt_streams(session: AsyncSession, box: SecretBox) -> int:
    """Seal every authorization header with the newest key; return how many had an older."""
    statement = select(EventStream).where(EventStream.authorization_header.is_not(None))
    old = [
        stream
        for stream in (await session.execute(statement)).scalars()
        if not box.is_current(stream.authorization_header or b"")
    ]
    for stream in old:
        purpose = signals.header_purpose(stream.id)
        stream.authorization_header = box.encrypt(box.decrypt(stream.authorization_header or b"", purpose), purpose)
    return len(old)
