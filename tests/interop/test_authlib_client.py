"""Authlib's httpx client does the whole flow."""

from __future__ import annotations

import warnings
from typing import Any

import httpx2 as httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry
from tests.interop.conftest import LIMITS, PASSWORD, Server
from tests.support import form_of, query_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from authlib.integrations.httpx_client import AsyncOAuth2Client
    from authlib.oauth2.rfc7523 import ClientSecretJWT

pytestmark = [pytest.mark.interop]
CALLBACK = "http://localhost:7002/cb"
VERIFIER = "v" * 64


async def sign_in(browser: httpx.AsyncClient, url: str) -> str:
    """Follow an authorization address through the pages; return the address that the application would get."""
    answer = await browser.get(url)
    if answer.status_code == 200:
        form = form_of(answer)
        answer = await browser.post(form.action, data={**form.fields, "username": "siti", "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


async def test_the_code_flow_refresh_introspection_revocation_and_logout(server: Server) -> None:
    server.give("authlib", "operator")
    async with (
        AsyncOAuth2Client(
            "authlib",
            server.secrets["authlib"],
            redirect_uri=CALLBACK,
            scope="openid profile email roles",
            code_challenge_method="S256",
            timeout=60,
        ) as client,
        httpx.AsyncClient(base_url=server.issuer, timeout=60, limits=LIMITS) as browser,
    ):
        metadata = (await browser.get("/.well-known/openid-configuration")).json()
        url, state = client.create_authorization_url(
            metadata["authorization_endpoint"], code_verifier=VERIFIER, nonce="a nonce"
        )
        location = await sign_in(browser, url)
        assert query_of(location)["iss"] == metadata["issuer"]
        token = await client.fetch_token(
            metadata["token_endpoint"], authorization_response=location, state=state, code_verifier=VERIFIER
        )
        claims = await check_id_token(browser, metadata, token["id_token"])
        assert claims["nonce"] == "a nonce"
        userinfo = (await client.get(metadata["userinfo_endpoint"])).json()
        assert userinfo["name"] == "Siti Rahmawati"
        assert userinfo["sub"] == claims["sub"]
        assert claims["roles"] == userinfo["roles"] == ["operator"]
        old = token["refresh_token"]
        token = await client.refresh_token(metadata["token_endpoint"])
        assert token["refresh_token"] != old
        introspection = await client.introspect_token(metadata["introspection_endpoint"], token["access_token"])
        assert introspection.json()["active"] is True
        assert introspection.json()["roles"] == ["operator"]
        await client.revoke_token(metadata["revocation_endpoint"], token["refresh_token"])
        introspection = await client.introspect_token(metadata["introspection_endpoint"], token["access_token"])
        assert introspection.json() == {"active": False}
        goodbye = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": "http://localhost:7002/bye"}
        answer = await browser.get(metadata["end_session_endpoint"], params=goodbye)
        assert answer.headers["location"] == "http://localhost:7002/bye"


async def check_id_token(browser: httpx.AsyncClient, metadata: dict[str, Any], id_token: str) -> dict[str, Any]:
    keys = KeySet.import_key_set((await browser.get(metadata["jwks_uri"])).json())
    decoded = jwt.decode(id_token, keys, algorithms=["ES256"])
    JWTClaimsRegistry(
        iss={"essential": True, "value": metadata["issuer"]},
        aud={"essential": True, "value": "authlib"},
        exp={"essential": True},
        iat={"essential": True},
    ).validate(decoded.claims)
    return dict(decoded.claims)


async def test_client_credentials_with_an_assertion(server: Server) -> None:
    endpoint = f"{server.issuer}/token"
    method = ClientSecretJWT(endpoint)
    async with AsyncOAuth2Client(
        "authlib-jwt", server.secrets["authlib-jwt"], token_endpoint_auth_method=method, timeout=60
    ) as client:
        token = await client.fetch_token(endpoint, grant_type="client_credentials", scope="read")
    assert token["scope"] == "read"
