"""What a test needs before its subject: a user who is signed in, the proof that a form is ours, and an application of a
team. The use cases make them without the pages and forms, which take several times as long and have their own tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import pyotp
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from tests.citizens import Authenticator
from tests.support import Browser, City

from sso import clock
from sso.accounts import second_factors
from sso.accounts.own_account import OwnSession, lock_own_account
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.results import SessionStarted
from sso.accounts.sign_in.start import start_session
from sso.clients.privileges import Authority
from sso.http.common.cookies import CookieName, cookie_name
from sso.identity.authn import factors
from sso.identity.authn.authenticated import by_password, with_factor
from sso.identity.authn.second_factor_policy import Method
from sso.identity.sessions import service as sessions
from sso.identity.sessions.models import SsoSession
from sso.identity.sessions.service import Place
from sso.identity.users.models import User
from sso.identity.users.service import find
from sso.platform.actor import Actor
from sso.platform.permissions import permissions_of
from sso.platform.security.ip_privacy import kept_address
from sso.platform.security.rate_limits import network_of
from sso.platform.security.tokens import keyed_token, random_token, token_hash
from sso.platform.visitor import Visitor
from sso.portal.applications import RequestedSettings, lock_application
from sso.portal.approval import approve_application, submit_application
from sso.portal.new_application import begin_application

DOCUMENT: dict[str, object] = {
    "client_name": "Antrean Puskesmas",
    "client_name#en": "Health centre queue",
    "description": "Ambil nomor antrean dari rumah.",
    "group": "E-Kesehatan",
    "contacts": ["tim@antrean.example"],
    "redirect_uris": ["https://antrean.example/callback"],
    "backchannel_logout_uri": "https://antrean.example/logout",
    "scope": "openid profile",
    "claim_reasons": {"name": "Nama di karcis antrean."},
    "token_endpoint_auth_method": "client_secret_basic",
}
"""What ``tests.web.test_developer.NEW`` asks for."""
ADDRESS = "203.0.113.7"
"""The IP address of the browsers of tests, in the form in which it is stored."""
SANDBOX = {"redirect_uris": ["http://localhost:3000/callback"]}


async def sign_in(city: City, browser: Browser, username: str, *, factor: Method | None = None) -> None:
    """Sign a user in at a browser in which nobody is signed in: what follows a right password, and a right second
    factor.

    Args:
        city: the provider.
        browser: gets the cookies that a sign-in sets.
        username: who signs in.
        factor: the second factor that was used.
    """
    assert not _cookie(city, browser, "session"), "somebody is signed in"
    async with city.provider.db.read() as session:
        authenticated = by_password(await find(session, username))
    if factor is not None:
        authenticated = with_factor(authenticated, factor)
    visitor, options = _visitor(city, browser), SignInOptions()
    started = await start_session(city.site, visitor, authenticated, options, pending=None, before=None)
    assert isinstance(started, SessionStarted)
    cookies: dict[CookieName, str] = {
        "session": ".".join(started.tokens),
        "device": started.device_id,
        "browser": visitor.browser_id,
        "state": city.provider.browser_state(started.session_id),
    }
    for name, value in cookies.items():
        _set_cookie(city, browser, name, value)


async def signed_in(city: City, username: str, *, factor: Method | None = None) -> Browser:
    """Return a new browser in which a user is signed in."""
    browser = city.browser()
    await sign_in(city, browser, username, factor=factor)
    return browser


async def start_sessions(session: AsyncSession, city: City, user: User, browsers: Sequence[Browser]) -> list[UUID]:
    """Let a user be signed in at each of some browsers, in the transaction of the caller, without what else follows a
    right password; return the ids of the sessions."""
    ids = []
    for browser in browsers:
        device = _cookie(city, browser, "device") or random_token()
        started = await sessions.start(
            session, city.settings, by_password(user), current=None, place=Place(token_hash(device)),
            address=None, user_agent=browser.http.headers["user-agent"], request_id="test",
        )  # fmt: skip
        _set_cookie(city, browser, "device", device)
        _set_cookie(city, browser, "browser", _cookie(city, browser, "browser") or random_token())
        _set_cookie(city, browser, "session", started.token)
        ids.append(started.session.id)
    return ids


def own_form(city: City, browser: Browser, purpose: str, *, session: str | None = None) -> dict[str, str]:
    """Return the hidden field of a form, as the page of the form has it: it proves that the form is ours.

    Args:
        city: the provider.
        browser: gets the cookie that identifies it, where it has none.
        purpose: what the form does, as its route names it.
        session: the value of the cookie to which the form is bound; None: that of the browser.
    """
    if not _cookie(city, browser, "browser"):
        _set_cookie(city, browser, "browser", random_token())
    bound = browser.session or "" if session is None else session
    parts = (purpose, _cookie(city, browser, "browser"), bound)
    return {"csrf_token": keyed_token(city.provider.csrf_keys[0], *parts)}


async def set_up_app(browser: Browser) -> tuple[pyotp.TOTP, list[str]]:
    """Set up an authenticator app for who is signed in; return it, and the recovery codes of a user who had none."""
    city, seed = browser.city, factors.new_totp_seed()
    app = pyotp.TOTP(seed)
    step = factors.totp_step(seed, app.at(clock.timestamp()))
    assert step is not None
    async with city.provider.db.write() as session:
        own = await _own_session(session, browser)
        user = await lock_own_account(session, own)
        changes, actor = city.site.accounts.changes, _actor(user.id, "citizen")
        return app, await second_factors.add_app(session, changes, user, seed, step, actor)


async def add_passkey(browser: Browser, device: Authenticator, name: str = "Ponsel") -> None:
    """Add a passkey for who is signed in."""
    city = browser.city
    browser_id = _cookie(city, browser, "browser")
    async with city.provider.db.write() as session:
        own = await _own_session(session, browser)
        user = await session.get_one(User, own.user_id)
        answer = device.create(city.provider.passkeys.creation_options(user, user.name, [], browser_id))
        actor = _actor(user.id, "citizen")
        await second_factors.add_passkey(session, city.site.accounts, own, browser_id, answer, name, actor)


async def _own_session(session: AsyncSession, browser: Browser) -> OwnSession:
    city, token = browser.city, _cookie(browser.city, browser, "session")
    mine = select(SsoSession).where(SsoSession.token_hash == token_hash(token), SsoSession.ended_at.is_(None))
    row = (await session.execute(mine)).scalar_one()
    return OwnSession(row.user_id, row.id, city.provider.idle)


def _visitor(city: City, browser: Browser) -> Visitor:
    address = browser.http._transport.client[0]  # type: ignore[attr-defined]
    return Visitor(
        ip_address=address,
        network=network_of(address),
        stored_ip_address=kept_address(address, city.settings.ip_address_privacy),
        request_id=random_token()[:16],
        user_agent=browser.http.headers["user-agent"],
        browser_id=_cookie(city, browser, "browser") or random_token(),
        device_id=_cookie(city, browser, "device"),
    )


def _cookie(city: City, browser: Browser, name: CookieName) -> str:
    return browser.http.cookies.get(cookie_name(city.settings, name)) or ""


def _set_cookie(city: City, browser: Browser, name: CookieName, value: str) -> None:
    browser.http.cookies.set(cookie_name(city.settings, name), value, domain=browser.http.base_url.host)


async def register(city: City, owner: str, application_id: str = "antrean", **document: object) -> str:
    """Begin the application of a team, with its sandbox, and return the secret of the sandbox.

    Args:
        city: the provider.
        owner: the user name of the first owner, a developer.
        application_id: its client_id in production.
        document: members of its metadata that differ from ``DOCUMENT``.
    """
    requested = RequestedSettings("web", {**DOCUMENT, **document}, SANDBOX)
    user_id = city.users[owner]
    async with city.provider.db.write() as session:
        secret = await begin_application(
            session, city.settings, city.provider.box, application_id, requested,
            owner=user_id, draft=False, actor=_actor(user_id, "developer"), authority=_authority("developer"),
        )  # fmt: skip
    await city.provider.refresh()
    assert secret is not None
    city.secrets[f"{application_id}-sandbox"] = secret
    return secret


async def approved(city: City, owner: str, admin: str, application_id: str = "antrean") -> None:
    """Register an application, submit it and approve it."""
    await register(city, owner, application_id)
    await approve(city, owner, admin, application_id)


async def approve(
    city: City, owner: str, admin: str, application_id: str = "antrean", granted: Mapping[str, object] | None = None
) -> None:
    """Submit an application as its owner, and approve it as an administrator, without the message to the team."""
    owner_id, admin_id = city.users[owner], city.users[admin]
    async with city.provider.db.write() as session:
        application = await lock_application(session, application_id)
        assert application is not None
        owner_acts = _actor(owner_id, "developer")
        await submit_application(session, city.settings, application, "Mulai Januari.", actor=owner_acts)
    async with city.provider.db.write() as session:
        application = await lock_application(session, application_id)
        assert application is not None
        await approve_application(
            session, city.settings, application, "Baik.", granted or {}, revision=application.revision,
            authority=_authority("admin"), actor=_actor(admin_id, "admin"),
        )  # fmt: skip
    await city.provider.refresh()


def _authority(role: str) -> Authority:
    return Authority(frozenset(permissions_of([role])))


def _actor(user_id: UUID, role: str) -> Actor:
    return Actor(str(user_id), frozenset(permissions_of([role])), None, ADDRESS, random_token()[:16])
