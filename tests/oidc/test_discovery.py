"""Discovery says what is true (OpenID Connect Discovery section 3, RFC 8414), and keys rotate (Core section 10.1.1)."""

from __future__ import annotations

import jwt
import pytest
from tests.support import ISSUER, City, Statements

from sso import clock
from sso.keys import KeyTooYoung, rotate


async def test_both_documents_are_the_same_and_cost_nothing(city: City) -> None:
    statements = Statements(city)
    async with city.client() as http:
        openid = await http.get("/.well-known/openid-configuration")
        oauth = await http.get("/.well-known/oauth-authorization-server")
        keys = await http.get("/jwks")
    assert openid.content == oauth.content
    assert statements.take() == []
    for answer in (openid, oauth, keys):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "max-age" in answer.headers["cache-control"]
        assert "set-cookie" not in answer.headers


async def test_an_entity_tag_saves_the_body(city: City) -> None:
    async with city.client() as http:
        for path in ("/.well-known/openid-configuration", "/jwks"):
            first = await http.get(path)
            again = await http.get(path, headers={"If-None-Match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")


async def test_every_endpoint_that_is_announced_answers(city: City) -> None:
    async with city.client() as http:
        document = (await http.get("/.well-known/openid-configuration")).json()
        assert document["issuer"] == ISSUER
        endpoints = {name: value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))}
        assert len(endpoints) == 10
        for name, address in endpoints.items():
            assert address.startswith(ISSUER + "/"), name
            get, post = await http.get(address), await http.post(address)
            assert 404 not in (get.status_code, post.status_code), name
            assert max(get.status_code, post.status_code) < 500, name


async def test_what_is_announced_is_what_works(city: City) -> None:
    async with city.client() as http:
        document = (await http.get("/.well-known/openid-configuration")).json()
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    for name in ("request_parameter_supported", "request_uri_parameter_supported", "claims_parameter_supported"):
        assert document[name] is True


@pytest.mark.parametrize("overrides", [{"registration": "closed"}])
async def test_registration_that_is_closed_is_not_announced(city: City) -> None:
    async with city.client() as http:
        document = (await http.get("/.well-known/openid-configuration")).json()
        assert "registration_endpoint" not in document
        assert (await http.post("/register", json={})).status_code == 404


async def test_keys_are_public_and_distinct(city: City) -> None:
    async with city.client() as http:
        keys = (await http.get("/jwks")).json()["keys"]
    assert len({key["kid"] for key in keys}) == len(keys) == 10
    signing = {key["alg"] for key in keys if key["use"] == "sig"}
    assert signing == {"RS256", "ES256", "EdDSA", "PS256"}
    assert {key["alg"] for key in keys if key["use"] == "enc"} == {"RSA-OAEP-256", "ECDH-ES"}
    for key in keys:
        assert set(key) <= {"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y"}


async def test_rotation_signs_with_a_key_that_was_published_before(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser, city.client() as http:
        before = await browser.tokens(party)
        published = {key["kid"] for key in (await http.get("/jwks")).json()["keys"]}
        clock.advance(600)
        async with city.provider.db.write() as session:
            await rotate(session, city.provider.box)
        await city.provider.refresh()
        after = await browser.tokens(party)
        kids = [jwt.get_unverified_header(tokens["id_token"])["kid"] for tokens in (before, after)]
        assert kids[0] != kids[1]
        assert set(kids) <= published
        keys = (await http.get("/jwks")).json()["keys"]
        now = {key["kid"] for key in keys}
        assert set(kids) <= now
        # python-jose tries the keys in their order, and fails at the first of another type than the algorithm needs.
        default = [key["kid"] for key in keys if key["alg"] == "ES256"]
        assert [key["kid"] for key in keys[: len(default)]] == default, "keys of the default algorithm stand first"
        assert (default[0], default[-1]) == (kids[1], kids[0]), "the active one first, the retired one last"
        assert (await party.userinfo(after["access_token"])).status_code == 200
        assert (await party.refresh(before["refresh_token"])).status == 200
        clock.advance(86400)
        later = {key["kid"] for key in (await http.get("/jwks")).json()["keys"]}
        assert kids[0] not in later
        assert kids[1] in later


async def test_a_key_that_applications_may_not_know_yet_is_not_used_unless_forced(city: City) -> None:
    clock.advance(600)
    async with city.provider.db.write() as session:
        await rotate(session, city.provider.box)
    with pytest.raises(KeyTooYoung):
        async with city.provider.db.write() as session:
            await rotate(session, city.provider.box)
    async with city.provider.db.write() as session:
        await rotate(session, city.provider.box, force=True)


async def test_the_host_header_changes_nothing(city: City) -> None:
    async with city.client() as http:
        headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
        answer = await http.get("/.well-known/openid-configuration", headers=headers)
        page = await http.get("/login", headers=headers)
    assert "evil" not in answer.text + page.text
