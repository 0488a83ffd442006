"""An administrator ends a citizen's session through the API, and it is over at four applications that learn of it in
three ways; the proof names each truthfully."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml
from playwright.async_api import Browser, BrowserContext, expect
from tests.commands import run_command, run_commands
from tests.interop.test_gate import certificate, prepared
from tests.journeys.displays import Display, Rules, check_displays, follow, new_context
from tests.journeys.test_sign_on import sign_in
from tests.ports import free_ports
from tests.support import QUICK_HASHES
from tests.waiting import until, wait_for

from sso.platform.permissions import GRANTING, PERMISSIONS

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("end-everywhere")]
SSO = str(Path(sys.executable).with_name("sso"))
APP = Path(__file__).parents[2] / "examples" / "app.py"
PASSWORD = "perahu-kertas-di-sungai-88"
KINDS = {"satu": "back_channel", "dua": "back_channel", "tiga": "front_channel", "empat": "none"}
HOW = {"satu": "back_channel", "dua": "back_channel", "tiga": "token_lifetime", "empat": "token_lifetime"}


@dataclass
class Town:
    """A provider and its four applications."""

    issuer: str
    apps: dict[str, str]
    secrets: dict[str, str]
    environment: dict[str, str]
    gate: str = ""

    def sso(self, *words: str, stdin: str = "") -> str:
        """Run a command."""
        completed = run_command(self.environment, Path.cwd(), *words, stdin=stdin)
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    def api(self, method: str, path: str, **options: Any) -> Any:
        """Call the administration API as a program of the city."""
        scope = " ".join(permission.scope for permission in PERMISSIONS.values() if permission.name != GRANTING)
        form = {"grant_type": "client_credentials", "scope": scope}
        secret = ("petugas", self.secrets["petugas"])
        token = httpx.post(f"{self.issuer}/token", data=form, auth=secret, timeout=60).json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        answer = httpx.request(method, f"{self.issuer}/api/v1{path}", headers=headers, timeout=60, **options)
        assert answer.status_code < 300, answer.text
        return answer.json()


def catalogue(apps: dict[str, str], gate: str) -> dict[str, Any]:
    """Return the four applications, one behind the gate, and the program."""
    applications: list[dict[str, Any]] = []
    for name, kind in KINDS.items():
        entry = {"client_id": name, "type": "web", "client_name": f"Aplikasi {name}", "first_party": True}
        entry |= {"redirect_uris": [f"{apps[name]}/callback"], "post_logout_redirect_uris": [f"{apps[name]}/"]}
        if kind != "none":
            entry[f"{kind.replace('_', '')}_logout_uri"] = f"{apps[name]}/{kind.replace('_', '')}-logout"
        applications.append(entry)
    applications.append(
        {"client_id": "gerbang", "type": "gate", "client_name": "Arsip lama", "first_party": True}
        | {"gate": {"hosts": [gate.removeprefix("https://")], "headers": ["username"]}}
    )
    scope = " ".join(permission.scope for permission in PERMISSIONS.values())
    applications.append(
        {"client_id": "petugas", "type": "service", "client_name": "Petugas", "first_party": True, "scope": scope}
    )
    return {"catalogue": "town", "applications": applications}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    directory = tmp_path_factory.mktemp("town")
    port = free_ports(6)
    apps = {name: f"http://localhost:{port + number}" for number, name in enumerate(KINDS, start=1)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SSO_", "APP_"))}
    environment |= QUICK_HASHES | {"SSO_ISSUER": f"http://localhost:{port}", "SSO_DATA_DIR": str(directory)}
    environment["SSO_SECOND_FACTOR_ROLES"] = "none"
    environment["SSO_TRUSTED_PROXIES"] = "127.0.0.1"
    environment["SSO_OUTBOUND_TIMEOUT"] = "30s"
    new_town = Town(f"http://localhost:{port}", apps, {}, environment, f"https://gerbang.localhost:{port + 5}")
    (directory / "town.yaml").write_text(yaml.safe_dump(catalogue(apps, new_town.gate)))
    names = [*KINDS, "petugas"]
    commands = [
        ["db", "upgrade"],
        ["clients", "apply", str(directory / "town.yaml")],
        ["users", "create", "siti", "--name", "Siti Rahmawati", "--password-stdin"],
        ["users", "create", "ratna", "--name", "Ratna", "--role", "admin", "--password-stdin"],
        *(["clients", "secret", name] for name in names),
    ]
    printed = run_commands(environment, directory, *commands, stdin=PASSWORD)
    new_town.secrets |= zip(names, printed[-len(names) :], strict=True)
    processes = []
    with (directory / "log").open("w") as log:
        commands: list[tuple[list[str], dict[str, str]]] = [([SSO, "serve", "--port", str(port)], {})]
        for number, name in enumerate(KINDS, start=1):
            about = {"APP_ISSUER": new_town.issuer, "APP_CLIENT_ID": name, "APP_CLIENT_SECRET": new_town.secrets[name]}
            about |= {"APP_NAME": f"Aplikasi {name}", "APP_PORT": str(port + number), "APP_LOGOUT": KINDS[name]}
            commands.append(([sys.executable, "-W", "ignore", str(APP)], about))
        try:
            for command, about in commands:
                processes.append(
                    subprocess.Popen(command, env={**environment, **about}, cwd=directory, stdout=log, stderr=log)
                )
            for number, process in enumerate(processes):
                wait_for(port + number, process, directory / "log")
            yield new_town
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(60)


def session_at(town: Town, names: set[str]) -> dict[str, Any]:
    """Return the session in which these applications take part, and no others: tests before may have left some."""
    sessions: list[dict[str, Any]] = town.api("GET", "/sessions")["items"]
    (chosen,) = [
        session
        for session in sessions
        if {application["client_id"] for application in session["applications"]} == names
    ]
    return chosen


async def test_an_end_through_the_api_is_over_at_all_four_and_the_proof_is_true(
    town: Town, person: BrowserContext
) -> None:
    page = await person.new_page()
    for number, app in enumerate(town.apps.values()):
        await page.goto(f"{app}/login")
        if number == 0:
            await sign_in(page, "siti", PASSWORD)
        await expect(page.locator("#who")).to_have_text("Halo, Siti Rahmawati!")
    session = session_at(town, set(KINDS))
    assert "Chrome" in session["device"]["browser"]

    proof = town.api("POST", f"/sessions/{session['id']}/end", json={"note": "Telepon dicuri"})
    await until(lambda: town.api("GET", f"/sessions/{session['id']}/delivery-report")["open"] == 0)
    proof = town.api("GET", f"/sessions/{session['id']}/delivery-report")
    assert {application["client_id"]: application["how"] for application in proof["applications"]} == HOW
    for application in proof["applications"]:
        is_confirmed = application["how"] == "back_channel"
        assert application["state"] == ("confirmed" if is_confirmed else "unconfirmed")
        assert (application["confirmed_at"] is not None) == is_confirmed
    assert 0 <= proof["seconds_to_last_confirmation"] < 60, "bench measures how soon"

    for app in town.apps.values():
        await page.goto(app)
        await expect(page.get_by_text("Anda belum masuk")).to_be_visible()
        await follow(page, page.get_by_role("link", name="Masuk"))
        await expect(page.locator("#password")).to_be_visible()
    report = json.loads(town.sso("sessions", "delivery-report", session["id"], "--json"))
    assert {application["client_id"]: application["state"] for application in report["applications"]} == {
        application["client_id"]: application["state"] for application in proof["applications"]
    }, "the command says the same as the API"


class Letters(BaseHTTPRequestHandler):
    """An old program behind the gate: two pages that greet the user of the header."""

    def do_GET(self) -> None:
        user = self.headers.get("X-SSO-Username", "")
        page = f'<!doctype html><title>Arsip</title><h1>Arsip {user}</h1><a href="/surat">Surat</a>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def gate(town: Town) -> Iterator[str]:
    """The application behind the gate, with nginx in front of it; the address."""
    application = ThreadingHTTPServer(("127.0.0.1", 0), Letters)
    application.daemon_threads = True
    threading.Thread(target=application.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="sso-gate-journey-") as name, ExitStack() as closing:
        closing.callback(application.server_close)
        closing.callback(application.shutdown)
        folder, port = Path(name), int(town.gate.rpartition(":")[2])
        certificate(folder)
        options = {
            "--for": "nginx", "--application": f"http://127.0.0.1:{application.server_address[1]}",
            "--listen": str(port), "--certificate": str(folder / "cert.pem"),
            "--certificate-key": str(folder / "key.pem"), "--output": name,
            "--provider": town.issuer.replace("localhost", "127.0.0.1"),
        }  # fmt: skip
        town.sso("gate", "config", "gerbang", *chain(*options.items()))
        process = subprocess.Popen(prepared("nginx", folder, port), start_new_session=True)
        closing.callback(process.wait, 60)
        closing.callback(process.terminate)
        wait_for(port, process, folder / "error.log")
        yield town.gate


async def test_the_next_click_behind_the_gate_is_refused_and_the_page_of_the_administrator_proves_it(
    town: Town, gate: str, chromium: Browser
) -> None:
    citizen = await new_context(
        chromium, viewport={"width": 360, "height": 740}, locale="id-ID", ignore_https_errors=True
    )
    page = await citizen.new_page()
    await page.goto(f"{town.apps['satu']}/login")
    await sign_in(page, "siti", PASSWORD)
    await expect(page.locator("#who")).to_be_visible()
    await page.goto(f"{gate}/")
    await expect(page.get_by_role("heading", name="Arsip siti")).to_be_visible()
    assert page.url == f"{gate}/", "without a question"
    seconds_at_visit = time.monotonic()

    office = await new_context(chromium, viewport={"width": 1280, "height": 800}, locale="id-ID")
    admin = await office.new_page()
    await admin.goto(f"{town.issuer}/admin/sessions?person=siti&client=gerbang")
    await sign_in(admin, "ratna", PASSWORD)
    await follow(admin, admin.get_by_role("link", name="Siti Rahmawati").first)
    await admin.locator("#note").fill("Telepon dicuri")
    await follow(admin, admin.get_by_role("button", name="Akhiri sesi ini"))
    row = admin.get_by_role("row", name=re.compile("Arsip lama"))
    await expect(row).to_contain_text("ditutup oleh gate")
    # From now on the page does not refresh by itself: the other application has been notified.
    await expect(admin.get_by_text("Semua aplikasi yang dapat mengonfirmasi sudah mengonfirmasi")).to_be_visible()
    await until(lambda: time.monotonic() - seconds_at_visit > 1)  # so long an answer may be kept

    await follow(page, page.get_by_role("link", name="Surat"))
    await expect(page.locator("#password")).to_be_visible()
    assert page.url.startswith(town.issuer), "the sign-in, not the application"
    await admin.reload()
    await expect(row).to_contain_text("terkonfirmasi")
    report = town.api("GET", f"/sessions/{admin.url.rpartition('/')[2].partition('?')[0]}/delivery-report")
    (archive,) = [application for application in report["applications"] if application["client_id"] == "gerbang"]
    assert (archive["how"], archive["state"]) == ("gate", "confirmed")
    assert archive["confirmed_at"] >= report["ended_at"]
    await office.close()
    await citizen.close()


async def test_signing_out_in_the_browser_reaches_the_one_that_is_told_through_it(
    town: Town, person: BrowserContext
) -> None:
    page = await person.new_page()
    for number, name in enumerate(("satu", "tiga")):
        await page.goto(f"{town.apps[name]}/login")
        if number == 0:
            await sign_in(page, "siti", PASSWORD)
        await expect(page.locator("#who")).to_be_visible()
    session = session_at(town, {"satu", "tiga"})
    await page.goto(town.issuer)
    await follow(page, page.get_by_role("button", name="Keluar"))
    await expect(page.get_by_role("heading", name="Anda sudah keluar")).to_be_visible()
    await expect(page.get_by_text("Aplikasi tiga")).to_be_visible()
    proof = town.api("GET", f"/sessions/{session['id']}/delivery-report")
    assert {application["client_id"]: application["how"] for application in proof["applications"]} == {
        "satu": "back_channel",
        "tiga": "front_channel",
    }
    await page.goto(town.apps["tiga"])
    await expect(page.get_by_text("Anda belum masuk")).to_be_visible()


DISPLAYS = {
    "id-ID": [
        Display(320, 640, "light", Rules.ALL),
        Display(1280, 800, "dark", Rules.COLOURS),
        Display(1280, 800, "light", Rules.COLOURS | Rules.SIZES),
    ],
    "en-GB": [
        Display(320, 640, "light", Rules.COLOURS | Rules.SIZES),
        Display(1280, 800, "dark", Rules.COLOURS),
        Display(1280, 800, "light", Rules.ALL),
    ],
}


@pytest.mark.parametrize("locale", list(DISPLAYS))
async def test_the_pages_about_sessions_are_accessible_and_fit(town: Town, chromium: Browser, locale: str) -> None:
    """In both sizes, light and dark."""
    context = await new_context(chromium, viewport={"width": 320, "height": 640}, locale=locale)
    page = await context.new_page()

    async def look(name: str) -> None:
        await check_displays(page, DISPLAYS[locale], f"{name}-{locale[:2]}")

    other = await chromium.new_context(locale=locale)
    citizen = await other.new_page()
    await citizen.goto(f"{town.apps['satu']}/login")
    await sign_in(citizen, "siti", PASSWORD)
    await citizen.goto(f"{town.apps['empat']}/login")
    await expect(citizen.locator("#who")).to_be_visible()

    await page.goto(f"{town.issuer}/account/sessions")
    await sign_in(page, "siti", PASSWORD)
    await look("account-sessions")
    await page.goto(f"{town.issuer}/login?add=1")
    await look("add-account")
    await sign_in(page, "ratna", PASSWORD)
    await look("home-accounts")
    await page.goto(f"{town.issuer}/admin/sessions?person=siti")
    await look("admin-sessions")
    await follow(page, page.get_by_role("link", name="Siti Rahmawati").first)
    await look("admin-session")
    await page.goto(f"{town.issuer}/admin/sessions?person=siti&client=satu")
    await follow(page, page.get_by_role("link", name="Siti Rahmawati").first)
    await page.locator("#note").fill("Uji coba")
    await follow(page, page.get_by_role("button", name=re.compile("Akhiri sesi ini|End this session")))
    await expect(page.get_by_role("cell", name=re.compile("terkonfirmasi|confirmed"))).to_be_visible()
    await look("admin-proof")
    await page.goto(f"{town.issuer}/admin/sessions?status=ended")
    await look("admin-ended")
    await page.goto(f"{town.issuer}/logout")
    await look("sign-out-accounts")
    await other.close()
    await context.close()


async def test_the_pages_work_without_scripts(town: Town, chromium: Browser) -> None:
    context = await chromium.new_context(java_script_enabled=False, locale="id-ID")
    page = await context.new_page()
    await page.goto(f"{town.issuer}/account/sessions")
    await page.locator("#username").fill("siti")
    await page.locator("#password").fill(PASSWORD)
    await page.get_by_label("Ingat perangkat ini").check()
    await follow(page, page.get_by_role("button", name="Masuk", exact=True))
    await expect(page.get_by_role("heading", name="Sesi aktif")).to_be_visible()
    cookies = {cookie["name"]: cookie for cookie in await context.cookies()}
    assert cookies["sso-remembered"]["expires"] > 0
    assert cookies["sso-session"]["expires"] == -1
    await follow(page, page.get_by_role("button", name=re.compile("^Akhiri sesi ini")).first)
    await expect(page.locator("#password")).to_be_visible()
    await context.close()
