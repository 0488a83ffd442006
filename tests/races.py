"""Races: two things that happen to one person's session at the same moment, each from many requests at once.

:data:`ACTS` is the list of what happens. Tests and ``make races`` run every pair of it, so that a new act is raced with
all the others. After each pair: no answer says that something broke, and what an act ended is over.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
from sqlalchemy import select
from tests.arranged import own_form, start_sessions
from tests.citizens import NEW_PASSWORD
from tests.conformance.parties import registered
from tests.support import PASSWORD, Browser, City, RelyingParty, query_of

from sso import clock
from sso.http.sign_in.requested_data import permissions_digest
from sso.identity.sessions.models import SsoSession
from sso.identity.users.models import Credential
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import create_users
from sso.oidc.store.store import remember_consent
from sso.platform.outbox.models import Delivery
from sso.platform.security.tokens import token_hash

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SCOPE = "openid profile"
OFFLINE = f"{SCOPE} offline_access"
REQUESTS = {"postgresql": 24, "sqlite": 4}
"""How many requests run at once: with PostgreSQL as many as two hosts have connections."""
_numbers = itertools.count()


@dataclass
class World:
    """One person, signed in at two browsers, who uses one application at one of them; and what the application has."""

    hosts: list[City]
    token: str
    party: RelyingParty
    user_id: uuid.UUID
    name: str
    browser: Browser
    other: Browser
    session_id: uuid.UUID
    scope: str
    forms: dict[str, Any] = field(default_factory=dict)
    codes: list[str] = field(default_factory=list)
    refresh_tokens: list[str] = field(default_factory=list)
    access_tokens: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    """What was answered with success: the names of acts that end something."""

    @property
    def city(self) -> City:
        """The first host."""
        return self.hosts[0]

    def at(self, number: int) -> City:
        """Return one of the hosts: requests go to them in turn."""
        return self.hosts[number % len(self.hosts)]

    def party_at(self, number: int) -> RelyingParty:
        """Return the application, which speaks to one of the hosts."""
        host = self.at(number)
        party = RelyingParty(host, self.party.client_id, self.party.redirect_uri, self.party.method)
        party.verifier = self.party.verifier
        return party

    async def api(self, number: int, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the administration API."""
        async with self.at(number).client() as http:
            headers = {"Authorization": f"Bearer {self.token}"}
            return await http.request(method, f"/api/v1{path}", headers=headers, **options)

    async def send(
        self, number: int, path: str, fields: dict[str, str], browser: Browser | None = None
    ) -> httpx.Response:
        """Send a form with the cookies of a browser."""
        cookies = dict((browser or self.browser).http.cookies)
        async with self.at(number).client(cookies=cookies) as http:
            return await http.post(path, data=fields)


Send = Callable[[World, int], Awaitable[httpx.Response]]
Prepare = Callable[[World, int], Awaitable[None]]


@dataclass(frozen=True)
class Act:
    """Something that happens.

    ``prepare`` makes what a number of requests need; ``send`` sends one. ``most`` is how many requests make sense.
    ``ends`` is what is over after a successful answer.
    """

    name: str
    send: Send
    prepare: Prepare | None = None
    maximum: int = 1000
    ends: frozenset[str] = frozenset()


async def _with_tokens_noted(world: World, answer: httpx.Response) -> httpx.Response:
    if answer.status_code == 200:
        body = answer.json()
        world.access_tokens.append(body["access_token"])
        world.refresh_tokens.append(body["refresh_token"])
    return answer


async def _make_codes(world: World, count: int) -> None:
    for _ in range(count):
        world.codes.append(await new_code(world))


async def new_code(world: World) -> str:
    """Return a code of the session that is there."""
    answer = await world.browser.open(world.party.url(scope=world.scope))
    assert answer.is_redirect, answer.text[:500]
    return query_of(answer.headers["location"])["code"]


async def _exchange(world: World, number: int) -> httpx.Response:
    code, party = world.codes[number % len(world.codes)], world.party_at(number)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": party.redirect_uri}
    return await _with_tokens_noted(world, await party.post("/token", {**form, "code_verifier": party.verifier}))


async def _make_refresh_tokens(world: World, count: int) -> None:
    await _make_codes(world, count)
    for number in range(count):
        code = world.codes.pop()
        tokens = await world.party_at(number).exchange(code)
        assert tokens.status == 200, tokens.body
        world.refresh_tokens.append(tokens["refresh_token"])
        world.access_tokens.append(tokens["access_token"])
    world.forms["refresh"] = list(world.refresh_tokens)


async def _refresh(world: World, number: int) -> httpx.Response:
    mine = world.forms["refresh"]
    form = {"grant_type": "refresh_token", "refresh_token": mine[number % len(mine)]}
    return await _with_tokens_noted(world, await world.party_at(number).post("/token", form))


async def _make_devices(world: World, count: int) -> None:
    for _ in range(count):
        begun, fields = await _begun_device(world)
        answer = await world.send(0, "/device", fields)
        assert answer.status_code == 200, answer.text[:500]
        assert 'name="choice"' not in answer.text, "the page asks again"
        world.devices.append(begun["device_code"])


async def _begun_device(world: World) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what a device is answered, and the fields of the form with which its person allows it."""
    begun = (await world.party.post("/device_authorization", {"scope": world.scope})).json()
    client = world.city.provider.registry.get(world.party.client_id)
    assert client is not None
    digest = permissions_digest(client, client.permissions(world.scope.split()))
    purpose = f"device {token_hash(begun['device_code']).hex()} {digest}"
    return begun, {**own_form(world.city, world.browser, purpose), "user_code": begun["user_code"], "choice": "allow"}


async def _poll(world: World, number: int) -> httpx.Response:
    form = {"grant_type": DEVICE_GRANT, "device_code": world.devices[number % len(world.devices)]}
    return await _with_tokens_noted(world, await world.party_at(number).post("/token", form))


async def _make_waiting_devices(world: World, count: int) -> None:
    for number in range(count):
        begun, world.forms[f"device {number}"] = await _begun_device(world)
        world.devices.append(begun["device_code"])


async def _approve(world: World, number: int) -> httpx.Response:
    return await world.send(number, "/device", world.forms[f"device {number}"])


async def _authorize(world: World, number: int) -> httpx.Response:
    async with world.at(number).client(cookies=dict(world.browser.http.cookies)) as http:
        answer = await http.get(world.party.url(scope=world.scope))
    code = query_of(answer.headers.get("location", "")).get("code")
    if code:
        world.codes.append(code)
    return answer


async def _logout_form(world: World, _count: int) -> None:
    world.forms["logout"] = own_form(world.city, world.browser, "logout")


async def _sign_out(world: World, number: int) -> httpx.Response:
    return await world.send(number, "/logout", world.forms["logout"])


async def _end(world: World, number: int) -> httpx.Response:
    return await world.api(number, "POST", f"/sessions/{world.session_id}/end", json={})


async def _disable(world: World, number: int) -> httpx.Response:
    return await world.api(number, "POST", f"/users/{world.user_id}/disable")


async def _suspend(world: World, number: int) -> httpx.Response:
    return await world.api(number, "POST", f"/clients/{world.party.client_id}/suspend", json={})


async def _withdraw_form(world: World, _count: int) -> None:
    form = own_form(world.city, world.browser, "own applications")
    world.forms["withdraw"] = {**form, "client": world.party.client_id}


async def _withdraw(world: World, number: int) -> httpx.Response:
    return await world.send(number, "/account/applications", world.forms["withdraw"])


async def _password_form(world: World, _count: int) -> None:
    fields = own_form(world.city, world.other, "own security")
    fields |= {"choice": "password", "password": PASSWORD, "new_password": NEW_PASSWORD}
    world.forms["password"] = fields


async def _change_password(world: World, number: int) -> httpx.Response:
    return await world.send(number, "/account/security", world.forms["password"], world.other)


async def _login_forms(world: World, count: int) -> None:
    for number in range(count):
        async with world.at(number).browser(address=f"203.0.113.{number}") as browser:
            form = own_form(world.city, browser, "login", session="")
            fields = {**form, "username": world.name, "password": PASSWORD}
            world.forms[f"login {number}"] = {**fields, "cookies": dict(browser.http.cookies)}


async def _sign_in(world: World, number: int) -> httpx.Response:
    fields = dict(world.forms[f"login {number}"])
    async with world.at(number).client(cookies=fields.pop("cookies"), address=f"203.0.113.{number}") as http:
        return await http.post("/login", data=fields)


async def _revoke(world: World, number: int) -> httpx.Response:
    mine = world.forms["refresh"]
    return await world.party_at(number).post("/revoke", {"token": mine[number % len(mine)]})


SESSION, PERSON, APPLICATION = "the session", "the person", "the application"
ACTS = (
    Act("exchange", _exchange, _make_codes),
    Act("refresh", _refresh, _make_refresh_tokens),
    Act("poll of a device", _poll, _make_devices, maximum=6),
    Act("approval of a device", _approve, _make_waiting_devices, maximum=4),
    Act("authorize", _authorize, maximum=12),
    Act("sign in", _sign_in, _login_forms, maximum=4),
    Act("sign out", _sign_out, _logout_form, maximum=3, ends=frozenset({SESSION})),
    Act("end by the API", _end, maximum=3, ends=frozenset({SESSION})),
    Act("disable", _disable, maximum=3, ends=frozenset({SESSION, PERSON})),
    Act("suspend", _suspend, maximum=3, ends=frozenset({APPLICATION})),
    Act("withdraw consent", _withdraw, _withdraw_form, maximum=3, ends=frozenset({APPLICATION})),
    Act("change password", _change_password, _password_form, maximum=2, ends=frozenset({SESSION, PERSON})),
)
REVOKE = Act("revoke", _revoke, maximum=6)
"""Revocation of refresh tokens that :data:`ACTS` have prepared."""
PAIRS = tuple(itertools.combinations_with_replacement(ACTS, 2))


async def application(city: City) -> RelyingParty:
    """Return an application that uses every grant in which a person takes part."""
    grants = ["authorization_code", "refresh_token", DEVICE_GRANT]
    about = {"grant_types": grants, "scope": OFFLINE, "backchannel_logout_uri": "https://rp.example/logout"}
    return await registered(city, token_endpoint_auth_method="client_secret_basic", **about)


async def new_world(hosts: list[City], token: str, party: RelyingParty, scope: str) -> World:
    """Return a new person who is signed in at two browsers, allows the application, and has used it at the first."""
    city, name = hosts[0], f"pelari{next(_numbers)}"
    mine = (Credential.user_id == city.users["siti"]) & (Credential.kind == "password")
    client = city.provider.registry.get(party.client_id)
    assert client is not None
    allowed = sorted(client.permissions(scope.split()))
    browser, other = city.browser(), city.browser()
    async with city.provider.db.write() as session:
        secret = (await session.execute(select(Credential.secret).where(mine))).scalar_one()
        person = NewUser.model_validate({"username": name, "name": name.title(), "password_hash": secret})
        (user,) = await create_users(session, [person])
        await session.flush()
        live, _ = await start_sessions(session, city, user, [browser, other])
        await remember_consent(session, user.id, party.client_id, allowed, clock.now())
    world = World(hosts, token, party, user.id, name, browser, other, live, scope)
    await new_code(world)
    return world


async def prepare(world: World, act: Act, count: int) -> None:
    """Make what some requests of an act need."""
    if act.prepare is not None:
        await act.prepare(world, count)


async def send(world: World, act: Act, number: int) -> int:
    """Send one request of an act, note what it ended, and return the status of the answer."""
    answer = await act.send(world, number)
    if act.ends and answer.status_code in (200, 303):
        world.ended |= act.ends
    return answer.status_code


async def race(world: World, first: Act, second: Act, requests: int) -> list[tuple[str, int]]:
    """Let two acts happen at once; return what was answered. The order in which the requests begin is random."""
    acts = list(dict.fromkeys([first, second]))
    plan: list[tuple[Act, int]] = []
    for act in acts:
        count = min(act.maximum, requests // len(acts))
        await prepare(world, act, count)
        plan += [(act, number) for number in range(count)]
    random.shuffle(plan)

    async def outcome_of(act: Act, number: int) -> tuple[str, int]:
        return act.name, await send(world, act, number)

    return list(await asyncio.gather(*(outcome_of(act, number) for act, number in plan)))


async def come_back(world: World, names: set[str]) -> None:
    """Let the person, and the application, do again what they may: what was over must not come to life by that.
    ``names`` are those of the two acts."""
    if "disable" in names:
        await world.api(0, "POST", f"/users/{world.user_id}/enable")
    if "suspend" in names:
        await world.api(0, "POST", f"/clients/{world.party.client_id}/resume", json={})
    for host in world.hosts:
        await host.provider.refresh()


async def what_lives(world: World, names: set[str]) -> list[str]:
    """Return what lives although it was answered that it is over; ``names`` are those of the two acts."""
    wrong: list[str] = []
    granted_anew = "approval of a device" in names and world.ended == {APPLICATION}
    if world.ended and not granted_anew:
        for token in [*world.access_tokens, *world.refresh_tokens]:
            if (await world.party.introspect(token))["active"]:
                wrong.append(f"{token[:3]} is active")
        for token in world.access_tokens[-1:]:
            wrong += ["userinfo"] * ((await world.party.userinfo(token)).status_code != 401)
        for token in world.refresh_tokens[-1:]:
            wrong += ["refresh"] * ((await world.party.refresh(token)).body.get("error") != "invalid_grant")
        for code in world.codes:
            wrong += ["code"] * ((await world.party.exchange(code)).status == 200)
        for device in world.devices[:2]:
            polled = await world.party.token(grant_type=DEVICE_GRANT, device_code=device)
            wrong += ["device"] * (polled.status == 200)
    if SESSION in world.ended:
        page = await world.browser.http.get("/account")
        wrong += ["session"] * (not page.headers.get("location", "").startswith("/login"))
    return wrong + await _what_is_stored(world, names)


async def _what_is_stored(world: World, names: set[str]) -> list[str]:
    wrong: list[str] = []
    sessions = select(SsoSession.id, SsoSession.ended_at).where(SsoSession.user_id == world.user_id)
    async with world.city.provider.db.read() as session:
        active = {row[0] for row in (await session.execute(sessions)).all() if row[1] is None}
        notices = (await session.execute(select(Delivery.kind, Delivery.payload, Delivery.session_id))).all()
    allowed = 0 if "disable" in names else 1  # the browser at which the password was changed
    if PERSON in world.ended and len(active) > allowed:
        wrong.append(f"{len(active)} sessions of the person")
    logout_notices = Counter(notice.session_id for notice in notices if notice.kind == "backchannel_logout")
    if logout_notices[world.session_id] > 1 and APPLICATION not in world.ended:
        wrong.append(f"{logout_notices[world.session_id]} logout notices")
    if SESSION in world.ended and logout_notices[world.session_id] == 0 and world.access_tokens:
        wrong.append("no logout notice")
    letters = Counter(
        notice.payload["notice"]
        for notice in notices
        if notice.kind == "notice" and notice.payload["user_id"] == str(world.user_id)
    )
    wrong += [f"{letters[kind]} of {kind}" for kind in ("sessions_ended", "account_disabled") if letters[kind] > 1]
    return wrong
