"""The cookies of the provider: names, attributes, reading and writing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal, TypedDict, get_args

from starlette.requests import Request
from starlette.responses import Response

from sso.accounts.sign_in.current_account import MAX_ACCOUNTS
from sso.http.common.state import site_of
from sso.platform.security.tokens import random_token
from sso.settings import Settings

TOKEN_CHARS = 43

CookieName = Literal["session", "remembered", "browser", "device", "lang", "state"]


_NAMES = {
    secure: {name: f"__Host-sso-{name}" if secure else f"sso-{name}" for name in get_args(CookieName)}
    for secure in (True, False)
}


def cookie_name(settings: Settings, name: CookieName) -> str:
    """Return a cookie's name: ``__Host-`` binds it to this host over https (RFC 6265bis section 4.1.3)."""
    return _NAMES[settings.secure_cookies][name]


def read_cookie(request: Request, name: CookieName) -> str:
    """Return the value of one of our cookies, or nothing. For ``session``, which may hold several: that of the present
    account."""
    if name == "session":
        tokens = cookie_values(request, "session") or cookie_values(request, "remembered")
        return tokens[0] if tokens else ""
    value = _sent(request, name)
    return value if name == "lang" or (len(value) == TOKEN_CHARS and value.isascii()) else ""


def cookie_values(request: Request, name: CookieName) -> list[str]:
    """Return the values in a cookie that may hold several."""
    return [token for token in _sent(request, name).split(".") if len(token) == TOKEN_CHARS and token.isascii()]


def _sent(request: Request, name: CookieName) -> str:
    headers = tuple([value for header, value in request.scope["headers"] if header == b"cookie"])
    return _cookies_of(headers).get(cookie_name(site_of(request).settings, name), "")


@lru_cache(maxsize=64)
def _cookies_of(headers: tuple[bytes, ...]) -> Mapping[str, str]:
    """Return the cookies of a request by name. Six are read from each request of a browser: parse them once."""
    return cookies_in([header.decode("latin-1") for header in headers])


def cookies_in(headers: Iterable[str]) -> dict[str, str]:
    """Return the cookies of a request by name; empty: the name stands twice.

    Only space and tab are taken away around a pair: a browser protects the prefix ``__Host-`` of exactly the name that
    it sends (RFC 6265bis section 4.1.3), and a neighbouring host may set one that begins with another blank.

    Args:
        headers: every header ``Cookie`` of the request, which HTTP/2 may split.
    """
    cookies: dict[str, str] = {}
    for header in headers:
        for pair in header.split(";"):
            name, equals, value = pair.strip(" \t").partition("=")
            if equals:
                cookies[name] = "" if name in cookies else value
    return cookies


def session_tokens(request: Request) -> list[str]:
    """Return the cookie values of every account of this browser, the present one first.

    The cookie ``session`` lives as long as the browser is open and holds them in order; the cookie ``remembered`` holds
    those that the person asked to be remembered on this device.
    """
    values = [*cookie_values(request, "session"), *cookie_values(request, "remembered")]
    return list(dict.fromkeys(values))[:MAX_ACCOUNTS]


def set_cookie(
    response: Response, settings: Settings, name: CookieName, value: str, max_age: int | None = None
) -> None:
    """Add one of our cookies to a response. ``max_age`` is in seconds; None: until the browser is closed."""
    response.set_cookie(cookie_name(settings, name), value, max_age=max_age, **_cookie_attributes(settings, name))


def delete_cookie(response: Response, settings: Settings, name: CookieName) -> None:
    """Take one of our cookies back."""
    response.delete_cookie(cookie_name(settings, name), **_cookie_attributes(settings, name))


class _Attributes(TypedDict):
    path: str
    secure: bool
    httponly: bool
    samesite: Literal["lax", "none"]


def _cookie_attributes(settings: Settings, name: CookieName) -> _Attributes:
    """Return how a cookie is kept. ``state`` alone is read by a script of ours that other sites frame: it holds nothing
    but a value to compare (Session Management section 3.2)."""
    framed = name == "state"
    return {
        "path": "/",
        "secure": settings.secure_cookies,
        "httponly": not framed,
        "samesite": "none" if framed and settings.secure_cookies else "lax",
    }


def with_browser_state(request: Request, response: Response, state: str) -> Response:
    """Let the cookie ``state`` say what the session now is; nothing: there is none."""
    settings = site_of(request).settings
    if state and read_cookie(request, "state") != state:
        set_cookie(response, settings, "state", state)
    elif not state and read_cookie(request, "state"):
        delete_cookie(response, settings, "state")
    return response


def browser_of(request: Request) -> str:
    """Return the random value that identifies this browser: that of its cookie, or one that is made once for this
    request. :func:`with_browser` sets the cookie."""
    return read_cookie(request, "browser") or str(request.scope.setdefault("new_browser_id", random_token()))


def with_browser(request: Request, response: Response) -> Response:
    """Set the cookie that identifies this browser where the request did not bring it."""
    browser = browser_of(request)
    if browser != read_cookie(request, "browser"):
        set_cookie(response, site_of(request).settings, "browser", browser)
    return response
