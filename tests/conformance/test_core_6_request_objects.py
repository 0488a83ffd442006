"""OpenID Connect Core section 6 and RFC 9101: requests within a JWT, by value and by reference. RFC 9126 in between."""

from __future__ import annotations

import itertools
import json
from typing import Any

import jwt
import pytest
from joserfc import jwe
from joserfc.jwk import ECKey, RSAKey
from tests.conformance.conftest import World
from tests.conformance.parties import (
    EVERYTHING,
    KeyPair,
    authorize,
    claims_of,
    go_on,
    key_set,
    registered,
    request_object,
)
from tests.demands import demand
from tests.support import ISSUER, City, RelyingParty, challenge_of

from sso import clock

ALGS = ["RS256", "ES256", "PS256", "EdDSA"]
NOTHING: dict[str, Any] = {"scope": "openid", "state": None, "nonce": None, "redirect_uri": None}


async def signed(city: City, alg: str = "ES256", **metadata: Any) -> tuple[RelyingParty, KeyPair]:
    pair = KeyPair(alg)
    party = await registered(city, jwks=key_set(pair), request_object_signing_alg=alg, **metadata)
    return party, pair


@demand("Core 6.1", "a signed request object by value is understood, with each algorithm that is announced")
@demand("RFC 9101 6.2", "its signature is checked with the application's registered key and algorithm")
async def test_a_signed_object_by_value(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        for alg in ALGS:
            with subtests.test(alg):
                party, pair = await signed(city, alg)
                answer = await authorize(browser, party, **NOTHING, request=request_object(party, pair))
                token_response = await party.exchange(answer["code"], code_verifier=None)
                assert answer["state"] == party.state
                assert token_response.claims()["nonce"] == party.nonce


@demand("Core 6.1", "an unsigned request object is accepted where the application registered none")
@demand("Registration 2", "without request_object_signing_alg any supported algorithm is accepted, none too")
@demand("RFC 9101 6.2", "an unsigned object of an application that registered an algorithm is invalid_request_object")
async def test_an_unsigned_object(city: City) -> None:
    pair = KeyPair("EdDSA")
    party = await registered(city, request_object_signing_alg="none")
    neither = await registered(city, jwks=key_set(pair))
    strict, _ = await signed(city)
    always = await registered(city, jwks=key_set(pair), require_signed_request_object=True)
    async with city.browser() as browser:
        for good, key in ((party, None), (neither, None), (neither, pair)):
            assert "code" in await authorize(browser, good, **NOTHING, request=request_object(good, key))
        for other in (strict, always):
            answer = await authorize(browser, other, request=request_object(other, None))
            assert answer["error"] == "invalid_request_object"
        standard = city.relying_party("warga")
        answer = await authorize(browser, standard, request=request_object(standard, None))
        assert answer["error"] == "request_not_supported", "with the profile standard nothing unsigned is accepted"


@demand("RFC 7515 4.1.9", "typ is compared without case, and application/ may be left out")
async def test_the_type_of_an_object(city: City) -> None:
    party, pair = await signed(city)
    claims = claims_of(request_object(party, pair))
    async with city.browser() as browser:
        for typ in ("OAuth-Authz-Req+JWT", "application/oauth-authz-req+jwt", "application/JWT", "Jwt"):
            answer = await authorize(browser, party, **NOTHING, request=pair.sign(claims, typ=typ))
            assert "code" in answer, typ
        for typ in ("application/at+jwt", "logout+jwt", "application/application/jwt"):
            answer = await authorize(browser, party, request=pair.sign(claims, typ=typ))
            assert answer["error"] == "invalid_request_object", typ


@demand("RFC 8707 2", "resources may be a list in an object; an unknown member is ignored, of any type")
async def test_members_of_an_object_that_are_no_texts(city: City) -> None:
    party, pair = await signed(city)
    async with city.browser() as browser:
        good = request_object(party, pair, unknown=["x"], other=True, resource=[ISSUER])
        assert "code" in await authorize(browser, party, **NOTHING, request=good)
        for claims, error in (
            ({"resource": [ISSUER, "https://elsewhere.example"]}, "invalid_target"),
            ({"authorization_details": [{"type": "payment"}]}, "invalid_authorization_details"),
            ({"registration": {"client_name": "x"}}, "registration_not_supported"),
        ):
            answer = await authorize(browser, party, **NOTHING, request=request_object(party, pair, **claims))
            assert answer["error"] == error


@demand("Core 6.2", "a request object at a registered request_uri is fetched, signed or unsigned as registered")
async def test_an_object_by_reference(city: City, world: World, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        for alg in ("none", *ALGS):
            with subtests.test(alg):
                uri = world.url(f"/{alg}.jwt#abc123")
                pair = None if alg == "none" else KeyPair(alg)
                jwks = {"jwks": key_set(pair)} if pair else {}
                party = await registered(city, request_uris=[uri], request_object_signing_alg=alg, **jwks)
                world.publish(f"/{alg}.jwt", request_object(party, pair), "application/oauth-authz-req+jwt")
                world.fetched_paths.clear()
                answer = await authorize(browser, party, **NOTHING, request_uri=uri)
                assert answer["state"] == party.state
                assert world.fetched_paths == [f"/{alg}.jwt"]


@demand("Core 6.2", "a request_uri that is not registered is not fetched: request_uri_not_supported")
async def test_an_unregistered_request_uri(city: City, world: World) -> None:
    party = await registered(city, request_uris=[world.url("/a.jwt")])
    async with city.browser() as browser:
        answer = await authorize(browser, party, request_uri=world.url("/b.jwt"))
    assert answer["error"] == "request_uri_not_supported"
    assert world.fetched_paths == []


@demand("Core 3.1.2.6", "a request_uri where nothing is to be had is invalid_request_uri")
async def test_a_request_uri_with_nothing_behind_it(city: City, world: World) -> None:
    party = await registered(city, request_uris=[world.url("/gone.jwt"), "https://localhost:1/x"])
    world.publish("/gone.jwt", "x" * 70_000, "text/plain")
    async with city.browser() as browser:
        for uri in party.registration["request_uris"]:
            assert (await authorize(browser, party, request_uri=uri))["error"] == "invalid_request_uri"


@demand("Core 6.1", "a request object may be encrypted for the provider's key, with each announced way")
async def test_an_encrypted_object(city: City, subtests: pytest.Subtests) -> None:
    async with city.client() as http, city.browser() as browser:
        keys = (await http.get("/jwks")).json()["keys"]
        for alg, enc in itertools.product(["RSA-OAEP-256", "ECDH-ES"], ["A128CBC-HS256", "A128GCM", "A256GCM"]):
            with subtests.test(f"{alg} {enc}"):
                party, pair = await signed(city, request_object_encryption_alg=alg, request_object_encryption_enc=enc)
                public = next(key for key in keys if key["alg"] == alg)
                assert public["use"] == "enc"
                key: Any = (RSAKey if alg == "RSA-OAEP-256" else ECKey).import_key(
                    {name: value for name, value in public.items() if name not in ("use", "alg")}
                )
                header = {"alg": alg, "enc": enc, "cty": "JWT", "kid": public["kid"]}
                registry = jwe.JWERegistry(algorithms=[alg, enc])
                token = jwe.encrypt_compact(header, request_object(party, pair).encode(), key, registry=registry)
                assert "code" in await authorize(browser, party, **NOTHING, request=token)
                broken = token[:-6] + "AAAAAA"
                assert (await authorize(browser, party, request=broken))["error"] == "invalid_request_object"


@demand("Core 6.1", "what is in the object wins over what is outside")
@demand("RFC 9101 6.3", "a parameter outside never overrides one in the object")
async def test_the_object_wins(city: City) -> None:
    party, pair = await signed(city)
    token = request_object(party, pair, state="inner", nonce="inner")
    async with city.browser() as browser:
        answer = await authorize(browser, party, state="outer", nonce="outer", request=token)
        token_response = await party.exchange(answer["code"], code_verifier=None)
    assert (answer["state"], token_response.claims()["nonce"]) == ("inner", "inner")


@demand("Core 6.1", "what is only outside counts too, unless the application signs everything")
@demand("RFC 9101 10.5", "require_signed_request_object: only what is signed counts, and nothing unsigned is accepted")
async def test_what_is_outside(city: City) -> None:
    pair = KeyPair("ES256")
    lax = await registered(city, jwks=key_set(pair), request_object_signing_alg="ES256")
    strict = await registered(
        city, jwks=key_set(pair), request_object_signing_alg="ES256", require_signed_request_object=True
    )
    async with city.browser() as browser:
        for party, expected in ((lax, "outer"), (strict, None)):
            token = request_object(party, pair, state=None)
            answer = await authorize(browser, party, state="outer", request=token)
            assert answer.parameters.get("state") == expected
        assert (await authorize(browser, strict))["error"] == "invalid_request"


@demand("RFC 9101 4", "a redirect URI within the object must be registered")
async def test_a_redirect_uri_in_the_object(city: City) -> None:
    party, pair = await signed(city)
    async with city.browser() as browser:
        token = request_object(party, pair, redirect_uri="https://evil.example/cb")
        page = await browser.open(party.url(request=token))
        assert page.status_code == 400
        good = request_object(party, pair)
        assert "code" in await authorize(browser, party, redirect_uri="https://evil.example/cb", request=good)


WRONG: dict[str, dict[str, Any]] = {
    "expired": {"exp": 1},
    "not yet": {"nbf": 4102444800},
    "far away": {"exp": 4102444800},
    "wordy exp": {"exp": "soon"},
    "other issuer": {"iss": "somebody"},
    "other audience": {"aud": "https://elsewhere.example"},
    "other client": {"client_id": "warga"},
    "other response_type": {"response_type": "id_token"},
    "a client assertion": {"sub": "SELF"},
    "request inside": {"request": "x"},
    "request_uri inside": {"request_uri": "https://rp.example/x"},
    "list": {"scope": ["openid"]},
    "truth": {"nonce": True},
}


@demand("RFC 9101 6.2", "an object that is over, for or of somebody else, or contradicts the request is refused")
async def test_objects_that_are_refused(city: City, subtests: pytest.Subtests) -> None:
    party, pair = await signed(city, **EVERYTHING)
    async with city.browser() as browser:
        for name, wrong in WRONG.items():
            claims = {claim: party.client_id if value == "SELF" else value for claim, value in wrong.items()}
            with subtests.test(name):
                answer = await authorize(browser, party, request=request_object(party, pair, **claims))
                assert answer["error"] == "invalid_request_object"
                assert answer["state"] == party.state
        assert "code" in await authorize(browser, party, request=request_object(party, pair)), "nothing else was wrong"


@demand("RFC 8725 3.1", "another algorithm, key, type, or a critical header is refused")
async def test_signatures_that_are_refused(city: City) -> None:
    party, pair = await signed(city)
    body = jwt.decode(request_object(party, pair), options={"verify_signature": False})
    secret = city.secrets[party.client_id]
    wrong = [
        KeyPair("ES256", kid=pair.kid).sign(body),
        KeyPair("RS256", kid=pair.kid).sign(body),
        jwt.encode(body, secret, "HS256"),
        pair.sign(body, crit=["b64"], b64=True),
        pair.sign(body, typ="at+jwt"),
        pair.sign(body)[:-4] + "AAAA",
        "a.b.c",
        "a.b.c.d.e",
        "x" * 40_000,
    ]
    async with city.browser() as browser:
        for token in wrong:
            page = await browser.http.post("/authorize", data=party.parameters(request=token))
            answer = await go_on(browser, page)
            assert answer["error"] == "invalid_request_object", token[:80]


@demand("Core 6.1", "request and request_uri together are refused")
async def test_both_at_once(city: City) -> None:
    party, pair = await signed(city)
    async with city.browser() as browser:
        answer = await authorize(browser, party, request=request_object(party, pair), request_uri="https://x.example/")
    assert answer["error"] == "invalid_request"


@demand("Core 6.3.3", "max_age and claims may be numbers and objects within a request object")
async def test_numbers_and_objects(city: City) -> None:
    party, pair = await signed(city)
    claims = {"id_token": {"email": {"essential": True}}}
    async with city.browser() as browser:
        token = request_object(party, pair, claims=claims, max_age=1000)
        answer = await authorize(browser, party, **NOTHING, request=token)
        token_response = await party.exchange(answer["code"], code_verifier=None)
    assert token_response.claims()["email"] == "siti@warga.example"


async def push(party: RelyingParty, **changes: Any) -> Any:
    return await party.post("/par", party.parameters(code_challenge=None, code_challenge_method=None, **changes))


@demand("RFC 9126 2.2", "a pushed request is answered with 201, a request_uri and expires_in, and is used by name")
@demand("RFC 9126 4", "the browser carries client_id and request_uri only")
async def test_a_pushed_request(city: City) -> None:
    party = await registered(city)
    answer = await push(party, state="pushed")
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert answer.json()["expires_in"] == 60
    async with city.browser() as browser:
        url = f"/authorize?client_id={party.client_id}&request_uri={answer.json()['request_uri']}"
        done = await go_on(browser, await browser.open(url + "&state=outside&scope=openid+phone"))
        token_response = await party.exchange(done["code"], code_verifier=None)
    assert done["state"] == "pushed"
    assert "phone" not in token_response["scope"]


@demand("RFC 9126 2.3", "what is wrong is said at once, in JSON")
async def test_pushes_that_are_refused(city: City) -> None:
    party, other = await registered(city), await registered(city)
    wrong = {
        "invalid_request": [
            {"redirect_uri": "https://evil.example/"},
            {"response_type": None},
            {"prompt": "none login"},
        ],
        "unauthorized_client": [{"response_type": "id_token"}],
    }
    for error, changes in wrong.items():
        for change in changes:
            answer = await push(party, **change)
            assert (answer.status_code, answer.json()["error"]) == (400, error), change
            assert answer.json()["error_description"]
    assert (await push(party, request_uri="urn:ietf:params:oauth:request_uri:x")).json()["error"] == "invalid_request"
    assert (await push(party, client_id=other.client_id)).json()["error"] == "invalid_request"
    async with city.client() as http:
        bare = await http.post("/par", data=party.parameters())
        assert (bare.status_code, bare.json()["error"]) == (401, "invalid_client")
        assert (await http.get("/par")).status_code == 405


@demand("RFC 9126 2.2", "a pushed request is over after its time, and is nobody else's")
async def test_a_pushed_request_ends(city: City) -> None:
    party, other = await registered(city), await registered(city)
    uri = (await push(party)).json()["request_uri"]
    async with city.browser() as browser:
        assert (await authorize(browser, other, request_uri=uri))["error"] == "invalid_request_uri"
        clock.advance(61)
        assert (await authorize(browser, party, request_uri=uri))["error"] == "invalid_request_uri"


@demand("RFC 9126 6", "an application that must push is not answered otherwise")
async def test_an_application_that_must_push(city: City) -> None:
    party = await registered(city, require_pushed_authorization_requests=True)
    async with city.browser() as browser:
        assert (await authorize(browser, party))["error"] == "invalid_request"
        uri = (await push(party)).json()["request_uri"]
        assert "code" in await authorize(browser, party, request_uri=uri)


@demand("RFC 9126 3", "a request object may be pushed")
async def test_a_pushed_object(city: City) -> None:
    pair = KeyPair("ES256")
    party = await registered(
        city,
        jwks=key_set(pair),
        request_object_signing_alg="ES256",
        require_signed_request_object=True,
        token_endpoint_auth_method="private_key_jwt",
    )
    assertion = party.assertion(key=pair.private, headers={"kid": pair.kid})
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    form = {"client_assertion_type": kind, "client_assertion": assertion, "request": request_object(party, pair)}
    async with city.client() as http, city.browser() as browser:
        answer = await http.post("/par", data=form)
        assert answer.status_code == 201, answer.text
        done = await authorize(browser, party, request_uri=answer.json()["request_uri"])
    assert done["state"] == party.state


@demand("RFC 7636 4.3", "PKCE within a request object holds")
async def test_pkce_in_an_object(city: City) -> None:
    party, pair = await signed(city)
    pkce = {"code_challenge": challenge_of(party.verifier), "code_challenge_method": "S256"}
    async with city.browser() as browser:
        answer = await authorize(browser, party, **NOTHING, request=request_object(party, pair, **pkce))
    assert (await party.exchange(answer["code"], code_verifier=None)).body["error"] == "invalid_grant"


@demand("Core 6.2.1", "keys at jwks_uri serve request objects too, and a new key works at once")
async def test_keys_by_reference(city: City, world: World) -> None:
    first, second = KeyPair("ES256"), KeyPair("ES256")
    jwks_uri = world.publish("/jwks", json.dumps(key_set(first)))
    party = await registered(city, jwks_uri=jwks_uri, request_object_signing_alg="ES256")
    async with city.browser() as browser:
        assert "code" in await authorize(browser, party, **NOTHING, request=request_object(party, first))
        world.publish("/jwks", json.dumps(key_set(second)))
        assert "code" in await authorize(browser, party, **NOTHING, request=request_object(party, second))
        gone = await authorize(browser, party, request=request_object(party, first))
        assert gone["error"] == "invalid_request_object"
    assert claims_of(request_object(party, first))["iss"] == party.client_id
