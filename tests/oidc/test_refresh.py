"""Refresh tokens: rotation, grace, reuse, and all that ends a family (RFC 6749 section 6, RFC 9700 section 4.14)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.util.concurrency import await_
from tests.demands import demand
from tests.support import PASSWORD, Browser, City, RelyingParty, Statements, query_of
from tests.waiting import until_it_waits

from sso import clock
from sso.accounts.administration import disable_user
from sso.accounts.credentials import change_password
from sso.clients import store as clients
from sso.identity.authn.passwords import Passwords
from sso.identity.sessions.store import SessionFilter
from sso.identity.users.models import User
from sso.identity.users.store import set_disabled
from sso.jobs import clear_up
from sso.logout.end_sessions import end_matching
from sso.oidc.store import store
from sso.oidc.store.models import Grant, RefreshToken
from sso.oidc.store.store import revoke_grants_of_user
from sso.platform.actor import Actor
from sso.platform.db import bump_version
from sso.platform.security.tokens import token_hash


@demand("RFC 6749 6", "a refresh token is exchanged for new tokens")
@demand("RFC 9700 4.14.2", "refresh tokens rotate")
async def test_each_refresh_token_is_used_once_and_followed_by_another(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
    seen = {tokens["refresh_token"]}
    first = tokens.claims()
    for _ in range(3):
        clock.advance(60)
        tokens = await party.refresh(tokens["refresh_token"])
        assert tokens.status == 200
        assert tokens["refresh_token"] not in seen
        seen.add(tokens["refresh_token"])
        claims = tokens.claims()
        for name in ("iss", "sub", "aud", "auth_time", "sid", "nonce"):
            assert claims[name] == first[name]
        assert claims["iat"] > first["iat"]


async def test_a_retry_within_the_grace_gets_the_same_successor(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        old = (await browser.tokens(party))["refresh_token"]
    first = await party.refresh(old)
    clock.advance(9)
    again = await party.refresh(old)
    assert again.status == 200
    assert again["refresh_token"] == first["refresh_token"]
    assert (await party.refresh(again["refresh_token"])).status == 200


@demand("RFC 9700 4.14.2", "reuse of a refresh token ends its family")
@pytest.mark.parametrize("pause", [11, 5000])
async def test_reuse_after_the_grace_ends_the_family(city: City, pause: int) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        old = (await browser.tokens(party))["refresh_token"]
    newer = await party.refresh(old)
    clock.advance(pause)
    assert (await party.refresh(old)).body["error"] == "invalid_grant"
    assert (await party.refresh(newer["refresh_token"])).body["error"] == "invalid_grant"
    assert (await party.userinfo(newer["access_token"])).status_code == 401


@demand("RFC 9700 4.14.2", "reuse of a refresh token ends its family after the used token was deleted")
async def test_reuse_of_a_deleted_token_ends_the_family(city: City) -> None:
    party, thief = city.relying_party("warga"), city.relying_party("sehat")
    async with city.browser() as browser:
        oldest = (await browser.tokens(party))["refresh_token"]
    tokens = await party.refresh(oldest)
    for _ in range(3):
        clock.advance(600)
        tokens = await party.refresh(tokens["refresh_token"])
    clock.advance(600)
    await clear_up(city.provider)
    assert await _stored(city) == [False], "only the token that can be used is left"
    for other in (oldest[:-1] + ("A" if oldest[-1] != "A" else "Q"), "rt-" + "A" * 86, oldest + "=", "x" + oldest):
        assert (await party.refresh(other)).body["error"] == "invalid_grant"
    assert (await thief.refresh(oldest)).body["error"] == "invalid_grant"
    tokens = await party.refresh(tokens["refresh_token"])
    assert tokens.status == 200, "what was not issued to this application ends nothing"
    assert (await party.refresh(oldest)).body["error"] == "invalid_grant"
    assert (await party.refresh(tokens["refresh_token"])).body["error"] == "invalid_grant"
    assert (await party.userinfo(tokens["access_token"])).status_code == 401


async def test_the_jobs_keep_a_used_token_within_its_grace(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        old = (await browser.tokens(party))["refresh_token"]
    first = await party.refresh(old)
    clock.advance(2)
    await clear_up(city.provider)
    assert (await party.refresh(old))["refresh_token"] == first["refresh_token"]


async def test_a_token_of_an_earlier_release_is_followed_by_one_that_names_its_family(city: City) -> None:
    party, old = city.relying_party("warga"), "rt-" + "o" * 43
    async with city.browser() as browser:
        issued = (await browser.tokens(party))["refresh_token"]
    async with city.provider.db.write() as session:
        earlier = {"token_hash": token_hash(old), "format": None}
        await session.execute(update(RefreshToken).where(RefreshToken.token_hash == token_hash(issued)).values(earlier))
    answers = await asyncio.gather(*(party.refresh(old) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer["refresh_token"] for answer in answers}) == 1
    clock.advance(600)
    tokens = await party.refresh(answers[0]["refresh_token"])
    clock.advance(600)
    await clear_up(city.provider)
    assert await _stored(city) == [False, True], "the used token of the earlier release stays until it expires"
    assert (await party.refresh(old)).body["error"] == "invalid_grant"
    assert (await party.refresh(tokens["refresh_token"])).body["error"] == "invalid_grant"


async def _stored(city: City) -> list[bool]:
    """Return which of the stored refresh tokens were used."""
    async with city.provider.db.read() as session:
        used = (await session.execute(select(RefreshToken.used_at))).scalars()
        return sorted(moment is not None for moment in used)


async def test_reuse_within_the_grace_of_a_token_whose_successor_was_used_ends_the_family(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        old = (await browser.tokens(party))["refresh_token"]
    second = await party.refresh(old)
    third = await party.refresh(second["refresh_token"])
    assert (await party.refresh(old)).body["error"] == "invalid_grant"
    assert (await party.refresh(third["refresh_token"])).body["error"] == "invalid_grant"


async def test_twenty_uses_at_once_make_one_successor(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        old = (await browser.tokens(party))["refresh_token"]
    answers = await asyncio.gather(*(party.refresh(old) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer["refresh_token"] for answer in answers}) == 1


async def test_another_client_gets_nothing_and_breaks_nothing(city: City) -> None:
    party, thief = city.relying_party("warga"), city.relying_party("sehat")
    async with city.browser() as browser:
        token = (await browser.tokens(party))["refresh_token"]
    assert (await thief.refresh(token)).body["error"] == "invalid_grant"
    assert (await party.refresh(token)).status == 200


@demand("RFC 6749 6", "less scope is granted, more is refused")
async def test_a_narrower_scope_is_granted_and_a_wider_one_refused(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        token = (await browser.tokens(party, scope="openid email"))["refresh_token"]
    narrower = await party.refresh(token, scope="openid")
    assert (narrower.status, narrower["scope"]) == (200, "openid")
    wider = await party.refresh(narrower["refresh_token"], scope="openid profile")
    assert (wider.status, wider.body["error"]) == (400, "invalid_scope")
    clock.advance(60)
    whole = await party.refresh(narrower["refresh_token"])
    assert whole["scope"] == "openid email", "what was refused did not cost the token"


async def test_what_is_no_refresh_token_is_refused(city: City, subtests: pytest.Subtests) -> None:
    party = city.relying_party("warga")
    for token in ("", "rt-unknown", "x" * 5000, "rt-\u00e9"):
        with subtests.test(token[:10]):
            assert (await party.refresh(token)).body["error"] in ("invalid_grant", "invalid_request")


async def test_an_unused_token_is_over_after_its_time(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        token = (await browser.tokens(party, scope="openid offline_access"))["refresh_token"]
    clock.advance(city.settings.refresh_token_lifetime - timedelta(minutes=1))
    token = (await party.refresh(token))["refresh_token"]
    clock.advance(city.settings.refresh_token_lifetime + timedelta(minutes=1))
    assert (await party.refresh(token)).body["error"] == "invalid_grant"


Act = Callable[[City, Browser], Awaitable[object]]


async def sign_out(city: City, browser: Browser) -> object:
    return await browser.submit(await browser.open("/logout"))


async def disable(city: City, browser: Browser) -> object:
    async with city.provider.db.write() as session:
        return await disable_user(session, city.provider, await _siti(city, session), actor=Actor("test"))


async def new_password(city: City, browser: Browser) -> object:
    hashed = await Passwords(city.settings).hash("another-password-entirely")
    async with city.provider.db.write() as session:
        user = await _siti(city, session)
        return await change_password(session, city.provider, user, hashed, actor=Actor("test"))


async def revoke_session(city: City, browser: Browser) -> object:
    async with city.provider.db.write() as session:
        session_filter = SessionFilter(user_id=city.users["siti"])
        return await end_matching(session, city.provider, session_filter, "administrator", actor=Actor("test"))


async def suspend_client(city: City, browser: Browser) -> object:
    async with city.provider.db.write() as session:
        version = await bump_version(session, "clients")
        await clients.update_client(session, "warga", version, clock.now(), status="suspended")
    return await city.provider.refresh()


async def _siti(city: City, session: object) -> User:
    user = await session.get(User, city.users["siti"])  # type: ignore[attr-defined]
    assert user is not None
    return user


ENDS: dict[str, tuple[Act, bool]] = {
    "sign-out": (sign_out, True),
    "disabled person": (disable, False),
    "changed password": (new_password, False),
    "revoked session": (revoke_session, True),
    "suspended application": (suspend_client, False),
}


@pytest.mark.locks_freely
@pytest.mark.parametrize(("act", "offline_lives"), ENDS.values(), ids=ENDS.keys())
async def test_what_ends_a_family(city: City, act: Act, offline_lives: bool) -> None:
    """Of two families of one session, one bound to the session and one of offline access."""
    party = city.relying_party("warga")
    async with city.browser() as browser:
        bound = await browser.tokens(party, scope="openid")
        offline = await browser.tokens(party, scope="openid offline_access")
        await act(city, browser)
    refused = 401 if act is suspend_client else 400
    for tokens, lives in ((bound, False), (offline, offline_lives)):
        assert (await party.refresh(tokens["refresh_token"])).status == (200 if lives else refused)
        assert (await party.userinfo(tokens["access_token"])).status_code == (200 if lives else 401)


async def test_a_fault_while_the_tokens_are_made_leaves_the_token_unused(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        token = (await browser.tokens(party))["refresh_token"]

    def fail(*_: object) -> str:
        raise RuntimeError("no signature")

    with monkeypatch.context() as patch:
        patch.setattr(city.provider.keys, "sign", fail)
        assert (await party.refresh(token)).status == 500
    assert (await party.introspect(token))["active"] is True
    clock.advance(3600)  # long after the grace for a retry
    assert (await party.refresh(token)).status == 200


@pytest.mark.parametrize("database_kind", ["postgresql"])  # SQLite has one writer at a time
async def test_a_grant_that_ends_during_a_refresh_gives_nothing(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        token = (await browser.tokens(party))["refresh_token"]
    renew = store.renew_refresh_token

    async def end() -> None:
        async with city.provider.db.write() as session:
            await session.execute(update(Grant).values(revoked_at=clock.now()))

    def renew_late(*values: Any) -> bool:
        await_(end())
        return renew(*values)

    monkeypatch.setattr(store, "renew_refresh_token", renew_late)
    assert (await party.refresh(token)).status == 400
    async with city.provider.db.read() as session:
        assert len((await session.execute(select(RefreshToken))).scalars().all()) == 1, "no successor"


async def test_a_refresh_costs_at_most_three_statements(city: City, database_kind: str) -> None:
    """PostgreSQL uses the token, locks its grant and stores the successor in one statement."""
    party = city.relying_party("warga")
    async with city.browser() as browser:
        token = (await browser.tokens(party))["refresh_token"]
    statements = Statements(city)
    assert (await party.refresh(token)).status == 200
    assert len(statements.take()) == (3 if database_kind == "sqlite" else 2)


@demand("Core 11", "offline_access needs consent")
async def test_a_third_party_is_asked_about_for_offline_access(city: City) -> None:
    party: RelyingParty = city.relying_party("mitra")
    async with city.browser() as browser:
        page = await browser.sign_in(party, scope="openid offline_access")
        assert "saat Anda tidak membuka aplikasi" in page.text
        answer = await browser.submit(page, choice="allow")
    tokens = await party.exchange(query_of(answer.headers["location"])["code"])
    assert (await party.refresh(tokens["refresh_token"])).status == 200
    assert PASSWORD not in page.text


async def test_the_end_of_a_session_ends_its_grants_but_those_made_to_outlive_it(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"), scope="openid")
        await browser.tokens(city.relying_party("warga"), scope="openid offline_access")
        await sign_out(city, browser)
    async with city.provider.db.read() as session:
        grants = (await session.execute(select(Grant).order_by(Grant.id))).scalars().all()
    assert [(grant.offline, grant.revoked_at is not None) for grant in grants] == [(False, True), (True, False)]


async def test_a_refresh_that_meets_a_revocation_waits_for_it_and_fails(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        token = (await browser.tokens(party, scope="openid offline_access"))["refresh_token"]
    async with city.provider.db.write() as session:
        await revoke_grants_of_user(session, city.users["siti"], clock.now())
        refreshing = asyncio.create_task(party.refresh(token))
        await until_it_waits(city.provider.db, refreshing)
    assert (await refreshing).body["error"] == "invalid_grant"


async def test_an_exchange_that_meets_the_end_of_its_session_waits_for_it_and_fails(city: City) -> None:
    """Otherwise an application could take part in a session after everyone was told of its end."""
    party = city.relying_party("warga")
    async with city.browser() as browser:
        code = await browser.code(party, scope="openid offline_access")
    async with city.provider.db.write() as session:
        session_filter = SessionFilter(user_id=city.users["siti"])
        assert await end_matching(session, city.provider, session_filter, "administrator", actor=Actor("test")) == 1
        exchanging = asyncio.create_task(party.exchange(code))
        await until_it_waits(city.provider.db, exchanging)
    assert (await exchanging).body["error"] == "invalid_grant"


async def test_somebody_who_is_enabled_again_starts_anew(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        token = (await browser.tokens(party, scope="openid offline_access"))["refresh_token"]
        await disable(city, browser)
        async with city.provider.db.write() as session:
            await set_disabled(session, city.users["siti"], None, clock.now())
        assert (await party.refresh(token)).body["error"] == "invalid_grant"
        assert "refresh_token" in (await browser.tokens(party)).body
