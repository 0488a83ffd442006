"""The authorization code flow, from the browser to the tokens (RFC 6749 section 4.1, Core section 3.1)."""

from __future__ import annotations

import jwt
import pytest
from tests.demands import demand
from tests.support import ISSUER, PASSWORD, City, query_of

from sso import clock
from sso.settings import whole_seconds


@demand("RFC 6749 4.1", "the code flow, whole")
@demand("Core 3.1.3.3", "the token response")
async def test_a_person_signs_in_and_the_application_gets_tokens(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.open(party.url())
        assert page.status_code == 200
        assert "Layanan Warga" in page.text
        answer = await browser.submit(page, username="siti", password=PASSWORD)
    assert answer.status_code == 303
    location = answer.headers["location"]
    assert location.startswith("https://warga.example/cb?")
    assert query_of(location)["state"] == party.state
    assert query_of(location)["iss"] == ISSUER
    tokens = await party.exchange(query_of(location)["code"])
    assert tokens.status == 200
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == whole_seconds(city.settings.access_token_lifetime)
    assert tokens["scope"] == "openid profile email"
    claims = tokens.claims()
    assert claims["iss"] == ISSUER
    assert claims["aud"] == "warga"
    assert claims["sub"] == str(city.users["siti"])
    assert claims["nonce"] == party.nonce
    assert claims["amr"] == ["pwd"]
    assert abs(claims["auth_time"] - clock.timestamp()) < 5
    assert claims["sid"]


async def test_the_second_application_opens_without_asking(city: City) -> None:
    async with city.browser() as browser:
        first = await browser.tokens(city.relying_party("warga"))
        second_party = city.relying_party("sehat")
        answer = await browser.open(second_party.url())
        assert answer.status_code == 303
        second = await second_party.exchange(query_of(answer.headers["location"])["code"])
    assert first.claims()["sub"] == second.claims()["sub"]
    assert first.claims()["auth_time"] == second.claims()["auth_time"]
    assert first.claims()["sid"] != second.claims()["sid"]


@demand("Core 3.1.3.7", "ID tokens verify with the published keys")
async def test_id_tokens_verify_with_the_published_keys(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser, city.client() as http:
        keys = jwt.PyJWKSet.from_dict((await http.get("/jwks")).json())
        for client_id, alg in (("warga", "ES256"), ("sehat", "ES256"), ("peta", "EdDSA"), ("lama", "PS256")):
            with subtests.test(client_id):
                tokens = await browser.tokens(city.relying_party(client_id))
                header = jwt.get_unverified_header(tokens["id_token"])
                assert header["alg"] == alg
                key = next(key for key in keys.keys if key.key_id == header["kid"])
                claims = jwt.decode(tokens["id_token"], key, algorithms=[alg], audience=client_id, issuer=ISSUER)
                assert claims["at_hash"]


async def test_rs256_is_the_default_algorithm(city: City) -> None:
    assert type(city.settings).model_fields["signing_alg"].default == "RS256"
