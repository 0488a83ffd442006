"""CSRF tokens of forms."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request

from sso.http.common.cookies import browser_of, own_cookies
from sso.http.common.state import site_of
from sso.platform.security.tokens import equal, keyed_token


def csrf_token(request: Request, purpose: str, session_cookie: str = "") -> str:
    """Return the token of a form: bound to the browser, to what the form does, and to the session if there is one."""
    return keyed_token(site_of(request).provider.csrf_keys[0], purpose, browser_of(request), session_cookie)


def has_valid_csrf_token(request: Request, fields: Mapping[str, str], purpose: str, session_cookie: str = "") -> bool:
    """Tell whether a form was made by us, for this browser, this session and this purpose (cross-site forgery)."""
    browser, given = own_cookies(request).browser, fields.get("csrf_token", "")
    if not browser or not given:
        return False
    keys = site_of(request).provider.csrf_keys
    return any([equal(given, keyed_token(key, purpose, browser, session_cookie)) for key in keys])
