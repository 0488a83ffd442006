"""What a citizen does, in a real browser, at the demo."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect
from tests.journeys.conftest import Demo
from tests.journeys.displays import Display, Rules, check_access, check_displays, follow, keep_picture, new_context
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("demo")]


async def sign_in(page: Page, name: str, password: str) -> None:
    await page.locator("#username").fill(name)
    await page.locator("#password").fill(password)
    await follow(page, page.get_by_role("button", name=re.compile("^(Masuk|Sign in)$")))


async def test_one_sign_in_opens_both_apps_and_signing_out_at_one_ends_both(
    demo: Demo, person: BrowserContext, artefacts: Path
) -> None:
    page = await person.new_page()
    await page.goto(demo.apps[0])
    await follow(page, page.get_by_role("link", name="Masuk"))
    await expect(page.get_by_role("heading", name="Masuk")).to_be_visible()
    await expect(page.get_by_text("untuk melanjutkan ke Layanan Warga (contoh)")).to_be_visible()
    await check_access(page)
    await sign_in(page, "siti", demo.passwords["siti"])
    await expect(page.locator("#who")).to_have_text("Halo, Siti Rahmawati!")
    assert page.url == f"{demo.apps[0]}/"

    await page.goto(demo.apps[1])
    await follow(page, page.get_by_role("link", name="Masuk"))
    await expect(page.locator("#who")).to_have_text("Halo, Siti Rahmawati!")
    assert page.url == f"{demo.apps[1]}/"
    await keep_picture(page, artefacts / "app-two.png")

    await follow(page, page.get_by_role("button", name="Keluar"))
    await expect(page).to_have_url(f"{demo.apps[1]}/")
    await expect(page.get_by_text("Anda belum masuk")).to_be_visible()
    await page.goto(demo.apps[0])

    async def is_signed_out() -> bool:
        await page.reload()
        return await page.get_by_text("Anda belum masuk").is_visible()

    await until(is_signed_out)  # the notice is on its way to the other application
    await expect(page.get_by_text("Anda belum masuk")).to_be_visible()
    for app in demo.apps:
        await page.goto(app)
        await follow(page, page.get_by_role("link", name="Masuk"))
        await expect(page.locator("#password")).to_be_visible()


async def test_a_wrong_password_is_explained_and_nothing_else_is_lost(
    demo: Demo, person: BrowserContext, artefacts: Path
) -> None:
    page = await person.new_page()
    await page.goto(f"{demo.apps[0]}/login")
    await sign_in(page, "siti", "bukan kata sandinya")
    problem = page.locator("#problem")
    await expect(problem).to_contain_text("kata sandi salah")
    await expect(page.locator("#username")).to_have_value("siti")
    await expect(page.locator("#password")).to_have_value("")
    await check_access(page)
    await keep_picture(page, artefacts / "wrong-password.png")
    await problem.get_by_role("link").click()
    await expect(page.locator("#username")).to_be_focused()
    await sign_in(page, "siti@warga.tangerang.example", demo.passwords["siti"])
    await expect(page.locator("#who")).to_be_visible()


async def test_the_language_is_switched_and_stays(demo: Demo, person: BrowserContext) -> None:
    page = await person.new_page()
    await page.goto(f"{demo.apps[0]}/login")
    await follow(page, page.get_by_role("link", name="English"))
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(page.get_by_text("to continue to Citizen Services (sample)")).to_be_visible()
    assert await page.locator("html").get_attribute("lang") == "en"
    await sign_in(page, "siti", "wrong")
    await expect(page.locator("#problem")).to_contain_text("or password is wrong")
    await page.goto(f"{demo.issuer}/login")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_everything_works_without_scripts(demo: Demo, chromium: Browser) -> None:
    context = await chromium.new_context(java_script_enabled=False, locale="id-ID")
    page = await context.new_page()
    await page.goto(f"{demo.apps[0]}/login")
    await sign_in(page, "dimas", demo.passwords["dimas"])
    await expect(page.locator("#who")).to_have_text("Halo, Dimas Prasetyo!")
    await page.goto(demo.issuer)
    await page.get_by_role("button", name="Keluar").click()
    await expect(page.get_by_role("heading", name="Anda sudah keluar")).to_be_visible()
    await expect(page.get_by_text("Layanan Warga (contoh)")).to_be_visible()
    await context.close()


async def test_the_keyboard_is_enough(demo: Demo, person: BrowserContext) -> None:
    page = await person.new_page()
    await page.goto(f"{demo.issuer}/login")
    await expect(page.locator("#username")).to_be_focused()  # the browser moves the focus after it has loaded the page
    await page.keyboard.type("ratna")
    await page.keyboard.press("Tab")
    await page.keyboard.type(demo.passwords["ratna"])
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Tampilkan kata sandi")).to_be_focused()
    await page.keyboard.press("Space")
    await expect(page.locator("#password")).to_have_attribute("type", "text")
    await page.locator("#password").press("Enter")
    await expect(page.get_by_role("heading", name="Halo, Ratna Wulandari")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "button", "expected"), [("ratna", "Setujui", "code="), ("dimas", "Tolak", "error=access_denied")]
)
async def test_a_third_party_asks_first_and_the_browser_lets_the_answer_through(
    demo: Demo, person: BrowserContext, name: str, button: str, expected: str
) -> None:
    """Browsers hold the redirects after a form to `form-action`: the application's address must not be shut out."""
    page = await person.new_page()
    await page.goto(demo.issuer + PAGES["consent"])
    await sign_in(page, name, demo.passwords[name])
    await expect(page.get_by_role("heading", name="Apotek Mitra meminta izin Anda")).to_be_visible()
    # A redirect that `form-action` shuts out is never asked for. Nobody listens at this one.
    async with page.expect_request(re.compile("^https://apotek-mitra.tangerang.example/callback")) as redirect:
        await page.get_by_role("button", name=button).click()
    assert expected in (await redirect.value).url


async def test_the_sign_in_page_is_light_on_the_wire(demo: Demo, person: BrowserContext) -> None:
    page = await person.new_page()
    session = await person.new_cdp_session(page)
    await session.send("Network.enable")
    sizes: dict[str, float] = {}
    hosts: set[str] = set()
    session.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    session.on("Network.requestWillBeSent", lambda event: hosts.add(event["request"]["url"].split("/")[2]))
    await page.goto(f"{demo.issuer}/login", wait_until="networkidle")
    assert len(sizes) <= 5
    assert sum(sizes.values()) <= 60_000
    assert hosts == {demo.issuer.removeprefix("http://")}


PAGES = {
    "sign-in": "/login",
    "error": "/authorize?client_id=tidak-ada",
    "signed-out": "/logout",
    "not-found": "/tidak-ada",
    "home": "/",
    "sign-out": "/logout?client_id=contoh-puskesmas",
    "consent": "/authorize?client_id=apotek-mitra&redirect_uri=https%3A%2F%2Fapotek-mitra.tangerang.example%2Fcallback"
    "&response_type=code&scope=openid+profile+phone&code_challenge=" + "A" * 43 + "&code_challenge_method=S256",
}
PAGES["select"] = PAGES["consent"] + "&prompt=select_account"
PAGES["again"] = PAGES["consent"] + "&prompt=login"


DISPLAYS = {
    "id-ID": [
        Display(320, 640, "light", Rules.ALL),
        Display(320, 640, "dark", Rules.COLOURS),
        Display(1280, 800, "dark", Rules.COLOURS),
        Display(1280, 800, "light", Rules.COLOURS | Rules.SIZES),
    ],
    "en-GB": [
        Display(320, 640, "light", Rules.SIZES),
        Display(320, 640, "dark", Rules(0)),
        Display(1280, 800, "dark", Rules(0)),
        Display(1280, 800, "light", Rules.STRUCTURE | Rules.SIZES),
    ],
}


@pytest.mark.parametrize("locale", list(DISPLAYS))
async def test_every_page_is_accessible_and_fits(demo: Demo, chromium: Browser, locale: str) -> None:
    """Colours are the same in both languages, so the rules about them run in one."""
    context = await new_context(chromium, viewport={"width": 320, "height": 640}, locale=locale)
    page = await context.new_page()

    async def look(name: str) -> None:
        await check_displays(page, DISPLAYS[locale], f"{name}-{locale[:2]}")

    for name in ("sign-in", "error", "signed-out", "not-found"):
        await page.goto(demo.issuer + PAGES[name])
        await look(name)
    await page.goto(f"{demo.issuer}/login")
    await sign_in(page, "siti", demo.passwords["siti"])
    for name in ("home", "sign-out", "consent", "select", "again"):
        await page.goto(demo.issuer + PAGES[name])
        await look(name)
    await page.goto(f"{demo.apps[0]}/login")
    await expect(page.locator("#who")).to_be_visible()
    await page.goto(demo.issuer)
    await follow(page, page.get_by_role("button", name=re.compile("Keluar|Sign out")))
    await expect(page.get_by_text(re.compile("contoh|sample"))).to_be_visible()
    await look("signed-out-apps")
    await context.close()
