"""OpenID Connect Core sections 3.2 and 3.3, Multiple Response Types, Form Post: every response type, in every mode."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import jwt
import pytest
from tests.conformance.parties import ALL_TYPES, EVERYTHING, Answer, authorize, claims_of, registered, userinfo
from tests.demands import demand
from tests.support import ISSUER, City, RelyingParty, challenge_of

HASHES = {"RS256": "sha256", "PS256": "sha256", "ES256": "sha256", "EdDSA": "sha512"}


def half(value: str, alg: str) -> str:
    digest = hashlib.new(HASHES[alg], value.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


@demand("Core 3.2.2.5", "the implicit flow answers with id_token, and access_token, token_type, expires_in with token")
@demand("Core 3.3.2.5", "the hybrid flow answers with a code and what else was asked for")
@demand("Core 3.2.2.10", "at_hash and c_hash are those of the token and the code beside the ID token")
@demand("Core 3.3.2.11", "c_hash is in an ID token that comes with a code")
@demand("Multiple Response Types 5", "every combination of code, id_token and token is answered in the fragment")
async def test_every_response_type(city: City, subtests: pytest.Subtests) -> None:
    parties = {alg: await registered(city, **EVERYTHING, id_token_signed_response_alg=alg) for alg in HASHES}
    for response_type in ALL_TYPES[1:]:
        async with city.browser() as browser:  # the first answer comes after a sign-in
            for alg, party in parties.items():
                with subtests.test(f"{response_type} {alg}"):
                    answer = await authorize(browser, party, response_type=response_type)
                    await _is_right(answer, party, set(response_type.split()), alg)


async def _is_right(answer: Answer, party: RelyingParty, words: set[str], alg: str) -> None:
    assert answer.mode == "fragment"
    assert ("code" in answer, "access_token" in answer, "id_token" in answer) == (
        "code" in words,
        "token" in words,
        "id_token" in words,
    )
    if "token" in words:
        assert answer["token_type"] == "Bearer"
        assert int(answer["expires_in"]) > 0
        assert (await userinfo(party, answer["access_token"]))["sub"]
    if "id_token" in words:
        claims = answer.claims()
        assert claims["nonce"] == party.nonce
        assert claims.get("at_hash") == (half(answer["access_token"], alg) if "token" in words else None)
        assert claims.get("c_hash") == (half(answer["code"], alg) if "code" in words else None)
        async with party.city.client() as http:
            keys = jwt.PyJWKSet.from_dict((await http.get("/jwks")).json())
        kid = jwt.get_unverified_header(answer["id_token"])["kid"]
        jwt.decode(answer["id_token"], keys[kid].key, [alg], audience=party.client_id, issuer=ISSUER)
    if "code" in words:
        token_response = await party.exchange(answer["code"], code_verifier=None)
        assert token_response.status == 200, token_response.body
        if "id_token" in words:
            both = token_response.claims(), answer.claims()
            assert both[0]["iss"] == both[1]["iss"]
            assert both[0]["sub"] == both[1]["sub"]
            assert both[0]["nonce"] == party.nonce
            assert both[0]["sid"] == both[1]["sid"]


@demand("Multiple Response Types 2.1", "response_mode chooses how the answer comes")
@demand("Form Post 2", "form_post: a form that is posted to the redirect URI, with the parameters as hidden fields")
async def test_modes(city: City, subtests: pytest.Subtests) -> None:
    party = await registered(city, **EVERYTHING)
    for mode in ("fragment", "form_post"):
        async with city.browser() as browser:
            for response_type in ALL_TYPES:
                with subtests.test(f"{response_type} {mode}"):
                    answer = await authorize(browser, party, response_type=response_type, response_mode=mode)
                    assert (answer.mode, answer.redirect_uri) == (mode, party.redirect_uri)
                    assert answer["state"] == party.state
                    assert "error" not in answer


@demand("Form Post 2", "the page that carries a form is not cached and may post to the redirect URI only")
async def test_the_page_of_form_post(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        await authorize(browser, party)
        url = party.url(response_mode="form_post", state='"><script>alert(1)</script>')
        page = await browser.open(url)
    assert "<script>alert" not in page.text
    assert "no-store" in page.headers["cache-control"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


@demand("Form Post 2", "a form is posted to web addresses only")
async def test_no_form_for_a_private_scheme(city: City) -> None:
    party = await registered(city, application_type="native", redirect_uris=["example.rp:/cb"])
    async with city.browser() as browser:
        answer = await authorize(
            browser,
            party,
            response_mode="form_post",
            code_challenge=challenge_of(party.verifier),
            code_challenge_method="S256",
        )
    assert (answer["error"], answer.mode) == ("invalid_request", "form_post")


@demand("Multiple Response Types 3", "response_mode=query is refused where tokens would be in it")
async def test_tokens_are_never_in_a_query(city: City, subtests: pytest.Subtests) -> None:
    party = await registered(city, **EVERYTHING)
    async with city.browser() as browser:
        for response_type in ALL_TYPES[1:]:
            with subtests.test(response_type):
                answer = await authorize(browser, party, response_type=response_type, response_mode="query")
                assert (answer["error"], answer.mode) == ("invalid_request", "fragment")


@demand("Core 3.2.2.1", "nonce is required in the implicit flow")
@demand("Core 3.3.2.11", "nonce is required where an ID token comes from the authorization endpoint")
async def test_a_nonce_is_required(city: City, subtests: pytest.Subtests) -> None:
    party = await registered(city, **EVERYTHING)
    async with city.browser() as browser:
        for response_type in ("id_token", "id_token token", "code id_token", "code id_token token"):
            with subtests.test(response_type):
                answer = await authorize(browser, party, response_type=response_type, nonce=None)
                assert (answer["error"], answer.mode) == ("invalid_request", "fragment")


@demand("Core 3.3.2.11", "a request for code token needs no nonce")
async def test_code_token_needs_no_nonce(city: City) -> None:
    party = await registered(city, **EVERYTHING)
    async with city.browser() as browser:
        assert "code" in await authorize(browser, party, response_type="code token", nonce=None)


@demand("Multiple Response Types 3", "the order of the words of a response type does not matter")
async def test_the_order_of_words(city: City, subtests: pytest.Subtests) -> None:
    party = await registered(city, **EVERYTHING)
    async with city.browser() as browser:
        for response_type in ("token id_token", "id_token code", "token code id_token"):
            with subtests.test(response_type):
                assert "id_token" in await authorize(browser, party, response_type=response_type)


@demand("Core 5.4", "with response_type=id_token the claims of the scopes are in the ID token")
async def test_claims_without_userinfo(city: City) -> None:
    party = await registered(city, **EVERYTHING)
    async with city.browser() as browser:
        alone = await authorize(browser, party, response_type="id_token", scope="openid email")
        both = await authorize(browser, party, response_type="id_token token", scope="openid email")
    assert alone.claims()["email"] == "siti@warga.example"
    assert "email" not in both.claims()
    assert (await userinfo(party, both["access_token"]))["email"] == "siti@warga.example"


@demand("RFC 9700 2.1.2", "tokens from the authorization endpoint are off unless registered")
async def test_response_types_that_are_not_registered(city: City, subtests: pytest.Subtests) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        for response_type in (*ALL_TYPES[1:], "token"):
            with subtests.test(response_type):
                answer = await authorize(browser, party, response_type=response_type)
                assert answer["error"] in ("unauthorized_client", "unsupported_response_type")
                assert answer.mode == "fragment"


@demand("Core 11", "offline_access is ignored where no code is asked for")
async def test_offline_access_needs_a_code(city: City) -> None:
    party = await registered(city, **EVERYTHING)
    async with city.browser() as browser:
        answer = await authorize(browser, party, response_type="id_token token", scope="openid offline_access")
    assert answer["scope"] == "openid"


@demand("RFC 6749 4.1.2", "a code of the hybrid flow used twice takes the tokens of the first answer with it")
async def test_reuse_ends_the_front_channel_token_too(city: City) -> None:
    party = await registered(city, **EVERYTHING)
    async with city.browser() as browser:
        answer = await authorize(browser, party, response_type="code id_token token")
    assert (await party.exchange(answer["code"], code_verifier=None)).status == 200
    assert (await party.userinfo(answer["access_token"])).status_code == 200
    assert (await party.exchange(answer["code"], code_verifier=None)).body["error"] == "invalid_grant"
    assert (await party.userinfo(answer["access_token"])).status_code == 401


@demand("RFC 7636 4.4", "PKCE holds in the hybrid flow as in the code flow")
async def test_pkce_in_the_hybrid_flow(city: City) -> None:
    party = await registered(city, **EVERYTHING)
    async with city.browser() as browser:
        pkce: dict[str, Any] = {"code_challenge": challenge_of(party.verifier), "code_challenge_method": "S256"}
        answer = await authorize(browser, party, response_type="code id_token", **pkce)
        wrong = await party.exchange(answer["code"], code_verifier="x" * 43)
        assert wrong.body["error"] == "invalid_grant"
        answer = await authorize(browser, party, response_type="code id_token", **pkce)
        assert (await party.exchange(answer["code"])).status == 200


@demand("Core 3.2.2.9", "what the implicit flow gave ends with the session")
async def test_front_channel_tokens_end_with_the_session(city: City) -> None:
    party = await registered(city, **EVERYTHING)
    async with city.browser() as browser:
        answer = await authorize(browser, party, response_type="id_token token")
        assert (await party.userinfo(answer["access_token"])).status_code == 200
        home = await browser.open("/")
        await browser.submit(home)
    assert (await party.userinfo(answer["access_token"])).status_code == 401
    assert claims_of(answer["id_token"])["sid"]
