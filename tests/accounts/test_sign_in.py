"""The use cases of signing in, without an application: a database and values are enough."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.conftest import settings_for
from tests.support import PASSWORD

import sso
from sso import clock
from sso.accounts.languages import page_language, territory_name
from sso.accounts.sign_in.current_account import (
    MAX_ACCOUNTS,
    Account,
    AccountLocked,
    CurrentAccount,
    account_with,
    check_lock,
)
from sso.accounts.sign_in.destination import Destination, stored_destination
from sso.accounts.sign_in.next_step import must_choose
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.password import WrongPassword, authenticate_password, sign_in_with_password
from sso.accounts.sign_in.pending_request import PendingRequest, RequestExpired, account_at, recall_request
from sso.accounts.sign_in.results import SecondFactorNeeded, SessionStarted, TooManyAttempts, WrongCredentials
from sso.accounts.sign_in.second_factor import begin_second_factor, recall_second_factor
from sso.accounts.sign_in.services import SignInServices
from sso.accounts.sign_in.start import plan_accounts
from sso.http.sign_in.after_sign_in import address_of_destination, own_destination
from sso.identity.authn.assurance import ACR_MFA, ACR_PASSWORD
from sso.identity.authn.passwords import Passwords
from sso.identity.sessions.store import ActiveSession
from sso.identity.users.store import Person
from sso.oidc.authorize.decision import Progress
from sso.oidc.authorize.signed_in import SignedIn
from sso.oidc.provider import Provider
from sso.oidc.server import ProviderServer
from sso.platform.db import Database
from sso.platform.outbox import Worker
from sso.platform.security.message_limits import MessageLimits
from sso.platform.security.rate_limits import Attempts, CountLimit, Counts, MemoryStorage
from sso.platform.visitor import Visitor

BROWSER = "b" * 43
VISITOR = Visitor("192.0.2.7", "192.0.2.7", "192.0.2.7", "r1", "Mozilla/5.0", browser_id=BROWSER)
NOTHING = SignInOptions()


@dataclass
class Limits:
    """The rate limits that the use cases need."""

    attempts: Attempts
    messages: MessageLimits
    flows: CountLimit
    waiting_requests: CountLimit
    stored_requests: CountLimit


@dataclass
class Services:
    """What the use cases need; no application."""

    settings: Any
    provider: Provider
    server: ProviderServer
    passwords: Passwords
    limits: Limits
    worker: Worker


@pytest.fixture
async def services(database: tuple[str, dict[str, Any]], tmp_path: Any) -> AsyncIterator[SignInServices]:
    settings = settings_for(database[0], tmp_path, sign_in_failures_per_account=3)
    db = Database(settings)
    provider, counts = Provider(settings, db), Counts(MemoryStorage())
    await provider.load()
    yield Services(
        settings,
        provider,
        ProviderServer(provider),
        Passwords(settings),
        Limits(
            Attempts(3, 100, counts, counts),
            MessageLimits(5, 10, 20, 100, counts),
            CountLimit(20, 60, counts, "flows"),
            CountLimit(20, 15, None, "waiting"),
            CountLimit(20, 15, counts, "stored-requests"),
        ),
        Worker(db, settings, {}),
    )
    await provider.close()
    await db.close()


async def test_a_right_password_starts_a_session_that_the_browser_can_use(services: SignInServices) -> None:
    assert await account_at(services, VISITOR) is None
    result = await sign_in_with_password(services, VISITOR, "siti", PASSWORD, NOTHING, pending=None, before=None)
    assert isinstance(result, SessionStarted)
    assert (result.person.name, result.next_step, len(result.tokens)) == ("Siti Rahmawati", None, 1)
    again = replace(VISITOR, session_tokens=tuple(result.tokens), device_id=result.device_id)
    current = await account_at(services, again)
    assert current is not None
    assert current.signed_in.session.id == result.session_id
    # The same person signs in once more: the session is renewed, and its old cookie value is worth nothing.
    renewed = await sign_in_with_password(services, again, "siti", PASSWORD, NOTHING, pending=None, before=current)
    assert isinstance(renewed, SessionStarted)
    assert renewed.session_id == result.session_id
    assert renewed.device_id == result.device_id
    assert await account_at(services, again) is None


async def test_what_is_wrong_has_one_result_and_is_limited(services: SignInServices) -> None:
    for name in ("siti", "nobody-here"):
        result = await sign_in_with_password(services, VISITOR, name, "wrong", NOTHING, pending=None, before=None)
        assert result == WrongCredentials()
    with pytest.raises(WrongPassword) as wrong:
        await authenticate_password(services, VISITOR, "siti", "wrong")
    assert len(wrong.value.user_ids) == 1
    await sign_in_with_password(services, VISITOR, "siti", "wrong", NOTHING, pending=None, before=None)
    refused = await sign_in_with_password(services, VISITOR, "siti", PASSWORD, NOTHING, pending=None, before=None)
    assert isinstance(refused, TooManyAttempts)
    assert 0 < refused.retry_after <= refused.minutes * 60


async def test_a_second_factor_belongs_to_the_browser_that_began_it(services: SignInServices) -> None:
    accepted = await authenticate_password(services, VISITOR, "siti", PASSWORD, ACR_MFA)
    assert accepted.second_factor == ("asked", ACR_MFA)
    assert accepted.authenticated.acr == ACR_PASSWORD
    options = SignInOptions(then="security", remember=True)
    begun = await begin_second_factor(services, VISITOR, accepted.authenticated, "asked", ACR_MFA, options)
    assert isinstance(begun, SecondFactorNeeded)
    flow = await recall_second_factor(services, VISITOR, begun.token, "")
    assert flow is not None
    assert (flow.options, flow.authenticated_so_far.acr, flow.enrols) == (options, ACR_PASSWORD, True)
    other = replace(VISITOR, browser_id="c" * 43)
    assert await recall_second_factor(services, other, begun.token, "") is None
    with pytest.raises(RequestExpired):
        await recall_request(services, other, begun.token)


def account(name: str) -> Account:
    now, person = clock.now(), Person(uuid.uuid4(), name)
    return Account(name, ActiveSession(uuid.uuid4(), person.id, now, now, ACR_PASSWORD, ["pwd"]), person)


def signed_in(chosen: Account) -> SignedIn:
    return SignedIn(chosen.session, chosen.person, frozenset())


def test_what_becomes_of_the_accounts_of_a_browser() -> None:
    siti, budi, *more = [account(name) for name in ("siti", "budi", "c", "d", "e", "f")]
    new = uuid.uuid4()
    alone = plan_accounts([], None, new, adding=False)
    assert (alone.own, alone.replaced, alone.surplus, alone.remaining) == (None, [], [], [])
    instead = plan_accounts([siti, budi], signed_in(siti), new, adding=False)
    assert (instead.own, instead.replaced, instead.remaining) == (None, [siti], [budi])
    besides = plan_accounts([siti, budi], signed_in(siti), new, adding=True)
    assert (besides.replaced, besides.remaining) == ([], [siti, budi])
    again = plan_accounts([siti, budi], signed_in(siti), siti.person.id, adding=False)
    assert (again.own, again.replaced, again.remaining) == (siti, [], [budi])
    other = plan_accounts([siti, budi], signed_in(siti), budi.person.id, adding=False)
    assert (other.own, other.replaced, other.remaining) == (budi, [siti], [])
    full = plan_accounts([siti, budi, *more], None, new, adding=True)
    assert len(full.remaining) == MAX_ACCOUNTS - 1
    assert full.surplus == more[-2:]


@pytest.mark.parametrize(
    ("ended", "accounts", "sandbox", "prompt", "done", "expected"),
    [
        (False, 1, False, "", "", False),
        (False, 2, False, "", "", False),
        (True, 1, False, "", "", True),
        (True, 2, False, "none", "", True),
        (True, 2, False, "", "select_account", False),
        (False, 2, True, "", "", True),
        (False, 1, True, "", "", False),
        (False, 2, True, "none", "", False),
        (False, 2, True, "", "select_account", False),
    ],
)
def test_when_the_account_must_be_chosen(
    ended: bool, accounts: int, sandbox: bool, prompt: str, done: str, expected: bool
) -> None:
    request = SimpleNamespace(prompt=frozenset(prompt.split()), client=SimpleNamespace(sandbox=sandbox))
    pending = PendingRequest(cast(Any, request), progress=Progress(done=frozenset(done.split())))
    visitor = replace(VISITOR, session_tokens=("x",) * accounts)
    current = CurrentAccount(signed_in(account("siti")), "x", must_choose=ended)
    assert must_choose(visitor, pending, current) is expected


def test_nothing_is_kept_in_the_scope_of_a_request() -> None:
    """Functions pass values to each other. A variable in the ASGI scope hides which function reads it."""
    source = Path(sso.__file__).parent
    assert [str(path) for path in source.rglob("*.py") if 'scope["sso' in path.read_text("utf-8")] == []


def test_a_locked_account_is_refused_until_the_lock_ends() -> None:
    now = clock.now()
    check_lock(Person(uuid.uuid4(), "Siti"))
    check_lock(Person(uuid.uuid4(), "Siti", locked_until=now))
    with pytest.raises(AccountLocked):
        check_lock(Person(uuid.uuid4(), "Siti", locked_until=now + timedelta(days=365)))


def test_an_account_is_chosen_by_the_id_of_its_session() -> None:
    siti, budi = account("siti"), account("budi")
    assert account_with([siti, budi], str(budi.session.id)) is budi
    for unknown in ("", "x", str(uuid.uuid4()), str(budi.person.id)):
        assert account_with([siti, budi], unknown) is None


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "/"),
        ({"then": "security"}, "/account/security"),
        ({"then": "/admin/users?q=siti"}, "/admin/users?q=siti"),
        ({"then": "/open/warga"}, "/open/warga?ask=1"),
        ({"then": "https://evil.example"}, "/"),
        ({"then": "//evil.example"}, "/"),
        ({"then": "/admin/../login"}, "/"),
        ({"user_code": "bcdf ghjk"}, "/device?user_code=BCDF-GHJK"),
        ({"user_code": "x", "then": "security"}, "/account/security"),
        ({"i": "token", "client": "warga"}, "/"),
    ],
)
def test_a_sign_in_without_an_application_leads_to_a_page_of_ours_alone(fields: dict[str, str], url: str) -> None:
    assert address_of_destination(own_destination(fields)) == url


def test_a_destination_is_stored_and_read_back() -> None:
    destination = Destination("token", "security", "BCDF-GHJK", "warga")
    assert stored_destination(destination.stored) == destination
    assert stored_destination({"i": "token"}) == Destination("token")
    assert (
        destination.address("/recover", x="1") == "/recover?x=1&i=token&then=security&user_code=BCDF-GHJK&client=warga"
    )
    assert Destination().address("/recover") == "/recover"


def test_the_language_of_messages_and_the_names_of_countries_in_it() -> None:
    assert [page_language(locale, "id") for locale in ("en-GB", "id-ID", "fr", None)] == ["en", "id", "id", "id"]
    assert (territory_name("id", "DE"), territory_name("en", "DE")) == ("Jerman", "Germany")
    assert territory_name("en", "??") == "??"
