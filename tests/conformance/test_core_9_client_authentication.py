"""OpenID Connect Core section 9, RFC 7521, RFC 7523: how applications that registered themselves prove who they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.conformance.conftest import World
from tests.conformance.parties import KeyPair, authorize, key_set, registered
from tests.demands import demand
from tests.support import ISSUER, City, RelyingParty

from sso import clock

KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def exchange(city: City, party: RelyingParty, pair: KeyPair, kid: Any = "OWN", **claims: Any) -> tuple[int, Any]:
    """Sign in, exchange the code with an assertion of ``pair``, and return status and body."""
    async with city.browser() as browser:
        code = (await authorize(browser, party))["code"]
    headers = {} if kid is None else {"kid": pair.kid if kid == "OWN" else kid}
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": party.redirect_uri,
        "client_assertion_type": KIND,
        "client_assertion": party.assertion(key=pair.private, alg=pair.alg, headers=headers, **claims),
    }
    async with city.client() as http:
        answer = await http.post("/token", data=form)
    return answer.status_code, answer.json()


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
    made = await party.exchange(code)
    assert made.status == 200, made.body


@demand("Core 9", "private_key_jwt with each announced algorithm, keys by value")
@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("kid", ["OWN", None])
async def test_private_key_jwt_by_value(city: City, alg: str, kid: Any) -> None:
    pair = KeyPair(alg)
    party = await registered(city, token_endpoint_auth_method="private_key_jwt", jwks=key_set(pair))
    status, body = await exchange(city, party, pair, kid)
    assert status == 200, body


@demand("RFC 7523 3", "aud is the issuer or the token endpoint, as one text")
@pytest.mark.parametrize(
    ("aud", "status"),
    [(ISSUER, 200), (ISSUER + "/token", 200), ([ISSUER], 401), (ISSUER + "/", 401), ("https://elsewhere.example", 401)],
)
async def test_the_audience(city: City, aud: Any, status: int) -> None:
    pair = KeyPair("ES256")
    party = await registered(city, token_endpoint_auth_method="private_key_jwt", jwks=key_set(pair))
    assert (await exchange(city, party, pair, aud=aud))[0] == status


async def by_reference(city: City, world: World, *pairs: KeyPair) -> RelyingParty:
    jwks_uri = world.publish("/jwks", json.dumps(key_set(*pairs)))
    return await registered(city, token_endpoint_auth_method="private_key_jwt", jwks_uri=jwks_uri)


@demand("Core 10.1.1", "keys at jwks_uri are fetched once and kept; an unknown kid makes them be fetched again at once")
async def test_keys_by_reference(city: City, world: World) -> None:
    first, second = KeyPair("ES256"), KeyPair("RS256")
    party = await by_reference(city, world, first)
    for _ in range(3):
        assert (await exchange(city, party, first))[0] == 200
    assert world.asked == ["/jwks"]
    world.publish("/jwks", json.dumps(key_set(second)))
    assert (await exchange(city, party, second))[0] == 200
    assert world.asked == ["/jwks"] * 2
    assert (await exchange(city, party, first))[0] == 401, "its key is gone"
    clock.advance(6)
    third = KeyPair("EdDSA")
    world.publish("/jwks", json.dumps(key_set(second, third)))
    assert (await exchange(city, party, third))[0] == 200
    assert (await exchange(city, party, second))[0] == 200


@demand("RFC 9700 4.13", "unknown key ids do not make us ask an application's server again and again")
async def test_a_floor_between_fetches(city: City, world: World) -> None:
    pair = KeyPair("ES256")
    party = await by_reference(city, world, pair)
    assert (await exchange(city, party, pair))[0] == 200
    for number in range(5):
        assert (await exchange(city, party, pair, kid=f"unknown{number}"))[0] == 401
    assert len(world.asked) == 2
    assert (await exchange(city, party, pair))[0] == 200


@demand("Core 10.1.1", "old keys are fetched again, and serve while the server is unavailable")
async def test_old_keys(city: City, world: World) -> None:
    pair = KeyPair("ES256")
    party = await by_reference(city, world, pair)
    assert (await exchange(city, party, pair))[0] == 200
    clock.advance(700)
    world.publish("/jwks", "away", status=503)
    assert (await exchange(city, party, pair))[0] == 200
    assert len(world.asked) >= 2


@pytest.mark.parametrize("body", ["x", "[]", '{"keys": 1}', '{"keys": [1, {"kty": "oct", "k": "AA"}]}', "x" * 70_000])
@demand("RFC 7521 5.2", "keys that cannot be had or used are invalid_client")
async def test_unusable_keys(city: City, world: World, body: str) -> None:
    pair = KeyPair("ES256")
    party = await by_reference(city, world, pair)
    world.publish("/jwks", body)
    status, answer = await exchange(city, party, pair)
    assert (status, answer["error"]) == (401, "invalid_client")


@demand("Core 9", "the registered algorithm of assertions is the only one accepted")
async def test_the_registered_algorithm(city: City) -> None:
    one, other = KeyPair("ES256"), KeyPair("RS256")
    party = await registered(
        city,
        token_endpoint_auth_method="private_key_jwt",
        token_endpoint_auth_signing_alg="ES256",
        jwks=key_set(one, other),
    )
    assert (await exchange(city, party, one))[0] == 200
    assert (await exchange(city, party, other))[0] == 401


@demand("RFC 7523 3", "an assertion that is over, not yet valid, valid for too long, or used before is refused")
@pytest.mark.parametrize("claims", [{"exp": 1}, {"exp": None}, {"exp": 4102444800}, {"nbf": 4102444800}, {"jti": None}])
async def test_times_of_assertions(city: City, claims: dict[str, Any]) -> None:
    pair = KeyPair("ES256")
    party = await registered(city, token_endpoint_auth_method="private_key_jwt", jwks=key_set(pair))
    status, body = await exchange(city, party, pair, **claims)
    assert (status, body["error"]) == (401, "invalid_client")


@demand("RFC 7521 4.2", "iss and sub are the client's own")
@pytest.mark.parametrize("claims", [{"iss": "somebody"}, {"iss": None}, {"sub": "somebody"}])
async def test_names_in_assertions(city: City, claims: dict[str, Any]) -> None:
    pair = KeyPair("ES256")
    party = await registered(city, token_endpoint_auth_method="private_key_jwt", jwks=key_set(pair))
    assert (await exchange(city, party, pair, **claims))[0] == 401
