"""The cookies of the provider: names, attributes, reading and writing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class OwnCookies:
    """The cookies of the provider that a request brought. A random value that has another form than ours is left out.

    Args:
        session_tokens: the values of the accounts of this browser, at most ``MAX_ACCOUNTS``, the present one first. The
            cookie ``session`` lives as long as the browser is open and holds them in order; the cookie ``remembered``
            holds those that the person asked to be remembered on this device.
        remembered: the values in the cookie ``remembered``.
        browser: the random value that identifies the browser; empty: the request did not bring it.
        device: the random value by which the browser is known at the next sign-in.
        language: the language that was chosen before, as it was sent.
        state: what the browser knows of its session (Session Management section 3.2).
    """

    session_tokens: tuple[str, ...]
    remembered: frozenset[str]
    browser: str
    device: str
    language: str
    state: str

    @property
    def session_token(self) -> str:
        """The value of the present account; empty: nobody is signed in."""
        return self.session_tokens[0] if self.session_tokens else ""


def own_cookies(request: Request) -> OwnCookies:
    """Return the cookies of the provider that ``request`` brought."""
    headers = tuple([value for header, value in request.scope["headers"] if header == b"cookie"])
    return _own_cookies(headers, site_of(request).settings.secure_cookies)


@lru_cache(maxsize=64)
def _own_cookies(headers: tuple[bytes, ...], secure: bool) -> OwnCookies:
    sent = cookies_in([header.decode("latin-1") for header in headers])
    texts = {name: sent.get(full_name, "") for name, full_name in _NAMES[secure].items()}
    session, remembered = [
        [token for token in map(valid_token, texts[name].split(".")) if token] for name in ("session", "remembered")
    ]
    return OwnCookies(
        session_tokens=tuple(dict.fromkeys([*session, *remembered]))[:MAX_ACCOUNTS],
        remembered=frozenset(remembered),
        browser=valid_token(texts["browser"]),
        device=valid_token(texts["device"]),
        language=texts["lang"],
        state=valid_token(texts["state"]),
    )


def valid_token(text: str) -> str:
    """Return a random value that may be ours; empty: it has another form."""
    return text if len(text) == TOKEN_CHARS and text.isascii() else ""


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


def set_cookie(
    response: Response, settings: Settings, name: CookieName, value: str, max_age: int | None = None
) -> None:
    """Add one of our cookies to a response. ``max_age`` is in seconds; None: until the browser is closed."""
    secure = settings.secure_cookies
    response.set_cookie(_NAMES[secure][name], value, max_age=max_age, **_cookie_attributes(name, secure=secure))


def delete_cookie(response: Response, settings: Settings, name: CookieName) -> None:
    """Take one of our cookies back."""
    secure = settings.secure_cookies
    response.delete_cookie(_NAMES[secure][name], **_cookie_attributes(name, secure=secure))


class _Attributes(TypedDict):
    path: str
    secure: bool
    httponly: bool
    samesite: Literal["lax", "none"]


def _cookie_attributes(name: CookieName, *, secure: bool) -> _Attributes:
    """Return how a cookie is kept. ``state`` alone is read by a script of ours that other sites frame: it holds nothing
    but a value to compare (Session Management section 3.2)."""
    framed = name == "state"
    return {
        "path": "/",
        "secure": secure,
        "httponly": not framed,
        "samesite": "none" if framed and secure else "lax",
    }


def with_browser_state(request: Request, response: Response, state: str) -> Response:
    """Let the cookie ``state`` say what the session now is; nothing: there is none."""
    settings, before = site_of(request).settings, own_cookies(request).state
    if state and before != state:
        set_cookie(response, settings, "state", state)
    elif not state and before:
        delete_cookie(response, settings, "state")
    return response


def browser_of(request: Request) -> str:
    """Return the random value that identifies this browser: that of its cookie, or one that is made once for this
    request. :func:`with_browser` sets the cookie."""
    return own_cookies(request).browser or new_browser_id(request)


def new_browser_id(request: Request) -> str:
    """Return the value for a browser that has none, made once for this request."""
    return str(request.scope.setdefault("new_browser_id", random_token()))


def with_browser(request: Request, response: Response) -> Response:
    """Set the cookie that identifies this browser where the request did not bring it."""
    if not own_cookies(request).browser:
        set_cookie(response, site_of(request).settings, "browser", new_browser_id(request))
    return response
