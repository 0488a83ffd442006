"""RFC 7523 section 2.1: JWTs of trusted issuers for access tokens. The application is one of the city's catalogue."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.conformance.conftest import World
from tests.conformance.parties import KeyPair, key_set
from tests.demands import demand
from tests.support import ISSUER, City, RelyingParty, tampered

from sso import clock
from sso.accounts.administration import disable_user
from sso.clients import store
from sso.clients.metadata import ClientMetadata
from sso.clients.secrets import new_secret
from sso.identity.users.service import find
from sso.platform.actor import Actor
from sso.platform.db import bump_version

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SOMEBODY = "https://kepegawaian.example"


async def trusting(city: City, issuer: dict[str, Any]) -> RelyingParty:
    """Register an application of the city that trusts ``issuer``."""
    metadata = ClientMetadata.model_validate(
        {
            "type": "service",
            "client_name": "Penjadwal",
            "grant_types": ["client_credentials", GRANT],
            "scope": "jadwal:baca jadwal:tulis",
            "assertion_issuers": [{"issuer": SOMEBODY, **issuer}],
        }
    )
    now = clock.now()
    async with city.provider.db.write() as session:
        version = await bump_version(session, "clients")
        row = {"client_id": "penjadwal", "catalogue": "tests", "status": "active", "metadata": metadata.stored()}
        await store.insert_clients(session, [{**row, "version": version, "created_at": now, "updated_at": now}])
        city.secrets["penjadwal"] = await new_secret(session, city.provider.box, "penjadwal")
    await city.provider.refresh()
    return city.relying_party("penjadwal")


def assertion(pair: KeyPair, **claims: Any) -> str:
    now = clock.timestamp()
    values = {"iss": SOMEBODY, "sub": "siti", "aud": ISSUER, "iat": now, "exp": now + 60, **claims}
    return pair.sign({name: value for name, value in values.items() if value is not None})


@demand("RFC 7523 2.1", "a JWT of a trusted issuer is exchanged for an access token of the person it names")
@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
async def test_an_assertion(city: City, alg: str) -> None:
    pair = KeyPair(alg)
    party = await trusting(city, {"jwks": key_set(pair)})
    tokens = await party.token(grant_type=GRANT, assertion=assertion(pair), scope="jadwal:baca")
    assert tokens.status == 200, tokens.body
    assert "refresh_token" not in tokens.body
    assert "id_token" not in tokens.body
    claims = tokens.claims("access_token")
    assert (claims["sub"], claims["scope"]) == (str(city.users["siti"]), "jadwal:baca")
    assert "auth_time" not in claims
    assert (await party.introspect(tokens["access_token"]))["active"] is True


@demand("RFC 7523 2.1", "keys of an issuer may be at its jwks_uri; people may be named by user id")
async def test_keys_by_reference(city: City, world: World) -> None:
    pair = KeyPair("ES256")
    jwks_uri = world.publish("/issuer-jwks", json.dumps(key_set(pair)))
    party = await trusting(city, {"jwks_uri": jwks_uri, "subject": "user_id"})
    good = assertion(pair, sub=str(city.users["siti"]))
    assert (await party.token(grant_type=GRANT, assertion=good, scope="jadwal:baca")).status == 200
    bad = assertion(pair, sub="siti")
    assert (await party.token(grant_type=GRANT, assertion=bad, scope="jadwal:baca")).body["error"] == "invalid_grant"


WRONG: dict[str, dict[str, Any]] = {
    "issuer": {"iss": "https://elsewhere.example"},
    "no issuer": {"iss": None},
    "audience": {"aud": "https://elsewhere.example"},
    "audience list": {"aud": [ISSUER]},
    "expired": {"exp": 1},
    "no exp": {"exp": None},
    "long": {"exp": 4102444800},
    "nobody": {"sub": "nobody"},
    "no sub": {"sub": None},
    "unverified identifier": {"sub": "budi@warga.example"},
    "number": {"sub": 1},
}


@demand("RFC 7523 3", "an assertion of or for somebody else, over, or about nobody is invalid_grant")
async def test_assertions_that_are_refused(city: City, subtests: pytest.Subtests) -> None:
    pair = KeyPair("ES256")
    party = await trusting(city, {"jwks": key_set(pair)})
    for name, claims in WRONG.items():
        with subtests.test(name):
            refused = await party.token(grant_type=GRANT, assertion=assertion(pair, **claims), scope="jadwal:baca")
            assert (refused.status, refused.body["error"]) == (400, "invalid_grant")
    right = await party.token(grant_type=GRANT, assertion=assertion(pair), scope="jadwal:baca")
    assert right.status == 200, "nothing else was wrong"


@demand("RFC 7521 5.2", "another key, no signature, or no JWT is invalid_grant; a jti is used once")
async def test_forged_and_replayed_assertions(city: City) -> None:
    pair = KeyPair("ES256")
    party = await trusting(city, {"jwks": key_set(pair)})
    for wrong in (assertion(KeyPair("ES256", kid=pair.kid)), "x", "a.b.c", tampered(assertion(pair))):
        refused = await party.token(grant_type=GRANT, assertion=wrong, scope="jadwal:baca")
        assert refused.body["error"] == "invalid_grant"
    assert (await party.token(grant_type=GRANT, scope="jadwal:baca")).body["error"] == "invalid_request"
    once = assertion(pair, jti="once")
    statuses = [(await party.token(grant_type=GRANT, assertion=once, scope="jadwal:baca")).status for _ in range(2)]
    assert statuses == [200, 400]


@demand("RFC 7521 4.1", "only registered scopes, none of OpenID Connect's: nobody signed in")
async def test_scopes(city: City, subtests: pytest.Subtests) -> None:
    pair = KeyPair("ES256")
    party = await trusting(city, {"jwks": key_set(pair)})
    for scope in ("openid", "surat:baca", "", "jadwal:baca offline_access"):
        with subtests.test(scope):
            refused = await party.token(grant_type=GRANT, assertion=assertion(pair), scope=scope)
            assert refused.body["error"] == "invalid_scope"


async def test_others_may_not_use_the_grant(city: City) -> None:
    pair = KeyPair("ES256")
    await trusting(city, {"jwks": key_set(pair)})
    refused = await city.relying_party("mesin").token(grant_type=GRANT, assertion=assertion(pair), scope="kirim")
    assert refused.body["error"] == "unauthorized_client"


async def test_the_token_ends_with_the_person(city: City) -> None:
    pair = KeyPair("ES256")
    party = await trusting(city, {"jwks": key_set(pair)})
    tokens = await party.token(grant_type=GRANT, assertion=assertion(pair), scope="jadwal:baca")
    async with city.provider.db.write() as session:
        await disable_user(session, city.provider, await find(session, "siti"), actor=Actor("test"))
    assert (await party.introspect(tokens["access_token"]))["active"] is False
    again = await party.token(grant_type=GRANT, assertion=assertion(pair), scope="jadwal:baca")
    assert again.body["error"] == "invalid_grant"
