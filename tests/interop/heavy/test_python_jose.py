"""python-jose verifies ID tokens and access tokens with the whole key set.

It tries the keys in their order and fails at the first key of another type than the token's algorithm needs, so the
keys of the default algorithm must stand first. A client with another algorithm selects the key by ``kid``.
"""

from __future__ import annotations

import json
import subprocess

import httpx2 as httpx
import pytest
from tests.interop.conftest import PASSWORD, Server
from tests.interop.heavy.conftest import HERE, python
from tests.support import challenge_of, form_of, query_of

pytestmark = [pytest.mark.interop]
VERIFIER, CALLBACK = "j" * 43, "http://localhost:7006/cb"


def tokens_of(server: Server, client_id: str) -> dict[str, str]:
    """Sign siti in and return the tokens."""
    parameters = {"response_type": "code", "client_id": client_id, "redirect_uri": CALLBACK, "scope": "openid profile"}
    parameters |= {
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
        "state": "s",
        "nonce": "n",
    }
    with httpx.Client(base_url=server.issuer, timeout=60) as browser:
        form = form_of(browser.get("/authorize", params=parameters))
        answer = browser.post(form.action, data={**form.fields, "username": "siti", "password": PASSWORD})
        code = query_of(answer.headers["location"])["code"]
        exchange = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        answer = browser.post(
            "/token", data={**exchange, "code_verifier": VERIFIER}, auth=(client_id, server.secrets[client_id])
        )
        tokens: dict[str, str] = answer.json()
        return tokens


def verified(server: Server, *tokens: dict[str, str]) -> list[str]:
    """Return what python-jose says of each token: its ``sub``, or the error."""
    done = subprocess.run(
        [python(), str(HERE / "python/jose_verify.py")],
        input=json.dumps({"issuer": server.issuer, "tokens": tokens}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    outcomes: list[str] = json.loads(done.stdout)
    return outcomes


def test_python_jose_verifies_tokens_before_and_after_a_rotation(server: Server) -> None:
    tokens, other = tokens_of(server, "jose"), tokens_of(server, "jose-es256")
    ours = [
        {"token": tokens["id_token"], "audience": "jose", "algorithm": "RS256", "access_token": tokens["access_token"]},
        {"token": tokens["access_token"], "audience": server.issuer, "algorithm": "RS256"},
    ]
    with_kid = {"token": other["id_token"], "audience": "jose-es256", "algorithm": "ES256", "select": "kid"}
    with_kid |= {"access_token": other["access_token"]}
    before = verified(server, *ours, with_kid)
    assert len(set(before)) == 1, before
    assert ":" not in before[0], before
    server.sso("keys", "rotate", "--force")
    assert verified(server, *ours, with_kid) == before, "tokens of the previous key are still good"
    fresh = tokens_of(server, "jose")
    again = {"token": fresh["id_token"], "audience": "jose", "algorithm": "RS256"}
    assert verified(server, {**again, "access_token": fresh["access_token"]}) == before[:1]
