"""The accounts of one browser: each is a session of its own, with a cookie value of its own.

The cookie ``session`` lives as long as the browser is open and holds them in order, the present one first; the cookie
``remembered`` holds those that the person asked to be remembered on this device. What a value opens is known only to
the database, so holding one is the only proof there is, for one account as for several.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.http.common.cookies import cookie_values, delete_cookie, read_cookie, set_cookie
from sso.http.common.onward import Onward, read_onward
from sso.http.common.pages import page
from sso.http.common.state import site_of
from sso.identity.sessions import store as sessions
from sso.identity.sessions.store import LiveSession
from sso.identity.users.store import Person
from sso.oidc.authorize import request as flow
from sso.oidc.authorize.request import SignedIn
from sso.platform.security.numbers import read_uuid
from sso.platform.security.tokens import token_hash
from sso.settings import whole_seconds

MAX_ACCOUNTS = 5


class AccountLocked(Exception):
    """The account that is used is locked: whatever was asked for is not done."""

    def __init__(self, person: Person) -> None:
        super().__init__("the account is locked")
        self.person = person


def check_lock(person: Person) -> None:
    """Check that an account is not locked.

    Raises:
        AccountLocked: when it is. One handler answers with the page that says what to do.
    """
    if person.locked:
        raise AccountLocked(person)


def on_account_locked(request: Request, error: Exception) -> Response:
    """Answer with the page that says that the account is locked, and what to do."""
    assert isinstance(error, AccountLocked)
    asked = request.query_params
    named = {"client": asked.get("client_id", "")} if request.url.path == "/authorize" else dict(asked)
    return locked_page(request, error.person, read_onward(named))


def locked_page(request: Request, person: Person, onward: Onward) -> Response:
    """Return the page that says that the account is locked, and what to do.

    Args:
        request: what is answered.
        person: whose account is locked.
        onward: where they want to go; a recovery leads there.
    """
    recover_at = onward.address("/recover")
    return page(
        request,
        "locked.html",
        status=403,
        here="/",
        person=person.name,
        until=person.locked_until,
        recover_at=recover_at,
    )


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who is signed in at this browser."""

    token: str
    session: LiveSession
    person: Person


def tokens_of(request: Request) -> list[str]:
    """Return the values of every account of this browser, the present one first."""
    found = [*cookie_values(request, "session"), *cookie_values(request, "remembered")]
    return list(dict.fromkeys(found))[:MAX_ACCOUNTS]


async def accounts_of(request: Request, session: AsyncSession) -> list[Account]:
    """Return everybody who is signed in at this browser, the present one first. One statement."""
    tokens = tokens_of(request)
    if not tokens:
        return []
    now, provider = clock.now(), site_of(request).provider
    found = await sessions.of_browser(session, [token_hash(token) for token in tokens], now, now - provider.idle)
    return [Account(token, *found[digest]) for token in tokens if (digest := token_hash(token)) in found]


async def present_account(request: Request, session: AsyncSession, client_id: str | None = None) -> SignedIn | None:
    """Return who is signed in at this browser. Where the session of the present account is over it is the next account,
    and ``sso.choose`` in the scope says that nobody has chosen that. One statement where the present one lives.

    Raises:
        AccountLocked: when the account is locked. Every page of somebody who is signed in comes through here; only
            help and signing out do not.
    """
    who = await _present(request, session, client_id)
    if who is not None:
        check_lock(who.user)
    return who


async def _present(request: Request, session: AsyncSession, client_id: str | None) -> SignedIn | None:
    provider = site_of(request).provider
    who = await flow.signed_in(provider, session, read_cookie(request, "session"), client_id)
    if who is not None or len(tokens_of(request)) < 2:
        return who
    accounts = await accounts_of(request, session)
    if not accounts:
        return None
    request.scope["sso.choose"] = True
    who = SignedIn(accounts[0].session, accounts[0].person, frozenset())
    client = provider.registry.get(client_id) if client_id else None
    return await flow.with_consent(session, client, who) if client is not None else who


def account_with(accounts: Sequence[Account], session_id: str) -> Account | None:
    """Return the account whose session has the id ``session_id``."""
    try:
        wanted = read_uuid(session_id)
    except ValueError:
        return None
    return next((one for one in accounts if one.session.id == wanted), None)


def with_accounts(
    request: Request, made: Response, tokens: Sequence[str], *, remember: Collection[str] = (), dropped: str = ""
) -> None:
    """Let the browser hold these accounts, in this order.

    Args:
        request: what is answered.
        made: the answer.
        tokens: the values of the accounts.
        remember: those that are remembered from now on.
        forget: one that is not remembered any more.
    """
    settings = site_of(request).settings
    kept = [
        one for one in tokens if one in remember or (one in cookie_values(request, "remembered") and one != dropped)
    ]
    if tokens:
        set_cookie(made, settings, "session", ".".join(tokens))
    else:
        delete_cookie(made, settings, "session")
    if kept:
        max_age = whole_seconds(settings.remembered_session_lifetime)
        set_cookie(made, settings, "remembered", ".".join(kept), max_age)
    elif cookie_values(request, "remembered"):
        delete_cookie(made, settings, "remembered")
