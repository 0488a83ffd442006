"""SECURITY 11: every address that an application can register or send is fetched only where it is public, and what is
fetched cannot hurt."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import RSAKey
from tests.arranged import own_form, signed_in
from tests.conformance.parties import (
    KeyPair,
    authorize,
    post_registration,
    registered,
    request_object,
)
from tests.support import City, Statements

from sso.platform.outbox import store as deliveries

INSIDE = [
    "https://127.0.0.1:9/x",
    "https://localhost:9/x",
    "https://10.0.0.5/x",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]:9/x",
    "https://[::ffff:127.0.0.1]:9/x",
    "https://2130706433/x",
    "https://0x7f.1/x",
]


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"client_registration": "open", "client_registration_profile": "certification"}


async def test_a_sector_document_inside_is_not_fetched(city: City) -> None:
    for uri in INSIDE:
        document = {"redirect_uris": ["https://rp.example/cb"], "subject_type": "pairwise"}
        answer = await post_registration(city, {**document, "sector_identifier_uri": uri})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata"), uri
        assert "is at 1" not in answer.text, f"what a name leads to is not told: {uri}"


async def test_request_objects_keys_and_logos_inside_are_not_fetched(city: City) -> None:
    pair, signed = KeyPair("ES256"), {"request_object_signing_alg": "ES256"}
    for uri in INSIDE[:5]:
        party = await registered(city, jwks_uri=uri, request_uris=[uri], logo_uri=uri, **signed)
        async with city.browser() as browser, city.client() as http:
            by_reference = await authorize(browser, party, request_uri=uri)
            assert by_reference["error"] == "invalid_request_uri", uri
            by_value = await authorize(browser, party, request=request_object(party, pair))
            assert by_value["error"] == "invalid_request_object", uri
            assert "is at 1" not in by_value["error_description"] + by_reference["error_description"], uri
            assert (await http.get(f"/logo/{party.client_id}")).status_code == 404, uri


async def test_logout_notices_are_not_sent_inside(city: City) -> None:
    for number, uri in enumerate(INSIDE[:5]):
        party = await registered(city, backchannel_logout_uri=uri)
        async with await signed_in(city, "siti") as browser:
            answer = await authorize(browser, party)
            await party.exchange(answer["code"], code_verifier=None)
            await browser.http.post("/logout", data=own_form(city, browser, "logout"))
        await city.site.worker.drain()
        async with city.provider.db.read() as session:
            assert await deliveries.counts(session) == {"given_up": number + 1}, uri


async def test_a_compressed_request_object_is_not_opened(city: City) -> None:
    """A JWE of a few hundred bytes can hold gigabytes."""
    party = await registered(city, request_object_signing_alg="none")
    async with city.client() as http, city.browser() as browser:
        keys = (await http.get("/jwks")).json()["keys"]
        public = next(key for key in keys if key["alg"] == "RSA-OAEP-256")
        key = RSAKey.import_key({"kty": "RSA", "n": public["n"], "e": public["e"]})
        header = {"alg": "RSA-OAEP-256", "enc": "A128GCM", "zip": "DEF", "kid": public["kid"]}
        plain = request_object(party, None, filler="x" * 200_000)
        registry = jwe.JWERegistry(algorithms=["RSA-OAEP-256", "A128GCM", "DEF"])
        bomb = jwe.encrypt_compact(header, plain.encode(), key, registry=registry)
        assert len(bomb) < 2000
        assert (await authorize(browser, party, request=bomb))["error"] == "invalid_request_object"


async def test_other_ways_of_encryption_are_not_opened(city: City) -> None:
    party = await registered(city, request_object_signing_alg="none")
    for alg in ("RSA1_5", "dir", "A128KW", "PBES2-HS256+A128KW", "none", "RSA-OAEP"):
        header = json.dumps({"alg": alg, "enc": "A128GCM", "p2c": 10**9}).encode()
        encoded = urlsafe_b64encode(header).decode().rstrip("=")
        async with city.browser() as browser:
            answer = await authorize(browser, party, request=f"{encoded}.AAAA.AAAA.AAAA.AAAA")
        assert answer["error"] == "invalid_request_object", alg


async def test_costs_of_the_new_ways_in_statements(city: City) -> None:
    """Costs that do not vary: a code by form_post is as cheap as one by query; tokens in front cost one more."""
    grants = ["authorization_code", "implicit", "refresh_token"]
    party = await registered(city, response_types=["code", "code id_token"], grant_types=grants)
    async with city.browser() as browser:
        await authorize(browser, party)
        pushed = (await party.post("/par", party.parameters(code_challenge=None, code_challenge_method=None))).json()
        statements = Statements(city)
        await authorize(browser, party, response_mode="form_post")
        assert len(statements.take()) == 2
        await authorize(browser, party, response_type="code id_token")
        assert len(statements.take()) == 3
        await authorize(browser, party, request_uri=pushed["request_uri"])
        assert len(statements.take()) == 3
