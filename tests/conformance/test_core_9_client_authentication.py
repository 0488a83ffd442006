"""OpenID Connect Core section 9, RFC 7521, RFC 7523: how applications that registered themselves prove who they are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.conformance.conftest import World
from tests.conformance.parties import KeyPair, authorize, key_set, registered
from tests.demands import demand
from tests.support import ISSUER, Browser, City, RelyingParty

from sso import clock

KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def exchange(
    browser: Browser, party: RelyingParty, pair: KeyPair, kid: Any = "OWN", **claims: Any
) -> tuple[int, Any]:
    """Sign in where that is needed, exchange the code with an assertion of ``pair``, and return status and body."""
    code = (await authorize(browser, party))["code"]
    headers = {} if kid is None else {"kid": pair.kid if kid == "OWN" else kid}
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": party.redirect_uri,
        "client_assertion_type": KIND,
        "client_assertion": party.assertion(key=pair.private, alg=pair.alg, headers=headers, **claims),
    }
    async with party.city.client() as http:
        answer = await http.post("/token", data=form)
    return answer.status_code, answer.json()


@pytest.fixture
async def browser(city: City) -> AsyncIterator[Browser]:
    """The browser of one person, for all exchanges of a test."""
    async with city.browser() as new_browser:
        yield new_browser


@demand("Core 9", "client_secret_basic, client_secret_post, client_secret_jwt and none work as registered")
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "client_secret_jwt", "none"])
async def test_methods_with_a_secret_and_without(city: City, method: str) -> None:
    party = await registered(city, token_endpoint_auth_method=method)
    async with city.browser() as browser:
        answer = await browser.sign_in(party)
        if method == "none":  # a public client: PKCE is required, whatever the profile
            assert (await authorize(browser, party))["error"] == "invalid_request"
        answer = await browser.open(party.url())
        if not answer.is_redirect:
            answer = await browser.submit(answer, choice="allow")
    code = answer.headers["location"].partition("code=")[2].partition("&")[0]
    token_response = await party.exchange(code)
    assert token_response.status == 200, token_response.body


@demand("Core 9", "private_key_jwt with each announced algorithm, keys by value")
async def test_private_key_jwt_by_value(city: City, browser: Browser, subtests: pytest.Subtests) -> None:
    for alg in ("RS256", "PS256", "ES256", "EdDSA"):
        pair = KeyPair(alg)
        party = await registered(city, token_endpoint_auth_method="private_key_jwt", jwks=key_set(pair))
        for kid in ("OWN", None):
            with subtests.test(f"{alg} {kid}"):
                status, body = await exchange(browser, party, pair, kid)
                assert status == 200, body


@demand("RFC 7523 3", "aud is the issuer or the token endpoint, as one text")
async def test_the_audience(city: City, browser: Browser, subtests: pytest.Subtests) -> None:
    pair = KeyPair("ES256")
    party = await registered(city, token_endpoint_auth_method="private_key_jwt", jwks=key_set(pair))
    good, bad = (ISSUER, ISSUER + "/token"), ([ISSUER], ISSUER + "/", "https://elsewhere.example")
    for aud in (*good, *bad):
        with subtests.test(str(aud)):
            assert (await exchange(browser, party, pair, aud=aud))[0] == (200 if aud in good else 401)


async def by_reference(city: City, world: World, *pairs: KeyPair) -> RelyingParty:
    jwks_uri = world.publish("/jwks", json.dumps(key_set(*pairs)))
    return await registered(city, token_endpoint_auth_method="private_key_jwt", jwks_uri=jwks_uri)


@demand("Core 10.1.1", "keys at jwks_uri are fetched once and kept; an unknown kid makes them be fetched again at once")
async def test_keys_by_reference(city: City, browser: Browser, world: World) -> None:
    first, second = KeyPair("ES256"), KeyPair("RS256")
    party = await by_reference(city, world, first)
    for _ in range(3):
        assert (await exchange(browser, party, first))[0] == 200
    assert world.fetched_paths == ["/jwks"]
    world.publish("/jwks", json.dumps(key_set(second)))
    assert (await exchange(browser, party, second))[0] == 200
    assert world.fetched_paths == ["/jwks"] * 2
    assert (await exchange(browser, party, first))[0] == 401, "its key is gone"
    clock.advance(6)
    third = KeyPair("EdDSA")
    world.publish("/jwks", json.dumps(key_set(second, third)))
    assert (await exchange(browser, party, third))[0] == 200
    assert (await exchange(browser, party, second))[0] == 200


@demand("RFC 9700 4.13", "unknown key ids do not make us ask an application's server again and again")
async def test_a_floor_between_fetches(city: City, browser: Browser, world: World) -> None:
    pair = KeyPair("ES256")
    party = await by_reference(city, world, pair)
    assert (await exchange(browser, party, pair))[0] == 200
    for number in range(5):
        assert (await exchange(browser, party, pair, kid=f"unknown{number}"))[0] == 401
    assert len(world.fetched_paths) == 2
    assert (await exchange(browser, party, pair))[0] == 200


@demand("Core 10.1.1", "old keys are fetched again, and serve while the server is unavailable")
async def test_old_keys(city: City, browser: Browser, world: World) -> None:
    pair = KeyPair("ES256")
    party = await by_reference(city, world, pair)
    assert (await exchange(browser, party, pair))[0] == 200
    clock.advance(700)
    world.publish("/jwks", "away", status=503)
    assert (await exchange(browser, party, pair))[0] == 200
    assert len(world.fetched_paths) >= 2


@demand("RFC 7521 5.2", "keys that cannot be had or used are invalid_client")
async def test_unusable_keys(city: City, browser: Browser, world: World, subtests: pytest.Subtests) -> None:
    pair = KeyPair("ES256")
    bodies = ("x", "[]", '{"keys": 1}', '{"keys": [1, {"kty": "oct", "k": "AA"}]}', "x" * 70_000)
    for number, body in enumerate(bodies):
        with subtests.test(body[:40]):
            uri = world.publish(f"/jwks-{number}", json.dumps(key_set(pair)))
            party = await registered(city, token_endpoint_auth_method="private_key_jwt", jwks_uri=uri)
            world.publish(f"/jwks-{number}", body)
            status, answer = await exchange(browser, party, pair)
            assert (status, answer["error"]) == (401, "invalid_client")
            assert world.fetched_paths[-1] == f"/jwks-{number}"


@demand("Core 9", "the registered algorithm of assertions is the only one accepted")
async def test_the_registered_algorithm(city: City, browser: Browser) -> None:
    elliptic, rsa = KeyPair("ES256"), KeyPair("RS256")
    party = await registered(
        city,
        token_endpoint_auth_method="private_key_jwt",
        token_endpoint_auth_signing_alg="ES256",
        jwks=key_set(elliptic, rsa),
    )
    assert (await exchange(browser, party, elliptic))[0] == 200
    assert (await exchange(browser, party, rsa))[0] == 401


@demand("RFC 7523 3", "an assertion that is over, not yet valid, valid for too long, or used before is refused")
async def test_times_of_assertions(city: City, browser: Browser, subtests: pytest.Subtests) -> None:
    pair = KeyPair("ES256")
    party = await registered(city, token_endpoint_auth_method="private_key_jwt", jwks=key_set(pair))
    wrong: list[dict[str, Any]] = [
        {"exp": 1},
        {"exp": None},
        {"exp": 4102444800},
        {"nbf": 4102444800},
        {"jti": None},
    ]
    for claims in wrong:
        with subtests.test(str(claims)):
            status, body = await exchange(browser, party, pair, **claims)
            assert (status, body["error"]) == (401, "invalid_client")
    assert (await exchange(browser, party, pair))[0] == 200, "nothing else was wrong"


@demand("RFC 7521 4.2", "iss and sub are the client's own")
async def test_names_in_assertions(city: City, browser: Browser, subtests: pytest.Subtests) -> None:
    pair = KeyPair("ES256")
    party = await registered(city, token_endpoint_auth_method="private_key_jwt", jwks=key_set(pair))
    wrong: list[dict[str, Any]] = [{"iss": "somebody"}, {"iss": None}, {"sub": "somebody"}]
    for claims in wrong:
        with subtests.test(str(claims)):
            assert (await exchange(browser, party, pair, **claims))[0] == 401
    assert (await exchange(browser, party, pair))[0] == 200, "nothing else was wrong"
