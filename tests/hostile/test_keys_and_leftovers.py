"""Access must not outlive its reason: keys that were retired or withdrawn, tokens of people at an API for programs."""

from __future__ import annotations

from datetime import timedelta

import jwt
import pytest
from tests.support import ISSUER, City, query_of

from sso import clock
from sso.clients.metadata import ClientMetadata
from sso.clients.secrets import replace_client
from sso.clients.store import lock_client
from sso.platform.actor import Actor
from sso.platform.keys import list_keys, rotate, withdraw
from sso.platform.keys.ring import KeyRing


async def _forged(city: City, ring: KeyRing, alg: str, client_id: str, scope: str) -> str:
    """Return an access token as somebody makes it who has a copy of a signing key."""
    now = clock.timestamp()
    claims = {"iss": ISSUER, "sub": client_id, "aud": ISSUER, "client_id": client_id, "scope": scope}
    return ring.sign({**claims, "iat": now, "exp": now + 300, "jti": "forged"}, alg, "at+jwt")


async def _copied_ring(city: City) -> KeyRing:
    """Return the signing keys of now, as a thief has them later."""
    provider = city.provider
    ring = KeyRing(provider.box, timedelta(minutes=10))
    async with provider.db.read() as session:
        await ring.load(session)
    return ring


async def test_a_key_signs_nothing_once_it_is_no_longer_published(city: City) -> None:
    stolen = await _copied_ring(city)
    clock.advance(600)
    async with city.provider.db.write() as session:
        await rotate(session, city.provider.box)
    await city.provider.refresh()
    clock.advance(60 * 86400)
    async with city.client() as http:
        for alg in stolen.algs:
            token = await _forged(city, stolen, alg, "konsol", "sso:users:read")
            kid = jwt.get_unverified_header(token)["kid"]
            assert kid not in (await http.get("/jwks")).text
            answer = await http.get("/api/v1/users", headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.json()["type"]) == (401, "urn:sso:problem:invalid_token"), alg


@pytest.mark.parametrize("status", ["active", "next", "retired"])
async def test_a_withdrawn_key_opens_nothing_from_that_moment_on(city: City, status: str) -> None:
    provider, party = city.provider, city.relying_party("warga")
    async with city.browser() as browser, city.client() as http:
        tokens = await browser.tokens(party)
        if status == "retired":
            clock.advance(600)
            async with provider.db.write() as session:
                await rotate(session, provider.box)
        signed_with = jwt.get_unverified_header(tokens["access_token"])["kid"]
        async with provider.db.write() as session:
            keys = await list_keys(session)
            ours = [key for key in keys if key.status == status and key.alg == provider.settings.signing_alg]
            kid = signed_with if status != "next" else ours[0].kid
            assert kid in [key.kid for key in ours]
            assert await withdraw(session, provider.box, kid) == status
        await provider.refresh()
        published = (await http.get("/jwks")).json()["keys"]
        assert kid not in [key["kid"] for key in published]
        assert len([key for key in published if key["use"] == "sig"]) >= 8
        known = (await party.userinfo(tokens["access_token"])).status_code
        assert known == (200 if status == "next" else 401)
        again = await browser.tokens(party)
        assert (await party.userinfo(again["access_token"])).status_code == 200
        assert (await party.refresh(tokens["refresh_token"])).status == 200
        async with provider.db.read() as session:
            remaining = [(key.alg, key.status) for key in await list_keys(session) if key.status != "retired"]
        assert len(remaining) == len(set(remaining)) == 10


async def test_a_token_of_a_person_does_not_look_after_a_stream(city: City) -> None:
    party = city.relying_party("sinyal")
    async with city.browser() as browser, city.client() as http:
        tokens = await browser.tokens(party, scope="openid ssf.read ssf.manage")
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        for method, path in (("POST", "/ssf/stream"), ("GET", "/ssf/stream"), ("DELETE", "/ssf/stream")):
            answer = await http.request(method, path, headers=headers, json={} if method == "POST" else None)
            assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope"), method


async def test_a_loopback_address_with_odd_characters_is_not_registered(city: City) -> None:
    party = city.relying_party("ponsel")
    good = "http://127.0.0.1:7777/oauth2redirect"
    async with city.browser() as browser:
        assert (await browser.http.get(party.url(redirect_uri=good))).status_code == 200
        for odd in ("\r\n", "\t", "\x00", " "):
            for address in (good + odd, odd + good, good.replace(":7777", odd + ":7777")):
                answer = await browser.http.get(party.url(redirect_uri=address))
                assert answer.status_code == 400, address
                assert "location" not in answer.headers


async def test_an_error_page_shows_no_sentence_of_the_link(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        for changes in (
            {"redirect_uri": "https://x.example/ Please call +62 811 000 and say your password"},
            {"client_id": "Please call +62 811 000"},
        ):
            page = await browser.http.get(party.url(**changes))
            assert page.status_code == 400
            assert "call +62" not in page.text
            assert "Please%20call%20" in page.text


async def test_offline_access_ends_when_the_application_may_not_have_it_any_more(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid offline_access")
        client = city.provider.registry.get("warga")
        assert client is not None
        scope = " ".join(sorted(client.scopes - {"offline_access"}))
        async with city.provider.db.write() as session:
            row = await lock_client(session, "warga")
            assert row is not None
            metadata = ClientMetadata.model_validate({**row.metadata_, "scope": scope})
            await replace_client(session, row, metadata, catalogue=row.catalogue, actor=Actor("cli"))
        await city.provider.refresh()
        answer = await party.refresh(tokens["refresh_token"])
        assert (answer.status, answer.body["error"]) == (400, "invalid_grant")


async def test_a_code_looks_at_the_consent_of_its_own_user(city: City) -> None:
    party = city.relying_party("mitra")
    for username, scope in (("siti", "openid"), ("lengkap", "openid profile")):
        async with city.browser() as browser:
            page = await browser.sign_in(party, username=username, scope=scope)
            answer = await browser.submit(page, choice="allow")
            code = query_of(answer.headers["location"])["code"]
            assert (await party.exchange(code)).status == 200, username
