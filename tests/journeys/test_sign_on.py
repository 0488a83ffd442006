"""What a citizen does, in a real browser, at the demo."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Error, Page, expect
from tests.journeys.conftest import Demo
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("demo")]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


CONTRAST = ["color-contrast", "link-in-text-block"]
"""The rules of axe-core that look at colours."""


async def check_access(page: Page, *, structure: bool = True, contrast: bool = True) -> None:
    """Run axe-core on what is shown, and check that nothing is cut.

    Args:
        page: the page.
        structure: run the rules that do not look at colours. They find the same in light and dark.
        contrast: run the rules that look at colours. They find the same in every language.
    """
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if structure:
        options["runOnly"] = {"type": "tag", "values": TAGS}
        options["rules"] = {} if contrast else {rule: {"enabled": False} for rule in CONTRAST}
    else:
        options["runOnly"] = {"type": "rule", "values": CONTRAST}
    if structure or contrast:
        found = await Axe().run(page, options=options)
        assert found.violations_count == 0, found.generate_report()
    await check_fits(page)


CUT = """() => {
  const found = [], width = document.documentElement.clientWidth, small = innerWidth < 768;
  if (document.documentElement.scrollWidth > width) found.push("the page is wider than the screen");
  for (const one of document.querySelectorAll("table")) {
    const box = one.getBoundingClientRect(), around = one.parentElement;
    if (small && (box.right > width || around.scrollWidth > around.clientWidth + 1)) {
      found.push(`table cut: ${one.textContent.trim().slice(0, 60)}`);
    }
  }
  for (const one of document.querySelectorAll("main :not(nav *):not(.scrolled *):not(pre *)")) {
    const box = one.getBoundingClientRect(), text = one.textContent.trim().slice(0, 60);
    if (box.width > 1 && box.right > width + 1) found.push(`${one.tagName} cut: ${text}`);
  }
  for (const one of document.querySelectorAll("summary")) {
    const arrow = getComputedStyle(one, "::after"), room = parseFloat(getComputedStyle(one).paddingRight);
    if (arrow.float !== "none" || arrow.position !== "absolute" || room < 20) found.push("an arrow floats");
  }
  return found;
}"""


async def check_fits(page: Page) -> None:
    """Check that nothing of a page is cut: neither the page, nor a table or an arrow on it."""
    found = await page.evaluate(CUT)
    assert not found, f"{page.url}: {found}"


async def keep_picture(page: Page, path: Path) -> None:
    """Keep a picture of a page in ``artefacts`` when ``PICTURES`` is set, as in ``PICTURES=1 make unit``.
    Chromium sometimes refuses the first one, and takes the same one when it is asked again."""
    if not os.environ.get("PICTURES"):
        return
    try:
        await page.screenshot(path=path, full_page=True)
    except Error as error:
        if "Unable to capture screenshot" not in str(error):
            raise
        await page.screenshot(path=path, full_page=True)


async def sign_in(page: Page, name: str, password: str) -> None:
    await page.locator("#username").fill(name)
    await page.locator("#password").fill(password)
    await page.get_by_role("button", name=re.compile("^(Masuk|Sign in)$")).click()


async def test_one_sign_in_opens_both_apps_and_signing_out_at_one_ends_both(
    demo: Demo, person: BrowserContext, artefacts: Path
) -> None:
    page = await person.new_page()
    await page.goto(demo.apps[0])
    await page.get_by_role("link", name="Masuk").click()
    await expect(page.get_by_role("heading", name="Masuk")).to_be_visible()
    await expect(page.get_by_text("untuk melanjutkan ke Layanan Warga (contoh)")).to_be_visible()
    await check_access(page)
    await sign_in(page, "siti", demo.passwords["siti"])
    await expect(page.locator("#who")).to_have_text("Halo, Siti Rahmawati!")
    assert page.url == f"{demo.apps[0]}/"

    await page.goto(demo.apps[1])
    await page.get_by_role("link", name="Masuk").click()
    await expect(page.locator("#who")).to_have_text("Halo, Siti Rahmawati!")
    assert page.url == f"{demo.apps[1]}/"
    await keep_picture(page, artefacts / "app-two.png")

    await page.get_by_role("button", name="Keluar").click()
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
        await page.get_by_role("link", name="Masuk").click()
        await expect(page.locator("#password")).to_be_visible()


async def test_a_wrong_password_is_explained_and_nothing_else_is_lost(
    demo: Demo, person: BrowserContext, artefacts: Path
) -> None:
    page = await person.new_page()
    await page.goto(f"{demo.apps[0]}/login")
    await sign_in(page, "siti", "bukan kata sandinya")
    problem = page.locator("#problem")
    await expect(problem).to_contain_text("Nama atau kata sandi tidak tepat")
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
    await page.get_by_role("link", name="English").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(page.get_by_text("to go on to Citizen Services (sample)")).to_be_visible()
    assert await page.locator("html").get_attribute("lang") == "en"
    await sign_in(page, "siti", "wrong")
    await expect(page.locator("#problem")).to_contain_text("The name or the password is not right")
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
    await page.route("https://apotek-mitra.tangerang.example/**", lambda route: route.fulfill(body="selesai"))
    await page.goto(demo.issuer + PAGES["consent"])
    await sign_in(page, name, demo.passwords[name])
    await expect(page.get_by_role("heading", name="Apotek Mitra meminta izin Anda")).to_be_visible()
    await page.get_by_role("button", name=button).click()
    await page.wait_for_url(re.compile("^https://apotek-mitra.tangerang.example/callback"))
    assert expected in page.url


async def test_the_sign_in_page_is_light_on_the_wire(demo: Demo, person: BrowserContext) -> None:
    page = await person.new_page()
    session = await person.new_cdp_session(page)
    await session.send("Network.enable")
    sizes: dict[str, float] = {}
    hosts: set[str] = set()
    session.on("Network.loadingFinished", lambda one: sizes.update({one["requestId"]: one["encodedDataLength"]}))
    session.on("Network.requestWillBeSent", lambda one: hosts.add(one["request"]["url"].split("/")[2]))
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["id-ID", "en-GB"])
@pytest.mark.parametrize("size", [(320, 640), (1280, 800)])
async def test_every_page_is_accessible_and_fits(
    demo: Demo, chromium: Browser, artefacts: Path, size: tuple[int, int], locale: str, scheme: Any
) -> None:
    context = await chromium.new_context(
        viewport={"width": size[0], "height": size[1]}, locale=locale, color_scheme=scheme
    )
    page = await context.new_page()

    async def look(name: str) -> None:
        await check_access(page, structure=scheme == "light", contrast=locale == "id-ID")
        await keep_picture(page, artefacts / f"{name}-{size[0]}-{locale[:2]}-{scheme}.png")

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
    await page.get_by_role("button", name=re.compile("Keluar|Sign out")).click()
    await expect(page.get_by_text(re.compile("contoh|sample"))).to_be_visible()
    await look("signed-out-apps")
    await context.close()
