"""Looking at a page in several displays: axe-core, and whether anything is cut.

A page is loaded once for each language and shown in each size and colour scheme by changing the window: a page that the
server sends is the same for all of them. Loading a page and axe-core again takes longer than all rules together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.async_api import Browser, BrowserContext, Error, Page

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""What the rules of axe-core are tagged with, but for the experimental ones and those of WCAG's level AAA."""


class Rules(Flag):
    """Groups of rules of axe-core: each runs where its result can differ."""

    COLOURS = auto()
    """Rules that measure colours: in every colour scheme."""
    SIZES = auto()
    """Rules that measure boxes: in every size and language."""
    STRUCTURE = auto()
    """All other rules, which read the document: once in each size and once in each language."""
    ALL = COLOURS | SIZES | STRUCTURE


MEASURING = {
    Rules.COLOURS: ["color-contrast", "link-in-text-block"],
    Rules.SIZES: ["target-size", "scrollable-region-focusable"],
}


@dataclass(frozen=True)
class Display:
    """A size of the window and a colour scheme, and the rules that run in it."""

    width: int
    height: int
    scheme: Literal["light", "dark"]
    rules: Rules

    def __str__(self) -> str:
        return f"{self.width}-{self.scheme}"


async def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """Return a context whose pages have axe-core from their start.

    That costs a quarter of sending it to a loaded page. Nothing moves in it: else colours would be measured that are on
    their way from light to dark.
    """
    context = await browser.new_context(reduced_motion="reduce", **options)
    context.set_default_timeout(15_000)
    await context.add_init_script(AXE_SCRIPT)
    return context


def options_of(rules: Rules) -> dict[str, Any]:
    """Return the options of axe-core that run these rules and no others."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if Rules.STRUCTURE not in rules:
        chosen = [rule for group, names in MEASURING.items() if group in rules for rule in names]
        return options | {"runOnly": {"type": "rule", "values": chosen}}
    left_out = [rule for group, names in MEASURING.items() if group not in rules for rule in names]
    options["rules"] = {rule: {"enabled": False} for rule in left_out}
    return options | {"runOnly": {"type": "tag", "values": TAGS}}


async def check_access(page: Page, rules: Rules = Rules.ALL) -> None:
    """Run rules of axe-core on what is shown, and check that nothing is cut."""
    if rules:
        if not await page.evaluate("'axe' in window"):
            await page.evaluate(AXE_SCRIPT)
        violations = await page.evaluate(
            f"axe.run({json.dumps(options_of(rules))}).then((results) => results.violations)"
        )
        assert not violations, AxeResults({"violations": violations}).generate_report()
    await check_fits(page)


async def check_displays(page: Page, displays: Sequence[Display], picture: str = "") -> None:
    """Check a loaded page in each of several displays; leave it in the first.

    Args:
        page: the page.
        displays: the displays, in the order in which they are shown.
        picture: the name of its pictures in ``artefacts``, where pictures are kept.
    """
    for display in displays:
        await show(page, display)
        try:
            await check_access(page, display.rules)
        except AssertionError as error:
            raise AssertionError(f"{page.url} in {display}: {error}") from None
        if picture:
            await keep_picture(page, ARTEFACTS / f"{picture}-{display}.png")
    await check_large_text(page)
    await show(page, displays[0])


async def show(page: Page, display: Display) -> None:
    """Show a page in a display."""
    size = page.viewport_size
    if size is None or (size["width"], size["height"]) != (display.width, display.height):
        await page.set_viewport_size({"width": display.width, "height": display.height})
    await page.emulate_media(color_scheme=display.scheme)


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
    if (arrow.display === "none") continue;
    if (arrow.float !== "none" || arrow.position !== "absolute" || room < 20) found.push("an arrow floats");
  }
  return found;
}"""


WIDER = """() => {
  const width = document.documentElement.clientWidth, found = [];
  if (document.documentElement.scrollWidth > width) found.push("the page is wider than the screen");
  for (const one of document.querySelectorAll("body *")) {
    if (one.closest("pre, .scrolled, .unseen, svg, nav ul") || !one.checkVisibility()) continue;
    const right = one.getBoundingClientRect().right;
    if (right > width + 1) found.push(`${one.tagName} ${one.textContent.trim().slice(0, 40)}`);
  }
  return found.slice(0, 6);
}"""


async def check_large_text(page: Page) -> None:
    """Check that nothing of a page is wider than 320 pixels with text of 200 percent (WCAG 2.2, 1.4.4 and 1.4.10)."""
    await page.set_viewport_size({"width": 320, "height": 640})
    await page.evaluate("document.documentElement.style.fontSize = '200%'")
    found = await page.evaluate(WIDER)
    await page.evaluate("document.documentElement.style.fontSize = ''")
    assert not found, f"{page.url} with text of 200 percent at 320 pixels: {found}"


async def check_fits(page: Page) -> None:
    """Check that nothing of a page is cut: neither the page, nor a table or an arrow on it."""
    found = await page.evaluate(CUT)
    assert not found, f"{page.url}: {found}"


async def keep_picture(page: Page, path: Path) -> None:
    """Keep a picture of a page when ``PICTURES`` is set, as in ``PICTURES=1 make unit``.
    Chromium sometimes refuses the first one, and takes the same one when it is asked again."""
    if not os.environ.get("PICTURES"):
        return
    path.parent.mkdir(exist_ok=True)
    try:
        await page.screenshot(path=path, full_page=True)
    except Error as error:
        if "Unable to capture screenshot" not in str(error):
            raise
        await page.screenshot(path=path, full_page=True)
