"""Codes at the token endpoint (RFC 6749 sections 4.1.3, 5; RFC 7636 section 4.6; RFC 9700)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from sqlalchemy import select, update
from sqlalchemy.util.concurrency import await_
from tests.demands import demand
from tests.support import (
    PASSWORD,
    Browser,
    City,
    RelyingParty,
    Statements,
    Tokens,
    challenge_of,
    query_of,
)

from sso import clock
from sso.identity.users.models import User
from sso.oidc.store import store
from sso.oidc.store.models import Grant, RefreshToken
from sso.platform.db import DatabaseUnavailable

WRONG: dict[str, tuple[dict[str, str | None], str]] = {
    "no code": ({"code": None}, "invalid_request"),
    "empty code": ({"code": ""}, "invalid_request"),
    "unknown code": ({"code": "x" * 43}, "invalid_grant"),
    "long code": ({"code": "x" * 20000}, "invalid_grant"),
    "another redirect uri": ({"redirect_uri": "https://warga.example/cb2?tetap=1&x=%20"}, "invalid_grant"),
    "no redirect uri": ({"redirect_uri": None}, "invalid_grant"),
    "no verifier": ({"code_verifier": None}, "invalid_grant"),
    "empty verifier": ({"code_verifier": ""}, "invalid_grant"),
    "wrong verifier": ({"code_verifier": "v" * 43}, "invalid_grant"),
    "short verifier": ({"code_verifier": "v" * 10}, "invalid_request"),
    "long verifier": ({"code_verifier": "v" * 129}, "invalid_request"),
    "no grant type": ({"grant_type": None}, "invalid_request"),
    "unknown grant type": ({"grant_type": "wish"}, "unsupported_grant_type"),
    "password grant": ({"grant_type": "password", "username": "siti", "password": PASSWORD}, "unsupported_grant_type"),
}


@demand("RFC 6749 5.2", "errors of the token endpoint: status, JSON, no-store")
async def test_what_is_wrong_is_answered_in_standard_form(city: City, subtests: pytest.Subtests) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        for name, (changes, error) in WRONG.items():
            with subtests.test(name):
                form = {
                    "grant_type": "authorization_code",
                    "code": await browser.code(party),
                    "redirect_uri": party.redirect_uri,
                    "code_verifier": party.verifier,
                    **changes,
                }
                answer = await party.post("/token", {key: value for key, value in form.items() if value is not None})
                assert answer.status_code == 400
                assert answer.json()["error"] == error
                assert answer.json()["error_description"]
                assert answer.headers["cache-control"] == "no-store"
                assert answer.headers["content-type"] == "application/json"
        assert (await party.exchange(await browser.code(party))).status == 200, "nothing else was wrong"


@demand("RFC 6749 3.2", "parameters must not be repeated")
async def test_a_repeated_parameter_is_refused(city: City) -> None:
    party = city.relying_party("warga")
    async with city.client() as http:
        answer = await http.post(
            "/token",
            content="grant_type=authorization_code&code=a&code=b",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            auth=(party.client_id, city.secrets["warga"]),
        )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@demand("RFC 6749 3.2", "the token endpoint takes POST only")
async def test_only_a_form_by_post_is_accepted(city: City) -> None:
    async with city.client() as http:
        answer = await http.get("/token")
        assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")
        answer = await http.post("/token", json={"grant_type": "client_credentials"})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        answer = await http.options("/token", headers={"Origin": "https://peta.example"})
        assert answer.headers["access-control-allow-origin"] == "*"


@demand("RFC 6749 4.1.2", "a code is short-lived")
async def test_a_code_lives_for_a_minute(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        code = await browser.code(party)
        clock.advance(61)
        assert (await party.exchange(code)).body["error"] == "invalid_grant"
        code = await browser.code(party)
        clock.advance(59)
        assert (await party.exchange(code)).status == 200


@pytest.mark.parametrize("pause", [0, 30, 3000])
async def test_a_code_used_twice_revokes_the_tokens_of_the_first_use(city: City, pause: int) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        code = await browser.code(party)
    first = await party.exchange(code)
    clock.advance(pause)
    second = await party.exchange(code)
    assert second.body["error"] == "invalid_grant"
    assert (await party.userinfo(first["access_token"])).status_code == 401
    assert (await party.refresh(first["refresh_token"])).body["error"] == "invalid_grant"


@demand("RFC 9700 4.5", "of many uses of a code at once one wins, and then nothing works")
async def test_of_fifty_uses_of_one_code_at_once_one_wins_and_then_nothing_works(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        code = await browser.code(party)
    answers = await asyncio.gather(*(party.exchange(code) for _ in range(50)))
    won = [answer for answer in answers if answer.status == 200]
    assert len(won) == 1
    assert {answer.body["error"] for answer in answers if answer.status != 200} == {"invalid_grant"}
    assert (await party.userinfo(won[0]["access_token"])).status_code == 401
    assert (await party.refresh(won[0]["refresh_token"])).status == 400


@demand("RFC 6749 4.1.3", "a code is bound to its client")
async def test_a_code_of_another_client_is_worth_nothing_and_stays_usable(city: City) -> None:
    party, thief = city.relying_party("warga"), city.relying_party("sehat")
    async with city.browser() as browser:
        code = await browser.code(party)
    thief.verifier, thief.redirect_uri = party.verifier, party.redirect_uri
    assert (await thief.exchange(code)).body["error"] == "invalid_grant"
    assert (await party.exchange(code)).status == 200


@demand("RFC 7636 4.6", "a code is bound to its challenge")
@demand("RFC 9700 4.5.3.1", "an injected code is refused")
async def test_a_code_injected_beside_another_challenge_is_refused(city: City) -> None:
    victim, attacker = city.relying_party("warga"), city.relying_party("warga")
    async with city.browser() as browser:
        stolen = await browser.code(victim)
    assert (await attacker.exchange(stolen)).body["error"] == "invalid_grant"


@demand("RFC 9700 4.8.2", "neither a missing nor a surplus verifier is accepted")
async def test_a_verifier_that_nothing_asked_for_is_refused(city: City) -> None:
    """RFC 9700 section 4.8.2: a downgrade would otherwise pass unseen."""
    party = city.relying_party("lama")
    async with city.browser() as browser:
        code = await browser.code(party, code_challenge=None, code_challenge_method=None)
    assert (await party.exchange(code)).body["error"] == "invalid_grant"


async def test_a_code_dies_with_its_session(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        code = await browser.code(party)
        await browser.submit(await browser.open("/logout"))
    assert (await party.exchange(code)).body["error"] == "invalid_grant"


async def test_a_code_dies_with_its_person(city: City) -> None:
    from sso.accounts.administration import disable_user
    from sso.platform.actor import Actor

    party = city.relying_party("warga")
    async with city.browser() as browser:
        code = await browser.code(party)
    async with city.provider.db.write() as session:
        user = await session.get(User, city.users["siti"])
        assert user is not None
        await disable_user(session, city.provider, user, actor=Actor("test"))
    assert (await party.exchange(code)).body["error"] == "invalid_grant"


async def test_a_code_exchange_costs_at_most_three_statements(city: City, database_kind: str) -> None:
    """PostgreSQL uses the code, records the use of the session and stores the refresh token in one statement."""
    party = city.relying_party("warga")
    async with city.browser() as browser:
        for _ in range(2):  # the session is new to the application, then known
            code = await browser.code(party)
            statements = Statements(city)
            assert (await party.exchange(code)).status == 200
            assert len(statements.take()) == (3 if database_kind == "sqlite" else 2)


async def test_a_code_with_a_wrong_verifier_is_consumed(city: City) -> None:
    party, attacker = city.relying_party("warga"), city.relying_party("warga")
    async with city.browser() as browser:
        code = await browser.code(party)
    assert (await attacker.exchange(code)).body["error"] == "invalid_grant"
    assert (await party.exchange(code)).body["error"] == "invalid_grant"


Between = Callable[[City, Browser, RelyingParty, str], Awaitable[None]]


async def _session_ends(city: City, browser: Browser, party: RelyingParty, code: str) -> None:
    await browser.submit(await browser.open("/logout"))


async def _user_is_disabled(city: City, browser: Browser, party: RelyingParty, code: str) -> None:
    async with city.provider.db.write() as session:
        await session.execute(update(User).where(User.id == city.users["siti"]).values(disabled_at=clock.now()))


async def _code_is_used(city: City, browser: Browser, party: RelyingParty, code: str) -> None:
    assert (await party.exchange(code)).status == 200


async def _grant_is_revoked(city: City, browser: Browser, party: RelyingParty, code: str) -> None:
    async with city.provider.db.write() as session:
        await session.execute(update(Grant).values(revoked_at=clock.now()))


async def _exchange_late(
    city: City, monkeypatch: pytest.MonkeyPatch, browser: Browser, code: str, party: RelyingParty, between: Between
) -> Tokens:
    """Exchange a code, and let something happen after it was looked at and before it is used."""
    exchange = store.exchange_code

    def late(*values: Any) -> bool:
        monkeypatch.setattr(store, "exchange_code", exchange)
        await_(between(city, browser, party, code))
        return exchange(*values)

    monkeypatch.setattr(store, "exchange_code", late)
    return await party.exchange(code)


@pytest.mark.parametrize("database_kind", ["postgresql"])  # SQLite has one writer at a time
@pytest.mark.parametrize("between", [_session_ends, _user_is_disabled, _code_is_used, _grant_is_revoked])
async def test_what_ends_during_an_exchange_gives_nothing(
    city: City, monkeypatch: pytest.MonkeyPatch, between: Between
) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        code = await browser.code(party)
        answer = await _exchange_late(city, monkeypatch, browser, code, party, between)
    assert (answer.status, answer.body["error"]) == (400, "invalid_grant")
    async with city.provider.db.read() as session:
        grants = (await session.execute(select(Grant))).scalars().all()
        tokens = (await session.execute(select(RefreshToken))).scalars().all()
    assert len(tokens) == (1 if between is _code_is_used else 0)
    if between is _code_is_used:
        assert all(grant.revoked_at is not None for grant in grants), "a second use ends what the first received"


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_two_first_codes_at_once_have_the_same_name_of_the_session(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two exchanges has made up another ``sid``, and is answered with that of the first."""
    first, second = city.relying_party("warga"), city.relying_party("warga")
    async with city.browser() as browser:
        codes = [await browser.code(party) for party in (first, second)]
        tokens: list[dict[str, Any]] = []

        async def other(city: City, browser: Browser, party: RelyingParty, code: str) -> None:
            tokens.append((await second.exchange(codes[1])).body)

        answer = await _exchange_late(city, monkeypatch, browser, codes[0], first, other)
    assert answer.status == 200, answer.body
    sids = {jwt.decode(body["id_token"], options={"verify_signature": False})["sid"] for body in [answer.body, *tokens]}
    assert len(sids) == 1
    for body in [answer.body, *tokens]:
        assert (await first.refresh(body["refresh_token"])).status == 200


async def test_a_password_sign_in_costs_at_most_six_statements(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.open(party.url())
        statements = Statements(city)
        answer = await browser.submit(page, username="siti", password=PASSWORD)
        assert "code" in query_of(answer.headers["location"])
        assert len(statements.take()) == 6


async def test_a_scope_that_was_not_asked_for_is_not_granted(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid")
    assert tokens["scope"] == "openid"
    assert tokens.claims("access_token")["scope"] == "openid"


@demand("Core 5.4", "with an access token the claims of scopes are at userinfo")
async def test_scope_claims_come_from_userinfo_not_from_the_id_token(city: City) -> None:
    async with city.browser() as browser:
        claims = (await browser.tokens(city.relying_party("warga"))).claims()
    assert {"name", "email", "profile"}.isdisjoint(claims)


@demand("RFC 9068 2", "typ at+jwt and the claims of an access token")
async def test_an_access_token_has_the_form_of_rfc_9068(city: City) -> None:
    import jwt

    party = city.relying_party("api")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid surat:baca")
    assert jwt.get_unverified_header(tokens["access_token"])["typ"] == "at+jwt"
    claims = tokens.claims("access_token")
    assert claims["aud"] == ["https://api.example/surat", city.settings.issuer]
    assert claims["client_id"] == "api"
    assert claims["scope"] == "openid surat:baca"
    assert {"iss", "exp", "iat", "jti", "sub", "auth_time"} <= claims.keys()


@demand("RFC 6749 2.1", "a public client has no secret")
async def test_a_public_client_authenticates_with_its_name_and_its_verifier(city: City) -> None:
    party = city.relying_party("peta")
    async with city.browser() as browser:
        code = await browser.code(party)
    verifier, party.verifier = party.verifier, "v" * 43
    assert (await party.exchange(code)).body["error"] == "invalid_grant"
    party.verifier = verifier
    async with city.browser() as browser:
        answer = await browser.sign_in(party, code_challenge=challenge_of(verifier))
    tokens = await party.exchange(query_of(answer.headers["location"])["code"])
    assert tokens.status == 200


@demand("Core 8", "pairwise and public subjects")
async def test_the_sub_is_pairwise_for_a_third_party_and_public_for_the_city(city: City) -> None:
    async with city.browser() as browser:
        own = (await browser.tokens(city.relying_party("warga"))).claims()["sub"]
        subs = []
        for client_id in ("mitra", "mitra-lain"):
            party = city.relying_party(client_id)
            page = await browser.open(party.url())
            answer = await browser.submit(page, choice="allow")
            subs.append((await party.exchange(query_of(answer.headers["location"])["code"])).claims()["sub"])
    assert own == str(city.users["siti"])
    assert len({own, *subs}) == 3


async def test_a_session_that_is_idle_or_too_old_is_over(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
        clock.advance(city.settings.session_idle_timeout + timedelta(seconds=1))
        assert (await browser.open(party.url())).status_code == 200
    assert (await party.refresh(tokens["refresh_token"])).body["error"] == "invalid_grant"
    async with city.browser() as browser:
        for _ in range(3):
            assert await browser.code(party)
            clock.advance(city.settings.session_idle_timeout - timedelta(minutes=1))
        assert await browser.code(party)
        clock.advance(200)
        page = await browser.open(party.url())
    assert page.status_code == 200, "the absolute lifetime counts from the sign-in"


@pytest.mark.parametrize(
    ("client_id", "scope", "answer"), [("mesin", "kirim", 200), ("mesin", "lain", 400), ("mesin-buram", "kirim", 503)]
)
async def test_client_credentials_open_no_transaction_for_a_token_that_is_not_stored(
    city: City, monkeypatch: pytest.MonkeyPatch, client_id: str, scope: str, answer: int
) -> None:
    async def run_write(*_: object) -> None:
        raise DatabaseUnavailable("not asked for")

    monkeypatch.setattr(city.provider.db, "run_write", run_write)
    form = {"grant_type": "client_credentials", "scope": scope}
    async with city.client() as http:
        got = await http.post("/token", data=form, auth=(client_id, city.secrets[client_id]))
    assert got.status_code == answer, got.text
