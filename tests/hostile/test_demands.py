"""What is asked for before a token is asked for on every way to one: the table of ``oidc/demands.py``, over HTTP.

Every demand is met first, and tokens, codes and decisions are collected; then the demand is not met any more, and each
way is tried: to begin, to renew and to use what was collected. The table says what must come of it, in both directions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2 as httpx
import pyotp
import pytest
from sqlalchemy import update
from tests.conformance.parties import KeyPair, key_set
from tests.gate.proxy import TRUSTED, Proxy
from tests.support import (
    ISSUER,
    PASSWORD,
    Browser,
    City,
    Form,
    RelyingParty,
    Statements,
    Tokens,
    form_of,
    forms_in,
    main_of,
    query_of,
)

from sso import clock
from sso.accounts.data_export import withdraw
from sso.clients.metadata import ClientMetadata
from sso.clients.models import HERE, ClientRow
from sso.clients.registry import Client
from sso.clients.secrets import create_client, replace_client
from sso.identity.sessions.models import SsoSession
from sso.identity.users.models import User
from sso.identity.users.service import find, set_roles
from sso.oidc.demands import GRANTS, RULES, WAYS, Demand, Way, reference
from sso.oidc.provider import Provider
from sso.oidc.store.store import remember_consent
from sso.platform.actor import Actor

HOME = "203.0.113.7"
SCOPE = "openid profile offline_access surat:baca"
EMPLOYER = "https://kepegawaian.example"
DOCUMENT: dict[str, Any] = {
    "type": "web", "client_name": "Kantor", "first_party": True, "profile": "legacy", "require_pkce": True,
    "redirect_uris": ["https://kantor.example/cb"], "scope": SCOPE, "audience": "https://api.example/surat",
    "grant_types": [*GRANTS], "response_types": ["code", "id_token token", "code id_token"],
}  # fmt: skip
SERVICE = "https://kantor.example/lama.php"
OLD: dict[str, Any] = {
    "type": "cas", "client_name": "Kantor lama", "first_party": True, "redirect_uris": [SERVICE],
    "scope": "openid profile",
}  # fmt: skip
BEHIND: dict[str, Any] = {
    "type": "gate", "client_name": "Kantor di balik gerbang", "first_party": True, "scope": "openid profile",
    "gate": {"hosts": ["gerbang.kota.example"], "headers": ["username"]},
}  # fmt: skip
OF_OPENID = ("grant_types", "response_types", "token_endpoint_auth_method")


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"cas_ticket_lifetime": timedelta(minutes=1), **TRUSTED}


@dataclass
class Office:
    """An application with every grant type, one that speaks CAS and one behind the gate; somebody who is signed in;
    and what the applications have collected."""

    city: City
    party: RelyingParty
    browser: Browser
    key: KeyPair
    code: str = ""
    ticket: str = ""
    polled: dict[str, Any] = field(default_factory=dict)
    waiting: dict[str, Any] = field(default_factory=dict)
    page: Form | None = None
    tokens: dict[str, Any] = field(default_factory=dict)
    machine: str = ""
    gate: Proxy | None = None

    @property
    def client(self) -> Client:
        """The application in the registry: what is changed of it holds in this process."""
        return self.clients[0]

    @property
    def clients(self) -> list[Client]:
        """The application, the one that speaks CAS, and the one behind the gate."""
        registered = [self.city.provider.registry.get(name) for name in ("kantor", "kantor-lama", "kantor-gerbang")]
        return [client for client in registered if client is not None]

    def change(self, **metadata: Any) -> None:
        """Change what is registered."""
        for client in self.clients:
            its = {name: value for name, value in metadata.items() if name not in OF_OPENID or client is self.client}
            client.meta = client.meta.model_copy(update=its)
            client.first_party = client.meta.first_party and not client.sandbox

    async def person(self, **values: Any) -> None:
        async with self.city.provider.db.write() as session:
            mine = update(User).where(User.id == self.city.users["siti"])
            await session.execute(mine.values(**values))

    async def begin(self) -> dict[str, Any]:
        begun: dict[str, Any] = (await self.party.post("/device_authorization", {"scope": "openid profile"})).json()
        return begun

    async def open(self, begun: dict[str, Any]) -> tuple[httpx.Response, Form | None]:
        """Open the page of a device; return it, and its form where it can be decided."""
        page = await self.browser.http.get("/device", params={"user_code": begun["user_code"]})
        forms = [form for form in forms_in(page.text) if ("choice", "allow") in form.buttons]
        return page, forms[0] if forms else None

    async def allow(self, form: Form) -> bool:
        done = await self.browser.http.post("/device", data={**form.fields, "choice": "allow"})
        return done.status_code == 200 and "terhubung" in done.text

    async def collect(self) -> None:
        """Collect, while everything is met, what is tried afterwards."""
        self.code = query_of((await self.browser.http.get(self.party.url(scope=SCOPE))).headers["location"])["code"]
        first = query_of((await self.browser.http.get(self.party.url(scope=SCOPE))).headers["location"])["code"]
        tokens = await self.party.exchange(first)
        assert tokens.status == 200, tokens.body
        self.tokens = tokens.body
        self.polled, self.waiting = await self.begin(), await self.begin()
        form = (await self.open(self.polled))[1]
        assert form is not None
        assert await self.allow(form)
        self.page = (await self.open(self.waiting))[1]
        machine_tokens = await self.party.token(grant_type="client_credentials", scope="surat:baca")
        assert machine_tokens.status == 200, machine_tokens.body
        self.ticket = await self.new_ticket()
        assert self.ticket
        self.machine = machine_tokens["access_token"]
        self.gate = Proxy(self.city, "kantor-gerbang", "gerbang.kota.example", user=HOME)
        await self.gate.sign_in(self.browser)

    async def new_ticket(self) -> str:
        """Return a ticket of the CAS protocol; empty where none is made."""
        answer = await self.browser.http.get("/cas/login", params={"service": SERVICE})
        assert answer.status_code < 500, answer.text
        return query_of(answer.headers.get("location", "")).get("ticket", "")

    def assertion(self) -> str:
        now = clock.timestamp()
        claims = {"iss": EMPLOYER, "sub": "siti@warga.example", "aud": ISSUER, "iat": now, "exp": now + 60}
        return self.key.sign(claims)


def seen(tokens: Tokens) -> set[bool]:
    assert tokens.status < 500, tokens.body
    assert tokens.status == 200 or tokens.body["error"] in {
        "invalid_grant", "access_denied", "unauthorized_client", "invalid_client"
    }, tokens.body  # fmt: skip
    return {tokens.status == 200}


# Each way is tried in every form it has, and tells whether something was got: in none, in some, or in all of them.


async def authorize(office: Office) -> set[bool]:
    got = set()
    kinds = ({}, {"prompt": "none"}, {"response_type": "id_token token"}, {"response_type": "code id_token"})
    for changes in kinds:
        answer = await office.browser.http.get(office.party.url(**{"scope": SCOPE, **changes}))
        assert answer.status_code < 500, answer.text
        location = answer.headers.get("location", "")
        got.add(
            location.startswith("https://kantor.example/") and bool({"code", "access_token"} & set(query_of(location)))
        )
        if changes.get("prompt") == "none" and location:
            assert {"code", "error"} & set(query_of(location))
    pushed = await office.party.post("/par", office.party.parameters(scope=SCOPE))
    if pushed.status_code == 201:
        named = {"client_id": office.client.client_id, "request_uri": pushed.json()["request_uri"]}
        answer = await office.browser.http.get("/authorize", params=named)
        got.add("code" in query_of(answer.headers.get("location", "")))
    got.add(bool(await office.new_ticket()))
    return got


async def device(office: Office) -> set[bool]:
    """Open the page anew, and send a form that was opened before."""
    begun = await office.begin()
    got = set()
    if "user_code" in begun:
        page, form = await office.open(begun)
        assert page.status_code < 500, page.text
        got.add(form is not None and await office.allow(form))
    assert office.page is not None
    got.add(await office.allow(office.page))
    return got


async def exchange(office: Office) -> set[bool]:
    return seen(await office.party.exchange(office.code))


async def poll(office: Office) -> set[bool]:
    return seen(await office.party.token(grant_type=Way.DEVICE_CODE, device_code=office.polled["device_code"]))


async def refresh(office: Office) -> set[bool]:
    tokens = await office.party.refresh(office.tokens["refresh_token"])
    if tokens.status == 200:
        office.tokens = {**office.tokens, **tokens.body}
    return seen(tokens)


async def validation(office: Office) -> set[bool]:
    parameters = {"service": SERVICE, "ticket": office.ticket}
    async with office.city.client("198.51.100.7") as server:
        answer = await server.get("/cas/serviceValidate", params=parameters)
    assert answer.status_code == 200
    return {"authenticationSuccess" in answer.text}


async def jwt_bearer(office: Office) -> set[bool]:
    form = {"grant_type": Way.JWT_BEARER, "assertion": office.assertion(), "scope": "surat:baca"}
    return seen(await office.party.token(**form))


async def client_credentials(office: Office) -> set[bool]:
    return seen(await office.party.token(grant_type="client_credentials", scope="surat:baca"))


async def in_use(office: Office) -> set[bool]:
    introspection = await office.city.relying_party("surat").introspect(office.tokens["access_token"])
    return {(await office.party.userinfo(office.tokens["access_token"])).status_code == 200, introspection["active"]}


async def machine_in_use(office: Office) -> set[bool]:
    return {(await office.city.relying_party("surat").introspect(office.machine))["active"]}


async def at_gate(office: Office) -> set[bool]:
    assert office.gate is not None
    return {(await office.gate.check()).status_code == 200}


TRIES: dict[Way, Callable[[Office], Awaitable[set[bool]]]] = {
    # What would use something up stands last: the code, the decision.
    Way.IN_USE: in_use,
    Way.MACHINE_IN_USE: machine_in_use,
    Way.GATE: at_gate,
    Way.AUTHORIZE: authorize,
    Way.DEVICE: device,
    Way.JWT_BEARER: jwt_bearer,
    Way.CLIENT_CREDENTIALS: client_credentials,
    Way.REFRESH: refresh,
    Way.CODE: exchange,
    Way.TICKET: validation,
    Way.DEVICE_CODE: poll,
}


# How each demand ceases to be met, and how it is met again.


async def suspended(office: Office, broken: bool) -> None:
    for client in office.clients:
        client.enabled = not broken


async def unregistered(office: Office, broken: bool) -> None:
    names = ("grant_types", "response_types")
    office.change(**{name: [] if broken else DOCUMENT[name] for name in names})
    old = office.clients[1]
    old.meta = old.meta.model_copy(update={"type": "web" if broken else "cas"})


async def disabled(office: Office, broken: bool) -> None:
    await office.person(disabled_at=clock.now() if broken else None)


async def leaving(office: Office, broken: bool) -> None:
    await office.person(delete_at=clock.now() + timedelta(days=9) if broken else None)


async def locked(office: Office, broken: bool) -> None:
    await office.person(locked_until=clock.now() + timedelta(hours=9) if broken else None)


async def outside_a_sandbox(office: Office, broken: bool) -> None:
    for client in office.clients:
        client.sandbox = not broken


async def not_in_the_team(office: Office, broken: bool) -> None:
    for client in office.clients:
        client.sandbox = broken


async def without_role(office: Office, broken: bool) -> None:
    office.change(allowed_roles=["officer"])
    async with office.city.provider.db.write() as session:
        await set_roles(session, await find(session, "siti"), ["citizen"] if broken else ["citizen", "officer"])


async def elsewhere(office: Office, broken: bool) -> None:
    office.change(allowed_networks=["10.20.0.0/16"] if broken else [f"{HOME}/32"])


async def closed(office: Office, broken: bool) -> None:
    today = clock.now().astimezone(ZoneInfo(office.city.settings.time_zone)).weekday()
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    open_days = [today + 3] if broken else [today, today + 1]  # midnight may pass meanwhile
    office.change(allowed_hours=[f"{days[day % 7]} 00:00-24:00" for day in open_days])


async def too_long_ago(office: Office, broken: bool) -> None:
    office.change(default_max_age=1 if broken else 86400)


async def too_low(office: Office, broken: bool) -> None:
    office.change(minimum_acr="urn:sso:acr:mfa" if broken else None)


async def unchecked(office: Office, broken: bool) -> None:
    office.change(minimum_identity="urn:sso:identity:counter-verified")
    await office.person(identity_checked_at=None if broken else clock.now())


async def withdrawn(office: Office, broken: bool) -> None:
    office.change(first_party=False)
    async with office.city.provider.db.write() as session:
        user_id = office.city.users["siti"]
        for client in office.clients:
            if broken:
                await withdraw(session, office.city.provider, user_id, client.client_id, actor=Actor(str(user_id)))
            else:
                await remember_consent(session, user_id, client.client_id, SCOPE.split(), clock.now())


BROKEN: dict[Demand, Callable[[Office, bool], Awaitable[None]]] = {
    Demand.APPLICATION: suspended,
    Demand.GRANT_TYPE: unregistered,
    Demand.PERSON: disabled,
    Demand.LEAVING: leaving,
    Demand.LOCKED: locked,
    Demand.TEST_USER: outside_a_sandbox,
    Demand.INVITATION: not_in_the_team,
    Demand.ROLE: without_role,
    Demand.NETWORK: elsewhere,
    Demand.HOURS: closed,
    Demand.MAX_AGE: too_long_ago,
    Demand.ACR: too_low,
    Demand.IDENTITY: unchecked,
    Demand.CONSENT: withdrawn,
}


async def opened(city: City, browser: Browser, **metadata: Any) -> Office:
    """Register the application, and sign somebody in at it."""
    key = KeyPair("ES256")
    trusted = [{"issuer": EMPLOYER, "jwks": key_set(key)}]
    document = ClientMetadata.model_validate({**DOCUMENT, "assertion_issuers": trusted, **metadata})
    async with city.provider.db.write() as session:
        secret = await create_client(
            session, city.provider.box, "kantor", document, catalogue=HERE, actor=Actor("test")
        )
        old = ClientMetadata.model_validate(OLD)
        await create_client(session, city.provider.box, "kantor-lama", old, catalogue=HERE, actor=Actor("test"))
        behind = ClientMetadata.model_validate(BEHIND)
        await create_client(session, city.provider.box, "kantor-gerbang", behind, catalogue=HERE, actor=Actor("test"))
    await city.provider.refresh()
    city.secrets["kantor"] = secret or ""
    city.provider.refresh = _nothing_new  # type: ignore[method-assign]  # what is changed here is not read anew
    party = city.relying_party("kantor")
    assert (await browser.sign_in(party, scope="openid")).is_redirect
    return Office(city, party, browser, key)


async def _nothing_new() -> bool:
    return False


def test_the_table_is_whole() -> None:
    """A new demand, a new way or a new grant type needs a row, a reason, and a test."""
    assert set(RULES) == set(Demand)
    assert set(BROKEN) == {demand for demand in Demand if RULES[demand].held or RULES[demand].led}
    assert set(TRIES) == set(Way) == set(WAYS)
    for demand, rule in RULES.items():
        assert not rule.held & rule.led, demand
        assert set(rule.why) == set(Way) - rule.held - rule.led, f"{demand}: each way is held, led or explained"
    assert "`not_invited`" in reference()


async def test_every_demand_holds_on_every_way(city: City) -> None:
    assert set(city.site.server.grant_types()) == set(GRANTS), "a grant type without a way to it in oidc/demands.py"
    plain = {"allowed_networks": [], "allowed_hours": [], "default_max_age": None, "allowed_roles": []}
    plain |= {"minimum_acr": None, "minimum_identity": None, "first_party": True}
    wrong: list[str] = []
    async with city.browser() as browser:
        office = await opened(city, browser)
        for demand, change in BROKEN.items():
            rule = RULES[demand]
            office.change(**plain)
            await change(office, False)
            if demand is Demand.TEST_USER:
                await _mark(office, ["pwd", "test"], {"test": True})
            clock.advance(30)
            await office.collect()
            clock.advance(5)
            await change(office, True)
            for way, attempt in TRIES.items():
                got, expected = await attempt(office), way not in rule.held | rule.led
                if way is Way.DEVICE and demand is Demand.CONSENT:
                    expected = True  # its page asks each time
                if got != {expected}:
                    wrong.append(f"{demand} at {way}: {'refused' if expected else 'open'} ({got})")
            await change(office, False)
            grant_stays = Way.REFRESH in rule.held and demand not in (Demand.PERSON, Demand.CONSENT)  # these end grants
            if grant_stays and await refresh(office) != {True}:
                wrong.append(f"{demand}: the refresh token was used up by a refusal")
            if demand is Demand.TEST_USER:
                await _mark(office, ["pwd"], {})
                await not_in_the_team(office, False)
    assert not wrong, "\n".join(["", *wrong])


async def _mark(office: Office, amr: list[str], preferences: dict[str, Any]) -> None:
    await office.person(preferences=preferences)
    async with office.city.provider.db.write() as session:
        await session.execute(update(SsoSession).where(SsoSession.user_id == office.city.users["siti"]).values(amr=amr))


# What the table does not show: how a device leads to what is missing, and what a grant records.


def buttons_of(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(form.action, button) for form in forms_in(main_of(answer)) for _, button in form.buttons or [("", "")]]


async def test_a_device_leads_to_what_is_missing_and_back(city: City) -> None:
    async with city.browser() as browser:
        office = await opened(city, browser)
        begun = await office.begin()
        here = f"/device?user_code={begun['user_code']}"
        office.change(default_max_age=0)
        clock.advance(40)
        page = await browser.open((await office.begin())["verification_uri_complete"])
        assert "username" in form_of(page).fields, "the sign-in is too old"
        page = await browser.submit(page, username="siti", password=PASSWORD)
        assert ("/device", "allow") in buttons_of(page), "who has just signed in goes on, whatever the age"
        office.change(default_max_age=None, minimum_acr="urn:sso:acr:mfa")
        page = await browser.open(here)
        assert page.url.path == "/login/second", "a second step is missing"
        seed_match = re.search(r"secret=([A-Z2-7]+)", page.text)
        assert seed_match is not None, "and is set up, as on the way to an application"
        seed = seed_match[1]
        page = await browser.submit(page, code=pyotp.TOTP(seed).at(clock.timestamp()))
        assert "recovery" in page.text or "pemulihan" in page.text, "recovery codes come first"
        page = await browser.submit(page, choice="kept")
        assert page.url.path == "/device"
        assert begun["user_code"] in page.text
        office.change(minimum_identity="urn:sso:identity:counter-verified")
        page = await browser.open(here)
        assert page.status_code == 403
        assert "Verifikasi identitas Anda" in page.text
        assert buttons_of(page) == [("/device", "deny")]
        office.client.sandbox = True
        assert "sandbox" in (await browser.open(here)).text
        office.client.sandbox = False
        await office.person(locked_until=clock.now() + timedelta(hours=1))
        page = await browser.open(here)
        assert "Akun Anda dikunci" in page.text
        assert "/recover" in page.text
        answer = await browser.open(office.party.url())
        assert answer.status_code == 403
        assert "Akun Anda dikunci" in answer.text
        await office.person(locked_until=None)
        page = await browser.open(here)
        assert "tidak dihubungkan" in (await browser.submit(page, choice="deny")).text, "refusing is always possible"
        refusal = await office.party.token(grant_type=Way.DEVICE_CODE, device_code=begun["device_code"])
        assert refusal.body["error"] == "access_denied"


async def test_a_grant_records_the_network_and_the_level(city: City) -> None:
    wide, elsewhere = "203.0.113.0/24", "198.51.100.7"
    async with city.browser() as browser:
        office = await opened(city, browser, allowed_networks=["203.0.0.0/16", wide])
        party = office.party
        code = query_of((await browser.http.get(party.url(scope=SCOPE))).headers["location"])["code"]

        async def ask(address: str, **form: str) -> tuple[int, dict[str, Any]]:
            async with city.client(address) as http:
                answer = await http.post("/token", **party.authentication(form))
            return answer.status_code, answer.json()

        exchange = {"grant_type": "authorization_code", "redirect_uri": party.redirect_uri}
        status, body = await ask(elsewhere, **exchange, code=code, code_verifier=party.verifier)
        assert status == 200, "the server of the application is elsewhere"
        status, body = await ask(elsewhere, grant_type="refresh_token", refresh_token=body["refresh_token"])
        assert status == 200
        office.change(allowed_networks=[wide])
        status, body = await ask(elsewhere, grant_type="refresh_token", refresh_token=body["refresh_token"])
        assert status == 200, "the smallest entry is recorded"
        office.change(token_endpoint_auth_method="none")
        party.method = "none"
        status, refused = await ask(elsewhere, grant_type="refresh_token", refresh_token=body["refresh_token"])
        assert (status, refused["error"]) == (400, "invalid_grant"), "a public application is on the user's device"
        status, body = await ask(HOME, grant_type="refresh_token", refresh_token=body["refresh_token"])
        assert status == 200
        office.change(allowed_networks=["203.0.113.128/25"])
        status, refused = await ask(HOME, grant_type="refresh_token", refresh_token=body["refresh_token"])
        assert (status, refused["error"]) == (400, "invalid_grant")
        # acr names an identity, and the level of the sign-in stays known.
        office.change(
            allowed_networks=[], minimum_acr="urn:sso:acr:code", token_endpoint_auth_method="client_secret_basic"
        )
        party.method = "client_secret_basic"
        async with city.provider.db.write() as session:
            mine = update(SsoSession).where(SsoSession.user_id == city.users["siti"])
            await session.execute(mine.values(acr="urn:sso:acr:code"))
        identity = "urn:sso:identity:counter-verified"
        await office.person(identity_checked_at=clock.now())
        answer = await browser.http.get(party.url(scope=SCOPE, acr_values=identity))
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
        assert tokens.claims()["acr"] == identity
        tokens = await party.refresh(tokens["refresh_token"])
        assert tokens.status == 200, tokens.body
        office.change(minimum_acr="urn:sso:acr:mfa")
        assert (await party.refresh(tokens["refresh_token"])).body["error"] == "invalid_grant"
        office.change(minimum_acr=None)
        await office.person(identity_checked_at=None)
        assert (await party.refresh(tokens["refresh_token"])).body["error"] == "invalid_grant", "acr would not be true"
        # What was never allowed: the application was the city's own when the grant was made.
        office = await _anew(office)
        office.change(first_party=False)
        assert await refresh(office) == await in_use(office) == {False}
        assert await poll(office) == {True}, "the page of the device asked"
        # What is not met now can be revoked all the same.
        office.change(first_party=True, allowed_roles=["officer"])
        assert await in_use(office) == {False}
        assert (await party.post("/revoke", {"token": office.tokens["refresh_token"]})).status_code == 200
        office.change(allowed_roles=[])
        assert await in_use(office) == await refresh(office) == {False}


async def test_a_scope_that_was_taken_away_is_left_out(city: City) -> None:
    claims = json.dumps({"userinfo": {"name": None}, "id_token": {"name": None}})
    async with city.browser() as browser:
        office = await opened(city, browser)
        answer = await browser.http.get(office.party.url(scope=SCOPE, claims=claims))
        tokens = await office.party.exchange(query_of(answer.headers["location"])["code"])
        assert tokens.claims()["name"]
        async with city.provider.db.write() as session:
            row = await session.get(ClientRow, "kantor")
            assert row is not None
            narrow = office.client.meta.model_copy(update={"scope": "openid offline_access"})
            await replace_client(session, row, narrow, catalogue=HERE, actor=Actor("test"))
        await Provider.refresh(city.provider)
        assert "name" not in (await office.party.userinfo(tokens["access_token"])).json()
        introspection = await city.relying_party("surat").introspect(tokens["access_token"])
        assert (introspection["active"], introspection["scope"]) == (True, "openid offline_access")
        again = await office.party.refresh(tokens["refresh_token"])
        assert again["scope"] == "openid offline_access"
        assert again.claims("access_token")["scope"] == "openid offline_access"
        assert "name" not in again.claims()


async def _anew(office: Office) -> Office:
    clock.advance(30)
    await office.collect()
    return office


async def test_demands_cost_one_statement_where_something_must_be_read(city: City, database_kind: str) -> None:
    async with city.browser() as browser:
        office = await opened(
            city, browser, allowed_roles=["citizen"], minimum_identity="urn:sso:identity:contact-verified"
        )
        statements = Statements(city)
        code = query_of((await browser.http.get(office.party.url(scope=SCOPE))).headers["location"])["code"]
        assert len(statements.take()) == 3
        tokens = await office.party.exchange(code)
        assert len(statements.take()) == (4 if database_kind == "sqlite" else 3)
        await office.party.refresh(tokens["refresh_token"])
        assert len(statements.take()) == (4 if database_kind == "sqlite" else 3)
        await office.party.userinfo(tokens["access_token"])
        assert len(statements.take()) == 3
        await office.party.introspect(tokens["access_token"])
        assert len(statements.take()) == 2
