"""A passed check and an approval hold for exactly what was looked at (SECURITY.md), and an application that refuses
everything has passed nothing."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2 as httpx
import jwt
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from tests.api.conftest import person_with
from tests.arranged import signed_in
from tests.support import ONE_DATABASE, Browser, City, challenge_of
from tests.web.test_developer import NEW, person, post, register, secret_of

from sso.clients.models import Application, RelyingPartyCheck
from sso.platform.actor import Actor
from sso.platform.security.outbound_errors import OutboundFailed
from sso.platform.security.outbound_http import Visited
from sso.portal.rp_check import fake_provider, results
from sso.portal.rp_check import runner as rp_check
from sso.portal.rp_check import store as checks

HERE = "http://localhost:3000"
CHECK, APP, ADMIN = "/developer/apps/antrean/check", "/developer/apps/antrean", "/admin/applications/antrean"
PLACES = {
    "sandbox.redirect_uris": f"{HERE}/callback",
    "sandbox.initiate_login_uri": f"{HERE}/login",
    "sandbox.backchannel_logout_uri": f"{HERE}/logout",
}
ALL = ("state", "iss", "nonce", "token", "logout")


class RelyingParty:
    """An application in the sandbox, which looks at ``looks_at`` alone. ``broken`` tells what it answers instead, by
    the number of the request and the path, where it does not work."""

    def __init__(self, city: City, secret: str, looks_at: tuple[str, ...] = ALL) -> None:
        self.city, self.secret, self.looks_at = city, secret, looks_at
        self.begun: dict[str, dict[str, str]] = {}
        self.people: dict[str, str] = {}
        self.requests = self.logins = self.callbacks = 0
        self.broken: Callable[[RelyingParty, str], Visited | None] = lambda *_: None
        self.form: dict[str, str] = {}

    async def visit(self, url: str, cookie: str = "") -> Visited:
        parts = urlsplit(url)
        self.requests += 1
        self.logins += parts.path == "/login"
        self.callbacks += parts.path == "/callback"
        if (answer := self.broken(self, parts.path)) is not None:
            return answer
        session = dict(pair.split("=", 1) for pair in cookie.split("; ") if "=" in pair).get("app", "")
        query = dict(parse_qsl(parts.query))
        if parts.path == "/login":
            return self.begin(query["iss"])
        if parts.path == "/callback":
            return await self.finish(session, query)
        return Visited(200, "", [], f"Halo, {self.people.get(session, 'tamu')}".encode())

    def begin(self, issuer: str) -> Visited:
        session, verifier = secrets.token_hex(8), secrets.token_urlsafe(40)
        parameters = {"state": secrets.token_hex(8), "nonce": secrets.token_hex(8)}
        self.begun[session] = {**parameters, "verifier": verifier, "iss": issuer}
        parameters |= {"client_id": "antrean-sandbox", "redirect_uri": f"{HERE}/callback", "response_type": "code"}
        parameters |= {"scope": "openid", "code_challenge": challenge_of(verifier), "code_challenge_method": "S256"}
        return Visited(303, f"{issuer}/authorize?{urlencode(parameters)}", [f"app={session}"], b"")

    async def finish(self, session: str, query: dict[str, str]) -> Visited:
        request = self.begun.pop(session, None) or (
            {} if "state" in self.looks_at else next(iter(self.begun.values()), {})
        )
        issuer = request.get("iss", "https://masuk.tangerang.example/check/antrean")
        wrong = "state" in self.looks_at and query.get("state") != request.get("state", "?")
        if wrong or ("iss" in self.looks_at and query.get("iss") != issuer):
            return Visited(400, "", [], b"")
        form = {"grant_type": "authorization_code", "code": query["code"], "redirect_uri": f"{HERE}/callback"}
        form |= {"code_verifier": request.get("verifier", ""), **self.form}
        async with self.city.client() as http:
            auth = ("antrean-sandbox", self.secret)
            answer = await http.post(f"{issuer}/token", data=form, auth=auth)
            if answer.status_code != 200:
                return Visited(502, "", [], b"")
            claims = await self.read(http, issuer, answer.json()["id_token"])
        if claims is None or ("nonce" in self.looks_at and claims.get("nonce") != request["nonce"]):
            return Visited(400, "", [], b"")
        session = secrets.token_hex(8)
        self.people[session] = claims["sub"]
        return Visited(303, f"{HERE}/", [f"app={session}"], b"")

    async def read(self, http: httpx.AsyncClient, issuer: str, token: str) -> dict[str, Any] | None:
        if "token" not in self.looks_at:
            return dict(jwt.decode(token, options={"verify_signature": False}))
        keys = jwt.PyJWKSet.from_dict((await http.get(f"{issuer}/jwks")).json())
        try:
            return dict(jwt.decode(token, keys.keys[0], ["ES256"], audience="antrean-sandbox", issuer=issuer))
        except jwt.PyJWTError:
            return None

    async def post_form(self, url: str, form: dict[str, str]) -> int:
        if self.broken(self, "/logout") is not None:
            return 500
        async with self.city.client() as http:
            issuer = "https://masuk.tangerang.example/check/antrean"
            claims = await self.read(http, issuer, form["logout_token"]) if "logout" in self.looks_at else None
        if "logout" in self.looks_at and claims is None:
            return 400
        self.people.clear()
        return 200


async def with_sandbox(city: City) -> tuple[Browser, str]:
    """Register an application whose sandbox says where a sign-in begins."""
    await person(city, "dimas", "developer")
    developer = await signed_in(city, "dimas")
    return developer, secret_of(await register(developer, **PLACES))


Outcomes = tuple[bool, dict[str, str]]
"""Whether a check was passed, and the outcome of each case."""


async def check_by_page(city: City, developer: Browser, party: RelyingParty) -> Outcomes:
    """Let the sandbox be checked by a developer; return whether the page says that it passed, and each outcome."""
    _answers_as(city, party)
    await city.provider.refresh()
    begun = await post(developer, await developer.open(CHECK), page=f"{HERE}/")
    assert begun.status_code == 200, begun.text[:800]
    passed, outcomes = await _result(city)
    page = (await developer.open(CHECK)).text
    assert ("Lulus pada" in page) == passed, page
    return passed, outcomes


async def check(city: City, party: RelyingParty) -> Outcomes:
    """Let the sandbox be checked as the page does it."""
    _answers_as(city, party)
    await city.provider.refresh()
    async with city.provider.db.write() as session:
        begun = await _begun(city, session)
    rp_check.start(city.provider, begun)
    return await _result(city)


async def pass_check(city: City) -> None:
    """Store what a check stores that was begun now and is passed: it takes a second to play every case."""
    await city.provider.refresh()
    outcomes = {**dict.fromkeys(fake_provider.WRONG, "refused"), "honest": "passed", "honest_again": "passed"}
    findings = [{"case": case, "outcome": outcome, "detail": ""} for case, outcome in outcomes.items()]
    async with city.provider.db.write() as session:
        begun = await _begun(city, session)
        begun.status, begun.results = "done", {**begun.results, "findings": findings}
        assert results.passed(begun)


async def _begun(city: City, session: AsyncSession) -> RelyingPartyCheck:
    application = await session.get(Application, "antrean")
    assert application is not None
    about = (city.provider.registry, city.settings, application, f"{HERE}/")
    return await rp_check.begin_check(session, *about, actor=Actor("test"))


def _answers_as(city: City, party: RelyingParty) -> None:
    outbound = city.provider.outbound
    outbound.visit, outbound.post_form = party.visit, party.post_form  # type: ignore[method-assign, assignment]


async def _result(city: City) -> Outcomes:
    for task in list(rp_check._RUNNING):
        await task
    async with city.provider.db.read() as session:
        last_check = await checks.last_check(session, "antrean")
        assert last_check is not None
    return results.passed(last_check), {
        finding["case"]: finding["outcome"] for finding in last_check.results["findings"]
    }


def always(answer: Visited) -> Callable[[RelyingParty, str], Visited | None]:
    return lambda *_: answer


ERROR, FINE = Visited(500, "", [], b""), Visited(200, "", [], b"Halo")


def only(path: str, answer: Visited) -> Callable[[RelyingParty, str], Visited | None]:
    return lambda _, requested_path: answer if requested_path == path else None


def unreachable(*_: object) -> Visited | None:
    raise OutboundFailed("its answer took too long")


DEAD: dict[str, Callable[[RelyingParty, str], Visited | None]] = {
    "500 always": always(ERROR),
    "404 always": always(Visited(404, "", [], b"")),
    "200 always": always(FINE),
    "a redirect always": always(Visited(303, f"{HERE}/", [], b"")),
    "never an answer": unreachable,
    "500 at the callback": only("/callback", ERROR),
    "200 at the callback without looking": only("/callback", FINE),
    "the page is 500": only("/", ERROR),
    "the page shows nothing": only("/", FINE),
    "500 after the first sign-in": lambda party, _: ERROR if party.logins > 1 else None,
    "500 after the second sign-in": lambda party, _: ERROR if party.logins > 2 else None,
    "500 after some sign-ins": lambda party, _: ERROR if party.logins > 5 else None,
    "every second callback": lambda party, path: ERROR if path == "/callback" and party.callbacks % 2 == 0 else None,
    "every second sign-in": lambda party, path: ERROR if path == "/login" and party.logins % 2 == 0 else None,
    "the callback dies later": lambda party, path: ERROR if path == "/callback" and party.callbacks > 4 else None,
    "every logout": only("/logout", ERROR),
}


@ONE_DATABASE
async def test_an_application_that_works_passes_and_one_that_is_dead_does_not(city: City) -> None:
    developer, secret = await with_sandbox(city)
    passed, outcomes = await check_by_page(city, developer, RelyingParty(city, secret))
    assert passed, outcomes
    assert set(outcomes.values()) == {"passed", "refused"}
    for name, broken in DEAD.items():
        party = RelyingParty(city, secret)
        party.broken = broken
        passed, outcomes = await check(city, party)
        assert not passed, (name, outcomes)
    passed, outcomes = await check_by_page(city, developer, RelyingParty(city, secret, ()))
    assert not passed
    careless = {"honest": "passed", "honest_again": "passed", **dict.fromkeys(fake_provider.WRONG, "accepted")}
    careless["replayed_code"] = "refused"  # its code_verifier is used up, so that the code is worth nothing
    assert outcomes == careless
    for form in ({"redirect_uri": f"{HERE}/other"}, {"code_verifier": "x" * 50}, {"client_secret": "wrong"}):
        party = RelyingParty(city, secret)
        party.form = form
        assert not (await check(city, party))[0], form
    assert not (await check(city, RelyingParty(city, "wrong")))[0]
    await developer.http.aclose()


async def test_a_passed_check_holds_for_what_was_checked_alone(city: City) -> None:
    developer, _ = await with_sandbox(city)
    await developer.http.aclose()
    owner, admin = await person_with(city, "developer", name="dimas"), await person_with(city, "admin", name="ratna")
    path = "/applications/antrean"
    application = await owner.get(path)
    document, sandbox = application["document"], application["sandbox"]

    async def submits() -> bool:
        answer = await owner("POST", f"{path}/acts", json={"act": "submit"})
        assert answer.status_code in (200, 409), answer.text
        return answer.status_code == 200

    async def save(in_sandbox: dict[str, Any] | None = None, **changes: Any) -> None:
        body = {"document": {**document, **changes}, "sandbox": {**sandbox, **(in_sandbox or {})}}
        answer = await owner("PUT", path, json={**body, "revision": (await owner.get(path))["revision"]})
        assert answer.status_code == 200, answer.text

    async def review(decision: str) -> int:
        body = {"decision": decision, "text": "Ini.", "revision": (await admin.get(path))["revision"]}
        return (await admin("POST", f"{path}/review", json=body)).status_code

    assert not await submits()
    await pass_check(city)
    await save(description="Kata-kata lain saja.")
    assert await submits(), "texts change nothing that was checked"
    assert await review("send_back") == 200
    changes: list[dict[str, Any]] = [
        {"redirect_uris": ["https://antrean.example/lain"]},
        {"in_sandbox": {"redirect_uris": [f"{HERE}/callback", f"{HERE}/kedua"]}},
        {"backchannel_logout_uri": "https://antrean.example/keluar"},
        {"token_endpoint_auth_method": "client_secret_post"},
    ]
    for change in changes:
        await save(**change)
        assert not await submits(), change
        await save()
        assert await submits(), "as it was checked"
        assert (await owner("POST", f"{path}/acts", json={"act": "withdraw"})).status_code == 200
    assert await submits()
    async with city.provider.db.write() as session:  # an administrator changed what was checked
        row = await session.get(Application, "antrean")
        assert row is not None
        row.document = {**row.document, "redirect_uris": ["https://lain.example/cb"]}
        row.revision += 1
    assert await review("approve") == 409
    await pass_check(city)
    assert await review("approve") == 200


@pytest.mark.parametrize("overrides", [{"relying_party_check": "offered"}])
async def test_an_approval_is_of_the_revision_that_was_looked_at(city: City) -> None:
    developer, _ = await with_sandbox(city)
    admin = await signed_in(city, "ratna")

    async def act(choice: str) -> None:
        await post(developer, await developer.open(APP), choice=choice, text="")

    await act("submit")
    seen = await admin.open(ADMIN)
    await act("withdraw")
    page = await developer.open(f"{APP}/settings")
    await post(developer, page, f"{APP}/settings", **{**NEW, **PLACES, "redirect_uris": "https://lain.example/cb"})
    await act("submit")
    for choice in ("approve", "send_back"):
        assert (await post(admin, seen, f"{ADMIN}/review", choice=choice, text="Baik.")).status_code == 409
    for revision in ("", "²", "0", "-1", "9" * 30, "x"):
        fields = {"choice": "approve", "text": "", "revision": revision}
        answer = await post(admin, await admin.open(ADMIN), f"{ADMIN}/review", **fields)
        assert answer.status_code == 409, revision
    seen = await admin.open(ADMIN)
    await act("withdraw")
    await act("submit")
    assert (await post(admin, seen, f"{ADMIN}/review", choice="approve", text="")).status_code == 409
    assert (await admin.open(ADMIN)).status_code == 200
    fresh = await admin.open(ADMIN)
    assert (await post(admin, fresh, f"{ADMIN}/review", choice="approve", text="")).status_code == 200
    client = city.provider.registry.get("antrean")
    assert client is not None
    assert client.meta.redirect_uris == ["https://lain.example/cb"]
    await developer.http.aclose()
    await admin.http.aclose()


class Keeping(RelyingParty):
    """An honest application that keeps the key set, and fetches it again for a kid that it does not know; ``stubborn``:
    it never fetches it again."""

    def __init__(self, city: City, secret: str, *, stubborn: bool = False) -> None:
        super().__init__(city, secret)
        self.known_keys: dict[str, jwt.PyJWK] = {}
        self.stubborn, self.fetched = stubborn, 0

    async def read(self, http: httpx.AsyncClient, issuer: str, token: str) -> dict[str, Any] | None:
        kid = jwt.get_unverified_header(token).get("kid", "")
        if kid not in self.known_keys and not (self.stubborn and self.known_keys):
            self.fetched += 1
            key_set = (await http.get(f"{issuer}/jwks")).json()
            self.known_keys |= {key["kid"]: jwt.PyJWK(key) for key in key_set["keys"]}
        try:
            return dict(jwt.decode(token, self.known_keys[kid], ["ES256"], audience="antrean-sandbox", issuer=issuer))
        except (jwt.PyJWTError, KeyError):
            return None


@ONE_DATABASE
async def test_an_honest_application_that_keeps_keys_passes_again_and_again(city: City) -> None:
    """By a kid that it knows, and, where the key is another, by fetching the set again; whoever never does that is told
    so, and the page is not blamed."""
    developer, secret = await with_sandbox(city)
    honest, stubborn = Keeping(city, secret), Keeping(city, secret, stubborn=True)
    for party in (honest, stubborn, honest):
        passed, outcomes = await check(city, party)
        assert passed, outcomes
    assert (len(honest.known_keys), len(stubborn.known_keys)) == (1, 1), "the key stays from one check to the next"
    async with city.client() as http:
        published = (await http.get("/check/antrean/jwks")).json()["keys"]
    assert [key["kid"] for key in published] == list(honest.known_keys), "it can be fetched between checks"
    async with city.provider.db.write() as session:
        await session.execute(update(RelyingPartyCheck).values(play=None))  # the key is gone
    passed, outcomes = await check(city, honest)
    assert passed, outcomes
    assert len(honest.known_keys) == 2, "another key has another kid"
    async with city.provider.db.write() as session:
        await session.execute(update(RelyingPartyCheck).values(play=None))
    passed, outcomes = await check(city, stubborn)
    assert (passed, outcomes["honest"]) == (False, "failed")
    async with city.provider.db.read() as session:
        last_check = await checks.last_check(session, "antrean")
    assert last_check is not None
    assert last_check.results["findings"][0]["detail"] == "old_keys"
    page = await developer.open(CHECK)
    assert "jwks_uri" in page.text
