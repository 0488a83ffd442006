"""Pages look as in the kept pictures (tests/journeys/pictures), within a tolerance.

``make pictures`` renews them: look at them before you commit them. A picture is taken in DejaVu Sans, without what
changes from day to day. It is compared small and blurred: a letter that is drawn a little differently makes no
difference; a missing button, another colour or a shifted column does.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple

import pyotp
import pytest
from PIL import Image, ImageChops, ImageFilter
from playwright.async_api import Browser, Page
from tests.commands import run_commands
from tests.journeys.conftest import Demo
from tests.journeys.displays import ARTEFACTS, follow, take_picture
from tests.support import without_settings

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("demo")]

KEPT = Path(__file__).parent / "pictures"
README_PICTURE = Path(__file__).parents[2] / "docs/pages.png"
IN_README = ("sign-in-id", "second-step", "account", "apps")
"""The kept pictures that README.md shows beside each other."""
HELP = Path(__file__).parents[2] / "docs/help/pictures"
"""Where the pictures are that pages of the help show: kept and compared as the others."""
RENEW = bool(os.environ.get("RENEW_PICTURES"))
SCALE, BLUR, THRESHOLD = 4, 4, 20
"""How much smaller a picture is compared, after a blur of so many pixels; how much colours may differ (0 to 255)."""
MAX_SHARE = 0.02
"""The share of the pixels that may differ more."""
STYLE = """
* { font-family: "DejaVu Sans", sans-serif !important; caret-color: transparent !important; }
time, .face, .detail code, svg.chart *, ul.figures strong, ul.figures .trend, .charts figcaption small, p.scale,
dl.facts dd, ul.history {
  visibility: hidden !important;
}
#readiness, .attention {
  display: none !important;
}
"""
"""What a picture is taken with: one font, and nothing that changes with the day or with other tests."""


class View(NamedTuple):
    """A page as it is pictured.

    ``user``: who has signed in, several with a space between them. ``press``: what is clicked before; ``link``: what
    leads from ``path`` to the page. ``height``: of the picture; 0: of a phone or of a desk.
    """

    name: str
    user: str
    path: str
    width: int
    scheme: Literal["light", "dark"]
    language: Literal["id-ID", "en-GB"] = "id-ID"
    press: str = ""
    link: str = ""
    height: int = 0
    folder: Path = KEPT

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.png"


ASKED = (
    "/authorize?client_id=contoh-layanan-warga&redirect_uri={app}/callback&response_type=code&scope=openid+profile"
    "&state=s&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
)
VIEWS = (
    View("sign-in-id", "", "/login", 360, "light", folder=HELP),
    View("sign-in-en", "", "/login", 360, "light", "en-GB", folder=HELP),
    View("sign-up-id", "", "/signup", 360, "light", folder=HELP),
    View("sign-up-en", "", "/signup", 360, "light", "en-GB", folder=HELP),
    View("sign-in-wide", "", "/login", 1280, "dark", "en-GB"),
    View("sign-up", "", "/signup", 360, "dark"),
    View("recover", "", "/recover", 360, "light", "en-GB"),
    View("terms", "", "/terms", 360, "dark", "en-GB"),
    View("not-found", "", "/tidak-ada", 360, "light", "en-GB"),
    View("error", "", "/authorize?client_id=tidak-ada", 1280, "light", height=560),
    View("accessibility", "", "/accessibility", 1280, "light"),
    View("account", "siti", "/account", 360, "light"),
    View("account-menu", "siti", "/account/security", 1280, "dark", press="details.menu summary"),
    View("apps", "siti", "/apps?q=pajak", 360, "dark"),
    View("consent", "siti", ASKED + "&prompt=consent", 360, "light"),
    View("select-account", "siti dimas", ASKED + "&prompt=select_account", 360, "dark"),
    View("developer", "budi", "/developer/new", 1280, "light", "en-GB"),
    View("apps-wide", "budi", "/apps", 1280, "light", "en-GB", height=560),
    View("developer-list", "budi", "/developer", 360, "light"),
    View("sandbox", "budi", "/developer/apps/contoh-gambar", 1280, "dark"),
    View("second-step", "+budi", "", 360, "light"),
    View("console", "ratna", "/admin/invitations/new", 1280, "light"),
    View("console-phone", "ratna", "/admin/invitations/new", 360, "dark", "en-GB"),
    View("dashboard", "ratna", "/admin", 1280, "light", height=560),
    View("user", "ratna", "/admin/people?q=bima", 1280, "dark", link="main th a", height=480),
    View("application", "ratna", "/admin/applications/contoh-layanan-warga", 1280, "light", "en-GB"),
    View("audit", "ratna", "/admin/audit?client=tidak-ada", 360, "light"),
)
"""The user ``budi`` belongs to this test alone; ``+budi`` has a second factor and is asked for it."""
PASSWORD = "perahu-kertas-di-sungai-88"
APPLICATION = """
application_id: contoh-gambar
kind: web
document: {client_name: Contoh Gambar, scope: openid profile, scope_reasons: {profile: Nama.}}
sandbox: {redirect_uris: ['http://localhost:3000/callback']}
"""


def share_of_difference(reference: Image.Image, present: Image.Image) -> tuple[float, Image.Image]:
    """Return the share of the pixels that differ, and a picture of where (white)."""
    if reference.size != present.size:
        return 1.0, present.convert("L")
    small = [_small(picture) for picture in (reference, present)]
    bands = ImageChops.difference(*small).split()
    largest = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
    marked = largest.point(lambda value: 255 if value > THRESHOLD else 0)
    return marked.histogram()[255] / (marked.width * marked.height), marked.resize(reference.size)


def _small(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    blurred = picture.convert("RGB").filter(ImageFilter.GaussianBlur(BLUR))
    return blurred.resize((width // SCALE, height // SCALE), Image.Resampling.BOX)


def beside_each_other() -> Image.Image:
    """Return the kept pictures of README.md in one."""
    files = {view.name: view.file for view in VIEWS}
    pictures = [Image.open(files[name]).convert("RGB") for name in IN_README]
    gap, height = 16, max(picture.height for picture in pictures)
    width = sum(picture.width + gap for picture in pictures) + gap
    together = Image.new("RGB", (width, height + 2 * gap), "#9fb0ae")
    left = gap
    for picture in pictures:
        together.paste(picture, (left, gap))
        left += picture.width + gap
    return together.quantize(128)


def page_with(*boxes: tuple[int, int, int, int, str]) -> Image.Image:
    picture = Image.new("RGB", (360, 740), "white")
    for left, top, right, bottom, colour in boxes:
        picture.paste(colour, (left, top, right, bottom))
    return picture


async def test_a_changed_page_is_told_from_a_letter_that_is_drawn_differently() -> None:
    text = [(20 + 10 * n, 100, 26 + 10 * n, 112, "black") for n in range(20)]
    button = (20, 300, 340, 348, "#0b5f5a")
    reference = page_with(*text, button)
    moved = [(left + 1, top, right + 1, bottom, colour) for left, top, right, bottom, colour in text]
    assert share_of_difference(reference, page_with(*moved, button))[0] == 0
    assert share_of_difference(reference, page_with(*text))[0] > MAX_SHARE
    assert share_of_difference(reference, page_with(*text, (20, 300, 340, 348, "#9b1c1c")))[0] > MAX_SHARE
    assert share_of_difference(reference, page_with(*text, (20, 340, 340, 388, "#0b5f5a")))[0] > MAX_SHARE
    assert share_of_difference(reference, Image.new("RGB", (360, 800)))[0] == 1


async def test_the_picture_of_the_readme_is_made_of_the_kept_ones() -> None:
    picture = Image.open(README_PICTURE)
    assert share_of_difference(beside_each_other(), picture)[0] == 0, "run: make pictures"


async def test_pages_look_as_in_the_kept_pictures(demo: Demo, chromium: Browser, tmp_path: Path) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    for folder in (KEPT, HELP):
        folder.mkdir(exist_ok=True)
    _make_developer(demo, tmp_path)
    different = []
    async for view, taken in _pictures(demo, chromium):
        present = Image.open(BytesIO(taken))
        if RENEW:
            present.convert("RGB").quantize(64).save(view.file, optimize=True)
            continue
        reference = Image.open(view.file) if view.file.is_file() else Image.new("RGB", (1, 1))
        share, marked = share_of_difference(reference, present)
        if share > MAX_SHARE:
            present.save(ARTEFACTS / f"{view.name}-now.png")
            marked.save(ARTEFACTS / f"{view.name}-difference.png")
            different.append(f"{view.name}: {share:.1%} differ: see artefacts/{view.name}-difference.png (white)")
    if RENEW:
        beside_each_other().save(README_PICTURE, optimize=True)
    assert not different, "\n".join([*different, "If the change is wanted: make pictures, look at them, commit them."])
    assert {path for folder in (KEPT, HELP) for path in folder.glob("*.png")} == {view.file for view in VIEWS}


async def _pictures(demo: Demo, chromium: Browser) -> AsyncIterator[tuple[View, bytes]]:
    """Yield each view with its picture: one page for all views of a user."""
    for user in dict.fromkeys(view.user for view in VIEWS):
        context = await chromium.new_context(reduced_motion="reduce", bypass_csp=True)
        page = await context.new_page()
        if user.startswith("+"):
            await _add_second_factor(demo, page, user[1:])
        for name in user.removeprefix("+").split():
            await _sign_in(demo, page, name)
        for view in (view for view in VIEWS if view.user == user):
            yield view, await _picture(demo, page, view)
        await context.close()


def _make_developer(demo: Demo, folder: Path) -> None:
    """Make a developer with one application in the sandbox, so that no other test changes their pages."""
    (folder / "application.yaml").write_text(APPLICATION)
    environment = without_settings(os.environ)
    environment |= {"SSO_ISSUER": demo.issuer, "SSO_DATA_DIR": str(demo.data)}
    environment["SSO_DATABASE_URL"] = f"sqlite:///{demo.data / 'sso.db'}"
    make = ["users", "create", "budi", "--name", "Budi Santoso", "--role", "developer", "--password-stdin"]
    put = ["applications", "put", "application.yaml", "--owner", "budi"]
    run_commands(environment, folder, make, put, stdin=PASSWORD)


async def _sign_in(demo: Demo, page: Page, user: str) -> None:
    await page.goto(f"{demo.issuer}/login?add=1")
    await page.locator("#username").fill(user)
    await page.locator("#password").fill(demo.passwords.get(user, PASSWORD))
    await follow(page, page.locator("form[action='/login'] button:not([type=button])"))


async def _add_second_factor(demo: Demo, page: Page, user: str) -> None:
    await _sign_in(demo, page, user)
    await page.goto(f"{demo.issuer}/account/security/app")
    app = pyotp.TOTP((await page.locator(".key").inner_text()).replace(" ", ""))
    await page.locator("#code").fill(app.now())
    await follow(page, page.locator("main form button:not([type=button])").first)


async def _picture(demo: Demo, page: Page, view: View) -> bytes:
    await page.set_viewport_size({"width": view.width, "height": view.height or (740 if view.width < 600 else 800)})
    await page.emulate_media(color_scheme=view.scheme)
    if view.path:
        path = view.path.format(app=demo.apps[0])
        await page.goto(f"{demo.issuer}{path}{'&' if '?' in path else '?'}lang={view.language[:2]}")
    if view.press:
        await page.locator(view.press).first.click()
    if view.link:
        await follow(page, page.locator(view.link).first)
    return await take_picture(page, style=STYLE, animations="disabled")
