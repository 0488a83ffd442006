"""npm openid-client, which is certified, and oauth4webapi do the whole flow as they come."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from tests.interop.conftest import HERE, PASSWORD, SCRIPT_SECONDS, Server

pytestmark = [pytest.mark.interop]
FOLDER = HERE / "openid_client"


def run(script: str, request: dict[str, Any]) -> dict[str, Any]:
    """Run a script of Node.js and return what it saw."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("no node on this machine: run `make test`, which says what it needs")
    if not (FOLDER / "node_modules/openid-client").is_dir():
        pytest.fail("openid-client is not installed: run `make test`, which installs it (npm ci)")
    done = subprocess.run(
        [node, script], cwd=FOLDER, input=json.dumps(request), capture_output=True, text=True, timeout=SCRIPT_SECONDS
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_the_code_flow_refresh_userinfo_and_logout(server: Server) -> None:
    server.give("openid-client", "operator")
    seen = run(
        "flow.mjs",
        {
            "issuer": server.issuer,
            "clientId": "openid-client",
            "clientSecret": server.secrets["openid-client"],
            "redirectUri": "http://localhost:7001/cb",
            "postLogoutRedirectUri": "http://localhost:7001/bye",
            "username": "siti",
            "password": PASSWORD,
        },
    )
    assert seen["name"] == "Siti Rahmawati"
    assert seen["refreshedSub"] == seen["sub"]
    assert seen["roles"] == [["operator"]] * 3, "ID token, userinfo and introspection"
    assert seen["asked"] == [True, False, True]
    assert seen["active"] == [True, False], "signing out ends what was granted"
    assert seen["logout"] == "http://localhost:7001/bye?state=bye"
    assert seen["silent"] == "login_required"
    assert seen["revoked"] == "invalid_grant"


def test_registration_pushed_and_signed_requests_hybrid_and_devices(server: Server) -> None:
    token = server.sso("clients", "invite", "oauth4webapi", "--profile", "certification").strip()
    seen = run(
        "oauth4webapi.mjs",
        {
            "issuer": server.issuer,
            "initialAccessToken": token,
            "redirectUri": "http://localhost:7003/cb",
            "username": "siti",
            "password": PASSWORD,
        },
    )
    assert seen["name"] == "Siti Rahmawati"
    assert seen["pending"] == "authorization_pending"
    assert seen["device"] == "string"
    assert seen["active"] == [True, False]
