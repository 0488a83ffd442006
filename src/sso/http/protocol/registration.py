"""Where applications register and manage themselves (RFC 7591, RFC 7592)."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.responses import json_error, response
from sso.http.common.state import address_of, kept_address_of, site_of
from sso.identity.sessions.reasons import EndReason
from sso.oidc import registration
from sso.oidc.requests import Answer
from sso.platform.security.rate_limits import Purpose, TooManyFailures
from sso.portal.lifecycle import end_client_sessions_everywhere

router = new_router()

_MANAGED = "/register/{client_id}"


@router.post("/register")
async def register(request: Request) -> Response:
    """The registration endpoint (RFC 7591 section 3)."""
    site, address = site_of(request), address_of(request)
    if site.settings.client_registration == "closed":
        return failure(request, "not_found", 404)
    refused = _not_json(request)
    if refused is not None:
        return refused
    try:
        place = await site.limits.registrations.take(address)
    except TooManyFailures as error:
        text = "Too many registrations came from this address. Try again later."
        return json_error(429, "slow_down", text, {"Retry-After": str(error.retry_after)})
    body = await request.body()
    work = registration.register(site.provider, _authorization(request), body, kept_address_of(request))
    answer = await _counted(request, work)
    if answer.status_code != 201:
        await place.give_back()
    return answer


@router.get(_MANAGED)
async def read(request: Request, client_id: str) -> Response:
    """What is registered (RFC 7592 section 2.1)."""
    provider = site_of(request).provider
    return await _counted(request, registration.read(provider, client_id, _authorization(request)))


@router.put(_MANAGED)
async def update(request: Request, client_id: str) -> Response:
    """Register something else (RFC 7592 section 2.2)."""
    refused = _not_json(request)
    if refused is not None:
        return refused
    provider, body = site_of(request).provider, await request.body()
    work = registration.update(provider, client_id, _authorization(request), body, kept_address_of(request))
    return await _counted(request, work)


@router.delete(_MANAGED)
async def delete(request: Request, client_id: str) -> Response:
    """Delete the registration (RFC 7592 section 2.3)."""
    provider = site_of(request).provider

    async def end_client_sessions(session: AsyncSession, removed: str) -> None:
        reason = EndReason.CLIENT_REMOVED
        await end_client_sessions_everywhere(session, provider, [removed], reason, actor="registration")

    work = registration.delete(
        provider, client_id, _authorization(request), kept_address_of(request), end_client_sessions
    )
    return await _counted(request, work)


async def _counted(request: Request, work: Coroutine[Any, Any, Answer]) -> Response:
    """Do what a registration access token or an initial access token allows, and count tokens that are wrong."""
    try:
        attempt = await site_of(request).limits.attempts.reserve(Purpose.REGISTRATION_TOKEN, "", address_of(request))
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
