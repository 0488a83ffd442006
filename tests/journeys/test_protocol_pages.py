"""The pages that the protocol itself needs, in a real browser, with an application on another origin."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx2 as httpx
import pytest
import yaml
from PIL import Image, ImageDraw
from playwright.async_api import Browser, BrowserContext, Page, expect
from tests.commands import run_commands
from tests.journeys.displays import Display, Rules, check_access, check_displays, follow, keep_picture, new_context
from tests.journeys.test_sign_on import sign_in
from tests.ports import free_ports
from tests.support import QUICK_HASHES, without_settings
from tests.waiting import until, wait_for

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("protocol")]
SSO = str(Path(sys.executable).with_name("sso"))
PASSWORD = "perahu-kertas-di-sungai-88"


class Application:
    """An application on its own origin: it keeps what browsers bring, and shows what it is told to."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://localhost:{port}"
        self.pages: dict[str, tuple[str, bytes]] = {}
        self.got: list[tuple[str, str, dict[str, str]]] = []
        application = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                application.got.append(("GET", path, dict(parse_qsl(query))))
                self._answer(path)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                application.got.append(("POST", self.path, dict(parse_qsl(body))))
                self._answer(self.path)

            def _answer(self, path: str) -> None:
                kind, body = application.pages.get(path, ("text/html", b"<title>App</title><p id=here>ok</p>"))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def received(self, method: str, path: str) -> dict[str, str]:
        """Return the parameters of the newest such request."""
        return next(data for how, where, data in reversed(self.got) if (how, where) == (method, path))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Running:
    """A provider where applications register themselves, and one of them."""

    issuer: str
    app: Application
    environment: dict[str, str]
    directory: Path

    def command(self, *commands: list[str]) -> str:
        """Run commands of the provider and return what they print."""
        return "\n".join(run_commands(self.environment, self.directory, *commands))

    def register(self, **metadata: Any) -> dict[str, Any]:
        document = {"redirect_uris": [f"{self.app.origin}/cb"], "client_name": "Toko Buku", **metadata}
        answer = httpx.post(f"{self.issuer}/register", json=document, timeout=60)
        assert answer.status_code == 201, answer.text
        client: dict[str, Any] = answer.json()
        return client

    def url(self, client: dict[str, Any], **changes: str) -> str:
        """Return the address that begins an authorization request."""
        values = {
            "client_id": client["client_id"],
            "redirect_uri": client["redirect_uris"][0],
            "response_type": "code",
            "scope": "openid profile",
            "nonce": secrets.token_hex(4),
            "state": "s",
            **changes,
        }
        return f"{self.issuer}/authorize?{urlencode(values)}"


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("protocol")
    port = free_ports(2)
    environment = without_settings(os.environ)
    environment |= QUICK_HASHES | {
        "SSO_ISSUER": f"http://localhost:{port}",
        "SSO_DATA_DIR": str(directory),
        "SSO_CLIENT_REGISTRATION": "open",
        "SSO_CLIENT_REGISTRATION_PROFILE": "certification",
        "SSO_TRUSTED_PROXIES": "127.0.0.1",
        "SSO_OUTBOUND_TIMEOUT": "30s",
    }
    person = ["users", "create", "siti", "--name", "Siti Rahmawati", "--password-stdin"]
    run_commands(environment, directory, ["db", "upgrade"], person, stdin=PASSWORD)
    with (directory / "log").open("w") as log, closing(Application(port + 1)) as app:
        process = subprocess.Popen(
            [SSO, "serve", "--port", str(port)], env=environment, cwd=directory, stdout=log, stderr=log
        )
        try:
            wait_for(port, process, directory / "log")
            yield Running(f"http://localhost:{port}", app, environment, directory)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


async def sign_in_and_allow(page: Page) -> None:
    await sign_in(page, "siti", PASSWORD)
    await page.get_by_role("button", name=re.compile("Setujui|Allow")).click()


async def test_an_answer_as_a_form_arrives_by_itself(running: Running, person: BrowserContext) -> None:
    client = running.register(response_types=["code id_token"], grant_types=["authorization_code", "implicit"])
    page = await person.new_page()
    await page.goto(running.url(client, response_mode="form_post", response_type="code id_token", state="a b&\"'<é"))
    await sign_in_and_allow(page)
    await expect(page.locator("#here")).to_be_visible()
    got = running.app.received("POST", "/cb")
    assert got["state"] == "a b&\"'<é"
    assert {"code", "id_token", "iss", "session_state"} <= set(got)


async def test_an_answer_as_a_form_has_a_button_without_scripts(
    running: Running, chromium: Browser, artefacts: Path
) -> None:
    client = running.register()
    context = await chromium.new_context(
        java_script_enabled=False, locale="id-ID", viewport={"width": 360, "height": 740}
    )
    page = await context.new_page()
    await page.goto(running.url(client, response_mode="form_post", state="quiet"))
    await sign_in_and_allow(page)
    await keep_picture(page, artefacts / "form-post.png")
    await follow(page, page.get_by_role("button", name="Lanjutkan"))
    await expect(page.locator("#here")).to_be_visible()
    assert running.app.received("POST", "/cb")["state"] == "quiet"
    await context.close()


async def test_tokens_in_the_fragment_reach_the_page_and_no_server(running: Running, person: BrowserContext) -> None:
    client = running.register(response_types=["id_token token"], grant_types=["implicit"])
    page = await person.new_page()
    await page.goto(running.url(client, response_type="id_token token"))
    await sign_in_and_allow(page)
    await expect(page.locator("#here")).to_be_visible()
    assert "access_token=" in page.url.partition("#")[2]
    assert running.app.received("GET", "/cb") == {}


WATCH = b"""<title>App</title><iframe id=op></iframe><script>
const query = new URLSearchParams(location.search);
const frame = document.getElementById("op");
const op = new URL(query.get("op")).origin;
window.answers = [];
addEventListener("message", (event) => { if (event.origin === op) window.answers.push(event.data); });
window.ask = (text) => frame.contentWindow.postMessage(text, op);
frame.onload = () => { window.ready = true; };
frame.src = query.get("op");
</script>"""


async def ask(page: Page, text: str) -> str:
    before = await page.evaluate("answers.length")
    await page.evaluate("(text) => ask(text)", text)
    await page.wait_for_function("(n) => answers.length > n", arg=before)
    answer: str = await page.evaluate("answers[answers.length - 1]")
    return answer


async def test_a_page_of_an_application_sees_when_the_session_changes(running: Running, person: BrowserContext) -> None:
    client = running.register(post_logout_redirect_uris=[f"{running.app.origin}/out"])
    running.app.pages["/watch"] = ("text/html", WATCH)
    document = httpx.get(f"{running.issuer}/.well-known/openid-configuration", timeout=60).json()
    page = await person.new_page()
    await page.goto(running.url(client))
    await sign_in_and_allow(page)
    await expect(page.locator("#here")).to_be_visible()
    state = running.app.received("GET", "/cb")["session_state"]
    watch = await person.new_page()
    await watch.goto(f"{running.app.origin}/watch?{urlencode({'op': document['check_session_iframe']})}")
    await watch.wait_for_function("window.ready")
    message = f"{client['client_id']} {state}"
    assert await ask(watch, message) == "unchanged"
    assert await ask(watch, message.replace(".", "0.", 1)) == "changed"
    assert await ask(watch, f"somebody {state}") == "changed"
    assert await ask(watch, "nonsense") == "error"
    await page.goto(running.url(client))
    await expect(page.locator("#here")).to_be_visible()
    assert await ask(watch, message) == "unchanged", "another visit is no change"
    await page.goto(f"{running.issuer}/")
    await follow(page, page.get_by_role("button", name="Keluar"))
    await expect(page.get_by_role("heading", name="Anda sudah keluar")).to_be_visible()
    assert await ask(watch, message) == "changed"


@pytest.mark.parametrize("scripts", [True, False])
async def test_signing_out_through_the_browser_and_back(running: Running, chromium: Browser, scripts: bool) -> None:
    front = f"/fcl-{scripts}"  # the other run has asked for its own
    client = running.register(
        post_logout_redirect_uris=[f"{running.app.origin}/out"],
        frontchannel_logout_uri=f"{running.app.origin}{front}?a=1",
    )
    context = await chromium.new_context(java_script_enabled=scripts, locale="id-ID")
    page = await context.new_page()
    await page.goto(running.url(client))
    await sign_in_and_allow(page)
    await expect(page.locator("#here")).to_be_visible()
    form = {"grant_type": "authorization_code", "redirect_uri": client["redirect_uris"][0]}
    form["code"] = running.app.received("GET", "/cb")["code"]
    tokens = httpx.post(
        f"{running.issuer}/token", data=form, auth=(client["client_id"], client["client_secret"]), timeout=60
    ).json()
    parameters = {
        "id_token_hint": tokens["id_token"],
        "post_logout_redirect_uri": f"{running.app.origin}/out",
        "state": "z",
    }
    # The page leaves when its frames are loaded; on a slow machine, five seconds could be over before that.
    await page.add_init_script("window.setTimeout = () => 0")
    await page.goto(f"{running.issuer}/logout?{urlencode(parameters)}")
    await page.wait_for_url(f"{running.app.origin}/out?state=z")
    await until(lambda: any(path == front for _, path, _ in running.app.got))
    framed = running.app.received("GET", front)
    assert (framed["a"], framed["iss"]) == ("1", running.issuer)
    assert framed["sid"]
    await context.close()


async def test_another_application_is_opened_knowingly(
    running: Running, person: BrowserContext, artefacts: Path
) -> None:
    client = running.register(client_name="Toko Buku", initiate_login_uri=f"{running.app.origin}/begin")
    page = await person.new_page()
    await page.goto(f"{running.issuer}/open/{client['client_id']}")
    await expect(page.get_by_role("heading", name="Buka Toko Buku?")).to_be_visible()
    await check_access(page)
    await keep_picture(page, artefacts / "open.png")
    await follow(page, page.get_by_role("button", name="Lanjutkan"))
    await expect(page.locator("#here")).to_be_visible()
    assert running.app.received("GET", "/begin") == {"iss": running.issuer}


async def test_a_device_is_connected(running: Running, person: BrowserContext, artefacts: Path) -> None:
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    client = running.register(
        client_name="Papan Pengumuman", grant_types=["authorization_code", grant], token_endpoint_auth_method="none"
    )
    about = {"client_id": client["client_id"], "scope": "openid profile"}
    begun = httpx.post(f"{running.issuer}/device_authorization", data=about, timeout=60).json()
    page = await person.new_page()
    await page.goto(begun["verification_uri"])
    await check_access(page)
    await keep_picture(page, artefacts / "device.png")
    await page.get_by_label("Kode").fill("BCDF GHJK")
    await follow(page, page.get_by_role("button", name="Lanjutkan"))
    await expect(page.get_by_role("alert")).to_contain_text("Kode salah atau sudah kedaluwarsa")
    await check_access(page)
    await keep_picture(page, artefacts / "device-wrong.png")
    await page.get_by_label("Kode").fill(begun["user_code"].lower())
    await follow(page, page.get_by_role("button", name="Lanjutkan"))
    await expect(page.get_by_text("untuk menghubungkan perangkat Anda")).to_be_visible()
    await sign_in(page, "siti", PASSWORD)
    await expect(page.get_by_role("heading", name="Hubungkan perangkat ke Papan Pengumuman?")).to_be_visible()
    await expect(page.get_by_text(begun["user_code"])).to_be_visible()
    await check_access(page)
    await keep_picture(page, artefacts / "device-decide.png")
    await follow(page, page.get_by_role("button", name="Hubungkan", exact=True))
    await expect(page.get_by_role("heading", name="Perangkat Anda sudah terhubung")).to_be_visible()
    await check_access(page)
    form = {"grant_type": grant, "client_id": client["client_id"], "device_code": begun["device_code"]}
    assert "access_token" in httpx.post(f"{running.issuer}/token", data=form, timeout=60).json()


DISPLAYS = [
    Display(320, 760, "light", Rules.ALL),
    Display(320, 760, "dark", Rules.COLOURS),
    Display(1280, 760, "dark", Rules.COLOURS),
    Display(1280, 760, "light", Rules.ALL),
]


@pytest.mark.parametrize("locale", ["id", "en"])
async def test_pages_with_a_logo_and_in_every_display(running: Running, chromium: Browser, locale: str) -> None:
    """In both sizes, light and dark."""
    picture = Image.new("RGB", (256, 256), "#f2b134")
    ImageDraw.Draw(picture).ellipse((48, 48, 208, 208), fill="#0b5f5a")
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    running.app.pages["/logo.png"] = ("image/png", buffer.getvalue())
    origin = running.app.origin
    client = running.register(
        client_name="Toko Buku", logo_uri=f"{origin}/logo.png", policy_uri=f"{origin}/p", tos_uri=f"{origin}/t"
    )
    context = await new_context(chromium, viewport={"width": 320, "height": 760})
    page = await context.new_page()
    for display in ("page", "popup", "touch"):
        await page.goto(running.url(client, display=display, ui_locales=locale))
        logo = page.locator("img.logo")
        assert await logo.evaluate("(one) => one.naturalWidth") == 128
        await check_displays(page, DISPLAYS, f"display-{display}-{locale}")
    await sign_in(page, "siti", PASSWORD)
    await expect(page.locator("#password")).to_have_count(0)
    await check_displays(page, DISPLAYS, f"consent-logo-{locale}")
    await context.close()


CATALOGUE = """
catalogue: pages
applications:
  - client_id: arsip
    type: gate
    client_name: Arsip Kota
    first_party: true
    gate: {hosts: [arsip.kota.example], headers: [username]}
  - client_id: lama
    type: cas
    client_name: Aplikasi Lama
    redirect_uris: ["https://lama.kota.example/masuk.php"]
    post_logout_redirect_uris: ["https://lama.kota.example/"]
    scope: openid profile
"""
REQUIRED = {
    "scopes": {"city_profile": {"title": "Data warga", "title#en": "City data"}},
    "attributes": {
        "service_area": {
            "type": "choice",
            "title": "Kecamatan",
            "title#en": "District",
            "choices": {"cpd": {"title": "Cipondoh", "title#en": "Cipondoh"}},
            "read": ["user"],
            "write": ["user"],
            "required_at_registration": True,
            "scope": "city_profile",
        }
    },
}
BOTH = [Display(360, 740, "light", Rules.ALL), Display(1280, 800, "dark", Rules.COLOURS | Rules.SIZES)]


async def test_pages_of_cas_and_of_the_gate_in_every_display(running: Running, chromium: Browser) -> None:
    (running.directory / "pages.yaml").write_text(CATALOGUE)
    printed = running.command(["clients", "apply", "pages.yaml"], ["gate", "config", "arsip", "--for", "nginx"])
    key = re.search(r"X-SSO-Gate-Key +\"?([^\s\";]+)", printed)
    assert key, printed
    context = await new_context(chromium, viewport={"width": 360, "height": 740}, locale="id-ID")
    page = await context.new_page()
    service = urlencode({"service": "https://lama.kota.example/masuk.php"})

    async def open_at(path: str) -> None:
        """Open a page as soon as this process of the provider knows the application."""

        async def is_known() -> bool:
            answer = await page.goto(running.issuer + path)
            return answer is not None and (answer.status < 400 or ("/callback" in path and answer.status == 400))

        await until(is_known)

    await open_at(f"/cas/login?{service}")
    await expect(page.get_by_text("Aplikasi Lama").first).to_be_visible()
    await check_displays(page, BOTH, "cas-login")
    await sign_in(page, "siti", PASSWORD)
    await expect(page.get_by_role("heading", name="Aplikasi Lama meminta izin Anda")).to_be_visible()
    await open_at(f"/cas/logout?{urlencode({'service': 'https://lama.kota.example/'})}")
    await expect(page.get_by_role("heading", name="Keluar?")).to_be_visible()
    await check_displays(page, BOTH, "cas-logout")

    proxied = {"X-SSO-Gate-Key": key[1], "X-Forwarded-Host": "arsip.kota.example", "X-Forwarded-Proto": "https"}
    await context.set_extra_http_headers(proxied)
    for path, heading in (("sent?to=/surat", "Kirim ulang formulir Anda"), ("callback", "Anda belum masuk")):
        await open_at(f"/.sso/{path}")
        await expect(page.get_by_role("heading")).to_contain_text(heading)
        await check_displays(page, BOTH, f"gate-{path.partition('?')[0]}")
    await context.close()


async def test_the_page_that_asks_for_missing_data_in_every_display(running: Running, chromium: Browser) -> None:
    (running.directory / "asked.yaml").write_text(yaml.safe_dump(REQUIRED))
    (running.directory / "none.yaml").write_text("attributes: {}\n")
    running.command(["attributes", "apply", "asked.yaml", "--reason", "test"])
    try:
        context = await new_context(chromium, viewport={"width": 360, "height": 740}, locale="id-ID")
        page = await context.new_page()

        async def is_asked() -> bool:
            await context.clear_cookies()
            await page.goto(f"{running.issuer}/login")
            await sign_in(page, "siti", PASSWORD)
            await expect(page.locator("#password")).to_have_count(0)
            return "/more-data" in page.url

        await until(is_asked)
        await check_displays(page, BOTH, "more-data")
        await follow(page, page.get_by_role("button", name="Nanti saja"))
        await expect(page.get_by_role("heading", name="Halo, Siti Rahmawati")).to_be_visible()
        await context.close()
    finally:
        running.command(["attributes", "apply", "none.yaml", "--reason", "test", "--yes"])
