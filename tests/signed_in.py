"""Somebody who is signed in at a browser, without the page of signing in: for tests that begin where that has happened.

The session is started as a right password starts it, and the browser gets the cookies that it would have. What the
pages of signing in do is tested in tests/web/test_sign_in.py and tests/web/test_second_step.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from tests.support import ISSUER, Browser, City

from sso.identity.authn.authenticated import by_password
from sso.identity.sessions import service
from sso.identity.sessions.service import Place
from sso.identity.users.models import User
from sso.identity.users.service import find
from sso.platform.security.tokens import keyed_token, random_token, token_hash

DEVICE, BROWSER, SESSION = "__Host-sso-device", "__Host-sso-browser", "__Host-sso-session"


async def sign_in_at(city: City, browser: Browser, name: str) -> UUID:
    """Let a person be signed in at a browser; return the id of the session."""
    async with city.provider.db.write() as session:
        (session_id,) = await start_sessions(session, city, await find(session, name), [browser])
        return session_id


async def signed_in(city: City, name: str) -> Browser:
    """Return a new browser at which a person is signed in."""
    browser = city.browser()
    await sign_in_at(city, browser, name)
    return browser


async def start_sessions(session: AsyncSession, city: City, user: User, browsers: Sequence[Browser]) -> list[UUID]:
    """Let a user be signed in at each of some browsers, in the transaction of the caller; return the ids of the
    sessions."""
    return [await _start(session, city, user, browser) for browser in browsers]


async def _start(session: AsyncSession, city: City, user: User, browser: Browser) -> UUID:
    about = {"address": None, "user_agent": browser.http.headers["user-agent"], "request_id": "test"}
    device = browser.http.cookies.get(DEVICE) or random_token()
    place = Place(token_hash(device))
    started = await service.start(session, city.settings, by_password(user), current=None, place=place, **about)
    cookies = {DEVICE: device, BROWSER: browser.http.cookies.get(BROWSER) or random_token(), SESSION: started.token}
    for cookie, value in cookies.items():
        _set_cookie(browser, cookie, value)
    return started.session.id


def own_form(city: City, browser: Browser, purpose: str, *, session: str | None = None) -> dict[str, str]:
    """Return the hidden field of a form, as the page of the form has it: it proves that the form is ours.

    Args:
        city: the provider.
        browser: gets the cookie that identifies it, where it has none.
        purpose: what the form does, as its route names it.
        session: the value of the cookie to which the form is bound; None: that of the browser.
    """
    if BROWSER not in browser.http.cookies:
        _set_cookie(browser, BROWSER, random_token())
    bound = browser.session or "" if session is None else session
    parts = (purpose, browser.http.cookies[BROWSER], bound)
    return {"csrf_token": keyed_token(city.provider.csrf_keys[0], *parts)}


def _set_cookie(browser: Browser, name: str, value: str) -> None:
    browser.http.cookies.set(name, value, domain=str(urlsplit(ISSUER).hostname), path="/")
