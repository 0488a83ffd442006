"""Widespread libraries of the npm registry sign in, unmodified: openid-client 4 and 5 with private_key_jwt,
passport-openidconnect, and oidc-client-ts in Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser
from tests.interop.conftest import HERE, PASSWORD, SCRIPT_SECONDS, Server, signed_in
from tests.journeys.conftest import _browser as _browser  # fixtures
from tests.journeys.conftest import chromium as chromium
from tests.waiting import BROWSER_MILLISECONDS, wait_for

pytestmark = [pytest.mark.interop]
FOLDER = HERE / "relying_parties"
MODULES = FOLDER / "node_modules"


def node() -> str:
    """Return the path of Node.js; fail where it or the packages are missing."""
    program = shutil.which("node")
    if program is None or not (MODULES / "openid-client-5").is_dir():
        pytest.fail("Node.js or the packages of tests/interop/relying_parties are missing: run `make test`")
    return program


def test_openid_client_4_and_5_authenticate_with_private_key_jwt(server: Server) -> None:
    """Up to 5.7.0 `aud` of the assertion is a list of our own names. Profile `legacy` accepts the list; for profile
    `standard` the setting `clientAssertionPayload` makes it a text. 5.7.1 needs no setting."""
    commands = [
        ["clients", "invite", "openid-client", "--profile", profile, "--uses", "3"]
        for profile in ("legacy", "standard")
    ]
    invitations = dict(zip(("legacy", "standard"), server.sso_lines(*commands), strict=True))
    request = {"issuer": server.issuer, "redirectUri": "http://localhost:7005/cb", "invitations": invitations}
    done = subprocess.run(
        [node(), "private_key_jwt.mjs"],
        cwd=FOLDER,
        input=json.dumps({**request, "username": "siti", "password": PASSWORD}),
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    cases = ("4.9.1 legacy", "4.9.1 standard", "5.7.0 legacy", "5.7.0 standard", "5.7.1 standard")
    assert seen == {case: {"name": "Siti Rahmawati", "active": [True, False]} for case in cases}


@pytest.fixture
def passport(server: Server, tmp_path: Path) -> Iterator[str]:
    """The address of an application with passport-openidconnect."""
    port, log = server.ports["passport"], tmp_path / "passport.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [node(), "passport.mjs"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=errors, stderr=errors, text=True
        )
    assert process.stdin is not None
    known = {"issuer": server.issuer, "port": port, "clientId": "passport", "clientSecret": server.secrets["passport"]}
    process.stdin.write(json.dumps(known) + "\n")
    process.stdin.flush()
    try:
        wait_for(port, process, log)
        yield f"http://localhost:{port}"
    finally:
        process.stdin.close()
        process.wait(60)


def test_passport_openidconnect_signs_in_and_reads_userinfo(server: Server, passport: str) -> None:
    page = signed_in(server, f"{passport}/login")
    assert page.status_code == 200, page.text
    person = page.json()
    assert (person["iss"], person["name"]) == (server.issuer, "Siti Rahmawati")
    assert person["sub"] == person["idSub"]
    assert person["refresh"]


@pytest.fixture
def page(server: Server) -> Iterator[str]:
    """The address of a single-page application with oidc-client-ts."""
    node()
    files = {
        "/": (FOLDER / "single_page.html", "text/html"),
        "/oidc-client-ts.min.js": (MODULES / "oidc-client-ts/dist/browser/oidc-client-ts.min.js", "text/javascript"),
    }

    class Files(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            file, kind = files.get(self.path.partition("?")[0], (None, ""))
            self.send_response(200 if file else 404)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(file.read_bytes() if file else b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    port = server.ports["page"]
    listener = ThreadingHTTPServer(("127.0.0.1", port), Files)
    thread = threading.Thread(target=partial(listener.serve_forever, poll_interval=0.05), daemon=True)
    thread.start()
    yield f"http://localhost:{port}/"
    listener.shutdown()
    listener.server_close()
    thread.join(60)


@pytest.mark.asyncio(loop_scope="session")
async def test_oidc_client_ts_signs_in_renews_revokes_and_signs_out_in_chromium(
    server: Server, page: str, chromium: Browser
) -> None:
    async with await chromium.new_page() as tab:
        tab.set_default_timeout(BROWSER_MILLISECONDS)
        await tab.goto(f"{page}?issuer={server.issuer}")
        await tab.evaluate("void manager.signinRedirect()")
        await tab.fill("input[name=username]", "siti")
        await tab.fill("input[name=password]", PASSWORD)
        await tab.press("input[name=password]", "Enter")
        await tab.wait_for_url(f"{page}?*code=*")
        assert await tab.evaluate("callback()") == {"name": "Siti Rahmawati", "email": None, "refresh": True}
        assert await tab.evaluate("renew()") == {"name": "Siti Rahmawati"}
        token = await tab.evaluate("accessToken()")
        assert await tab.evaluate("status", token) == 200
        assert await tab.evaluate("revoke()") == {"refresh": False}
        assert await tab.evaluate("status", token) == 401
        await tab.evaluate("void manager.signoutRedirect()")
        await tab.wait_for_url(page)
