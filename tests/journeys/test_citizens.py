"""What citizens do with their accounts, in a real browser with its virtual authenticator, at the demo."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import httpx2 as httpx
import pyotp
import pytest
import pytest_asyncio
import yaml
from playwright.async_api import Browser, BrowserContext, Page, expect
from tests.commands import run_command
from tests.journeys.conftest import Demo
from tests.journeys.displays import Display, Rules, check_displays, follow, keep_picture, new_context
from tests.journeys.test_sign_on import sign_in
from tests.support import challenge_of, without_settings
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("demo")]
PASSWORD = "perahu-kertas-di-sungai-88"
OTHER = "layang-layang-tembaga-17"
MAX_COLD_BYTES = 60 * 1024
MAX_COLD_REQUESTS = 5


def new_address() -> str:
    return f"warga-{secrets.token_hex(4)}@warga.example"


async def code_for(demo: Demo, page: Page, address: str) -> str:
    """Return the newest code that was sent to an address, as the outbox shows it."""
    unused_codes: list[str] = []

    async def is_sent() -> bool:
        async with httpx.AsyncClient(timeout=60) as http:
            text = (await http.get(f"{demo.issuer}/outbox")).text
        parts = [part for part in text.split("<li>")[1:] if address in part]
        codes = [match.group(1) for part in parts if (match := re.search(r"\n\s+(\d{6})\n", part))]
        unused_codes.extend([code for code in codes if code not in USED][:1])
        return bool(unused_codes)

    await until(is_sent)
    USED.add(unused_codes[0])
    return unused_codes[0]


USED: set[str] = set()


async def register(demo: Demo, page: Page, address: str, password: str = PASSWORD) -> None:
    """Register, and be signed in."""
    await page.goto(f"{demo.issuer}/signup?lang=id")
    await page.locator("#contact").fill(address)
    await page.locator("#agree").check()
    await follow(page, page.get_by_role("button", name="Kirim kode"))
    await page.locator("#code").fill(await code_for(demo, page, address))
    await follow(page, page.get_by_role("button", name="Lanjutkan"))
    await page.locator("#name").fill("Bayu Baru")
    await page.locator("#password").fill(password)
    await follow(page, page.get_by_role("button", name="Buat akun", exact=True))
    await follow(page, page.get_by_role("button", name="Nanti saja"))
    await expect(page.get_by_role("heading", name="Halo, Bayu Baru")).to_be_visible()


async def authenticator(page: Page) -> None:
    """Give the browser a platform authenticator that recognises the person."""
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    await session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


@pytest_asyncio.fixture(loop_scope="session")
async def other(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """Another device of the same person."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 800}, locale="id-ID")
    yield context
    await context.close()


async def test_register_from_an_application_add_a_passkey_and_sign_in_with_it_at_another(
    demo: Demo, person: BrowserContext
) -> None:
    page, address = await person.new_page(), new_address()
    await authenticator(page)
    await page.goto(f"{demo.apps[0]}/login")
    await follow(page, page.get_by_role("link", name="Daftar"))
    await page.locator("#contact").fill(address)
    await page.locator("#agree").check()
    await follow(page, page.get_by_role("button", name="Kirim kode"))
    await page.locator("#code").fill(await code_for(demo, page, address))
    await follow(page, page.get_by_role("button", name="Lanjutkan"))
    await page.locator("#name").fill("Bayu Baru")
    await page.locator("#password").press_sequentially("perahu")
    await expect(page.locator(".meter .count")).to_have_text("kurang 9 karakter lagi")
    await page.locator("#password").fill(PASSWORD)
    await page.locator("#password").press("End")
    await follow(page, page.get_by_role("button", name="Buat akun", exact=True))
    await expect(page.get_by_role("heading", name="Tambahkan cara kedua untuk masuk")).to_be_visible()
    await follow(page, page.get_by_role("button", name="Nanti saja"))
    await expect(page.locator("#who")).to_have_text("Halo, Bayu Baru!")

    await page.goto(f"{demo.issuer}/account/security")
    await page.locator("#passkey-name").fill("Ponsel Bayu")
    await page.get_by_role("button", name="Tambah kunci sandi").click()
    await expect(page.get_by_role("heading", name="Kode pemulihan Anda")).to_be_visible()
    await follow(page, page.get_by_role("button", name="Sudah saya simpan"))
    await expect(page.get_by_role("heading", name="Ponsel Bayu")).to_be_visible()

    await page.goto(demo.issuer)
    await follow(page, page.get_by_role("button", name="Keluar"))
    # A browser that offers nothing in the field for the name: there the button does it.
    older = "if (sessionStorage.older) PublicKeyCredential.isConditionalMediationAvailable = async () => false"
    await page.add_init_script(older)
    await page.evaluate("sessionStorage.older = 'yes'")
    await page.goto(f"{demo.apps[1]}/login")
    await page.get_by_role("button", name="Masuk dengan kunci sandi").click()
    await expect(page.locator("#who")).to_have_text("Halo, Bayu Baru!")
    assert page.url == f"{demo.apps[1]}/"

    # Where the browser can, it offers the passkey in the field for the name, without a button.
    await page.goto(demo.issuer)
    await page.evaluate("sessionStorage.clear()")
    await follow(page, page.get_by_role("button", name="Keluar"))
    await page.goto(f"{demo.apps[0]}/login")
    await expect(page.locator("#who")).to_have_text("Halo, Bayu Baru!")


async def recovery_codes(page: Page) -> list[str]:
    """Return the recovery codes of a page, once it shows them: reading texts does not wait for a page."""
    codes = page.locator("ol.codes li")
    await expect(codes).to_have_count(10)
    return await codes.all_inner_texts()


async def test_register_with_a_passkey_and_no_password(demo: Demo, person: BrowserContext) -> None:
    page, address = await person.new_page(), new_address()
    await authenticator(page)
    await page.goto(f"{demo.issuer}/signup")
    await page.locator("#contact").fill(address)
    await page.locator("#agree").check()
    await follow(page, page.get_by_role("button", name="Kirim kode"))
    await page.locator("#code").fill(await code_for(demo, page, address))
    await follow(page, page.get_by_role("button", name="Lanjutkan"))
    await page.get_by_role("button", name="Buat akun dengan kunci sandi").click()
    await expect(page.locator("#name")).to_be_focused()
    await page.locator("#name").fill("Kunci Saja")
    await page.get_by_role("button", name="Buat akun dengan kunci sandi").click()
    codes = await recovery_codes(page)
    async with page.expect_download() as started:
        await page.get_by_role("button", name="Unduh").click()
    download = await started.value
    assert download.suggested_filename == "recovery-codes.txt"
    file = Path(await download.path()).read_text()
    assert all(code in file for code in codes)
    await follow(page, page.get_by_role("button", name="Kode sudah saya simpan"))
    await expect(page.get_by_role("heading", name="Halo, Kunci Saja")).to_be_visible()


FAILS = """name => {
  for (const method of ["get", "create"]) {
    navigator.credentials[method] = async (options) => {
      if (options.mediation === "conditional") return new Promise(() => {});
      if (name === "network") throw new TypeError("Failed to fetch");
      throw new DOMException("said in English", name);
    };
  }
}"""
"""Let every passkey fail in one way; what is offered in the field for the name waits."""
FAILURES = {
    "NotAllowedError": "Anda membatalkannya",
    "AbortError": "Anda membatalkannya",
    "InvalidStateError": "",
    "SecurityError": "tidak berlaku di alamat ini",
    "NotSupportedError": "tidak mendukung kunci sandi",
    "ConstraintError": "Aktifkan kunci layar",
    "UnknownError": "Periksa koneksi internet",
    "network": "Periksa koneksi internet",
}


async def test_a_passkey_that_fails_says_why_and_what_to_do(demo: Demo, person: BrowserContext) -> None:
    page, address = await person.new_page(), new_address()

    async def check(create: bool, *, button: str) -> None:
        for name, text in FAILURES.items():
            await page.evaluate(FAILS, name)
            await page.locator(button).click()
            alert = page.locator("form[data-passkey]").get_by_role("alert")
            expected = text or ("sudah memiliki kunci sandi" if create else "Periksa koneksi internet")
            await expect(alert).to_contain_text(expected)
            await expect(alert.get_by_role("heading")).to_be_visible()
            await expect(page.locator(button)).to_be_focused()
            await expect(alert).not_to_contain_text("English")

    await page.goto(f"{demo.issuer}/login?lang=id")
    await expect(page.get_by_role("alert").filter(has_text="Kunci")).to_have_count(0)  # the offer alone says nothing
    await check(False, button="[data-passkey-button]")
    await register(demo, page, address)
    await authenticator(page)
    await page.goto(f"{demo.issuer}/account/security")
    await check(True, button="[data-passkey-button]")
    await page.reload()  # and as the authenticator itself says it
    await page.locator("[data-passkey-button]").click()
    await expect(page.locator("ol.codes")).to_be_visible()
    await page.goto(f"{demo.issuer}/account/security")
    await page.locator("[data-passkey-button]").click()
    await expect(page.get_by_role("alert")).to_contain_text("Akun Anda sudah memiliki kunci sandi di perangkat ini")
    # the second step, and a browser that knows no passkeys
    await page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    await page.goto(f"{demo.issuer}/login?add=1")
    await sign_in(page, address, PASSWORD)
    await expect(page).to_have_url(re.compile("/login/second"))
    await check(False, button="[data-passkey-button]")
    await page.add_init_script("window.PublicKeyCredential = undefined")
    await page.reload()
    await expect(page.get_by_role("alert")).to_contain_text("tidak mendukung kunci sandi")


LATE_OFFER = """
window.questions = [];
PublicKeyCredential.isConditionalMediationAvailable = () => new Promise((resolve) => questions.push(resolve));
window.requests = [];
window.aborted = [];
navigator.credentials.get = (options) => new Promise((_, reject) => {
  const request = options.mediation || "button";
  requests.push(request);
  options.signal.addEventListener("abort", () => { aborted.push(request); reject(options.signal.reason); });
});
window.answer = async () => {
  const count = questions.length;
  for (const resolve of questions.splice(0)) resolve(true);
  await new Promise((resolve) => setTimeout(resolve));
  return count;
};
"""
"""A browser that says late that it can offer a passkey in the field for the name, and a user who takes their time."""


async def test_a_late_offer_of_a_passkey_does_not_interrupt_the_button(demo: Demo, person: BrowserContext) -> None:
    page = await person.new_page()
    await page.add_init_script(LATE_OFFER)
    button = page.get_by_role("button", name="Masuk dengan kunci sandi")
    await page.goto(f"{demo.issuer}/login?lang=id")
    await button.click()
    assert await page.evaluate("answer()") == 1, "the browser was asked"
    assert await page.evaluate("[requests, aborted]") == [["button"], []]
    await page.reload()  # the library asks the same question again, and the button is pressed after the first answer
    assert await page.evaluate("answer()") == 1
    await button.click()
    await page.evaluate("answer()")
    assert await page.evaluate("[requests, aborted]") == [["conditional", "button"], ["conditional"]]
    await expect(page.locator("[data-passkey-said] .problem")).to_have_count(0)


async def test_a_forgotten_password_is_recovered(demo: Demo, person: BrowserContext, other: BrowserContext) -> None:
    page, address = await other.new_page(), new_address()
    await register(demo, page, address)
    phone = await person.new_page()
    await phone.goto(f"{demo.apps[0]}/login")
    await follow(phone, phone.get_by_role("link", name="Lupa kata sandi?"))
    await phone.locator("#username").fill(address)
    await follow(phone, phone.get_by_role("button", name="Kirim kode"))
    await phone.locator("#code").fill(await code_for(demo, phone, address))
    await follow(phone, phone.get_by_role("button", name="Lanjutkan"))
    await phone.locator("#password").fill("pendek")
    await follow(phone, phone.get_by_role("button", name="Simpan kata sandi dan masuk"))
    await expect(phone.get_by_role("alert")).to_contain_text("paling sedikit 15 karakter")
    await phone.locator("#password").fill(OTHER)
    await follow(phone, phone.get_by_role("button", name="Simpan kata sandi dan masuk"))
    await expect(phone.locator("#who")).to_have_text("Halo, Bayu Baru!")
    assert phone.url == f"{demo.apps[0]}/"
    await page.goto(f"{demo.issuer}/account")  # the other device is told why its session ended
    await expect(page.get_by_role("status")).to_contain_text("karena akun Anda dipulihkan")
    await expect(page.locator("#password")).to_be_visible()


async def test_an_app_is_asked_for_and_a_recovery_code_works_once(
    demo: Demo, person: BrowserContext, other: BrowserContext
) -> None:
    page, address = await person.new_page(), new_address()
    await register(demo, page, address)
    await page.goto(f"{demo.issuer}/account/security")
    await follow(page, page.get_by_role("button", name="Pasang aplikasi"))
    app = pyotp.TOTP((await page.locator(".key").inner_text()).replace(" ", ""))
    await page.locator("#code").fill(app.now())
    await follow(page, page.get_by_role("button", name="Aktifkan"))
    codes = await recovery_codes(page)

    desk = await other.new_page()
    for number, expected in enumerate(("Halo, Bayu Baru", "")):
        await desk.goto(f"{demo.issuer}/login?add=1")
        await sign_in(desk, address, PASSWORD)
        await expect(desk.get_by_role("heading", name="Verifikasi dua langkah")).to_be_visible()
        await follow(desk, desk.get_by_role("link", name="Kode pemulihan"))
        await desk.locator("#code").fill(codes[0])
        await follow(desk, desk.get_by_role("button", name="Lanjutkan"))
        if number == 0:
            await expect(desk.get_by_role("heading", name=expected)).to_be_visible()
        else:
            await expect(desk.get_by_role("alert")).to_contain_text("Kode salah atau sudah kedaluwarsa")
    await follow(desk, desk.get_by_role("link", name="Kode dari aplikasi autentikator"))
    await desk.locator("#code").fill(app.at(_soon()))
    await desk.get_by_text("Percayai browser ini").click()
    await follow(desk, desk.get_by_role("button", name="Lanjutkan"))
    await expect(desk.get_by_role("heading", name="Halo, Bayu Baru")).to_be_visible()


def _soon() -> int:
    """Return a moment of the next half minute, whose code is accepted already: this one's was used."""
    return int(time.time()) + 30


@pytest.fixture(scope="module")
def third_party(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An application that is not the city's own."""
    directory = tmp_path_factory.mktemp("third")
    port = demo.issuer.rpartition(":")[2]
    entry = {
        "client_id": f"toko-{port}", "type": "web", "client_name": "Toko Tetangga",
        "token_endpoint_auth_method": "none", "redirect_uris": ["http://localhost:9/kembali"],
    }  # fmt: skip
    (directory / "t.yaml").write_text(yaml.safe_dump({"catalogue": "third", "applications": [entry]}))
    environment = without_settings(os.environ)
    environment |= {"SSO_ISSUER": demo.issuer, "SSO_DATA_DIR": str(demo.data)}
    completed = run_command(environment, directory, "clients", "apply", "t.yaml")
    assert completed.returncode == 0, completed.stderr
    return str(entry["client_id"])


async def test_a_permission_is_given_seen_and_withdrawn(demo: Demo, person: BrowserContext, third_party: str) -> None:
    page = await person.new_page()
    await register(demo, page, new_address())
    parameters = {
        "client_id": third_party, "response_type": "code", "redirect_uri": "http://localhost:9/kembali",
        "scope": "openid profile email", "code_challenge": challenge_of("x" * 43), "code_challenge_method": "S256",
    }  # fmt: skip
    await page.goto(f"{demo.issuer}/authorize?{urlencode(parameters)}")
    async with page.expect_request("http://localhost:9/**") as back:  # nobody listens there
        await page.get_by_role("button", name="Setujui").click()
    assert "code=" in (await back.value).url
    page = await person.new_page()
    await page.goto(f"{demo.issuer}/account/applications")
    await expect(page.get_by_role("heading", name="Toko Tetangga")).to_be_visible()
    await follow(page, page.get_by_role("button", name="Cabut izin: Toko Tetangga"))
    await expect(page.get_by_text("Izin sudah dicabut")).to_be_visible()
    await page.goto(f"{demo.issuer}/authorize?{urlencode(parameters)}")
    await expect(page.get_by_role("heading", name="Toko Tetangga meminta izin Anda")).to_be_visible()


async def test_another_devices_session_is_ended(demo: Demo, person: BrowserContext, other: BrowserContext) -> None:
    page, address = await person.new_page(), new_address()
    await register(demo, page, address)
    desk = await other.new_page()
    await desk.goto(f"{demo.apps[0]}/login")
    await sign_in(desk, address, PASSWORD)
    await expect(desk.locator("#who")).to_have_text("Halo, Bayu Baru!")
    await page.goto(f"{demo.issuer}/account/sessions")
    await follow(page, page.get_by_role("button", name=re.compile("^Akhiri sesi ini")).last)
    await expect(page.get_by_role("status")).to_be_visible()
    await desk.goto(f"{demo.issuer}/account")
    await expect(desk.locator("#password")).to_be_visible()


async def test_data_are_taken_along_and_the_account_is_deleted(demo: Demo, person: BrowserContext) -> None:
    page, address = await person.new_page(), new_address()
    await register(demo, page, address)
    await page.goto(f"{demo.issuer}/account/data")
    async with page.expect_download() as started:
        await page.get_by_role("button", name="Unduh berkas (JSON)").click()
    path = await (await started.value).path()
    export = json.loads(Path(path).read_text())
    assert export["identifiers"][0]["value"] == address
    await follow(page, page.get_by_role("button", name="Hapus akun…"))
    await page.get_by_label("Saya ingin menghapus akun saya").check()
    await page.locator("#password").fill(PASSWORD)
    await follow(page, page.get_by_role("button", name="Hapus akun", exact=True))
    await expect(page.get_by_role("heading", name="Akun Anda akan dihapus")).to_be_visible()
    await follow(page, page.get_by_role("link", name="Masuk", exact=True))
    await sign_in(page, address, PASSWORD)
    await follow(page, page.get_by_role("button", name="Pertahankan akun saya"))
    await expect(page.get_by_role("heading", name="Halo, Bayu Baru")).to_be_visible()


async def test_the_portal_finds_stars_and_opens(demo: Demo, person: BrowserContext) -> None:
    page = await person.new_page()
    await page.goto(f"{demo.issuer}/apps")
    await sign_in(page, "siti", demo.passwords["siti"])
    for group in ("E-Pemerintahan", "E-Kesehatan", "E-Pendidikan", "E-Logistik", "E-Pengadaan"):
        await expect(page.get_by_text(group).first).to_be_visible()
    assert 60 < await page.locator("ul.tiles li").count() < 100, "programs and staff applications are left out"
    await expect(page.get_by_text("Kepegawaian")).to_have_count(0)
    folded = page.locator("details.group", has_text="E-Pendidikan")
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.reload()
    await expect(folded).not_to_have_attribute("open", "")
    await page.locator("#q").press_sequentially("puskesmas")  # found while somebody types
    await expect(page.get_by_role("status").first).to_contain_text("aplikasi ditemukan")
    await expect(page.locator("#antrean-puskesmas")).to_be_visible()
    await expect(folded).to_be_hidden()
    await page.goto(f"{demo.issuer}/apps?q=puskesmas")  # the same by the form, without scripts
    star = page.get_by_role("button", name=re.compile("^Favorit: .*Puskesmas")).first
    await follow(page, star)
    await page.goto(f"{demo.issuer}/apps")
    await expect(page.get_by_role("heading", name="Favorit")).to_be_visible()


# Every page


OWN = [
    "",
    "/profile",
    "/contacts",
    "/security",
    "/sessions",
    "/applications",
    "/access",
    "/activity",
    "/notifications",
    "/data",
    "/delete",
]


DISPLAYS = {
    "id": [
        Display(360, 740, "light", Rules.ALL),
        Display(1280, 800, "dark", Rules.COLOURS),
        Display(1280, 800, "light", Rules.COLOURS | Rules.SIZES),
    ],
    "en": [
        Display(360, 740, "light", Rules.SIZES),
        Display(1280, 800, "dark", Rules(0)),
        Display(1280, 800, "light", Rules.STRUCTURE | Rules.SIZES),
    ],
}


DOCUMENTS = {
    "sign-in": "/login", "terms": "/terms", "privacy": "/privacy", "help": "/help", "help-page": "/help/privacy",
    "help-developers": "/help/developers/developers", "sign-up": "/signup",
}  # fmt: skip
"""What everybody sees, the last one with a form that the journey goes on with."""


@pytest.mark.parametrize("locale", list(DISPLAYS))
async def test_every_page_is_accessible_and_fits(demo: Demo, chromium: Browser, artefacts: Path, locale: str) -> None:
    """Colours are the same in both languages, so the rules about them run in one."""
    language = {"id": "id-ID", "en": "en-GB"}[locale]
    context = await new_context(chromium, viewport={"width": 360, "height": 740}, locale=language)
    page, address = await context.new_page(), new_address()

    async def look(name: str) -> None:
        await check_displays(page, DISPLAYS[locale], f"{name}-{locale}")

    async def submit() -> None:
        await follow(page, page.locator("main form button:not([type=button]):visible").first)

    for name, path in DOCUMENTS.items():
        await page.goto(demo.issuer + path)
        await look(name)
    await page.locator("#contact").fill("bukan alamat")
    await page.locator("#agree").check()
    await submit()
    await look("sign-up-wrong")
    await page.locator("#contact").fill(address)
    await submit()
    await look("sign-up-code")
    await page.locator("#code").fill(await code_for(demo, page, address))
    await submit()
    await look("sign-up-account")
    await page.locator("#name").fill("Bayu Baru")
    await page.locator("#password").fill(PASSWORD)
    await submit()
    await look("second-way")
    await follow(page, page.get_by_role("button", name=re.compile("^(Nanti saja|Not now)$")))
    await look("home")
    await page.locator("details.menu summary").click()
    await look("menu")
    for path in OWN:
        await page.goto(f"{demo.issuer}/account{path}")
        await look(f"account{path.replace('/', '-')}")
    await page.goto(f"{demo.issuer}/account/contacts")
    await page.locator("#contact").fill(new_address())
    await follow(page, page.locator("button[value=add]"))
    await look("contact-code")
    await page.goto(f"{demo.issuer}/account/security/app")
    await look("app")
    app = pyotp.TOTP((await page.locator(".key").inner_text()).replace(" ", ""))
    await page.locator("#code").fill(app.now())
    await submit()
    await look("codes")
    await page.goto(f"{demo.issuer}/account/security")
    await look("security-app")
    await page.goto(f"{demo.issuer}/apps")
    await look("apps")
    await page.goto(f"{demo.issuer}/apps?q=puskesmas")
    await look("apps-found")
    await page.goto(f"{demo.issuer}/login?add=1")
    await page.locator("#username").fill(address)
    await page.locator("#password").fill(PASSWORD)
    await submit()
    await look("second-step")
    await page.goto(f"{demo.issuer}/recover")
    await look("recover")
    await page.locator("#username").fill(address)
    await submit()
    await look("recover-code")
    await page.locator("#code").fill(await code_for(demo, page, address))
    await submit()
    await look("recover-second")
    await follow(page, page.locator("button[value=lost]"))
    await look("recover-waits")
    for name in ("recover/stop", "recover/continue", "not-me"):
        await page.goto(f"{demo.issuer}/{name}?t=x")
        await look(name.replace("/", "-"))
    await page.goto(f"{demo.issuer}/login?add=1")
    await page.locator("#username").fill("ratna")
    await page.locator("#password").fill(demo.passwords["ratna"])
    await submit()
    await page.goto(f"{demo.issuer}/admin/mails")
    await page.locator("summary").first.click()
    await look("mails")
    await page.goto(f"{demo.issuer}/admin/mails/code_sign_in/{locale}")
    await keep_picture(page, artefacts / f"mail-{locale}.png")
    await page.goto(f"{demo.issuer}/outbox")
    await look("outbox")
    await context.close()


async def test_without_scripts_everything_but_passkeys_works(demo: Demo, chromium: Browser) -> None:
    context = await chromium.new_context(java_script_enabled=False, locale="id-ID")
    page, address = await context.new_page(), new_address()
    await register(demo, page, address)
    await page.goto(f"{demo.issuer}/account/security/app")
    app = pyotp.TOTP((await page.locator(".key").inner_text()).replace(" ", ""))
    await page.locator("#code").fill(app.now())
    await follow(page, page.get_by_role("button", name="Aktifkan"))
    codes = await recovery_codes(page)
    await page.goto(f"{demo.issuer}/login?add=1")
    await page.locator("#username").fill(address)
    await page.locator("#password").fill(PASSWORD)
    await follow(page, page.get_by_role("button", name="Masuk", exact=True))
    await follow(page, page.get_by_role("link", name="Kode pemulihan"))
    await page.locator("#code").fill(codes[1])
    await follow(page, page.get_by_role("button", name="Lanjutkan"))
    await expect(page.get_by_role("heading", name="Halo, Bayu Baru")).to_be_visible()
    await page.goto(f"{demo.issuer}/account/security")
    await expect(page.get_by_role("button", name="Tambah kunci sandi")).to_be_hidden()
    await page.goto(f"{demo.issuer}/account/profile")
    await page.locator("#nickname").fill("Bay")
    await follow(page, page.get_by_role("button", name="Simpan profil").last)
    await expect(page.get_by_text("Profil sudah disimpan")).to_be_visible()
    await context.close()


@pytest.mark.parametrize("path", ["/login", "/signup", "/recover", "/account/security", "/account/profile", "/apps"])
async def test_a_page_is_small_when_it_is_cold(demo: Demo, chromium: Browser, path: str) -> None:
    context = await chromium.new_context(viewport={"width": 360, "height": 740}, locale="id-ID")
    page = await context.new_page()
    if path.startswith("/a"):
        await page.goto(f"{demo.issuer}{path}")
        await sign_in(page, "siti", demo.passwords["siti"])
        cookies = await context.cookies()
        await context.close()
        context = await chromium.new_context(viewport={"width": 360, "height": 740}, locale="id-ID")
        await context.add_cookies(cookies)
        page = await context.new_page()
    session = await context.new_cdp_session(page)
    await session.send("Network.enable")
    sizes: list[float] = []
    # What comes from memory or stands in the page itself has no length.
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    await page.goto(demo.issuer + path)
    await page.wait_for_load_state("networkidle")
    assert sum(sizes) <= MAX_COLD_BYTES, f"{sum(sizes)} bytes"
    assert len([size for size in sizes if size]) <= MAX_COLD_REQUESTS, sizes
    await context.close()
