"""Protocol endpoints that answer programs: discovery, keys, token, userinfo, introspection, revocation, pushed
requests, devices."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sso.clients.registry import Client
from sso.http.common.counting import count_token, note_program
from sso.http.common.forms import protocol_request, userinfo_request
from sso.http.common.late_routes import new_router
from sso.http.common.request_checks import header_of
from sso.http.common.responses import OPEN_PATHS, ReadyResponse, response
from sso.http.common.state import site_of
from sso.http.protocol.current import CallerAddress, CurrentSite
from sso.oidc.authorize.pushed import push
from sso.oidc.token.client_auth import client_named_by
from sso.oidc.userinfo import userinfo as userinfo_answer
from sso.platform.keys import JWKS_MAX_AGE_SECONDS

# Routes are tried in their order: those that are asked most stand first.
router = new_router()

_MAX_AGE = f"public, max-age={JWKS_MAX_AGE_SECONDS}"
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "86400",
}


@router.post("/token")
async def token(request: Request) -> Response:
    """The token endpoint (RFC 6749 section 3.2)."""
    parsed = await protocol_request(request)
    answer = await site_of(request).server.token(parsed)
    count_token(parsed, answer)
    return response(answer)


@router.api_route("/userinfo", methods=["GET", "POST"])
async def userinfo(request: Request) -> Response:
    """The userinfo endpoint (OpenID Connect Core section 5.3)."""
    parsed = await userinfo_request(request)
    answer = await userinfo_answer(site_of(request).provider, parsed)
    if parsed.client is not None:
        note_program(parsed, answer)
    return response(answer)


@router.post("/introspect")
async def introspect(request: Request) -> Response:
    """Token introspection (RFC 7662)."""
    parsed = await protocol_request(request)
    answer = await site_of(request).server.introspect(parsed)
    note_program(parsed, answer)
    return response(answer)


@router.post("/revoke")
async def revoke(request: Request) -> Response:
    """Token revocation (RFC 7009)."""
    parsed = await protocol_request(request)
    answer = await site_of(request).server.revoke(parsed)
    note_program(parsed, answer)
    return response(answer)


@router.post("/par")
async def par(request: Request, site: CurrentSite, address: CallerAddress) -> Response:
    """Pushed authorization requests (RFC 9126)."""

    async def count(client: Client) -> object:
        """A public client's requests may come from anybody; they count for their source."""
        if client.meta.token_endpoint_auth_method == "none":
            return await site.limits.stored_requests.take(address)
        return await site.limits.pushed_requests.take(client.client_id)

    parsed = await protocol_request(request)
    answer = await push(site.server, parsed, count)
    note_program(parsed, answer)
    return response(answer)


@router.post("/device_authorization")
async def device_authorization(request: Request, site: CurrentSite, address: CallerAddress) -> Response:
    """Where a device begins (RFC 8628 section 3.1)."""
    parsed = await protocol_request(request)
    place = await site.limits.new_device_codes.take(address, client_named_by(parsed))
    answer = await site.server.authorize_device(parsed)
    if answer.status != 200:
        await place.give_back()
    note_program(parsed, answer)
    return response(answer)


@router.get("/.well-known/openid-configuration")
@router.get("/.well-known/oauth-authorization-server")
async def discovery(request: Request) -> Response:
    """Provider metadata (OpenID Connect Discovery section 4, RFC 8414 section 3)."""
    return _cached(request, *site_of(request).discovery.current())


@router.get("/jwks")
async def jwks(request: Request) -> Response:
    """The keys with which tokens are signed (RFC 7517 section 5)."""
    return _cached(request, *site_of(request).provider.keys.jwks())


async def preflight() -> Response:
    """Answer a browser that asks whether an application's page may call us (Fetch, CORS protocol)."""
    return Response(status_code=204, headers=_PREFLIGHT)


for _path in OPEN_PATHS:
    router.add_api_route(_path, preflight, methods=["OPTIONS"], include_in_schema=False)


def _cached(request: Request, body: bytes, etag: str) -> Response:
    known = header_of(request.scope, b"if-none-match")
    if known and etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        return Response(status_code=304, headers={"Cache-Control": _MAX_AGE, "ETag": etag})
    named = [(b"cache-control", _MAX_AGE.encode()), (b"etag", etag.encode()), (b"content-type", b"application/json")]
    return ReadyResponse(body, 200, named)
