"""OpenID Connect Core section 5: claims, the claims parameter, userinfo."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.conformance.parties import EVERYTHING, authorize, claims_of, registered, tokens, userinfo
from tests.demands import demand
from tests.support import ISSUER, Browser, City, RelyingParty

from sso.clients.claims import SCOPE_CLAIMS

ALL = "openid profile email address phone"


@demand("Core 5.4", "each scope gives every one of its claims")
@demand("Core 5.1", "standard claims have their names and types")
async def test_the_claims_of_a_scope(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        for scope in ("profile", "email", "address", "phone", "profile email address phone"):
            with subtests.test(scope):
                await _claims_are_those_of(browser, scope)


async def _claims_are_those_of(browser: Browser, scope: str) -> None:
    party = await registered(browser.city)
    token_response = await tokens(browser, party, username="lengkap", scope=f"openid {scope}")
    about = await userinfo(party, token_response["access_token"])
    assert set(about) == {"sub", *(name for scope_value in scope.split() for name in SCOPE_CLAIMS[scope_value])}
    if "email" in about:
        assert about["email_verified"] is True
    if "phone_number" in about:
        assert (about["phone_number"], about["phone_number_verified"]) == ("+62811222333", False)
    if "updated_at" in about:
        assert isinstance(about["updated_at"], int)
    if "address" in about:
        assert about["address"]["postal_code"] == "15111"
    assert "email" not in claims_of(token_response["id_token"])


@demand("Core 5.1.1", "address is a JSON object with its members")
async def test_the_address(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        token_response = await tokens(browser, party, username="lengkap", scope="openid address")
    address = (await userinfo(party, token_response["access_token"]))["address"]
    assert set(address) == {"formatted", "street_address", "locality", "region", "postal_code", "country"}


async def request_claims(browser: Browser, claims: Any) -> tuple[RelyingParty, dict[str, Any], dict[str, Any]]:
    party = await registered(browser.city, **EVERYTHING)
    token_response = await tokens(browser, party, username="lengkap", scope="openid", claims=json.dumps(claims))
    return party, claims_of(token_response["id_token"]), await userinfo(party, token_response["access_token"])


@demand("Core 5.5", "claims come where they were asked for: userinfo, or the ID token")
@demand("Core 5.5.1", "essential, value and values are understood; voluntary claims are null")
async def test_claims_by_name(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        for how in (None, {"essential": True}, {"essential": False}, {"value": "x"}, {"values": ["x"]}):
            with subtests.test(str(how)):
                requested = {"userinfo": {"name": how}, "id_token": {"email": how, "auth_time": {"essential": True}}}
                _, id_token, about = await request_claims(browser, requested)
                assert (about.get("name"), about.get("email")) == ("Lengkap Sri Sentosa", None)
                assert (id_token.get("email"), id_token.get("name")) == ("lengkap@warga.example", None)
                assert id_token["auth_time"]


@demand("Core 5.5", "names that are not understood are ignored, also with a language")
async def test_unknown_claims(city: City) -> None:
    requested = {"userinfo": {"given_name#id": None, "shoe_size": {"essential": True}}, "id_token": {"nonsense": None}}
    async with city.browser() as browser:
        _, id_token, about = await request_claims(browser, requested)
    assert about == {"sub": id_token["sub"], "given_name": "Lengkap"}


MALFORMED = [
    "x",
    "[]",
    "1",
    '{"userinfo": []}',
    '{"userinfo": {"name": 1}}',
    '{"id_token": {"acr": {"values": 1}}}',
    '{"id_token": {"sub": {"values": ["a", "b"]}}}',
    "[" * 5000,
    '{"userinfo":' * 3000,
    "{" + " " * 9000 + "}",
]


@demand("Core 5.5", "what is not a JSON object as described is invalid_request")
async def test_a_malformed_claims_parameter(city: City, subtests: pytest.Subtests) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        for text in MALFORMED:
            with subtests.test(text[:40]):
                assert (await authorize(browser, party, claims=text))["error"] == "invalid_request"


@demand("Core 5.5.1", "sub with a value must be the person's, or nobody is answered for")
async def test_sub_with_a_value(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        sub = claims_of((await tokens(browser, party))["id_token"])["sub"]
        right = json.dumps({"id_token": {"sub": {"value": sub}}})
        wrong = json.dumps({"userinfo": {"sub": {"value": "somebody"}}})
        assert "code" in await authorize(browser, party, claims=right, prompt="none")
        assert (await authorize(browser, party, claims=wrong, prompt="none"))["error"] == "login_required"


@demand("Core 5.5.1.1", "an essential acr that cannot be met is a failed authentication; a voluntary one is not")
async def test_acr_by_claims(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        for how in ({"essential": True, "values": ["urn:gold"]}, {"essential": True, "value": "urn:gold"}):
            answer = await authorize(browser, party, claims=json.dumps({"id_token": {"acr": how}}))
            assert answer["error"] == "unmet_authentication_requirements"
        for fine in ({"values": ["urn:gold"]}, {"essential": True, "values": ["urn:gold", "urn:sso:acr:password"]}):
            token_response = await tokens(browser, party, claims=json.dumps({"id_token": {"acr": fine}}))
            assert claims_of(token_response["id_token"])["acr"] == "urn:sso:acr:password"


@demand("Core 5.5", "a person is asked to allow what single claims hold, as for scopes")
async def test_claims_need_consent(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        await tokens(browser, party, scope="openid")
        requested = json.dumps({"userinfo": {"phone_number": None}})
        silent = await authorize(browser, party, scope="openid", claims=requested, prompt="none")
        assert silent["error"] == "consent_required"
        await authorize(browser, party, scope="openid", claims=requested)
        assert "code" in await authorize(browser, party, scope="openid", claims=requested, prompt="none")


@demand("Core 5.5", "claims of scopes that the application has not registered are not given")
async def test_claims_beyond_the_registered_scopes(city: City) -> None:
    party = await registered(city, scope="openid email")
    async with city.browser() as browser:
        token_response = await tokens(
            browser, party, scope="openid", claims=json.dumps({"userinfo": {"birthdate": None, "email": None}})
        )
    assert set(await userinfo(party, token_response["access_token"])) == {"sub", "email"}


@demand("Core 5.3.1", "userinfo answers GET and POST, with the token in the header or in a form")
async def test_userinfo_by_get_and_post(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser, city.client() as http:
        token = (await tokens(browser, party))["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        answers = [
            await http.get("/userinfo", headers=bearer),
            await http.post("/userinfo", headers=bearer),
            await http.post("/userinfo", data={"access_token": token}),
        ]
    assert len({answer.json()["sub"] for answer in answers}) == 1


@demand("Core 5.3.2", "sub is always returned and is that of the ID token")
async def test_userinfo_has_the_same_sub(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        answer = await tokens(browser, party)
    assert (await userinfo(party, answer["access_token"]))["sub"] == claims_of(answer["id_token"])["sub"]


@demand("Core 8", "pairwise: another sub for another sector, the same within a sector")
@demand("Core 8.1", "the sector is the host of the redirect URI, or of sector_identifier_uri")
async def test_pairwise_subjects(city: City, world: Any) -> None:
    hosts = ["https://satu.example/cb", "https://dua.example/cb"]
    sector = world.publish("/sector.json", json.dumps(hosts))
    first = await registered(city, subject_type="pairwise", redirect_uris=hosts[:1])
    second = await registered(city, subject_type="pairwise", redirect_uris=hosts[1:])
    again = await registered(city, subject_type="pairwise", redirect_uris=[hosts[0] + "/2"])
    both = await registered(city, subject_type="pairwise", redirect_uris=hosts, sector_identifier_uri=sector)
    public = await registered(city, subject_type="public")
    async with city.browser() as browser:
        subs = [
            claims_of((await tokens(browser, party))["id_token"])["sub"]
            for party in (first, second, again, both, public)
        ]
    assert subs[0] == subs[2]
    assert len(set(subs)) == 4
    assert subs[4] == str(city.users["siti"])


@demand("Core 16.17", "the issuer in every ID token is exactly that of discovery")
async def test_the_issuer(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser, city.client() as http:
        token_response = await tokens(browser, party)
        document = (await http.get("/.well-known/openid-configuration")).json()
    assert claims_of(token_response["id_token"])["iss"] == document["issuer"] == ISSUER
