"""What the proxy of an application passes on to the provider: ``/.sso/…`` on the application's own host."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from sso.clients.registry import Client
from sso.gate.decision import is_asked_here, way_back
from sso.gate.sign_in import SIGN_IN_SECONDS, GateSignInRefused, begin, finish, sign_out
from sso.http.common.forms import query_pairs
from sso.http.common.i18n import LOCALES
from sso.http.common.late_routes import new_router
from sso.http.common.state import site_of
from sso.http.gate.messages import AGAIN, BACK, NOT_SIGNED_IN, SENT, message
from sso.http.gate.proxy import BROWSER_COOKIE, COOKIE, FORWARDED, cookie_of, read_proxied

router = new_router(include_in_schema=False)

_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax"


@router.get("/.sso/start")
async def start(request: Request) -> Response:
    """Begin a sign-in: an authorization request of the application."""
    client, proxied = read_proxied(request, FORWARDED)
    if not client.enabled:
        return message(request, client, 403, NOT_SIGNED_IN, ("/", AGAIN))
    parameters = dict(query_pairs(request))
    language = parameters.get("lang", "")
    begun = begin(
        site_of(request).provider,
        client,
        proxied.host,
        to=parameters.get("to", "/"),
        sent=parameters.get("sent") == "1",
        browser=_browser(request),
        language=language if language in LOCALES else "",
    )
    response = _onward(302, begun.address)
    response.headers.append("Set-Cookie", f"{BROWSER_COOKIE}={begun.browser}; Max-Age={SIGN_IN_SECONDS}; {_ATTRIBUTES}")
    return response


@router.get("/.sso/callback")
async def callback(request: Request) -> Response:
    """Finish a sign-in: the redirect URI of the application."""
    client, proxied = read_proxied(request, FORWARDED)
    pairs = query_pairs(request)
    parameters = dict(pairs)
    provider = site_of(request).provider
    if len(parameters) != len(pairs) or not client.enabled:
        return _failed(request, client, "parameters")
    try:
        done = await finish(
            provider, client, proxied.host, parameters, browser=_browser(request), address=proxied.address
        )
    except GateSignInRefused as error:
        provider.usage.count("token_error", client.client_id, "gate")
        return _failed(request, client, str(error))
    provider.usage.count("token", client.client_id, "authorization_code")
    target = f"https://{proxied.host}{done.way_back}"
    if done.sent:
        return _with_cookie(_onward(303, f"https://{proxied.host}/.sso/sent?{_to(done.way_back)}"), done.token)
    return _with_cookie(_onward(303, target), done.token)


@router.get("/.sso/sent")
async def sent(request: Request) -> Response:
    """Say that a form must be sent again: it came without a session, and is lost."""
    client, _ = read_proxied(request, FORWARDED)
    address = way_back(dict(query_pairs(request)).get("to", "/"))
    return message(request, client, 200, SENT, (address, BACK))


@router.get("/.sso/sign-out")
async def leave(request: Request) -> Response:
    """Sign out: at the provider, which ends the session in every application; and here, where a page of the application
    leads to it."""
    client, proxied = read_proxied(request, FORWARDED)
    here = is_asked_here(proxied.headers)
    address = await sign_out(site_of(request).provider, client, proxied.host, proxied.token, asked_here=here)
    response = _onward(303, address)
    if here:
        response.headers.append("Set-Cookie", f"{COOKIE}=; Max-Age=0; {_ATTRIBUTES}")
    return response


def _failed(request: Request, client: Client, detail: str) -> Response:
    return message(request, client, 400, NOT_SIGNED_IN, ("/", AGAIN), detail)


def _browser(request: Request) -> str:
    return cookie_of(request.headers.get("cookie", ""), BROWSER_COOKIE)


def _to(path: str) -> str:
    return urlencode({"to": path})


def _onward(status: int, address: str) -> Response:
    return Response(status_code=status, headers={"Location": address, "Cache-Control": "no-store"})


def _with_cookie(response: Response, token: str) -> Response:
    response.headers.append("Set-Cookie", f"{COOKIE}={token}; {_ATTRIBUTES}")
    return response
