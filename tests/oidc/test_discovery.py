"""Discovery says what is true (OpenID Connect Discovery section 3, RFC 8414), and keys rotate (Core section 10.1.1)."""

from __future__ import annotations

from datetime import timedelta

import jwt
import pytest
from authlib.oidc.discovery import OpenIDProviderMetadata
from tests.elsewhere import add_client, change
from tests.support import ISSUER, City, Statements

from sso import clock
from sso.clients.dynamic_registration import invite
from sso.errors import Refusal
from sso.platform.keys import KeyTooYoung, list_keys, read_alg, rotate, rotate_when_due


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
        OpenIDProviderMetadata(document).validate()
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


@pytest.mark.parametrize("overrides", [{"client_registration": "closed"}])
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


async def test_only_what_a_profile_in_use_permits_is_announced(city: City) -> None:
    """An application that is enabled, open registration, and an initial access token let a profile be used."""

    async def announced() -> tuple[bool, bool, bool]:
        async with city.client() as http:
            answer = await http.get("/.well-known/openid-configuration")
        document = answer.json()
        front = "id_token" in document["response_types_supported"]
        assert ("implicit" in document["grant_types_supported"]) == front
        assert ("code token" in document["response_types_supported"]) == front
        unsigned = [
            "none" in document[f"{what}_signing_alg_values_supported"] for what in ("id_token", "request_object")
        ]
        assert unsigned[0] == unsigned[1]
        assert "none" not in document["userinfo_signing_alg_values_supported"]
        return "code" in document["response_types_supported"], front, unsigned[0]

    provider = city.provider
    assert await announced() == (True, True, False), "lama has the profile legacy"
    await change(city, "lama", status="suspended")
    await provider.refresh()
    assert await announced() == (True, False, False)
    await add_client(city, "uji", profile="certification")
    await provider.refresh()
    assert await announced() == (True, True, True)
    await change(city, "uji", status="suspended")
    await provider.refresh()
    assert await announced() == (True, False, False)
    assert provider.settings.client_registration == "token"
    async with provider.db.write() as session:
        await invite(session, "certification", "suite", days=1, uses=1)
    await provider.refresh()
    assert await announced() == (True, True, True), "who has the token may register that"
    clock.advance(86_401)
    assert await announced() == (True, False, False)
    provider.settings = provider.settings.model_copy(
        update={"client_registration": "open", "client_registration_profile": "legacy"}
    )
    assert await announced() == (True, True, False)


async def test_the_active_key_of_the_default_algorithm_stands_first(city: City) -> None:
    """Also after a rotation; keys for encryption stand last."""
    clock.advance(600)
    async with city.provider.db.write() as session:
        await rotate(session, city.provider.box)
    await city.provider.refresh()
    async with city.browser() as browser, city.client() as http:
        tokens = await browser.tokens(city.relying_party("warga"))
        keys = (await http.get("/jwks")).json()["keys"]
    assert keys[0]["kid"] == jwt.get_unverified_header(tokens["id_token"])["kid"]
    assert keys[0]["alg"] == city.settings.signing_alg
    uses = [key["use"] for key in keys]
    assert uses == sorted(uses, reverse=True)


async def test_one_algorithm_is_rotated_alone(city: City) -> None:
    """By command, and when its key is due."""

    async def active() -> dict[str, str]:
        async with city.provider.db.read() as session:
            return {key.alg: key.kid for key in await list_keys(session) if key.status == "active"}

    async def rotated(*algs: str, force: bool = False) -> set[str]:
        before = await active()
        async with city.provider.db.write() as session:
            await rotate(session, city.provider.box, algs=algs, force=force)
        after = await active()
        return {alg for alg, kid in after.items() if kid != before[alg]}

    clock.advance(600)
    assert await rotated(read_alg("ed25519")) == {"EdDSA"}
    with pytest.raises(KeyTooYoung):
        await rotated("EdDSA")
    assert await rotated("RS256", "RSA-OAEP-256") == {"RS256", "RSA-OAEP-256"}, "the young key of another is no matter"
    with pytest.raises(Refusal, match="Ed448"):
        read_alg("Ed448")
    clock.advance(50 * 86_400)
    assert await rotated("ES256") == {"ES256"}
    before = await active()
    clock.advance(45 * 86_400)
    async with city.provider.db.write() as session:
        assert await rotate_when_due(session, city.provider.box, timedelta(days=90))
    assert {alg for alg, kid in (await active()).items() if kid == before[alg]} == {"ES256"}, "its key is young"
