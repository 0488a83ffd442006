"""Discovery 1.0 and RFC 8414: what is announced is walked, and every announced value is used for real."""

from __future__ import annotations

import json
from typing import Any

import pyotp
import pytest
from tests.citizens import SENDING, Authenticator, add_passkey, here, last_code, options_of, post, set_up_app
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
    request_object,
    tokens,
    userinfo,
)
from tests.demands import demand
from tests.support import ISSUER, City, query_of

from sso import clock
from sso.accounts.employees import EmploymentDetails, employ
from sso.accounts.identity_checks import check_identity, read_check
from sso.identity.authn.assurance import ACR_VALUES
from sso.identity.groups.models import Group
from sso.identity.groups.store import add_group
from sso.identity.users.models import LocalAccount
from sso.identity.users.service import find
from sso.platform.actor import Actor

ENDPOINTS = {
    "authorization_endpoint": ("GET", 400),
    "token_endpoint": ("POST", 400),
    "userinfo_endpoint": ("GET", 401),
    "jwks_uri": ("GET", 200),
    "registration_endpoint": ("POST", 400),
    "introspection_endpoint": ("POST", 401),
    "revocation_endpoint": ("POST", 401),
    "end_session_endpoint": ("GET", 200),
    "check_session_iframe": ("GET", 200),
    "pushed_authorization_request_endpoint": ("POST", 401),
    "device_authorization_endpoint": ("POST", 401),
}
WALKED_ELSEWHERE = {
    "token_endpoint_auth_methods_supported": "test_core_9_client_authentication.py",
    "token_endpoint_auth_signing_alg_values_supported": "test_core_9_client_authentication.py",
    "introspection_endpoint_auth_methods_supported": "below",
    "introspection_endpoint_auth_signing_alg_values_supported": "below",
    "revocation_endpoint_auth_methods_supported": "below",
    "revocation_endpoint_auth_signing_alg_values_supported": "below",
    "claim_types_supported": "below",
}


async def document_of(city: City) -> dict[str, Any]:
    async with city.client() as http:
        document: dict[str, Any] = (await http.get("/.well-known/openid-configuration")).json()
    return document


@demand("Discovery 3", "every announced endpoint is there, under the issuer, over https")
@demand("RFC 8414 2", "issuer is an https address without query and fragment, and all endpoints are absolute")
async def test_every_endpoint(city: City) -> None:
    document = await document_of(city)
    announced = {name for name, value in document.items() if isinstance(value, str)} - {"issuer"}
    assert announced == set(ENDPOINTS)
    async with city.client() as http:
        for name, (method, status) in ENDPOINTS.items():
            assert document[name].startswith(ISSUER + "/")
            answer = await http.request(method, document[name])
            assert answer.status_code == status, (name, answer.status_code, answer.text[:200])


@demand("Discovery 4", "the document is JSON, its issuer is exactly the address it was asked at")
@demand("RFC 8414 3", "the same document at both well-known addresses")
async def test_the_document(city: City) -> None:
    async with city.client() as http:
        openid = await http.get("/.well-known/openid-configuration")
        oauth = await http.get("/.well-known/oauth-authorization-server")
    assert openid.headers["content-type"] == "application/json"
    assert openid.json()["issuer"] == ISSUER
    assert openid.content == oauth.content


@demand("Discovery 3", "what is required is there, and no list is empty")
async def test_required_metadata(city: City) -> None:
    document = await document_of(city)
    for name in (
        "issuer",
        "authorization_endpoint",
        "jwks_uri",
        "response_types_supported",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
        "scopes_supported",
        "claims_supported",
        "acr_values_supported",
        "ui_locales_supported",
    ):
        assert document[name], name
    assert all(document[name] for name, value in document.items() if isinstance(value, list))
    assert "openid" in document["scopes_supported"]
    assert "RS256" in document["id_token_signing_alg_values_supported"]
    assert "none" not in document["token_endpoint_auth_signing_alg_values_supported"]


@demand("Discovery 3", "every announced response type and mode is answered")
async def test_response_types_and_modes(city: City) -> None:
    document = await document_of(city)
    party = await registered(city, **EVERYTHING)
    async with city.browser() as browser:
        for response_type in document["response_types_supported"]:
            for mode in document["response_modes_supported"]:
                answer = await authorize(browser, party, response_type=response_type, response_mode=mode)
                if mode == "query" and response_type != "code":
                    assert answer["error"] == "invalid_request"
                else:
                    assert ("error" in answer, answer.mode) == (False, mode)


@demand("Discovery 3", "every announced scope is granted, and every announced claim can be had")
async def test_scopes_and_claims(city: City) -> None:
    document = await document_of(city)
    scope = " ".join(name for name in document["scopes_supported"] if name not in OF_THE_CITY)
    party = await registered(city, **EVERYTHING, scope=scope)
    async with city.browser() as browser:
        answer = await authorize(
            browser, party, username="lengkap", scope=scope, response_type="code id_token token", prompt="consent"
        )
        token_response = await party.exchange(answer["code"], code_verifier=None)
    assert set(token_response["scope"].split()) | OF_THE_CITY == set(document["scopes_supported"])
    seen = (
        set(await userinfo(party, token_response["access_token"])) | set(answer.claims()) | set(token_response.claims())
    )
    seen |= await _of_the_city(city)
    assert seen == set(document["claims_supported"])
    assert document["claim_types_supported"] == ["normal"]


OF_THE_CITY = {"nik", "employee"}
"""Scopes that only applications of the city may have."""


async def _of_the_city(city: City) -> set[str]:
    """Return the claims that only the city's own application has: of an employee who was at a counter, and imported."""
    party, lengkap = city.relying_party("dinas"), city.users["lengkap"]
    async with city.provider.db.write() as session:
        user = await find(session, "lengkap")
        seen = read_check("ktp", "3671014104900001", "MPP")
        await check_identity(session, city.provider, user, seen, actor=Actor("test"))
        known = {"client_id": "dinas", "local_user_id": "7"}
        session.add(LocalAccount(user_id=lengkap, created_at=clock.now(), **known))
        now = clock.now()
        unit = Group(kind="unit", code="A", name_id="Unit A", created_at=now, updated_at=now)
        await add_group(session, unit)
        work = EmploymentDetails("pns", "198501012010011001", grade="III/b", unit_id=unit.id, position="Bidan")
        await employ(session, city.provider, user, work, source="import", actor=Actor("test"), reason="test")
    async with city.browser() as browser:
        token_response = await browser.tokens(party, username="lengkap", scope="openid identity nik employee")
    return set((await party.userinfo(token_response["access_token"])).json())


async def _reached(city: City, acr: str) -> str:
    """Return the acr of somebody who did what a level needs."""
    party, device, app = city.relying_party("dinas"), Authenticator(), pyotp.TOTP(pyotp.random_base32())
    claims = json.dumps({"id_token": {"acr": {"essential": True, "value": acr}}})
    if acr.endswith(("mfa", "passkey")):
        async with city.browser() as browser:
            await here(city, browser)
            app, _ = await set_up_app(city, browser)
            await add_passkey(browser, device)
        clock.advance(60)
    async with city.browser() as browser:
        page = await browser.sign_in(party, claims=claims)
        if not page.is_redirect:
            proof = {"code": app.at(clock.timestamp()), "m": "totp"} if acr.endswith("mfa") else {}
            if acr.endswith("passkey"):
                proof = {"credential": device.get(options_of(page, "get")), "m": "passkey"}
            page = await post(browser, "/login/second", proof or {"code": await last_code(city)}, page)
        token_response = await party.exchange(query_of(page.headers["location"])["code"])
    return str(token_response.claims()["acr"])


@pytest.mark.parametrize("overrides", [SENDING], ids=[""])
@pytest.mark.parametrize("acr", ACR_VALUES)
@demand("Discovery 3", "every announced acr value can be reached, and is answered")
async def test_acr_values(city: City, acr: str) -> None:
    assert acr in (await document_of(city))["acr_values_supported"]
    async with city.provider.db.write() as session:
        user, seen = await find(session, "siti"), read_check("ktp", "3671014104900001", "MPP")
        await check_identity(session, city.provider, user, seen, actor=Actor("test"))
    assert await _reached(city, acr) == acr


@demand("Discovery 3", "every announced grant type is known at the token endpoint, and no other")
async def test_grant_types(city: City) -> None:
    document = await document_of(city)
    party = await registered(city)
    for grant_type in document["grant_types_supported"]:
        if grant_type == "implicit":  # is answered at the authorization endpoint
            continue
        error = (await party.token(grant_type=grant_type)).body["error"]
        assert error in ("invalid_request", "invalid_grant", "unauthorized_client"), (grant_type, error)
    for other in ("password", "urn:ietf:params:oauth:grant-type:token-exchange", "urn:openid:params:grant-type:ciba"):
        refused = (await party.token(grant_type=other)).body
        assert refused["error"] == "unsupported_grant_type"
        assert "implicit" not in refused["error_description"]


@demand("Discovery 3", "every announced signing and encryption algorithm is used as registered")
async def test_algorithms(city: City) -> None:
    document = await document_of(city)
    enc, sig = KeyPair("RSA-OAEP-256", use="enc"), KeyPair("ES256")
    elliptic = KeyPair("ECDH-ES", use="enc")
    keys = {"jwks": key_set(enc, elliptic, sig)}
    async with city.browser() as browser:
        for alg in document["id_token_signing_alg_values_supported"]:
            party = await registered(city, id_token_signed_response_alg=alg)
            assert header_of((await tokens(browser, party))["id_token"])["alg"] == alg
        for alg in document["userinfo_signing_alg_values_supported"]:
            party = await registered(city, userinfo_signed_response_alg=alg)
            answer = await party.userinfo((await tokens(browser, party))["access_token"])
            assert header_of(answer.text)["alg"] == alg
        for what in ("id_token", "userinfo"):
            for alg in document[f"{what}_encryption_alg_values_supported"]:
                for content in document[f"{what}_encryption_enc_values_supported"]:
                    registration = {f"{what}_encrypted_response_alg": alg, f"{what}_encrypted_response_enc": content}
                    party = await registered(city, **keys, **registration)
                    token_response = await tokens(browser, party)
                    token = (
                        token_response["id_token"]
                        if what == "id_token"
                        else (await party.userinfo(token_response["access_token"])).text
                    )
                    assert (header_of(token)["alg"], header_of(token)["enc"]) == (alg, content)


@demand("Discovery 3", "every announced algorithm of request objects is accepted")
async def test_request_object_algorithms(city: City) -> None:
    document = await document_of(city)
    async with city.browser() as browser:
        for alg in document["request_object_signing_alg_values_supported"]:
            pair = None if alg == "none" else KeyPair(alg)
            keys = {"jwks": key_set(pair)} if pair else {}
            party = await registered(city, request_object_signing_alg=alg, **keys)
            assert "code" in await authorize(browser, party, request=request_object(party, pair))
    for name in ("request_parameter_supported", "request_uri_parameter_supported", "require_request_uri_registration"):
        assert document[name] is True
    # Encryption of request objects: each combination in test_core_6_request_objects.py.
    assert document["request_object_encryption_alg_values_supported"] == ["RSA-OAEP-256", "ECDH-ES"]
    assert document["request_object_encryption_enc_values_supported"] == ["A128CBC-HS256", "A128GCM", "A256GCM"]


@demand("Discovery 3", "every announced subject type, prompt, display and language is honoured")
async def test_the_rest_of_the_lists(city: City) -> None:
    document = await document_of(city)
    async with city.browser() as browser:
        for subject_type in document["subject_types_supported"]:
            party = await registered(city, subject_type=subject_type)
            public = claims_of((await tokens(browser, party))["id_token"])["sub"] == str(city.users["siti"])
            assert public == (subject_type == "public")
        for prompt in document["prompt_values_supported"]:
            assert "code" in await authorize(browser, party, prompt=prompt)
        for display in document["display_values_supported"]:
            assert "code" in await authorize(browser, party, display=display)
    async with city.browser() as browser:
        for locale in document["ui_locales_supported"]:
            assert f'<html lang="{locale}">' in (await browser.open(party.url(ui_locales=locale))).text
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["claims_parameter_supported"] is True


@demand("RFC 8414 2", "every announced authentication method works at introspection and revocation")
async def test_authentication_at_other_endpoints(city: City, subtests: pytest.Subtests) -> None:
    document, algs = await document_of(city), ("RS256", "PS256", "ES256", "EdDSA")
    for endpoint in ("introspection", "revocation"):
        for method in METHODS:
            assert method in document[f"{endpoint}_endpoint_auth_methods_supported"]
        for alg in algs:
            assert alg in document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
    for method in METHODS:
        for alg in algs if method == "private_key_jwt" else [""]:  # the other methods have no algorithm
            with subtests.test(f"{method} {alg}"):
                await _is_authenticated(city, method, alg)


METHODS = ("client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt")


async def _is_authenticated(city: City, method: str, alg: str) -> None:
    """Check that introspection and revocation accept what a method and an algorithm sign."""
    pair = KeyPair(alg or "ES256")
    keys = {"jwks": key_set(pair)} if method == "private_key_jwt" else {}
    party = await registered(city, token_endpoint_auth_method=method, **keys)
    async with city.client() as http:
        for path in ("/introspect", "/revoke"):
            form: dict[str, Any] = {"token": "x"}
            sent = party.authentication(form)
            if method == "private_key_jwt":
                assertion = party.assertion(key=pair.private, alg=alg, headers={"kid": pair.kid})
                sent["data"]["client_assertion"] = assertion
            assert (await http.post(path, **sent)).status_code == 200


@demand("Discovery 3", "nothing is announced that is not walked here")
async def test_nothing_is_forgotten(city: City) -> None:
    document = await document_of(city)
    lists = {name for name, value in document.items() if isinstance(value, list)} - set(WALKED_ELSEWHERE)
    switches = {name for name, value in document.items() if isinstance(value, bool)}
    assert lists == {
        "scopes_supported",
        "response_types_supported",
        "response_modes_supported",
        "grant_types_supported",
        "subject_types_supported",
        "acr_values_supported",
        "id_token_signing_alg_values_supported",
        "id_token_encryption_alg_values_supported",
        "id_token_encryption_enc_values_supported",
        "userinfo_signing_alg_values_supported",
        "userinfo_encryption_alg_values_supported",
        "userinfo_encryption_enc_values_supported",
        "request_object_signing_alg_values_supported",
        "request_object_encryption_alg_values_supported",
        "request_object_encryption_enc_values_supported",
        "prompt_values_supported",
        "display_values_supported",
        "claims_supported",
        "ui_locales_supported",
        "code_challenge_methods_supported",
    }
    assert switches == {
        "claims_parameter_supported",
        "request_parameter_supported",
        "request_uri_parameter_supported",
        "require_request_uri_registration",
        "authorization_response_iss_parameter_supported",
        "backchannel_logout_supported",
        "backchannel_logout_session_supported",
        "frontchannel_logout_supported",
        "frontchannel_logout_session_supported",
    }
    assert all(document[name] for name in switches)


async def test_pictures_of_the_world_stay_outside(city: City, world: World) -> None:
    """Registering fetches only what must be checked: no logo, no keys, no request objects."""
    await registered(city, logo_uri=world.url("/l.png"), jwks_uri=world.url("/j"), request_uris=[world.url("/r")])
    assert world.fetched_paths == []
    assert (await post_registration(city, {"redirect_uris": ["https://a.example/"], "jwks_uri": 1})).status_code == 400
