"""Pages look as in the kept pictures (tests/journeys/pictures), within a tolerance.

``make pictures`` renews them: look at them before you commit them. A picture is taken in DejaVu Sans, without what
changes from day to day. It is compared small and blurred: a letter that is drawn a little differently makes no
difference; a missing button, another colour or a shifted column does.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from PIL import Image, ImageChops, ImageFilter
from playwright.async_api import Browser, BrowserContext
from tests.journeys.conftest import Demo
from tests.journeys.displays import ARTEFACTS

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("demo")]

KEPT = Path(__file__).parent / "pictures"
HELP = Path(__file__).parents[2] / "docs/help/pictures"
"""Where the pictures are that pages of the help show: kept and compared as the others."""
RENEW = bool(os.environ.get("RENEW_PICTURES"))
SCALE, BLUR, THRESHOLD = 4, 4, 20
"""How much smaller a picture is compared, after a blur of so many pixels; how much colours may differ (0 to 255)."""
MAX_SHARE = 0.02
"""The share of the pixels that may differ more."""
STYLE = """
* { font-family: "DejaVu Sans", sans-serif !important; caret-color: transparent !important; }
time, .face, .detail code, svg.chart *, ul.figures strong, .charts figcaption small, p.scale {
  visibility: hidden !important;
}
"""
"""What a picture is taken with: one font, and nothing that changes with the day or with other tests."""


class View(NamedTuple):
    """A page as it is pictured."""

    name: str
    user: str
    path: str
    width: int
    scheme: Literal["light", "dark"]
    language: Literal["id-ID", "en-GB"] = "id-ID"
    press: str = ""
    folder: Path = KEPT

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.png"


VIEWS = (
    View("sign-in-id", "", "/login", 360, "light", folder=HELP),
    View("sign-in-en", "", "/login", 360, "light", "en-GB", folder=HELP),
    View("sign-up-id", "", "/signup", 360, "light", folder=HELP),
    View("sign-up-en", "", "/signup", 360, "light", "en-GB", folder=HELP),
    View("sign-in-wide", "", "/login", 1280, "dark", "en-GB"),
    View("sign-up", "", "/signup", 360, "dark"),
    View("not-found", "", "/tidak-ada", 360, "light", "en-GB"),
    View("accessibility", "", "/accessibility", 1280, "light"),
    View("account", "siti", "/account", 360, "light"),
    View("account-menu", "siti", "/account/security", 1280, "dark", press="details.menu summary"),
    View("apps", "siti", "/apps?q=pajak", 360, "dark"),
    View("developer", "dimas", "/developer/new", 1280, "light", "en-GB"),
    View("console", "ratna", "/admin/invitations/new", 1280, "light"),
    View("console-phone", "ratna", "/admin/invitations/new", 360, "dark", "en-GB"),
)


def share_of_difference(kept: Image.Image, present: Image.Image) -> tuple[float, Image.Image]:
    """Return the share of the pixels that differ, and a picture of where (white)."""
    if kept.size != present.size:
        return 1.0, present.convert("L")
    small = [_small(picture) for picture in (kept, present)]
    bands = ImageChops.difference(*small).split()
    largest = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
    marked = largest.point(lambda value: 255 if value > THRESHOLD else 0)
    return marked.histogram()[255] / (marked.width * marked.height), marked.resize(kept.size)


def _small(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    blurred = picture.convert("RGB").filter(ImageFilter.GaussianBlur(BLUR))
    return blurred.resize((width // SCALE, height // SCALE), Image.Resampling.BOX)


def page_with(*boxes: tuple[int, int, int, int, str]) -> Image.Image:
    picture = Image.new("RGB", (360, 740), "white")
    for left, top, right, bottom, colour in boxes:
        picture.paste(colour, (left, top, right, bottom))
    return picture


async def test_a_changed_page_is_told_from_a_letter_that_is_drawn_differently() -> None:
    text = [(20 + 10 * n, 100, 26 + 10 * n, 112, "black") for n in range(20)]
    button = (20, 300, 340, 348, "#0b5f5a")
    kept = page_with(*text, button)
    moved = [(left + 1, top, right + 1, bottom, colour) for left, top, right, bottom, colour in text]
    assert share_of_difference(kept, page_with(*moved, button))[0] == 0
    assert share_of_difference(kept, page_with(*text))[0] > MAX_SHARE
    assert share_of_difference(kept, page_with(*text, (20, 300, 340, 348, "#9b1c1c")))[0] > MAX_SHARE
    assert share_of_difference(kept, page_with(*text, (20, 340, 340, 388, "#0b5f5a")))[0] > MAX_SHARE
    assert share_of_difference(kept, Image.new("RGB", (360, 800)))[0] == 1


async def test_pages_look_as_in_the_kept_pictures(demo: Demo, chromium: Browser) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    for folder in (KEPT, HELP):
        folder.mkdir(exist_ok=True)
    different = []
    for user in dict.fromkeys(view.user for view in VIEWS):
        context = await chromium.new_context(reduced_motion="reduce", bypass_csp=True)
        context.set_default_timeout(15_000)
        if user:
            await _sign_in(demo, context, user)
        for view in (view for view in VIEWS if view.user == user):
            present = Image.open(BytesIO(await _picture(demo, context, view)))
            if RENEW:
                present.convert("RGB").quantize(64).save(view.file, optimize=True)
                continue
            kept = Image.open(view.file) if view.file.is_file() else Image.new("RGB", (1, 1))
            share, marked = share_of_difference(kept, present)
            if share > MAX_SHARE:
                present.save(ARTEFACTS / f"{view.name}-now.png")
                marked.save(ARTEFACTS / f"{view.name}-difference.png")
                different.append(f"{view.name}: {share:.1%} differ: see artefacts/{view.name}-difference.png (white)")
        await context.close()
    assert not different, "\n".join([*different, "If the change is wanted: make pictures, look at them, commit them."])
    assert {path for folder in (KEPT, HELP) for path in folder.glob("*.png")} == {view.file for view in VIEWS}


async def _sign_in(demo: Demo, context: BrowserContext, user: str) -> None:
    page = await context.new_page()
    await page.goto(f"{demo.issuer}/login")
    await page.locator("#username").fill(user)
    await page.locator("#password").fill(demo.passwords[user])
    async with page.expect_navigation():
        await page.locator("form[action='/login'] button:not([type=button])").click()
    await page.close()


async def _picture(demo: Demo, context: BrowserContext, view: View) -> bytes:
    page = await context.new_page()
    await page.set_viewport_size({"width": view.width, "height": 740 if view.width < 600 else 800})
    await page.emulate_media(color_scheme=view.scheme)
    await page.goto(f"{demo.issuer}{view.path}{'&' if '?' in view.path else '?'}lang={view.language[:2]}")
    if view.press:
        await page.locator(view.press).click()
    picture = await page.screenshot(style=STYLE, animations="disabled")
    await page.close()
    return picture
