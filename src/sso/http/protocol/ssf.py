"""Where applications look after their stream of Shared Signals, and fetch events (SSF 1.0 section 8, RFC 8936)."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request
from starlette.responses import Response

from sso.clients.registry import Client
from sso.http.common.late_routes import new_router
from sso.http.common.responses import OPEN, json_response
from sso.http.common.services import CurrentSettings, Outbox, Streams, StreamServices
from sso.oidc.token.bearer import TokenRefused, caller_of
from sso.platform.security.json_documents import DocumentRefused, NotJson, read_json
from sso.ssf import streams
from sso.ssf.streams import MANAGE, READ, StreamRefused

router = new_router()

WAIT_SECONDS = 25.0
"""How long a receiver that polls is kept waiting for an event (RFC 8936 section 2.4, returnImmediately)."""
LOOK_SECONDS = 1.0


@router.get("/.well-known/ssf-configuration")
async def ssf_configuration(settings: CurrentSettings) -> Response:
    """Transmitter metadata (section 7)."""
    return json_response(200, streams.transmitter_metadata(settings), OPEN)


@router.post("/ssf/stream")
async def create_stream(request: Request, services: Streams) -> Response:
    """Make the application's stream (section 8.1.1.1)."""
    client, requested = await _client(request, services, MANAGE), await _message(request, streams.StreamSettings)
    async with services.db.write() as session:
        stream = await streams.create(session, services, client, requested)
    return json_response(201, streams.configuration(services.settings, stream))


@router.get("/ssf/stream")
async def read_stream(request: Request, services: Streams) -> Response:
    """Show the application's stream, or, where none is named, every stream it has (section 8.1.1.2)."""
    client, named = await _client(request, services, READ, MANAGE), request.query_params.get("stream_id")
    async with services.db.read() as session:
        try:
            stream = await streams.find(session, client, named)
        except StreamRefused:
            if named is not None:
                raise
            return json_response(200, [])
    configuration = streams.configuration(services.settings, stream)
    return json_response(200, configuration if named is not None else [configuration])


@router.patch("/ssf/stream")
@router.put("/ssf/stream")
async def change_stream(request: Request, services: Streams, outbox: Outbox) -> Response:
    """Change the application's stream, or replace what it is (sections 8.1.1.3 and 8.1.1.4)."""
    client, requested = await _client(request, services, MANAGE), await _message(request, streams.StreamSettings)
    async with services.db.write() as session:
        stream = await streams.change(
            session, services.settings, services.box, client, requested, replace=request.method == "PUT"
        )
    outbox.nudge()
    return json_response(200, streams.configuration(services.settings, stream))


@router.delete("/ssf/stream")
async def delete_stream(request: Request, services: Streams) -> Response:
    """Delete the application's stream (section 8.1.1.5)."""
    client = await _client(request, services, MANAGE)
    async with services.db.write() as session:
        await streams.remove(session, client, request.query_params.get("stream_id"))
    return Response(status_code=204)


@router.get("/ssf/status")
async def read_status(request: Request, services: Streams) -> Response:
    """Show the status of a stream (section 8.1.2.1)."""
    client = await _client(request, services, READ, MANAGE)
    async with services.db.read() as session:
        stream = await streams.find(session, client, request.query_params.get("stream_id"))
    return json_response(200, streams.status_of(stream))


@router.post("/ssf/status")
async def set_status(request: Request, services: Streams, outbox: Outbox) -> Response:
    """Enable, pause or disable a stream (section 8.1.2.2)."""
    client, change = await _client(request, services, MANAGE), await _message(request, streams.StatusChange)
    async with services.db.write() as session:
        stream = await streams.set_status(session, client, change)
    outbox.nudge()
    return json_response(200, streams.status_of(stream))


@router.post("/ssf/subjects/add")
async def add_subject(request: Request, services: Streams) -> Response:
    """Tell of a person again (section 8.1.3.2)."""
    return await _set_subject(request, services, excluded=False)


@router.post("/ssf/subjects/remove")
async def remove_subject(request: Request, services: Streams) -> Response:
    """Tell of a person no more (section 8.1.3.3)."""
    return await _set_subject(request, services, excluded=True)


@router.post("/ssf/verify")
async def verify(request: Request, services: Streams, outbox: Outbox) -> Response:
    """Send a verification event (section 8.1.4.2)."""
    client, verification = (
        await _client(request, services, MANAGE),
        await _message(request, streams.VerificationRequest),
    )
    async with services.db.write() as session:
        await streams.verify(session, client, verification)
    outbox.nudge()
    return Response(status_code=204)


@router.post("/ssf/poll/{stream_id}")
async def poll(request: Request, stream_id: str, services: Streams) -> Response:
    """Give events to a receiver that polls, and take its acknowledgements (RFC 8936 section 2)."""
    client, poll_request = await _client(request, services, READ, MANAGE), await _message(request, streams.PollRequest)
    until = time.monotonic() + WAIT_SECONDS
    while True:
        async with services.db.write() as session:
            events = await streams.poll(session, services, client, stream_id, poll_request)
        if events is None and time.monotonic() < until and not await request.is_disconnected():
            poll_request = poll_request.model_copy(update={"ack": [], "set_errs": {}})
            await asyncio.sleep(LOOK_SECONDS)
            continue
        return json_response(200, events.body() if events is not None else {"sets": {}})


async def _set_subject(request: Request, services: StreamServices, *, excluded: bool) -> Response:
    client, change = await _client(request, services, MANAGE), await _message(request, streams.SubjectChange)
    async with services.db.write() as session:
        await streams.set_subject(session, services, client, change, excluded=excluded)
    return Response(status_code=204 if excluded else 200)


async def _client(request: Request, services: StreamServices, *scopes: str) -> Client:
    """Return the application that asks: it needs one of the scopes, in a token of its own (SSF 1.0 section 9): a token
    that a person allowed says what may be known of that person, not who looks after the stream.

    Raises:
        TokenRefused: when it does not prove that.
    """
    caller = await caller_of(services, request.headers.get("authorization", ""), services.url("/ssf"))
    if caller.scopes.isdisjoint(scopes):
        raise TokenRefused(403, "insufficient_scope", f"The access token needs the scope {scopes[0]}.")
    if caller.user_id is not None:
        text = "Use an access token that the application got with client_credentials, not one of a person."
        raise TokenRefused(403, "insufficient_scope", text)
    return caller.client


async def _message(request: Request, kind: type[streams.Message]) -> streams.Message:
    try:
        document = read_json(await request.body() or b"{}")
    except NotJson:
        raise StreamRefused(400, "Send a JSON object.") from None
    except DocumentRefused as error:
        raise StreamRefused(400, f"The JSON {error}.") from None
    if not isinstance(document, dict):
        raise StreamRefused(400, "Send a JSON object.")
    return streams.read_message(kind, document)
