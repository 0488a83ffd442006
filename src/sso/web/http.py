"""Reading parameters, writing answers, cookies and form tokens."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any, Literal
from urllib.parse import parse_qsl

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sso.oidc.requests import Answer, ProtocolRequest
from sso.security.numbers import read_int_or_none, read_uuid
from sso.security.tokens import equal, keyed_token, random_token
from sso.settings import Settings
from sso.web.gate import FORM, MAX_FIELDS, check_fields, has_bearer, read_pairs
from sso.web.site import address_of, kept_address_of, request_id_of, site_of

TOKEN_CHARS = 43

OPEN = {"Access-Control-Allow-Origin": "*"}
OPEN_PATHS = frozenset(
    {
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/jwks",
        "/token",
        "/userinfo",
        "/revoke",
        "/par",
        "/device_authorization",
    }
)
"""Where pages of applications may ask from a browser: the endpoints that answer a public client, as discovery announces
them (Fetch, CORS protocol). The shell adds the headers to every answer there, errors too."""

Pairs = list[tuple[str, str]]


class BadRequest(Exception):
    """A request that cannot be read. The message says why."""


def query_pairs(request: Request) -> Pairs:
    """Return the parameters of the address, in order, with repetitions.

    Raises:
        Refused: when they cannot be read.
    """
    return read_pairs(request.scope["query_string"])


async def form_pairs(request: Request) -> Pairs:
    """Return the parameters of a form in the body, in order, with repetitions.

    Raises:
        BadRequest: for another content type, or when they cannot be read.
    """
    body = await request.body()
    content_type = _content_type(request)
    if content_type != FORM and (body or content_type):
        raise BadRequest(f"Content-Type must be {FORM}.")
    return read_pairs(body)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";", 1)[0].strip().lower()


async def form_fields(request: Request) -> dict[str, str]:
    """Return the fields of one of our own forms; of a field that is repeated, the last."""
    return dict(await form_pairs(request))


async def upload(request: Request, name: str) -> tuple[dict[str, str], bytes]:
    """Return the fields of a form with a file, and the file.

    Raises:
        BadRequest: when they cannot be read.
    """
    from starlette.datastructures import UploadFile
    from starlette.formparsers import MultiPartException

    try:
        form = await request.form(max_files=1, max_fields=20, max_part_size=65536)
    except (HTTPException, MultiPartException, ValueError):  # ValueError: its text is not in the charset that it names
        raise BadRequest("The form cannot be read: it must be multipart/form-data with one file.") from None
    file, fields = form.get(name), {key: value for key, value in form.items() if isinstance(value, str)}
    body = await file.read() if isinstance(file, UploadFile) else b""
    names = [(key, value if isinstance(value, str) else value.filename or "") for key, value in form.multi_items()]
    await form.close()
    check_fields(names)
    return fields, body


async def protocol_request(request: Request) -> ProtocolRequest:
    """Return ``request`` as the protocol sees it.

    Raises:
        BadRequest: when its parameters cannot be read.
    """
    query = query_pairs(request)
    parameters = await form_pairs(request) if request.method == "POST" else query
    return _as_protocol(request, query, parameters)


async def userinfo_request(request: Request) -> ProtocolRequest:
    """Return a userinfo request as the protocol sees it. Where the Authorization header holds the access token, nothing
    in the body counts, whatever its type, but for a second access token in a form (RFC 6750 sections 2.2 and 3.1).

    Raises:
        BadRequest: when the access token must be in the body, and that cannot be read.
    """
    if not has_bearer(request.headers.get("authorization", "")):
        return await protocol_request(request)
    parameters: Pairs = []
    if request.method == "POST" and _content_type(request) == FORM:
        with contextlib.suppress(UnicodeDecodeError, ValueError):
            parameters = parse_qsl((await request.body()).decode("ascii"), max_num_fields=MAX_FIELDS)
    return _as_protocol(request, [], [pair for pair in parameters if pair[0] == "access_token"])


def _as_protocol(request: Request, query: Pairs, parameters: Pairs) -> ProtocolRequest:
    made = ProtocolRequest(
        site_of(request).provider, request.method, request.scope["path"], parameters, request.headers, query
    )
    made.address, made.caller = kept_address_of(request), address_of(request)
    made.request_id = request_id_of(request)
    return made


def response(answer: Answer) -> Response:
    """Return what the protocol answers as a response."""
    if isinstance(answer.body, str):
        content, media_type = answer.body.encode(), dict(answer.headers).get("Content-Type")
    else:
        content, media_type = orjson.dumps(answer.body), "application/json"
    made = Response(content, answer.status, media_type=media_type)
    for name, value in answer.headers:
        if name.lower() != "content-type":
            made.headers.append(name, value)
    return made


def json_error(status: int, error: str, text: str, headers: dict[str, str]) -> Response:
    """Return an error in the form of RFC 6749 section 5.2."""
    body = {"error": error, "error_description": text}
    return Response(orjson.dumps(body), status, {"Cache-Control": "no-store", **headers}, "application/json")


CookieName = Literal["session", "remembered", "browser", "device", "lang", "state"]


def cookie_name(settings: Settings, name: CookieName) -> str:
    """Return a cookie's name: ``__Host-`` binds it to this host over https (RFC 6265bis section 4.1.3)."""
    return f"__Host-sso-{name}" if settings.secure_cookies else f"sso-{name}"


def read_cookie(request: Request, name: CookieName) -> str:
    """Return the value of one of our cookies, or nothing. For ``session``, which may hold several: that of the present
    account."""
    if name == "session":
        found = cookie_values(request, "session") or cookie_values(request, "remembered")
        return found[0] if found else ""
    value = request.cookies.get(cookie_name(site_of(request).settings, name), "")
    return value if name == "lang" or (len(value) == TOKEN_CHARS and value.isascii()) else ""


def cookie_values(request: Request, name: CookieName) -> list[str]:
    """Return the values in a cookie that may hold several."""
    text = request.cookies.get(cookie_name(site_of(request).settings, name), "")
    return [one for one in text.split(".") if len(one) == TOKEN_CHARS and one.isascii()]


def set_cookie(made: Response, settings: Settings, name: CookieName, value: str, max_age: int | None = None) -> None:
    """Add one of our cookies to a response. ``max_age`` is in seconds; None: until the browser is closed."""
    made.set_cookie(cookie_name(settings, name), value, max_age=max_age, **_cookie_attributes(settings, name))


def delete_cookie(made: Response, settings: Settings, name: CookieName) -> None:
    """Take one of our cookies back."""
    made.delete_cookie(cookie_name(settings, name), **_cookie_attributes(settings, name))


def _cookie_attributes(settings: Settings, name: CookieName) -> Any:
    """Return how a cookie is kept. ``state`` alone is read by a script of ours that other sites frame: it holds nothing
    but a value to compare (Session Management section 3.2)."""
    framed = name == "state"
    return {
        "path": "/",
        "secure": settings.secure_cookies,
        "httponly": not framed,
        "samesite": "none" if framed and settings.secure_cookies else "lax",
    }


def with_browser_state(request: Request, made: Response, state: str) -> Response:
    """Let the cookie ``state`` say what the session now is; nothing: there is none."""
    settings = site_of(request).settings
    if state and read_cookie(request, "state") != state:
        set_cookie(made, settings, "state", state)
    elif not state and read_cookie(request, "state"):
        delete_cookie(made, settings, "state")
    return made


def browser_of(request: Request) -> str:
    """Return the random value that names this browser, made anew where it has none.

    :func:`with_browser` sets the cookie.
    """
    known: str = request.scope.get("sso.browser") or read_cookie(request, "browser") or random_token()
    request.scope["sso.browser"] = known
    return known


def with_browser(request: Request, made: Response) -> Response:
    """Set the cookie that names this browser where the request did not bring it."""
    browser = request.scope.get("sso.browser")
    if browser and browser != read_cookie(request, "browser"):
        set_cookie(made, site_of(request).settings, "browser", browser)
    return made


def form_token(request: Request, purpose: str, session_cookie: str = "") -> str:
    """Return the token of a form: bound to the browser, to what the form does, and to the session if there is one."""
    return keyed_token(site_of(request).provider.form_keys[0], purpose, browser_of(request), session_cookie)


def is_our_form(request: Request, fields: dict[str, Any], purpose: str, session_cookie: str = "") -> bool:
    """Tell whether a form was made by us, for this browser, this session and this purpose (cross-site forgery)."""
    browser, given = read_cookie(request, "browser"), fields.get("form_token", "")
    if not browser or not given:
        return False
    keys = site_of(request).provider.form_keys
    return any([equal(given, keyed_token(key, purpose, browser, session_cookie)) for key in keys])


def to_wait(made: Response, seconds: int) -> Response:
    """Say in a response after how many seconds to try again (RFC 9110 section 10.2.3)."""
    made.headers["Retry-After"] = str(seconds)
    return made


def read_revision(text: str) -> int:
    """Return the revision that a form was made of; one that nothing has where it names none: whoever decides has looked
    at something."""
    found = read_int_or_none(text)
    return -1 if found is None else found


def read_id(text: str) -> uuid.UUID | None:
    """Return the id that an address or a form names; None: it is none."""
    try:
        return read_uuid(text)
    except ValueError:
        return None
