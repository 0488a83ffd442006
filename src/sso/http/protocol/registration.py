"""Where applications register and manage themselves (RFC 7591, RFC 7592)."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.responses import json_error, response
from sso.http.common.services import CurrentSettings, Limits, RegistrationEndpoint, RegistrationEndpointServices
from sso.http.common.state import RateLimits
from sso.http.protocol.current import CallerAddress, StoredAddress
from sso.identity.sessions.reasons import EndReason
from sso.oidc import registration
from sso.oidc.requests import Answer
from sso.platform.actor import Actor
from sso.platform.security.rate_limits import Purpose, TooManyFailures
from sso.portal.lifecycle import end_client_sessions_everywhere

router = new_router()

_MANAGED = "/register/{client_id}"


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who registers an application or manages a registration: its token, where it calls from, and what serves it."""

    authorization: str
    address: str
    stored_address: str | None
    services: RegistrationEndpointServices
    limits: RateLimits


async def _caller(
    request: Request,
    services: RegistrationEndpoint,
    limits: Limits,
    address: CallerAddress,
    stored_address: StoredAddress,
) -> _Caller:
    return _Caller(request.headers.get("authorization", ""), address, stored_address, services, limits)


_CurrentCaller = Annotated[_Caller, Depends(_caller)]


@router.post("/register")
async def register(request: Request, settings: CurrentSettings, caller: _CurrentCaller) -> Response:
    """The registration endpoint (RFC 7591 section 3)."""
    if settings.client_registration == "closed":
        return failure(request, "not_found", 404)
    refused = _not_json(request)
    if refused is not None:
        return refused
    try:
        place = await caller.limits.registrations.take(caller.address)
    except TooManyFailures as error:
        text = "Too many registrations came from this address. Try again later."
        return json_error(429, "slow_down", text, {"Retry-After": str(error.retry_after)})
    body = await request.body()
    work = registration.register(caller.services, caller.authorization, body, caller.stored_address)
    answer = await _counted(caller, work)
    if answer.status_code != 201:
        await place.give_back()
    return answer


@router.get(_MANAGED)
async def read(client_id: str, caller: _CurrentCaller) -> Response:
    """What is registered (RFC 7592 section 2.1)."""
    return await _counted(caller, registration.read(caller.services, client_id, caller.authorization))


@router.put(_MANAGED)
async def update(request: Request, client_id: str, caller: _CurrentCaller) -> Response:
    """Register something else (RFC 7592 section 2.2)."""
    refused = _not_json(request)
    if refused is not None:
        return refused
    body = await request.body()
    work = registration.update(caller.services, client_id, caller.authorization, body, caller.stored_address)
    return await _counted(caller, work)


@router.delete(_MANAGED)
async def delete(client_id: str, caller: _CurrentCaller) -> Response:
    """Delete the registration (RFC 7592 section 2.3)."""
    services = caller.services

    async def end_client_sessions(session: AsyncSession, removed: str) -> None:
        reason = EndReason.CLIENT_REMOVED
        await end_client_sessions_everywhere(session, services, [removed], reason, actor=Actor("registration"))

    work = registration.delete(services, client_id, caller.authorization, caller.stored_address, end_client_sessions)
    return await _counted(caller, work)


async def _counted(caller: _Caller, work: Coroutine[object, None, Answer]) -> Response:
    """Do what a registration access token or an initial access token allows, and count tokens that are wrong."""
    try:
        attempt = await caller.limits.attempts.reserve(Purpose.REGISTRATION_TOKEN, "", caller.address)
    except TooManyFailures as error:
        work.close()
        text = "Too many tokens from this address were wrong. Try again later."
        return json_error(429, "slow_down", text, {"Retry-After": str(error.retry_after)})
    answer = await work
    if answer.status != 401:
        await attempt.succeeded()
    return response(answer)


def _not_json(request: Request) -> Response | None:
    content_type = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if content_type == "application/json":
        return None
    return json_error(400, "invalid_client_metadata", "Content-Type must be application/json.", {})
