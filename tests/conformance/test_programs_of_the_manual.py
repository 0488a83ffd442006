"""Programs that "Bring an application in" describes and that our tests cannot run, and the quick start for .NET: their
requests, written out from their source, at a provider where the catalogue entry of the page is registered."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx2 as httpx
import jwt
import pytest
from tests.delivery.test_proof import add
from tests.docs.test_bring_an_application import entries
from tests.support import ISSUER, ONE_DATABASE, PASSWORD, Browser, City, challenge_of, query_of

from sso import clock
from sso.clients.secrets import new_secret
from sso.identity.users.models import LocalAccount

DOTNET = {
    "client_id": "dotnet",
    "token_endpoint_auth_method": "client_secret_post",
    "redirect_uris": ["https://app.kota.example/callback"],
    "post_logout_redirect_uris": ["https://app.kota.example/signed-out"],
    "scope": "openid profile roles",
    "application_roles": {"operator": {"title": "Petugas"}},
}
"""What the quick start of the portal needs (Microsoft.AspNetCore.Authentication.OpenIdConnect)."""


@dataclass(frozen=True)
class Program:
    """What a program sends.

    Args:
        client_id: its entry on the page.
        scope: in the authorization request.
        pkce: whether it sends a code_challenge.
        nonce: whether it sends a nonce.
        in_form: whether it sends the client secret in the form.
        asks: other parameters of the authorization request.
        sends: other parameters of the token request.
        id_token: claims that it needs in the ID token.
        hint: whether it signs out with an ID token.
        leaves: other parameters of the sign-out; None: it never signs out at the provider.
    """

    client_id: str
    scope: str
    pkce: bool = True
    nonce: bool = True
    in_form: bool = False
    asks: dict[str, str] = field(default_factory=dict)
    sends: dict[str, str] = field(default_factory=dict)
    id_token: tuple[str, ...] = ()
    hint: bool = True
    leaves: dict[str, str] | None = None


CLAIMS: dict[str, dict[str, Any]] = {
    place: {"name": None, "email": None, "quota": None, "roles": None, "local_user_id": {"essential": True}}
    for place in ("id_token", "userinfo")
}
TELEMETRY = {"x-client-SKU": "ID_NET9_0", "x-client-ver": "8.3.0.0"}
PROGRAMS = (
    # lib/classes/oauth2/client.php and lib/oauthlib.php of Moodle: no PKCE, no nonce, HTTP Basic
    Program("belajar", "openid profile email", pkce=False, nonce=False),
    # lib/Controller/LoginController.php of user_oidc: client_secret_post where discovery offers it
    Program(
        "awan", "openid profile email roles", in_form=True, asks={"claims": json.dumps(CLAIMS)},
        id_token=("name", "email", "roles", "local_user_id"), leaves={"client_id": "awan"},
    ),
    # src/OpenIDConnectClient.php of OpenID-Connect-PHP 1.0.2, used by the extension of MediaWiki
    Program(
        "wiki", "openid profile email roles employee openid", sends={"client_id": "wiki"}, id_token=("roles",),
        leaves={},
    ),
    # pkg/services/authn/clients/oauth.go of Grafana: no nonce; AuthStyle InHeader
    Program("pantau", "openid profile email roles employee", nonce=False, id_token=("roles",), leaves={}),
    # lib/omniauth/strategies/openid_connect.rb of omniauth_openid_connect; GitLab leaves without a hint
    Program("git", "openid profile email", hint=False, leaves={"client_id": "git"}),
    # OpenIdConnectHandler.cs of ASP.NET Core, before .NET 9
    Program(
        "dotnet", "openid profile roles", in_form=True, asks=TELEMETRY, id_token=("roles", "sid"), leaves=TELEMETRY,
    ),
)  # fmt: skip


async def registered(city: City, client_id: str) -> tuple[str, dict[str, Any]]:
    """Register an application as the page shows it, and return its client secret and the entry."""
    entry = dict(DOTNET if client_id == "dotnet" else entries()[client_id])
    await add(city, entry["client_id"], **{name: value for name, value in entry.items() if name != "client_id"})
    async with city.provider.db.write() as session:
        return await new_secret(session, city.provider.box, client_id), entry


async def imported(city: City, client_id: str) -> None:
    """Let the import have brought siti to an application."""
    async with city.provider.db.write() as session:
        known = {"client_id": client_id, "local_user_id": "siti.lama", "user_id": city.users["siti"]}
        session.add(LocalAccount(**known, created_at=clock.now()))


async def token(city: City, program: Program, secret: str, form: dict[str, str]) -> httpx.Response:
    """Send a token request as a program does."""
    async with city.client() as http:
        if program.in_form:
            return await http.post("/token", data={**form, "client_id": program.client_id, "client_secret": secret})
        return await http.post("/token", data=form, auth=(program.client_id, secret))


async def arrive(browser: Browser, address: str) -> dict[str, str]:
    """Sign siti in, and return what the program receives."""
    page = await browser.submit(await browser.open(address), username="siti", password=PASSWORD)
    received = query_of(page.headers["location"])
    assert received["iss"] == ISSUER
    return received


@ONE_DATABASE
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.client_id)
async def test_a_program_signs_in_reads_the_user_and_signs_out(city: City, program: Program) -> None:
    secret, entry = await registered(city, program.client_id)
    await imported(city, program.client_id)
    verifier, nonce, uri = secrets.token_hex(64)[:128], secrets.token_hex(16), entry["redirect_uris"][0]
    parameters = {"client_id": program.client_id, "response_type": "code", "redirect_uri": uri, "state": "keadaan"}
    parameters |= {"scope": program.scope, **program.asks, **({"nonce": nonce} if program.nonce else {})}
    if program.pkce:
        parameters |= {"code_challenge": challenge_of(verifier), "code_challenge_method": "S256"}
    async with city.browser() as browser:
        received = await arrive(browser, f"/authorize?{urlencode(parameters)}")
        assert received["state"] == "keadaan"
        form = {"grant_type": "authorization_code", "code": received["code"], "redirect_uri": uri, **program.sends}
        answer = await token(city, program, secret, form | ({"code_verifier": verifier} if program.pkce else {}))
        assert answer.status_code == 200, answer.text
        tokens = answer.json()
        claims = _claims(tokens["id_token"])
        assert claims.get("nonce") == (nonce if program.nonce else None)
        assert set(program.id_token) <= set(claims), claims
        async with city.client() as http:
            about = await http.get("/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
        assert (about.json()["name"], about.json()["local_user_id"]) == ("Siti Rahmawati", "siti.lama")
        if program.leaves is None:
            return
        after = entry["post_logout_redirect_uris"][0]
        sent = {"post_logout_redirect_uri": after, **({"id_token_hint": tokens["id_token"]} if program.hint else {})}
        page = await browser.http.get(f"/logout?{urlencode(sent | program.leaves)}")
        if program.hint:
            assert page.headers["location"] == after
        else:
            assert "Keluar?" in page.text, "without a hint the user is asked"
            page = await browser.submit(page)
            assert f'href="{after}"' in page.text
        renewed = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert (await token(city, program, secret, renewed)).json()["error"] == "invalid_grant"


def _claims(id_token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(id_token, options={"verify_signature": False})
    return claims


async def test_dotnet_pushes_its_request_where_the_provider_offers_it(city: City) -> None:
    """OpenIdConnectHandler of .NET 9 and newer (PushedAuthorizationBehavior.UseIfAvailable)."""
    secret, entry = await registered(city, "dotnet")
    verifier, uri = secrets.token_urlsafe(32), entry["redirect_uris"][0]
    parameters = {"client_id": "dotnet", "redirect_uri": uri, "response_type": "code", "scope": "openid profile roles"}
    parameters |= {
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
        "nonce": "n",
        "state": "s",
    }
    async with city.client() as http, city.browser() as browser:
        pushed = await http.post("/par", data=parameters | TELEMETRY | {"client_secret": secret})
        assert pushed.status_code == 201, pushed.text
        short = {"client_id": "dotnet", "request_uri": pushed.json()["request_uri"]}
        received = await arrive(browser, f"/authorize?{urlencode(short)}")
        form = {"grant_type": "authorization_code", "code": received["code"], "redirect_uri": uri}
        form |= {"code_verifier": verifier, "client_id": "dotnet", "client_secret": secret}
        answer = await http.post("/token", data=form)
    assert answer.status_code == 200, answer.text


@ONE_DATABASE
@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"code_challenge": ""}, "code_challenge is required, with code_challenge_method=S256 (RFC 7636)."),
        ({"in_form": "yes"}, "this client is registered with token_endpoint_auth_method=client_secret_basic"),
        ({"secret": "salah"}, "Client authentication failed."),
        ({"code": "salah"}, "Invalid 'code' in request."),
    ],
)
async def test_a_mistake_is_answered_with_the_text_of_the_page(city: City, change: dict[str, str], text: str) -> None:
    secret, entry = await registered(city, "git")
    uri = entry["redirect_uris"][0]
    if "code_challenge" in change:
        parameters = {"client_id": "git", "response_type": "code", "redirect_uri": uri, "scope": "openid", "state": "s"}
        async with city.client() as http:
            sent = query_of((await http.get(f"/authorize?{urlencode(parameters)}")).headers["location"])
        assert (sent["error"], sent["error_description"]) == ("invalid_request", text)
        return
    form = {"grant_type": "authorization_code", "code": "salah", "redirect_uri": uri, "code_verifier": "v" * 43}
    program = Program("git", "openid", in_form="in_form" in change)
    answer = await token(city, program, change.get("secret", secret), form)
    assert text in answer.json()["error_description"]


async def test_without_a_value_for_the_user_id_nextcloud_gets_none(city: City) -> None:
    """The page says that `--mapping-uid=local_user_id` refuses users who were not imported."""
    secret, entry = await registered(city, "awan")
    verifier, uri = secrets.token_urlsafe(32), entry["redirect_uris"][0]
    parameters = {"client_id": "awan", "response_type": "code", "redirect_uri": uri, "scope": "openid", "state": "s"}
    parameters |= {
        "claims": json.dumps(CLAIMS),
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    async with city.browser() as browser:
        received = await arrive(browser, f"/authorize?{urlencode(parameters)}")
    form = {
        "grant_type": "authorization_code",
        "code": received["code"],
        "redirect_uri": uri,
        "code_verifier": verifier,
    }
    answer = await token(city, Program("awan", "openid", in_form=True), secret, form)
    assert "local_user_id" not in _claims(answer.json()["id_token"])
