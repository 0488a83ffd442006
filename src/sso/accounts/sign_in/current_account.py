"""The accounts of one browser: each has a session and a cookie value of its own.

Only the database knows which session a value opens, so holding the value is the only evidence there is, for one account
as for several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.registry import Registry
from sso.clients.services import HasRegistry
from sso.errors import Refusal
from sso.identity.sessions import store as sessions
from sso.identity.sessions.store import ActiveSession
from sso.identity.users.store import Person
from sso.oidc.authorize import request as flow
from sso.oidc.authorize.authorization_request import AuthorizationRequest
from sso.oidc.authorize.signed_in import SignedIn
from sso.oidc.services import HasIdle, HasSubjects
from sso.platform.db import Executor, run_bridged
from sso.platform.security.numbers import read_uuid
from sso.platform.security.tokens import token_hash
from sso.platform.services import HasDatabase
from sso.platform.visitor import Visitor
from sso.settings import Settings

MAX_ACCOUNTS = 5
"""How many accounts one browser holds at most."""


class CurrentAccountServices(HasDatabase, HasRegistry, HasIdle, HasSubjects, Protocol):
    """What finding the accounts of a browser needs."""


class AccountLocked(Refusal):
    """The account that is used is locked: nothing that was asked for is done."""

    status = 403
    code = "account_locked"

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


@dataclass(frozen=True, slots=True)
class Account:
    """An account that is signed in at this browser, and the value of its cookie."""

    token: str
    session: ActiveSession
    person: Person


@dataclass(frozen=True, slots=True)
class CurrentAccount:
    """The account as which a request is answered.

    Args:
        signed_in: the session, its person and what they allowed the application.
        token: the cookie value to which CSRF tokens are bound.
        must_choose: the session of the browser's present account has ended, and nobody has chosen this one instead.
    """

    signed_in: SignedIn
    token: str
    must_choose: bool = False


async def accounts_of_browser(idle: timedelta, session: AsyncSession, visitor: Visitor) -> list[Account]:
    """Return every account that is signed in at this browser, the present one first. One statement, none without
    cookie."""
    tokens = visitor.session_tokens
    if not tokens:
        return []
    now = clock.now()
    active = await sessions.of_browser(session, [token_hash(token) for token in tokens], now, now - idle)
    return [Account(token, *active[digest]) for token in tokens if (digest := token_hash(token)) in active]


async def current_account(
    services: CurrentAccountServices, session: AsyncSession, visitor: Visitor, client_id: str | None = None
) -> CurrentAccount | None:
    """Return the present account of this browser; where its session has ended, the next account. One statement where
    the session of the present account is active, none without cookie.

    Args:
        services: what this needs of the process.
        session: for reading.
        visitor: the browser.
        client_id: the application, whose consent is read too.

    Raises:
        AccountLocked: when the account is locked. Every page of a person who is signed in comes through here; only help
            and signing out do not.
    """
    find = _finding(services.idle, visitor, client_id)
    signed_in = await run_bridged(session, find)
    if signed_in is not None:
        return _unlocked(CurrentAccount(signed_in, visitor.session_token))
    return _unlocked(await _next_account(services.idle, services.registry, session, visitor, client_id))


async def current_account_alone(
    services: CurrentAccountServices, visitor: Visitor, client_id: str
) -> CurrentAccount | None:
    """Return the same, where the session of the caller is not needed: on the prepared path."""
    signed_in = await services.db.run_read(_finding(services.idle, visitor, client_id))
    if signed_in is not None:
        return _unlocked(CurrentAccount(signed_in, visitor.session_token))
    if len(visitor.session_tokens) < 2:
        return None
    async with services.db.read() as session:
        return _unlocked(await _next_account(services.idle, services.registry, session, visitor, client_id))


def _finding(idle: timedelta, visitor: Visitor, client_id: str | None) -> Callable[[Executor], SignedIn | None]:
    return lambda session: flow.signed_in(idle, session, visitor.session_token, client_id)


def _unlocked(current: CurrentAccount | None) -> CurrentAccount | None:
    if current is not None:
        check_lock(current.signed_in.user)
    return current


async def _next_account(
    idle: timedelta, registry: Registry, session: AsyncSession, visitor: Visitor, client_id: str | None
) -> CurrentAccount | None:
    if len(visitor.session_tokens) < 2:
        return None
    accounts = await accounts_of_browser(idle, session, visitor)
    if not accounts:
        return None
    signed_in = SignedIn(accounts[0].session, accounts[0].person, frozenset())
    client = registry.get(client_id) if client_id else None
    if client is not None:
        signed_in = await flow.with_consent(session, client, signed_in)
    return CurrentAccount(signed_in, visitor.session_token, must_choose=True)


async def account_for_request(
    services: CurrentAccountServices, visitor: Visitor, request: AuthorizationRequest, current: CurrentAccount | None
) -> CurrentAccount | None:
    """Return the account of this browser that ``id_token_hint`` or the claims parameter names; otherwise ``current``.

    Raises:
        AccountLocked: when that account is locked.
    """
    sub = request.named_sub
    if sub is None or len(visitor.session_tokens) < 2:
        return current
    if current is not None and services.subject(request.client, current.signed_in.user.id) == sub:
        return current
    async with services.db.read() as session:
        for account in await accounts_of_browser(services.idle, session, visitor):
            if services.subject(request.client, account.person.id) == sub:
                check_lock(account.person)
                signed_in = SignedIn(account.session, account.person, frozenset())
                return CurrentAccount(await flow.with_consent(session, request.client, signed_in), account.token)
    return current


def account_with(accounts: Sequence[Account], session_id: str) -> Account | None:
    """Return the account whose session has the id ``session_id``."""
    try:
        chosen_id = read_uuid(session_id)
    except ValueError:
        return None
    return next((account for account in accounts if account.session.id == chosen_id), None)


def is_recent(settings: Settings, signed_in: SignedIn) -> bool:
    """Tell whether a person signed in recently enough to change what opens the account."""
    return clock.now() - signed_in.session.auth_time <= settings.reauthentication_age
