"""Where applications register and manage themselves (RFC 7591, RFC 7592)."""

from __future__ import annotations

from collections.abc import Coroutine

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.responses import json_error, response
from sso.http.common.services import CurrentSettings, Limits, RegistrationEndpoint
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


@router.post("/register")
async def register(
    request: Request,
    settings: CurrentSettings,
    services: RegistrationEndpoint,
    limits: Limits,
    address: CallerAddress,
    stored_address: StoredAddress,
) -> Response:
    """The registration endpoint (RFC 7591 section 3)."""
    if settings.client_registration == "closed":
        return failure(request, "not_found", 404)
    refused = _not_json(request)
    if refused is not None:
        return refused
    try:
        place = await limits.registrations.take(address)
    except TooManyFailures as error:
        text = "Too many registrations came from this address. Try again later."
        return json_error(429, "slow_down", text, {"Retry-After": str(error.retry_after)})
    body = await request.body()
    work = registration.register(services, _authorization(request), body, stored_address)
    answer = await _counted(limits, address, work)
    if answer.status_code != 201:
        await place.give_back()
    return answer


@router.get(_MANAGED)
async def read(
    request: Request, client_id: str, services: RegistrationEndpoint, limits: Limits, address: CallerAddress
) -> Response:
    """What is registered (RFC 7592 section 2.1)."""
    work = registration.read(services, client_id, _authorization(request))
    return await _counted(limits, address, work)


@router.put(_MANAGED)
async def update(
    request: Request,
    client_id: str,
    services: RegistrationEndpoint,
    limits: Limits,
    address: CallerAddress,
    stored_address: StoredAddress,
) -> Response:
    """Register something else (RFC 7592 section 2.2)."""
    refused = _not_json(request)
    if refused is not None:
        return refused
    body = await request.body()
    work = registration.update(services, client_id, _authorization(request), body, stored_address)
    return await _counted(limits, address, work)


@router.delete(_MANAGED)
async def delete(
    request: Request,
    client_id: str,
    services: RegistrationEndpoint,
    limits: Limits,
    address: CallerAddress,
    stored_address: StoredAddress,
) -> Response:
    """Delete the registration (RFC 7592 section 2.3)."""

    async def end_client_sessions(session: AsyncSession, removed: str) -> None:
        reason = EndReason.CLIENT_REMOVED
        await end_client_sessions_everywhere(session, services, [removed], reason, actor=Actor("registration"))

    work = registration.delete(services, client_id, _authorization(request), stored_address, end_client_sessions)
    return await _counted(limits, address, work)


async def _counted(limits: RateLimits, address: str, work: Coroutine[object, None, Answer]) -> Response:
    """Do what a registration access token or an initial access token allows, and count tokens that are wrong."""
    try:
        attempt = await limits.attempts.reserve(Purpose.REGISTRATION_TOKEN, "", address)
    except TooManyFailures as error:
        work.close()
        text = "Too many tokens from this address were wrong. Try again later."
        return json_error(429, "slow_down", text, {"Retry-After": str(error.retry_after)})
    answer = await work
    if answer.status != 401:
        await attempt.succeeded()
    return response(answer)


def _authorization(request: Request) -> str:
    return request.headers.get("authorization", "")


def _not_json(request: Request) -> Response | None:
    content_type = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if content_type == "application/json":
        return None
    return json_error(400, "invalid_client_metadata", "Content-Type must be application/json.", {})
