"""What the PHP library OpenID-Connect-PHP (jumbojett, 1.0) sends, written out request by request.

The library cannot be installed from where the tests run, so its requests are sent exactly as it builds them
(``http_build_query`` with PHP_QUERY_RFC1738, its headers, its order), and its checks are made as it makes them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

import httpx2 as httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from tests.interop.conftest import LIMITS, PASSWORD, Server
from tests.support import challenge_of, form_of, forms_in
from tests.waiting import wait_until

pytestmark = [pytest.mark.interop]
CLIENT, CALLBACK, BYE = "php", "http://localhost:7004/index.php", "http://localhost:7004/bye.php?from=sso"


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify_like_the_library(token: str, keys: list[dict[str, Any]]) -> dict[str, Any]:
    """get_key_for_header and verifyRSAJWTsignature: the first RSA key with the token's kid."""
    header, body, signature = token.split(".")
    about = json.loads(unb64(header))
    assert about["alg"] == "RS256"
    key = next(candidate for candidate in keys if candidate["kty"] == "RSA" and candidate["kid"] == about["kid"])
    public = rsa.RSAPublicNumbers(
        int.from_bytes(unb64(key["e"]), "big"), int.from_bytes(unb64(key["n"]), "big")
    ).public_key()
    public.verify(unb64(signature), f"{header}.{body}".encode(), padding.PKCS1v15(), SHA256())
    claims: dict[str, Any] = json.loads(unb64(body))
    return claims


def sign_in(browser: httpx.Client, url: str) -> dict[str, str]:
    """Go through the provider's pages and return what the callback got."""
    answer = browser.get(url)
    while "location" not in answer.headers or answer.headers["location"].startswith("/"):
        if answer.is_redirect:
            answer = browser.get(answer.headers["location"])
            continue
        form = form_of(answer)
        answer = browser.post(form.action, data={**form.fields, "username": "siti", "password": PASSWORD})
    location = answer.headers["location"]
    assert location.startswith(CALLBACK + "?")
    return dict(parse_qsl(urlsplit(location).query))


def test_sign_in_refresh_and_sign_out_as_the_library_does_them(server: Server) -> None:
    secret = server.secrets[CLIENT]
    basic = base64.b64encode(f"{quote_plus(CLIENT)}:{quote_plus(secret)}".encode()).decode()
    form_type = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "*/*"}
    with (
        httpx.Client(base_url=server.issuer, timeout=60, limits=LIMITS) as curl,
        httpx.Client(base_url=server.issuer, timeout=60, limits=LIMITS) as browser,
    ):
        config = curl.get("/.well-known/openid-configuration").json()
        assert "client_secret_basic" in config["token_endpoint_auth_methods_supported"]

        # requestAuthorization
        verifier = secrets.token_hex(64)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        state, nonce = secrets.token_hex(16), secrets.token_hex(16)
        query = urlencode(
            {
                "response_type": "code",
                "redirect_uri": CALLBACK,
                "client_id": CLIENT,
                "nonce": nonce,
                "state": state,
                "scope": "profile email openid",
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        got = sign_in(browser, f"{config['authorization_endpoint']}?{query}")
        assert got["state"] == state

        # requestTokens: Basic, with client_id in the form beside the verifier
        body = {"grant_type": "authorization_code", "code": got["code"], "redirect_uri": CALLBACK}
        body |= {"client_id": CLIENT, "code_verifier": verifier}
        headers = {"Authorization": f"Basic {basic}", **form_type}
        tokens = curl.post(config["token_endpoint"], content=urlencode(body), headers=headers).json()
        keys = curl.get(config["jwks_uri"]).json()["keys"]
        claims = verify_like_the_library(tokens["id_token"], keys)
        half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
        assert claims["at_hash"] == base64.urlsafe_b64encode(half).rstrip(b"=").decode()
        assert (claims["iss"], claims["aud"], claims["nonce"]) == (config["issuer"], CLIENT, nonce)

        # requestUserInfo: with a query of its own
        headers = {"Authorization": f"Bearer {tokens['access_token']}", "Accept": "application/json"}
        about = curl.get(config["userinfo_endpoint"] + "?schema=openid", headers=headers).json()
        assert (about["sub"], about["name"]) == (claims["sub"], "Siti Rahmawati")

        # refreshToken: with the scopes that were added, or an empty scope
        headers = {"Authorization": f"Basic {basic}", **form_type}
        for scope in ("", "profile email"):
            body = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "scope": scope}
            fresh = curl.post(config["token_endpoint"], content=urlencode(body), headers=headers).json()
            assert fresh["access_token"], fresh
            tokens |= fresh

        # signOut
        query = urlencode({"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": BYE})
        answer = browser.get(f"{config['end_session_endpoint']}?{query}")
        assert (answer.status_code, answer.headers["location"]) == (303, BYE)
        refused = curl.post(config["token_endpoint"], content=urlencode(body), headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_a_logout_token_passes_the_checks_of_the_library(server: Server) -> None:
    """verifyLogoutToken: iss, aud, iat, sid or sub, events with the one member, no nonce."""
    with receiver_at(server.ports["php"]) as received:
        claims, about = logged_out(server, received)
    assert (claims["iss"], claims["aud"]) == (server.issuer, CLIENT)
    assert (claims["sid"], claims["sub"]) == (about["sid"], about["sub"])
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert isinstance(claims["iat"], int)
    assert "nonce" not in claims


@contextmanager
def receiver_at(port: int) -> Iterator[list[dict[str, str]]]:
    """Yield the forms that a server at a port receives."""
    received: list[dict[str, str]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.append(dict(parse_qsl(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", port), Receiver) as listener:
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        try:
            yield received
        finally:
            listener.shutdown()
            thread.join(60)


def logged_out(server: Server, received: list[dict[str, str]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sign in and out, and return the claims of the logout token that was received, and those of the ID token."""
    with httpx.Client(base_url=server.issuer, timeout=60, limits=LIMITS) as browser:
        query = urlencode(
            {"response_type": "code", "redirect_uri": CALLBACK, "client_id": CLIENT, "nonce": "n", "state": "s"}
            | {"scope": "openid", "code_challenge": challenge_of("y" * 43), "code_challenge_method": "S256"}
        )
        code = sign_in(browser, f"/authorize?{query}")["code"]
        tokens = browser.post(
            "/token",
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": CALLBACK,
                "code_verifier": "y" * 43,
            },
            auth=(CLIENT, server.secrets[CLIENT]),
        ).json()
        form = next(form for form in forms_in(browser.get("/").text) if form.action == "/logout")
        browser.post(form.action, data=form.fields)
        keys = browser.get("/jwks").json()["keys"]
    about = json.loads(unb64(tokens["id_token"].split(".")[1]))

    def ours() -> list[dict[str, Any]]:
        """Return the claims of this session's notices: one of an earlier test may be sent again meanwhile."""
        claims = [verify_like_the_library(form["logout_token"], keys) for form in list(received)]
        return [notice for notice in claims if notice["sid"] == about["sid"]]

    wait_until(lambda: bool(ours()))
    return ours()[0], about
