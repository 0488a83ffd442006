"""OpenID Connect Core sections 2, 10 and 16: how ID tokens and userinfo are signed and encrypted, and keys rotate."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from joserfc import jwe
from joserfc.jwk import ECKey, OKPKey, RSAKey
from tests.conformance.conftest import World
from tests.conformance.parties import (
    EVERYTHING,
    KeyPair,
    authorize,
    claims_of,
    header_of,
    key_set,
    post_registration,
    registered,
    tokens,
    userinfo,
)
from tests.demands import demand
from tests.support import ISSUER, Browser, City, RelyingParty

from sso import clock
from sso.jobs import clear_up
from sso.platform.keys import rotate

ALGS = ["RS256", "ES256", "EdDSA", "PS256"]
ENCS = ["A128CBC-HS256", "A128GCM", "A256GCM"]


async def verified(city: City, token: str, alg: str, audience: str) -> dict[str, Any]:
    """Return the claims of a token, checked with the published keys."""
    async with city.client() as http:
        keys = jwt.PyJWKSet.from_dict(
            {"keys": [key for key in (await http.get("/jwks")).json()["keys"] if key["use"] == "sig"]}
        )
    kid = jwt.get_unverified_header(token)["kid"]
    claims: dict[str, Any] = jwt.decode(token, keys[kid].key, [alg], audience=audience, issuer=ISSUER)
    return claims


def decrypted(token: str, pair: KeyPair, alg: str, enc: str) -> str:
    header = header_of(token)
    assert (header["alg"], header["enc"], header["kid"]) == (alg, enc, pair.kid)
    kind: Any = RSAKey if alg == "RSA-OAEP-256" else ECKey
    registry = jwe.JWERegistry(algorithms=[alg, enc])
    return (jwe.decrypt_compact(token, kind.import_key(pair.der), registry=registry).plaintext or b"").decode()


@demand("Core 2", "ID tokens are signed with the algorithm that the application registered")
async def test_id_tokens_are_signed(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        for alg in ALGS:
            with subtests.test(alg):
                party = await registered(city, id_token_signed_response_alg=alg)
                token_response = await tokens(browser, party)
                claims = await verified(city, token_response["id_token"], alg, party.client_id)
                assert isinstance(claims["aud"], str)
                assert claims["exp"] > claims["iat"]


@demand("Registration 2", "RS256 where nothing is registered")
@demand("Core 15.1", "RS256 is supported")
async def test_rs256_is_the_default(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        token_response = await tokens(browser, party)
    assert jwt.get_unverified_header(token_response["id_token"])["alg"] == "RS256"


@demand("Core 2", "alg none only where it was registered, and only in the code flow")
async def test_alg_none(city: City) -> None:
    party = await registered(city, id_token_signed_response_alg="none")
    async with city.browser() as browser:
        token_response = await tokens(browser, party)
    header, body, signature = token_response["id_token"].split(".")
    assert signature == ""
    assert jwt.get_unverified_header(token_response["id_token"])["alg"] == "none"
    assert claims_of(f"{header}.{body}.")["aud"] == party.client_id
    refused = await post_registration(
        city, {"redirect_uris": ["https://a.example/cb"], **EVERYTHING, "id_token_signed_response_alg": "none"}
    )
    assert refused.json()["error"] == "invalid_client_metadata"


@demand("Core 10.2", "ID tokens are signed and then encrypted as registered")
@demand("Registration 2", "A128CBC-HS256 where only the key management is registered")
async def test_id_tokens_are_encrypted(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        for alg, enc in itertools.product(["RSA-OAEP-256", "ECDH-ES"], [*ENCS, None]):
            with subtests.test(f"{alg} {enc}"):
                pair, signing = KeyPair(alg, use="enc"), KeyPair("ES256")
                party = await registered(
                    city,
                    **EVERYTHING,
                    jwks=key_set(signing, pair),
                    id_token_encrypted_response_alg=alg,
                    **({"id_token_encrypted_response_enc": enc} if enc else {}),
                )
                answer = await authorize(browser, party, response_type="code id_token")
                token_response = await party.exchange(answer["code"], code_verifier=None)
                for token in (answer["id_token"], token_response["id_token"]):
                    assert header_of(token)["cty"] == "JWT"
                    inner = decrypted(token, pair, alg, enc or "A128CBC-HS256")
                    await verified(city, inner, "RS256", party.client_id)
                assert "code" in await authorize(browser, party, prompt="none", id_token_hint=inner)


@demand("Core 5.3.2", "userinfo answers with a signed, an encrypted, or a nested JWT as registered")
async def test_userinfo_as_a_jwt(city: City, world: World, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        for signing, enc in itertools.product([None, *ALGS], [None, "A256GCM"]):
            with subtests.test(f"{signing} {enc}"):
                await _userinfo_is_as_registered(browser, world, signing, enc)


async def _userinfo_is_as_registered(browser: Browser, world: World, signing: str | None, enc: str | None) -> None:
    pair, city = KeyPair("RSA-OAEP-256", use="enc"), browser.city
    metadata: dict[str, Any] = {}
    if signing:
        metadata["userinfo_signed_response_alg"] = signing
    if enc:
        metadata |= {
            "userinfo_encrypted_response_alg": "RSA-OAEP-256",
            "userinfo_encrypted_response_enc": enc,
            "jwks_uri": world.publish(f"/jwks-{signing}", json.dumps(key_set(pair))),
        }
    party = await registered(city, **metadata)
    token_response = await tokens(browser, party)
    answer = await party.userinfo(token_response["access_token"])
    kind = "application/jwt" if metadata else "application/json"
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind)
    text = decrypted(answer.text, pair, "RSA-OAEP-256", enc) if enc else answer.text
    if signing:
        claims = await verified(city, text, signing, party.client_id)
        assert claims["iss"] == ISSUER
    else:
        claims = json.loads(text)
    assert (claims["sub"], claims["email"]) == (claims_of(token_response["id_token"])["sub"], "siti@warga.example")


@demand("Core 10.2", "without a key to encrypt with, nothing is sent in the clear")
async def test_encryption_without_a_key(city: City, world: World) -> None:
    jwks_uri = world.publish("/jwks", json.dumps(key_set(KeyPair("RSA-OAEP-256", use="enc"))))
    metadata = {"id_token_encrypted_response_alg": "RSA-OAEP-256", "userinfo_encrypted_response_alg": "RSA-OAEP-256"}
    party = await registered(city, **EVERYTHING, jwks_uri=jwks_uri, **metadata)
    world.publish("/jwks", json.dumps({"keys": []}))
    async with city.browser() as browser:
        answer = await authorize(browser, party)
        refused = await party.exchange(answer["code"], code_verifier=None)
        assert (refused.status, refused.body["error"]) == (400, "invalid_request")
        front = await authorize(browser, party, response_type="id_token")
        assert front["error"] == "invalid_request"
        token = (await authorize(browser, party, response_type="code token"))["access_token"]
    assert (await party.userinfo(token)).status_code == 400


async def test_a_refresh_that_cannot_be_encrypted_is_done_by_a_retry(city: City, world: World) -> None:
    keys = json.dumps(key_set(KeyPair("RSA-OAEP-256", use="enc")))
    party = await registered(
        city, **EVERYTHING, jwks_uri=world.publish("/jwks", keys), id_token_encrypted_response_alg="RSA-OAEP-256"
    )
    async with city.browser() as browser:
        code = (await authorize(browser, party, scope="openid offline_access", prompt="consent"))["code"]
    tokens = await party.exchange(code, code_verifier=None)
    assert tokens.status == 200, tokens.body
    city.provider.client_keys.__init__(city.provider.outbound, timedelta(0))  # type: ignore[misc]
    world.publish("/jwks", json.dumps({"keys": []}))
    refused = await party.refresh(tokens["refresh_token"])
    assert (refused.status, refused.body["error"]) == (400, "invalid_request")
    city.provider.client_keys.__init__(city.provider.outbound, timedelta(0))  # type: ignore[misc]
    world.publish("/jwks", keys)
    assert (await party.refresh(tokens["refresh_token"])).status == 200


async def rotated(city: City) -> None:
    async with city.provider.db.write() as session:
        await rotate(session, city.provider.box)
    await city.provider.refresh()


async def published(city: City) -> dict[str, dict[str, Any]]:
    async with city.client() as http:
        return {key["kid"]: key for key in (await http.get("/jwks")).json()["keys"]}


@demand("Core 10.1.1", "a new signing key is published before it signs, and the old one stays beside it")
async def test_signing_keys_rotate(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        clock.advance(600)
        first = await tokens(browser, party)
        before = await published(city)
        await rotated(city)
        second = await tokens(browser, party)
    after = await published(city)
    kids = [jwt.get_unverified_header(token_response["id_token"])["kid"] for token_response in (first, second)]
    assert kids[0] != kids[1]
    assert set(kids) <= set(before) & set(after)
    assert len(after) > len(before)
    assert (await party.userinfo(first["access_token"])).status_code == 200, "the old key still verifies"


@demand("Core 10.2.1", "encryption keys rotate: the new one is published, the old one still opens")
async def test_encryption_keys_rotate(city: City) -> None:
    party = await registered(city, request_object_signing_alg="none")
    before = {kid: key for kid, key in (await published(city)).items() if key["use"] == "enc"}
    clock.advance(600)
    await rotated(city)
    after = {kid: key for kid, key in (await published(city)).items() if key["use"] == "enc"}
    assert len(before) == len(after) == 2
    assert not set(before) & set(after)
    kid, old = next((kid, key) for kid, key in before.items() if key["kty"] == "RSA")
    key = RSAKey.import_key({"kty": "RSA", "n": old["n"], "e": old["e"]})
    registry = jwe.JWERegistry(algorithms=["RSA-OAEP-256", "A128GCM"])
    plain = jwt.encode({"client_id": party.client_id, "response_type": "code", "scope": "openid"}, None, "none")
    header = {"alg": "RSA-OAEP-256", "enc": "A128GCM", "kid": kid}
    token = jwe.encrypt_compact(header, plain.encode(), key, registry=registry)
    async with city.browser() as browser:
        assert "code" in await authorize(browser, party, request=token)
        clock.advance(86400)
        assert (await authorize(browser, party, request=token))["error"] == "invalid_request_object"


@demand("Core 10.1.1", "keys are rotated by schedule, once for all processes, and retired when nothing needs them")
@pytest.mark.parametrize("days", [30])
async def test_keys_rotate_by_themselves(city: City, days: int) -> None:
    before = set(await published(city))
    clock.advance(89 * 86400)
    await clear_up(city.provider)
    await city.provider.refresh()
    assert set(await published(city)) == before
    clock.advance(2 * 86400)
    await clear_up(city.provider)
    await clear_up(city.provider)
    await city.provider.refresh()
    now = await published(city)
    assert len(set(now) - before) == 4 + 2
    clock.advance(int(timedelta(days=1).total_seconds()))
    later = set(await published(city))
    assert len(later) == 10
    assert len(before & later) == 4


@demand("Core 10.1", "keys have ids that differ, and nothing private or symmetric is published")
async def test_published_keys(city: City) -> None:
    for kid, key in (await published(city)).items():
        assert key["kid"] == kid
        assert key["kty"] in ("RSA", "EC", "OKP")
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key)


@demand("Core 12.2", "an ID token on refresh has the same iss, sub, aud, auth_time and nonce, and a new iat")
async def test_the_id_token_of_a_refresh(city: City) -> None:
    party = await registered(city, grant_types=["authorization_code", "refresh_token"])
    async with city.browser() as browser:
        first = await tokens(browser, party)
    clock.advance(5)
    again = await party.refresh(first["refresh_token"])
    first_claims, refreshed_claims = claims_of(first["id_token"]), again.claims()
    for name in ("iss", "sub", "aud", "auth_time", "nonce", "sid"):
        assert first_claims.get(name) == refreshed_claims.get(name), name
    assert refreshed_claims["iat"] > first_claims["iat"]


@demand("Core 12", "a refresh token is bound to its client")
@demand("RFC 6749 6", "another client's refresh token is invalid_grant")
async def test_a_refresh_token_of_another_client(city: City) -> None:
    grants = {"grant_types": ["authorization_code", "refresh_token"]}
    party, other = await registered(city, **grants), await registered(city, **grants)
    async with city.browser() as browser:
        token_response = await tokens(browser, party)
    assert (await other.refresh(token_response["refresh_token"])).body["error"] == "invalid_grant"
    assert (await party.refresh(token_response["refresh_token"])).status == 200


@demand("RFC 6749 4.1.2", "a code used twice revokes what it gave: at once, and after thirty seconds")
@pytest.mark.parametrize("seconds", [0, 30])
async def test_code_reuse(city: City, seconds: int) -> None:
    party: RelyingParty = await registered(city, grant_types=["authorization_code", "refresh_token"])
    async with city.browser() as browser:
        code = (await authorize(browser, party))["code"]
    first = await party.exchange(code, code_verifier=None)
    assert (await userinfo(party, first["access_token"]))["sub"]
    clock.advance(seconds)
    second = await party.exchange(code, code_verifier=None)
    assert (second.status, second.body["error"]) == (400, "invalid_grant")
    assert (await party.userinfo(first["access_token"])).status_code == 401
    assert (await party.refresh(first["refresh_token"])).body["error"] == "invalid_grant"


def test_keys_of_tests_are_what_they_say() -> None:
    assert OKPKey.import_key(KeyPair("EdDSA").der).as_dict(private=False)["crv"] == "Ed25519"
