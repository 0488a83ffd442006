"""From a developer's first form to a citizen in production, and an administrator who ends that session: in a real
browser, with a real application, at the demo."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect
from tests.commands import run_commands
from tests.journeys.conftest import Demo
from tests.journeys.displays import Display, Rules, check_displays, check_fits, follow, new_context
from tests.journeys.test_sign_on import sign_in
from tests.ports import free_ports
from tests.support import without_settings
from tests.waiting import wait_for

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("portal")]
EXAMPLE = Path(__file__).parents[2] / "examples" / "app.py"


@pytest_asyncio.fixture(loop_scope="session")
async def desks(chromium: Browser) -> AsyncIterator[dict[str, BrowserContext]]:
    """The browsers of a developer, an administrator and a citizen."""
    contexts = {}
    for name in ("dimas", "ratna", "siti"):
        context = await chromium.new_context(viewport={"width": 1280, "height": 900}, locale="id-ID")
        contexts[name] = context
    yield contexts
    for context in contexts.values():
        await context.close()


@pytest.fixture
def programs() -> Iterator[list[subprocess.Popen[bytes]]]:
    """What runs during a journey."""
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for program in running:
        program.kill()
        program.wait(60)


async def at(demo: Demo, desks: dict[str, BrowserContext], name: str, path: str) -> Page:
    """Return a page of somebody who is signed in."""
    page = await desks[name].new_page()
    await page.goto(demo.issuer + path)
    await sign_in(page, name, demo.passwords[name])
    await page.wait_for_url(demo.issuer + path)
    return page


def start(
    programs: list[subprocess.Popen[bytes]], folder: Path, port: int, issuer: str, client_id: str, secret: str
) -> None:
    """Start the sample app as one application, the last one of ``programs``."""
    environment = {**os.environ, "APP_NAME": "Karcis Parkir", "APP_ISSUER": issuer, "APP_PORT": str(port)}
    environment |= {"APP_CLIENT_ID": client_id, "APP_CLIENT_SECRET": secret, "PYTHONWARNINGS": "ignore"}
    log = folder / f"{client_id}.log"
    with log.open("w") as file:
        programs.append(subprocess.Popen([sys.executable, str(EXAMPLE)], env=environment, stdout=file, stderr=file))
    wait_for(port, programs[-1], log)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(60)


async def test_an_application_goes_from_a_form_to_production_and_a_session_of_it_is_ended(
    demo: Demo, desks: dict[str, BrowserContext], tmp_path: Path, programs: list[subprocess.Popen[bytes]]
) -> None:
    port = free_ports(1)
    here = f"http://localhost:{port}"

    # A developer registers it, gets a secret for the sandbox at once, and signs in with it.
    page = await at(demo, desks, "dimas", "/developer")
    await follow(page, page.get_by_role("button", name="Buat aplikasi"))
    await follow(page, page.get_by_role("button", name="Buat aplikasi"))
    await expect(page.locator("#problem li")).to_have_count(2)  # everything that is missing, at once
    await page.locator("#client_name").fill("Karcis Parkir")
    await page.locator("#redirect_uri").fill(f"{here}/callback")
    await follow(page, page.get_by_role("button", name="Buat aplikasi"))
    secret = await page.locator("#client-secret").inner_text()
    await expect(page.get_by_role("button", name="Salin: Client secret")).to_be_visible()
    start(programs, tmp_path, port, demo.issuer, "karcis-parkir-sandbox", secret)
    await expect(page.get_by_text("Login pertama berhasil")).to_be_hidden()
    shop = await desks["dimas"].new_page()
    await shop.goto(f"{here}/login")
    await shop.get_by_role("button", name="Setujui").click()
    await expect(shop.locator("#who")).to_contain_text("Dimas Prasetyo")
    await page.bring_to_front()
    await expect(page.get_by_text("Login pertama berhasil")).to_be_visible()
    await shop.close()

    # Everything else is in the folded sections of its settings.
    await page.goto(f"{demo.issuer}/developer/apps/karcis-parkir/settings")
    await page.locator("#contacts").fill("tim@parkir.example")
    for section in ("sandbox", "production", "data"):
        await page.locator(f"#section-{section} > summary").click()
    await page.locator("#sandbox-initiate_login_uri").fill(f"{here}/login")
    await page.locator("#sandbox-backchannel_logout_uri").fill(f"{here}/backchannel-logout")
    await page.locator("#redirect_uris").fill("http://parkir.example/callback")
    for claim in ("name", "email"):
        await page.locator(f'input[name="ask {claim}"]').check()
        await page.locator(f"#reason-{claim}").fill("Nama dan alamat di karcis.")
    await follow(page, page.get_by_role("button", name="Simpan"))
    await expect(page.locator("#redirect_uris-advice")).to_contain_text("https://parkir.example/callback")
    await page.locator("#redirect_uris").fill(f"{here}/callback")
    await page.locator("#backchannel_logout_uri").fill(f"{here}/backchannel-logout")
    await page.locator("#post_logout_redirect_uris").fill(f"{here}/")
    await follow(page, page.get_by_role("button", name="Simpan"))
    await expect(page.get_by_text("Tersimpan")).to_be_visible()
    shop = await desks["dimas"].new_page()
    await shop.goto(f"{here}/login")
    await expect(shop.get_by_text("Nama dan alamat di karcis.")).to_have_count(2)
    await shop.get_by_role("button", name="Setujui").click()
    await expect(shop.locator("#who")).to_contain_text("Dimas Prasetyo")

    # It must pass the check; then it is submitted.
    await page.goto(f"{demo.issuer}/developer/apps/karcis-parkir")
    await follow(page, page.get_by_role("button", name="Ajukan untuk disetujui"))
    await expect(page.get_by_text("harus lulus pemeriksaan keamanan dahulu")).to_be_visible()
    stop(programs[-1])
    start(programs, tmp_path, port, f"{demo.issuer}/check/karcis-parkir", "karcis-parkir-sandbox", secret)
    await follow(page, page.get_by_role("link", name="Pemeriksaan keamanan", exact=True))
    await page.locator("#page").fill(f"{here}/")
    await follow(page, page.get_by_role("button", name="Mulai pemeriksaan"))
    await expect(page.get_by_text("Lulus pada")).to_be_visible(timeout=300_000)  # 14 sign-ins
    await follow(page, page.get_by_role("link", name="Ringkasan"))
    await page.locator("#submit-text").fill("Mulai bulan Januari.")
    await follow(page, page.get_by_role("button", name="Ajukan untuk disetujui"))
    await expect(page.locator("h1 .tag")).to_have_text("Menunggu persetujuan")

    # An administrator looks at the difference, and approves.
    office = await at(demo, desks, "ratna", "/admin")
    await follow(office, office.get_by_role("link", name=re.compile("aplikasi menunggu persetujuan")).first)
    await follow(office, office.get_by_role("link", name="Karcis Parkir"))
    await expect(office.locator(".difference ins", has_text=f"{here}/callback").first).to_be_visible()
    await office.get_by_text("Aplikasi milik kota").click()
    await follow(office, office.get_by_role("button", name="Setujui"))
    await expect(office.locator("h1 .tag")).to_have_text("Di produksi")

    # What the description lacks, the administrator adds; the team reads why.
    await follow(office, office.get_by_role("link", name="Ubah pengaturan"))
    await office.locator("#description").fill("Karcis parkir di ponsel.")
    await follow(office, office.get_by_role("button", name="Simpan"))
    await expect(office.locator("#note-wrong")).to_be_visible()
    await office.locator("#note").fill("Agar warga mengerti")
    await follow(office, office.get_by_role("button", name="Simpan"))
    await expect(office.get_by_text("Pengaturan baru berlaku seketika")).to_be_visible()
    await page.goto(f"{demo.issuer}/developer/apps/karcis-parkir")
    await expect(page.get_by_text("Agar warga mengerti")).to_be_visible()

    # The developer makes a secret for production; a citizen signs in.
    await page.goto(f"{demo.issuer}/developer/apps/karcis-parkir/secrets")
    await follow(page, page.get_by_role("button", name="Buat client secret").nth(1))
    stop(programs[-1])
    secret = await page.locator("#client-secret").inner_text()
    start(programs, tmp_path, port, demo.issuer, "karcis-parkir", secret)
    phone = await desks["siti"].new_page()
    await phone.goto(f"{here}/login")
    await sign_in(phone, "siti", demo.passwords["siti"])
    await expect(phone.locator("#who")).to_contain_text("Siti Rahmawati")

    # The administrator ends that session, and watches the proof.
    await office.goto(f"{demo.issuer}/admin/sessions?client=karcis-parkir")
    await follow(office, office.get_by_role("link", name="Siti Rahmawati"))
    await office.locator("#note").fill("Telepon dicuri")
    await follow(office, office.get_by_role("button", name="Akhiri sesi ini"))
    await expect(office.get_by_text("Semua aplikasi yang dapat mengonfirmasi sudah mengonfirmasi")).to_be_visible()
    await expect(office.get_by_role("row", name=re.compile("Karcis Parkir"))).to_contain_text("terkonfirmasi")
    await phone.goto(here)
    await expect(phone.get_by_text("Anda belum masuk")).to_be_visible()


LINK = "link "
"""Before the beginning of an address: the first link to such an address on the page before; ``{id}`` is its end."""
PAGES = {
    "dimas": [
        "/developer", "/developer/new", "/developer/new?kind=web", "/developer/new?kind=native", "/developer/docs",
        "/developer/docs/developers",
        f"{LINK}/developer/docs/",
        "/developer/apps/contoh-uji/requests",
        "/developer/apps/contoh-uji", "/developer/apps/contoh-uji/settings?check=1", "/developer/apps/contoh-uji/team",
        "/developer/apps/contoh-uji/secrets", "/developer/apps/contoh-uji/quick-start",
        "/developer/apps/contoh-uji/try", "/developer/apps/contoh-uji/check", "/developer/apps/contoh-uji/diagnosis",
        "/developer/apps/contoh-uji/end", "/developer/new?kind=cas", "/developer/apps/contoh-uji/roles",
        "/developer/apps/kelola-uji/roles", "/developer/apps/kelola-uji/webhooks",
    ],
    "ratna": [
        "/admin", "/admin?span=hour", "/admin/people", "/admin/sessions", "/admin/endings",
        "/admin/applications",
        "/admin/applications?shown=building", "/admin/applications/contoh-uji",
        "/admin/applications/contoh-layanan-warga", "/admin/applications/contoh-layanan-warga/settings",
        "/admin/applications/kelola-uji/settings?done=1", "/admin/deliveries", "/admin/audit", "/admin/keys",
        "/admin/imports", "/admin/mails", "/admin/system", "/admin/setup", "/admin/system/brand",
        "/admin/system/limits", "/admin/invitations", "/admin/invitations/new", "/admin/invitations/file",
        "/admin/people?q=siti", f"{LINK}/admin/people/", "/admin/groups/new", "/admin/groups/import",
        "/admin/employees", "/admin/applications/contoh-layanan-warga/roles", "/admin/groups", f"{LINK}/admin/groups/",
        "/admin/unit-roles/{id}",
    ],
}  # fmt: skip
DISPLAYS = {
    "id-ID": [Display(360, 740, "light", Rules.ALL), Display(1280, 900, "dark", Rules.COLOURS | Rules.SIZES)],
    "en-GB": [Display(360, 740, "dark", Rules.COLOURS | Rules.SIZES), Display(1280, 900, "light", Rules.ALL)],
}


async def run_trial(demo: Demo, page: Page, locale: str) -> None:
    """Run a test sign-in of the playground, whose requests and tokens are shown then."""
    await page.goto(f"{demo.issuer}/developer/apps/contoh-uji/try")
    async with page.expect_navigation():
        await page.locator("button[name=choice][value=begin]").click()
    allow = page.get_by_role("button", name=re.compile("^(Setujui|Allow)$"))
    if await allow.count():
        async with page.expect_navigation():
            await allow.click()
    await page.wait_for_url("**/try?t=*")


async def invite_from_a_file(demo: Demo, page: Page, locale: str) -> None:
    """Invite users from a file, and stop at the page that lists what came of each line."""
    await page.goto(f"{demo.issuer}/admin/invitations/file")
    lines = f"name,email\nWulan Dua,wulan-{locale}@kota.example\nSalah,bukan alamat\n"
    await page.locator("input[type=file]").set_input_files(
        {"name": "users.csv", "mimeType": "text/csv", "buffer": lines.encode()}
    )
    await follow(page, page.locator("form[enctype] button"))
    await page.locator("#note").fill("Pegawai baru")
    await follow(page, page.locator("form[action$=confirm] button"))
    await page.wait_for_url("**/admin/invitations/file/result?*")


Act = Callable[[Demo, Page, str], Awaitable[None]]
RESULTS: dict[str, dict[str, Act]] = {
    "dimas": {"trial": run_trial},
    "ratna": {"invitations-result": invite_from_a_file},
}
"""Pages that forms lead to: the name of their pictures, and how to come there."""


@pytest.fixture(scope="module")
def example(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two applications of dimas, made by the command: one in the sandbox, and one in production."""
    folder = tmp_path_factory.mktemp("example")
    asks = "scope: openid profile, scope_reasons: {profile: Nama.}"
    (folder / "sandbox.yaml").write_text(
        f"application_id: contoh-uji\nkind: web\ndocument: {{client_name: Contoh Uji, {asks}}}\n"
        "sandbox: {redirect_uris: ['http://localhost:3000/callback']}\n"
    )
    addresses = "redirect_uris: ['https://kelola.example/callback'], contacts: [tim@kelola.example]"
    (folder / "production.yaml").write_text(
        f"application_id: kelola-uji\nkind: single_page\ndocument: {{client_name: Kelola Uji, {addresses}, {asks}}}\n"
        "sandbox: {redirect_uris: ['http://localhost:3000/callback']}\n"
    )
    environment = without_settings(os.environ)
    environment |= {"SSO_ISSUER": demo.issuer, "SSO_DATA_DIR": str(demo.data)}
    environment["SSO_DATABASE_URL"] = f"sqlite:///{demo.data / 'sso.db'}"
    commands = (
        ["put", "sandbox.yaml", "--owner", "dimas"],
        ["put", "production.yaml", "--owner", "dimas"],
        ["submit", "kelola-uji"],
        ["approve", "kelola-uji", "--revision", "1"],
    )
    run_commands(environment, folder, *(["applications", *command] for command in commands))
    return "contoh-uji"


@pytest.mark.parametrize("locale", list(DISPLAYS))
@pytest.mark.parametrize("name", list(PAGES))
async def test_every_page_of_developers_and_administrators_is_accessible_and_fits(
    demo: Demo, chromium: Browser, example: str, name: str, locale: str
) -> None:
    """Each page in both sizes and both languages, light and dark."""
    displays, wrong, linked = DISPLAYS[locale], [], ""
    context = await new_context(chromium, viewport={"width": 360, "height": 740}, locale=locale)
    page = await context.new_page()
    await page.goto(demo.issuer + "/login")
    await sign_in(page, name, demo.passwords[name])
    for path in PAGES[name]:
        if path.startswith(LINK):
            beginning = path.removeprefix(LINK)
            links = page.locator(f"main a[href^='{beginning}']:not([href$='new'], [href$='import'])")
            path = await links.first.get_attribute("href") or ""
            linked = path.rpartition("/")[2]
        path = path.format(id=linked)
        answer = await page.goto(demo.issuer + path)
        assert answer is not None
        assert answer.status == 200, path
        picture = re.sub(r"[0-9a-f-]{36}|\W+", "-", path.strip("/"))
        try:
            await check_displays(page, displays, f"portal-{picture}-{locale[:2]}")
        except AssertionError as error:
            wrong.append(str(error))
    for picture, act in RESULTS[name].items():
        await act(demo, page, locale)
        try:
            await check_displays(page, displays, f"portal-{picture}-{locale[:2]}")
        except AssertionError as error:
            wrong.append(str(error))
    await context.close()
    assert not wrong, "\n".join(wrong)


async def test_a_developer_registers_and_an_administrator_searches_without_scripts(
    demo: Demo, chromium: Browser, example: str
) -> None:
    context = await chromium.new_context(java_script_enabled=False, locale="id-ID")
    page = await context.new_page()
    await page.goto(f"{demo.issuer}/developer/apps/{example}")
    await sign_in(page, "dimas", demo.passwords["dimas"])
    await page.locator("#text").fill("Halo tim.")
    await follow(page, page.get_by_role("button", name="Kirim"))
    await expect(page.get_by_text("Halo tim.")).to_be_visible()
    await context.close()
    context = await chromium.new_context(java_script_enabled=False, locale="id-ID")
    page = await context.new_page()
    await page.goto(f"{demo.issuer}/admin/people")
    await sign_in(page, "ratna", demo.passwords["ratna"])
    await page.locator("#q").fill("sit rah")
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    await follow(page, page.get_by_role("link", name="Siti Rahmawati"))
    await expect(page.get_by_role("heading", name="Siti Rahmawati")).to_be_visible()
    await context.close()


async def test_nothing_is_cut_on_a_small_screen(demo: Demo, chromium: Browser) -> None:
    """Every page that an administrator can reach by links, one of each kind."""
    context = await chromium.new_context(viewport={"width": 360, "height": 740}, locale="id-ID")
    page = await context.new_page()
    await page.goto(f"{demo.issuer}/login")
    await sign_in(page, "ratna", demo.passwords["ratna"])
    await page.wait_for_url(f"{demo.issuer}/")
    todo, kinds = ["/", "/account", "/admin", "/developer", "/apps", "/outbox", "/privacy", "/terms"], set()
    while todo:
        path = todo.pop(0)
        kind = re.sub(r"[0-9a-f-]{36}|/(applications|apps|docs|developers|help)/[^/?]+|/mails/.*", "/*", path)
        kind = kind.partition("?")[0]
        if kind in kinds or kind.startswith(("/open", "/logout", "/login", "/picture", "/readyz", "/healthz")):
            continue
        if kind.endswith((".zip", ".csv")):  # a download, no page
            continue
        kinds.add(kind)
        await page.goto(demo.issuer + path)
        await page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        await check_fits(page)
        links = await page.eval_on_selector_all("a[href^='/']", "all => all.map((one) => one.getAttribute('href'))")
        todo += [link.partition("#")[0] for link in links if "lang=" not in link]
    assert len(kinds) > 30, sorted(kinds)
    await context.close()
