"""OpenID Connect Dynamic Client Registration, RFC 7591 and RFC 7592."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.conformance.conftest import World
from tests.conformance.parties import (
    EVERYTHING,
    KeyPair,
    authorize,
    go_on,
    key_set,
    post_registration,
    registered,
    tokens,
)
from tests.demands import demand
from tests.support import ISSUER, City, RelyingParty

from sso.clients.dynamic_registration import invite

USUAL: dict[str, Any] = {"redirect_uris": ["https://rp.example/cb"]}


@demand("Registration 3.2", "a registration is answered with 201, the credentials and everything that is registered")
@demand("RFC 7591 3.2.1", "client_secret_expires_at is there with a secret; the answer is not cached")
async def test_the_answer(city: City) -> None:
    answer = await post_registration(city, {**USUAL, "client_name": "Aplikasi", "contacts": ["a@rp.example"]})
    registration = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert registration["client_secret_expires_at"] == 0
    assert registration["registration_client_uri"] == f"{ISSUER}/register/{registration['client_id']}"
    assert registration["client_id_issued_at"]
    expected = {
        "client_name": "Aplikasi",
        "contacts": ["a@rp.example"],
        "redirect_uris": USUAL["redirect_uris"],
        "response_types": ["code"],
        "grant_types": ["authorization_code"],
        "application_type": "web",
        "token_endpoint_auth_method": "client_secret_basic",
        "id_token_signed_response_alg": "RS256",
    }
    assert {name: registration[name] for name in expected} == expected
    assert len(registration["client_secret"]) >= 43


@demand("Registration 2", "what was registered comes back")
async def test_everything_comes_back(city: City, world: World) -> None:
    document = {
        **USUAL,
        **EVERYTHING,
        "application_type": "web",
        "client_name": "Nama",
        "client_name#en": "Name",
        "client_uri": "https://rp.example/",
        "policy_uri": "https://rp.example/privacy",
        "tos_uri": "https://rp.example/terms",
        "logo_uri": "https://rp.example/logo.png",
        "initiate_login_uri": "https://rp.example/login",
        "post_logout_redirect_uris": ["https://rp.example/out"],
        "backchannel_logout_uri": "https://rp.example/bcl",
        "frontchannel_logout_uri": "https://rp.example/fcl",
        "default_max_age": 100,
        "require_auth_time": True,
        "default_acr_values": ["urn:sso:acr:password"],
        "request_uris": ["https://rp.example/r#1"],
        "subject_type": "pairwise",
        "sector_identifier_uri": world.publish("/s", json.dumps(USUAL["redirect_uris"])),
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": key_set(KeyPair("ES256"), KeyPair("RSA-OAEP-256", use="enc")),
        "id_token_signed_response_alg": "PS256",
        "id_token_encrypted_response_alg": "RSA-OAEP-256",
        "id_token_encrypted_response_enc": "A256GCM",
        "userinfo_signed_response_alg": "ES256",
        "userinfo_encrypted_response_alg": "ECDH-ES",
        "userinfo_encrypted_response_enc": "A128GCM",
        "request_object_signing_alg": "RS256",
        "request_object_encryption_alg": "RSA-OAEP-256",
        "request_object_encryption_enc": "A128CBC-HS256",
        "scope": "openid email",
    }
    registration = (await post_registration(city, document)).json()
    assert {name: registration.get(name) for name in document} == document


@demand("RFC 7591 2", "what is not understood, and what only the city may say, is left out")
async def test_what_only_the_city_may_say(city: City) -> None:
    document = {
        **USUAL,
        "first_party": True,
        "audience": "https://api.example/surat",
        "resource_identifier": "https://api.example/surat",
        "scope": "openid surat:baca",
        "require_pkce": False,
        "profile": "legacy",
        "group": "E-Kesehatan",
        "software_statement": None,
        "tls_client_auth_subject_dn": "CN=x",
        "client_id": "warga",
    }
    registration = (await post_registration(city, document)).json()
    assert registration["client_id"] != "warga"
    assert registration["scope"] == "openid"
    client = city.provider.registry.get(registration["client_id"])
    assert client is not None
    meta = client.meta
    assert (meta.first_party, meta.audience, meta.resource_identifier, meta.group) == (False, None, None, None)
    assert meta.profile == "certification"


REFUSED: dict[str, tuple[Any, str, str]] = {
    "no redirect URI": ({}, "invalid_redirect_uri", "redirect_uris"),
    "empty redirect URIs": ({"redirect_uris": []}, "invalid_redirect_uri", "redirect_uris"),
    "fragment": ({"redirect_uris": ["https://rp.example/cb#x"]}, "invalid_redirect_uri", "fragment"),
    "http": ({"redirect_uris": ["http://rp.example/cb"]}, "invalid_redirect_uri", "https"),
    "wildcard": ({"redirect_uris": ["https://*.rp.example/cb"]}, "invalid_redirect_uri", "wildcard"),
    "javascript": ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri", "characters|scheme"),
    "custom scheme for web": ({"redirect_uris": ["rp.example:/cb"]}, "invalid_redirect_uri", "native"),
    "not a list": ({"redirect_uris": "https://rp.example/cb"}, "invalid_client_metadata", "redirect_uris"),
    "no JSON object": ([], "invalid_client_metadata", "JSON"),
    "both key sources": (
        {**USUAL, "jwks": {"keys": []}, "jwks_uri": "https://rp.example/j"},
        "invalid_client_metadata",
        "jwks",
    ),
    "private key": (
        {**USUAL, "jwks": {"keys": [{"kty": "oct", "k": "AA"}]}},
        "invalid_client_metadata",
        "jwks",
    ),
    "alg": ({**USUAL, "id_token_signed_response_alg": "HS256"}, "invalid_client_metadata", "id_token_signed"),
    "enc alone": ({**USUAL, "id_token_encrypted_response_enc": "A128GCM"}, "invalid_client_metadata", "alg"),
    "method": ({**USUAL, "token_endpoint_auth_method": "tls_client_auth"}, "invalid_client_metadata", "auth_method"),
    "subject_type": ({**USUAL, "subject_type": "secret"}, "invalid_client_metadata", "subject_type"),
    "application_type": ({**USUAL, "application_type": "fridge"}, "invalid_client_metadata", "application_type"),
    "response type": ({**USUAL, "response_types": ["pigeon"]}, "invalid_client_metadata", "response_types"),
    "http initiate_login_uri": (
        {**USUAL, "initiate_login_uri": "http://rp.example/login"},
        "invalid_client_metadata",
        "initiate_login_uri",
    ),
    "http logo": ({**USUAL, "logo_uri": "http://rp.example/l.png"}, "invalid_client_metadata", "logo_uri"),
    "http back channel": (
        {**USUAL, "backchannel_logout_uri": "http://rp.example/b"},
        "invalid_client_metadata",
        "backchannel_logout_uri",
    ),
    "logout fragment": (
        {**USUAL, "post_logout_redirect_uris": ["https://rp.example/#x"]},
        "invalid_client_metadata",
        "post_logout_redirect_uris",
    ),
    "front channel elsewhere": (
        {**USUAL, "frontchannel_logout_uri": "https://other.example/f"},
        "invalid_client_metadata",
        "frontchannel_logout_uri",
    ),
    "name with markup": ({**USUAL, "client_name": "<b>x"}, "invalid_client_metadata", "client_name"),
    "trusted issuers": (
        {**USUAL, "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:jwt-bearer"]},
        "invalid_client_metadata",
        "assertion_issuers",
    ),
}


@demand("Registration 3.3", "what cannot be registered is invalid_redirect_uri or invalid_client_metadata")
@demand("RFC 7591 3.2.2", "errors have a description that a developer can act on")
async def test_what_is_refused(city: City, subtests: pytest.Subtests) -> None:
    for name, (document, error, word) in REFUSED.items():
        with subtests.test(name):
            answer = await post_registration(city, document)
            assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text
            assert any(alternative in answer.json()["error_description"] for alternative in word.split("|")), (
                answer.text
            )


async def test_what_is_no_json_is_refused(city: City) -> None:
    async with city.client() as http:
        json_type = {"Content-Type": "application/json"}
        for body in (b"x", b"", b"\xff", b"[" * 20_000):
            answer = await http.post("/register", content=body, headers=json_type)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")
        assert (await http.post("/register", data={"redirect_uris": "x"})).status_code == 400
        assert (await http.get("/register")).status_code == 405


@demand("Registration 5", "sector_identifier_uri must list every redirect URI")
async def test_the_sector_document(city: City, world: World) -> None:
    uris = ["https://satu.example/cb", "https://dua.example/cb"]
    document = {"redirect_uris": uris, "subject_type": "pairwise"}
    assert "sector_identifier_uri" in (await post_registration(city, document)).json()["error_description"]
    good = world.publish("/good", json.dumps([*uris, "https://tiga.example/cb"]))
    assert (await post_registration(city, {**document, "sector_identifier_uri": good})).status_code == 201
    for number, body in enumerate((json.dumps(uris[:1]), "x", "{}", '"x"')):
        bad = world.publish(f"/bad{number}", body)
        answer = await post_registration(city, {**document, "sector_identifier_uri": bad})
        assert answer.json()["error"] == "invalid_client_metadata", body
    gone = await post_registration(city, {**document, "sector_identifier_uri": world.url("/gone")})
    assert gone.json()["error"] == "invalid_client_metadata"


@demand("Registration 2", "redirect URIs with a query are kept exactly and matched exactly")
async def test_redirect_uris_with_a_query(city: City) -> None:
    party = await registered(city, redirect_uris=["https://rp.example/cb?foo=bar&a=%20"])
    async with city.browser() as browser:
        answer = await authorize(browser, party)
        assert answer["foo"] == "bar"
        for other in ("https://rp.example/cb", "https://rp.example/cb?foo=bar", "https://rp.example/cb?foo=bar&a=+"):
            assert (await browser.open(party.url(redirect_uri=other))).status_code == 400


@demand("Registration 2", "native applications: private-use schemes and loopback addresses")
@demand("RFC 8252 7", "native applications register private-use schemes, claimed https and loopback addresses")
async def test_native_applications(city: City) -> None:
    uris = ["example.rp:/cb", "http://127.0.0.1/cb", "http://[::1]/cb", "https://rp.example/claimed"]
    party = await registered(city, application_type="native", redirect_uris=uris, subject_type="public")
    assert party.registration["token_endpoint_auth_method"] == "none"
    assert "client_secret" not in party.registration
    refused = await post_registration(city, {"application_type": "native", "redirect_uris": ["http://localhost/cb"]})
    assert refused.json()["error"] == "invalid_redirect_uri"
    for uri in ("example.rp://cb", "example.rp:///cb", "example.rp://"):
        refused = await post_registration(city, {"application_type": "native", "redirect_uris": [uri]})
        assert refused.json()["error"] == "invalid_redirect_uri"
        description = refused.json()["error_description"]
        assert "two slashes" in description
        assert f"register example.rp:/{uri.rpartition('/')[2]}, with one slash" in description


@demand("RFC 8252 8.4", "an instance of a native application that registers itself may have a secret or key of its own")
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "private_key_jwt"])
async def test_a_native_application_with_a_secret_of_its_own(city: City, method: str) -> None:
    pair = KeyPair("ES256")
    keys = {"jwks": key_set(pair)} if method == "private_key_jwt" else {}
    party = await registered(
        city, application_type="native", redirect_uris=["example.rp:/cb"], token_endpoint_auth_method=method, **keys
    )
    assert party.registration["application_type"] == "native"
    assert bool(party.registration.get("client_secret")) == (method != "private_key_jwt")
    async with city.browser() as browser:
        answer = await go_on(browser, await browser.open(party.url()))
        without = await RelyingParty(city, party.client_id, party.redirect_uri, "none").exchange(answer["code"])
        assert (without.status, without.body["error"]) == (401, "invalid_client")
        if method != "private_key_jwt":
            token_response = await party.exchange(answer["code"])
            assert token_response.status == 200, token_response.body
        no_pkce = await browser.open(party.url(code_challenge=None, code_challenge_method=None))
        assert "code_challenge" in no_pkce.headers["location"], "it uses PKCE all the same (section 8.1)"
    headers = {"Authorization": f"Bearer {party.registration['registration_access_token']}"}
    sent = {"client_id": party.client_id, "application_type": "native", "redirect_uris": ["example.rp:/cb2"]}
    path = f"/register/{party.client_id}"
    async with city.client() as http:
        changed = await http.put(path, json={**sent, "token_endpoint_auth_method": method, **keys}, headers=headers)
        assert (changed.status_code, changed.json()["redirect_uris"]) == (200, ["example.rp:/cb2"])
    city.provider.registry._built.clear()
    assert city.provider.registry.enabled(party.client_id) is not None, "it can be read again"


@demand("RFC 7517 5", "keys for encryption stand beside keys for signatures, also without a use")
@demand("RFC 7591 2", "what has no meaning with the rest is left out, and the answer says so")
async def test_what_libraries_send_whatever_they_need(city: City) -> None:
    signing, opening = KeyPair("ES256"), KeyPair("RSA-OAEP-256", use="enc")
    del opening.jwk["use"]
    document = {**USUAL, "token_endpoint_auth_signing_alg": "RS256", "jwks": key_set(signing, opening)}
    answer = await post_registration(city, document)
    assert answer.status_code == 201, answer.text
    assert "token_endpoint_auth_signing_alg" not in answer.json()
    assert answer.json()["jwks"] == document["jwks"]


GRANT_TYPES: list[tuple[Any, Any, Any]] = [
    ({}, ["code"], ["authorization_code"]),
    ({"grant_types": ["refresh_token", "authorization_code"]}, ["code"], ["authorization_code", "refresh_token"]),
    ({"response_types": ["id_token"]}, ["id_token"], ["implicit"]),
    ({"response_types": ["id_token code"]}, ["code id_token"], ["authorization_code", "implicit"]),
    ({"grant_types": ["authorization_code", "implicit"]}, ["code"], ["authorization_code"]),
    ({"grant_types": ["client_credentials"]}, None, ["client_credentials"]),
]


@demand("Registration 2", "grant types follow from response types")
async def test_grant_types(city: City, subtests: pytest.Subtests) -> None:
    for metadata, response_types, grant_types in GRANT_TYPES:
        with subtests.test(str(metadata)):
            registration = (await post_registration(city, {**USUAL, **metadata})).json()
            assert (registration.get("response_types"), registration["grant_types"]) == (response_types, grant_types)


@demand("Registration 2", "logo_uri, policy_uri and tos_uri are shown on the sign-in and consent pages")
async def test_what_people_see(city: City, world: World) -> None:
    from io import BytesIO

    from PIL import Image

    picture = BytesIO()
    Image.new("RGB", (600, 300), "teal").save(picture, "PNG")
    world.publish("/logo.png", picture.getvalue(), "image/png")
    party = await registered(
        city,
        client_name="Toko Buku",
        logo_uri=world.url("/logo.png"),
        policy_uri="https://rp.example/privacy",
        tos_uri="https://rp.example/terms",
    )
    async with city.browser() as browser:
        sign_in = await browser.open(party.url())
        consent = await browser.sign_in(party)
        for page in (sign_in, consent):
            for text in ("Toko Buku", "https://rp.example/privacy", "https://rp.example/terms", "/logo/"):
                assert text in page.text
        address = sign_in.text.partition('<img class="logo" src="')[2].partition('"')[0]
        logo = await browser.http.get(address)
        again = await browser.http.get(address, headers={"If-None-Match": logo.headers["etag"]})
    assert (logo.status_code, logo.headers["content-type"], again.status_code) == (200, "image/png", 304)
    assert Image.open(BytesIO(logo.content)).size == (128, 64)
    assert len(logo.content) < 10_000
    assert world.fetched_paths.count("/logo.png") == 1


async def test_logos_that_are_no_pictures_are_not_shown(city: City, world: World, subtests: pytest.Subtests) -> None:
    async with city.client() as http:
        for number, body in enumerate((b"<svg onload=alert(1)></svg>", b"GIF89a broken", b"", b"x" * 2_000_000)):
            with subtests.test(str(body[:30])):
                world.publish(f"/logo-{number}", body, "image/png")
                party = await registered(city, logo_uri=world.url(f"/logo-{number}"))
                assert (await http.get(f"/logo/{party.client_id}")).status_code == 404
                assert f"/logo-{number}" in world.fetched_paths
        assert (await http.get("/logo/nobody")).status_code == 404
        assert (await http.get("/logo/warga")).status_code == 404


async def manage(
    city: City, method: str, registration: dict[str, Any], body: Any = None, token: str | None = None
) -> Any:
    headers = {"Authorization": f"Bearer {registration['registration_access_token'] if token is None else token}"}
    async with city.client() as http:
        path = registration["registration_client_uri"]
        return await http.request(method, path, headers=headers, **({"json": body} if body is not None else {}))


@demand("RFC 7592 2.1", "the registration is read with its own token")
@demand("Registration 4", "initiate_login_uri is returned by the client configuration endpoint")
async def test_reading(city: City) -> None:
    party = await registered(city, initiate_login_uri="https://rp.example/login")
    answer = await manage(city, "GET", party.registration)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.json()["initiate_login_uri"] == "https://rp.example/login"
    assert answer.json()["client_id"] == party.client_id
    assert answer.json()["registration_access_token"] == party.registration["registration_access_token"]


@demand("RFC 7592 2", "every other token is 401")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_another_token(city: City, method: str) -> None:
    party, other = await registered(city), await registered(city)
    for token in (other.registration["registration_access_token"], "", "x"):
        answer = await manage(city, method, party.registration, {}, token)
        assert (answer.status_code, answer.headers["www-authenticate"].split()[0]) == (401, "Bearer")
    unknown = {**party.registration, "registration_client_uri": f"{ISSUER}/register/warga"}
    assert (await manage(city, method, unknown, {})).status_code == 401


@demand("RFC 7592 2.2", "an update replaces everything; what is left out goes back to its default")
async def test_updating(city: City) -> None:
    party = await registered(city, client_name="Lama", contacts=["a@rp.example"], tos_uri="https://rp.example/t")
    registration = party.registration
    new = {"client_id": party.client_id, "redirect_uris": ["https://rp.example/baru"], "client_name": "Baru"}
    answer = await manage(city, "PUT", registration, new)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["client_name"], answer.json()["redirect_uris"]) == ("Baru", ["https://rp.example/baru"])
    assert "tos_uri" not in answer.json()
    assert "client_secret" not in answer.json()
    party.redirect_uri = "https://rp.example/baru"
    async with city.browser() as browser:
        assert (await tokens(browser, party))["id_token"]
        assert (await browser.open(party.url(redirect_uri="https://rp.example/cb"))).status_code == 400


@demand("RFC 7592 2.2", "an update must not hold what the server makes, and must be about the client itself")
async def test_updates_that_are_refused(city: City) -> None:
    party = await registered(city)
    good = {"client_id": party.client_id, **USUAL}
    for extra in (
        {"registration_access_token": "x"},
        {"registration_client_uri": "x"},
        {"client_secret_expires_at": 0},
        {"client_id_issued_at": 1},
        {"client_id": "somebody"},
        {"client_secret": "wrong"},
        {"redirect_uris": ["http://rp.example/"]},
    ):
        answer = await manage(city, "PUT", party.registration, {**good, **extra})
        assert answer.status_code == 400, extra
    accepted = await manage(city, "PUT", party.registration, {**good, "client_secret": city.secrets[party.client_id]})
    assert accepted.status_code == 200


@demand("RFC 7592 2.2", "a change of the authentication method makes a new secret where one is needed")
async def test_a_new_secret(city: City) -> None:
    party = await registered(city)
    new = {"client_id": party.client_id, **USUAL, "token_endpoint_auth_method": "client_secret_jwt"}
    answer = (await manage(city, "PUT", party.registration, new)).json()
    assert answer["client_secret"] != city.secrets[party.client_id]
    city.secrets[party.client_id], party.method = answer["client_secret"], "client_secret_jwt"
    async with city.browser() as browser:
        assert (await tokens(browser, party))["id_token"]


@demand("RFC 7592 2.3", "a deletion is 204, and takes everything that was granted with it")
async def test_deleting(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        token_response = await tokens(browser, party)
        assert (await manage(city, "DELETE", party.registration)).status_code == 204
        assert (await party.userinfo(token_response["access_token"])).status_code == 401
        assert (await browser.open(party.url())).status_code == 400
    assert (await manage(city, "GET", party.registration)).status_code == 401
    assert (await party.token(grant_type="client_credentials")).body["error"] == "invalid_client"


@pytest.mark.parametrize("registration", ["token"])
@demand("RFC 7591 3", "an initial access token is asked for where registration is not open")
async def test_an_initial_access_token(city: City, registration: str) -> None:
    object.__setattr__(city.settings, "client_registration", registration)
    answer = await post_registration(city, USUAL)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    async with city.provider.db.write() as session:
        token = await invite(session, "standard", "Dinas Kesehatan", days=7, uses=2)
    bearer = {"Authorization": f"Bearer {token}"}
    hybrid = await post_registration(city, {**USUAL, **EVERYTHING}, **bearer)
    assert "needs profile: legacy or certification" in hybrid.json()["error_description"]
    answers = await asyncio.gather(*(post_registration(city, USUAL, **bearer) for _ in range(5)))
    assert sorted(attempt.status_code for attempt in answers) == [201, 201, 401, 401, 401]
    new_client = next(attempt.json() for attempt in answers if attempt.status_code == 201)
    client = city.provider.registry.get(new_client["client_id"])
    assert client is not None
    assert client.meta.require_pkce


@pytest.mark.parametrize("registration", ["closed"])
async def test_a_closed_endpoint_is_not_there(city: City, registration: str) -> None:
    object.__setattr__(city.settings, "client_registration", registration)
    answer = await post_registration(city, USUAL)
    assert answer.status_code == 404


async def test_registrations_from_one_address_are_limited(city: City) -> None:
    from sso.platform.security.rate_limits import CountLimit

    object.__setattr__(city.site.limits, "registrations", CountLimit(2, 60))
    answers = [await post_registration(city, USUAL) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert int(answers[2].headers["retry-after"]) > 0


async def test_a_client_of_another_process_is_known_at_once(city: City) -> None:
    from sso.app import create_app

    other = create_app(city.settings)
    async with other.router.lifespan_context(other):
        elsewhere = City(other, city.settings, city.secrets, city.users)
        party = await registered(city)
        there = await registered(city)
        party.city = there.city = elsewhere
        elsewhere.secrets = city.secrets
        async with elsewhere.browser() as browser:
            assert (await tokens(browser, party))["id_token"]
        answer = await there.token(grant_type="authorization_code", code="x", redirect_uri=there.redirect_uri)
        assert answer.body["error"] == "invalid_grant", "the client itself is known"
