"""npm openid-client, which is certified, does the whole flow as it comes."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from tests.interop.conftest import HERE, PASSWORD, Server

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop")]
FOLDER = HERE / "openid_client"


def test_the_code_flow_refresh_userinfo_and_logout(server: Server) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.fail("no node on this machine: run `make test`, which says what it needs")
    if not (FOLDER / "node_modules/openid-client").is_dir():
        pytest.fail("openid-client is not installed: run `make test`, which installs it (npm ci)")
    asked = {
        "issuer": server.issuer,
        "clientId": "openid-client",
        "clientSecret": server.secrets["openid-client"],
        "redirectUri": "http://localhost:7001/cb",
        "postLogoutRedirectUri": "http://localhost:7001/bye",
        "username": "siti",
        "password": PASSWORD,
    }
    done = subprocess.run(
        [node, "flow.mjs"], cwd=FOLDER, input=json.dumps(asked), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["name"] == "Siti Rahmawati"
    assert seen["refreshedSub"] == seen["sub"]
    assert seen["asked"] == [True, False, True]
    assert seen["active"] == [True, False], "signing out ends what was granted"
    assert seen["logout"] == "http://localhost:7001/bye?state=bye"
    assert seen["silent"] == "login_required"
    assert seen["revoked"] == "invalid_grant"
