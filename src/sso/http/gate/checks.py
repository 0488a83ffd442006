"""Where proxies ask about each request.

``/gate/check/nginx`` answers 200, 401 and 403, which is all that ``auth_request`` knows; nginx then shows what
``/gate/check/refused`` answers. The other endpoints redirect by themselves. No answer is ever stored by a cache.
"""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from sso.clients.registry import Client
from sso.gate.check import Outcome, Verdict, check
from sso.gate.decision import ProxiedRequest, Redirect, without_session
from sso.http.common.late_routes import new_router
from sso.http.common.responses import ReadyResponse
from sso.http.common.state import site_of
from sso.http.gate.messages import forbidden_page
from sso.http.gate.proxy import FORWARDED, ORIGINAL, read_proxied

router = new_router(include_in_schema=False)

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "COPY", "MOVE", "REPORT"]
"""The methods of requests that Envoy repeats here."""
_NO_STORE = (b"cache-control", b"no-store")
_STATUS = {Outcome.SIGN_IN: 401, Outcome.FORBIDDEN: 403}


@router.get("/gate/check/nginx")
async def check_for_nginx(request: Request) -> Response:
    """Answer ``auth_request`` of nginx."""
    client, proxied = read_proxied(request, ORIGINAL)
    verdict = await _verdict(request, client, proxied)
    if verdict.outcome is Outcome.PASS:
        return _passed(verdict)
    return ReadyResponse(b"", _STATUS[verdict.outcome], [_NO_STORE])


@router.get("/gate/check/redirect")
async def check_with_redirect(request: Request) -> Response:
    """Answer Traefik, Caddy, HAProxy and Apache."""
    client, proxied = read_proxied(request, FORWARDED)
    return _answer(request, client, proxied, await _verdict(request, client, proxied))


@router.get("/gate/check/refused")
async def refused(request: Request) -> Response:
    """Answer a client that nginx has refused: what the other endpoints answer at once."""
    client, proxied = read_proxied(request, ORIGINAL)
    verdict = await _verdict(request, client, proxied)
    if verdict.outcome is Outcome.PASS:  # somebody has signed in in another tab, this very moment
        verdict = Verdict(Outcome.SIGN_IN)
    return _answer(request, client, proxied, verdict)


@router.api_route("/gate/check/envoy{path:path}", methods=METHODS)
async def check_for_envoy(request: Request) -> Response:
    """Answer ``ext_authz`` of Envoy, which sends the request itself, without its body, below this path."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    uri = raw.decode("latin-1").partition("/gate/check/envoy")[2]
    query = request.scope["query_string"].decode("latin-1")
    client, proxied = read_proxied(request, FORWARDED, envoy_uri=f"{uri or '/'}{'?' + query if query else ''}")
    return _answer(request, client, proxied, await _verdict(request, client, proxied))


async def _verdict(request: Request, client: Client, proxied: ProxiedRequest) -> Verdict:
    site = site_of(request)
    return await check(site.provider, site.gate, client, proxied)


def _passed(verdict: Verdict) -> Response:
    return ReadyResponse(b"", 200, [_NO_STORE, *verdict.headers])


def _answer(request: Request, client: Client, proxied: ProxiedRequest, verdict: Verdict) -> Response:
    """Return the answer that a proxy passes on to the client, or that lets the request pass."""
    if verdict.outcome is Outcome.PASS:
        return _passed(verdict)
    gate = client.meta.gate
    assert gate is not None
    if verdict.outcome is Outcome.FORBIDDEN:
        return forbidden_page(request, client, proxied, verdict.why)
    onward = without_session(gate, proxied)
    if onward is None:
        return ReadyResponse(b"", 401, [_NO_STORE])
    return _redirect(proxied.host, onward)


def _redirect(host: str, onward: Redirect) -> Response:
    query = f"?{urlencode(onward.parameters)}" if onward.parameters else ""
    location = f"https://{host}{onward.path}{query}"
    return Response(status_code=onward.status, headers={"Location": location, "Cache-Control": "no-store"})
