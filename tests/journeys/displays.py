"""Looking at a page in several displays: axe-core, and whether anything is cut.

A page is loaded once for each language and shown in each size and colour scheme by changing the window: a page that the
server sends is the same for all of them. Loading a page and axe-core again takes longer than all rules together.

The contrast of text is four fifths of the work of all rules. It depends on computed styles alone, so one text of each
style is measured: see :data:`MARK`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.async_api import Browser, BrowserContext, Error, Locator, Page
from tests.waiting import BROWSER_MILLISECONDS

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


MARK = """(known) => {
  const seen = new Set(known), marked = [], chains = new Map();
  const hash = (text) => {
    let a = 0x811c9dc5, b = 0x1b873593;
    for (let i = 0; i < text.length; i++) {
      a = Math.imul(a ^ text.charCodeAt(i), 0x01000193);
      b = Math.imul(b ^ text.charCodeAt(i), 0x85ebca6b);
    }
    return (a >>> 0).toString(36) + (b >>> 0).toString(36);
  };
  const chain = (element) => {
    if (!element) return "";
    if (!chains.has(element)) {
      const style = getComputedStyle(element), background = [style.backgroundColor, style.backgroundImage];
      const text = [style.color, style.fontSize, style.fontWeight, style.textShadow, style.textDecorationLine];
      const layer = [style.opacity, style.filter, style.mixBlendMode, style.position, style.zIndex, style.display];
      const control = element.control || element, off = control.disabled || element.getAttribute("aria-disabled");
      const own = [element.tagName, element.getAttribute("class"), off, background, text, layer].join(";");
      chains.set(element, hash(chain(element.parentElement) + own));
    }
    return chains.get(element);
  };
  for (const old of document.querySelectorAll("[data-contrast]")) old.removeAttribute("data-contrast");
  for (const element of document.body.querySelectorAll("*")) {
    const texts = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const box = element.getBoundingClientRect();
    if (!texts && !element.matches("input, select, textarea, button")) continue;
    if (box.width < 2 || box.height < 2 || !element.checkVisibility({checkVisibilityCSS: true})) continue;
    const style = chain(element);
    if (seen.has(style)) continue;
    seen.add(style);
    marked.push(style);
    element.setAttribute("data-contrast", "");
  }
  axe.configure({rules: [{id: "color-contrast", selector: "[data-contrast]"}]});
  return marked;
}"""
"""Marks one visible text of each style that is not known, and lets the rule for contrast look at these alone.

A style is what axe-core computes the contrast from: colours, size, weight, opacity and layers of the element and of all
elements around it. Rows of a table, and what is the same on every page, have one style each.
"""
_measured: set[str] = set()
"""The styles whose contrast was found sufficient, on any page of this worker."""


async def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """Return a context whose pages have axe-core from their start.

    That costs a quarter of sending it to a loaded page. Nothing moves in it: else colours would be measured that are on
    their way from light to dark.
    """
    context = await browser.new_context(reduced_motion="reduce", **options)
    context.set_default_timeout(BROWSER_MILLISECONDS)
    await context.add_init_script(AXE_SCRIPT)
    return context


async def follow(page: Page, control: Locator) -> None:
    """Click a button or link that leads to a page, and wait for that page.

    A click does not wait: what comes next would see the page of before, or end the request that the click sends.
    """
    async with page.expect_navigation():
        await control.click()


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
        marked = await page.evaluate(MARK, sorted(_measured)) if Rules.COLOURS in rules else []
        violations = await page.evaluate(
            f"axe.run({json.dumps(options_of(rules))}).then((results) => results.violations)"
        )
        assert not violations, AxeResults({"violations": violations}).generate_report()
        _measured.update(marked)
    await check_fits(page)


async def check_displays(page: Page, displays: Sequence[Display], picture: str = "") -> None:
    """Check a loaded page in each of several displays, on a tablet, with large text and with the keyboard; leave it in
    the first display.

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
    await check_tablet(page)
    await check_large_text(page)
    await show(page, displays[0])
    await check_keyboard(page)


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


async def check_tablet(page: Page) -> None:
    """Check that nothing of a page is cut at 768 pixels, where the layout of a phone becomes that of a desk."""
    await page.set_viewport_size({"width": 768, "height": 1024})
    found = await page.evaluate(CUT)
    assert not found, f"{page.url} at 768 pixels: {found}"


TABBABLE = """() => {
  const named = new Set(), found = [];
  const controls = "a[href], button, input, select, textarea, summary, iframe, [tabindex]";
  for (const one of document.querySelectorAll(controls)) {
    if (one.matches(":disabled") || one.type === "hidden" || one.closest("[inert]")) continue;
    if (one.tabIndex < 0 || !one.checkVisibility({checkVisibilityCSS: true})) continue;
    if (one.type === "radio") {
      const group = [...document.querySelectorAll(`input[type=radio][name="${CSS.escape(one.name)}"]`)];
      const stop = group.find((radio) => radio.checked && radio.form === one.form);
      const key = `${one.name} ${[...document.forms].indexOf(one.form)}`;
      if (named.has(key) || (stop && stop !== one)) continue;
      named.add(key);
    }
    found.push(one);
  }
  const start = document.createElement("span");
  start.tabIndex = -1;
  document.body.prepend(start);
  start.focus({preventScroll: true});
  const shown = (style) => style.boxShadow !== "none"
    || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1
      && !/, 0\\)$/.test(style.outlineColor));
  const steps = window.tabbed = {found, reached: [], unmarked: []};
  steps.note = ({target}) => {
    if (steps.reached.includes(target)) return;
    steps.reached.push(target);
    const marks = [target, target.closest("label"), target.nextElementSibling];
    if (!marks.some((one) => one && shown(getComputedStyle(one)))) steps.unmarked.push(target);
  };
  steps.start = start;
  document.addEventListener("focusin", steps.note, true);
  const parts = found.filter((one) => /^(date|time|datetime-local|month)$/.test(one.type)).length;
  return [found.length, found.length + 6 * parts + 1];
}"""
"""Finds every element that Tab must reach, and notes which ones it does. A group of radio buttons is one stop; the
parts of a date are several."""

TABBED = """() => {
  const {found, reached, unmarked, note, start} = window.tabbed;
  document.removeEventListener("focusin", note, true);
  start.remove();
  if (document.activeElement) document.activeElement.blur();
  const text = (one) => one.outerHTML.replace(/\\s+/g, " ").slice(0, 120);
  const problems = [], met = reached.filter((one) => found.includes(one));
  for (const one of found) if (!met.includes(one)) problems.push(`Tab does not reach ${text(one)}`);
  const first = met.findIndex((one, at) => one !== found.filter((other) => met.includes(other))[at]);
  if (first >= 0) problems.push(`Tab does not go in the order of the document: ${text(met[first])}`);
  for (const one of unmarked) problems.push(`the focus cannot be seen: ${text(one)}`);
  return problems.slice(0, 5);
}"""
_tabbed: set[tuple[str, int]] = set()
"""The pages, each with its number of stops, through which this worker has gone with the keyboard."""


async def check_keyboard(page: Page) -> None:
    """Check that Tab reaches every control of a page, in the order of the document, and that each shows its focus
    (WCAG 2.2, 2.1.1, 2.1.2, 2.4.3 and 2.4.7). A control that keeps the focus would hide those after it."""
    stops, presses = await page.evaluate(TABBABLE)
    key = (re.sub(r"[?&]lang=[a-z]+|[0-9a-f-]{36}|[A-Za-z0-9_-]{40,}", "", page.url), stops)
    if key not in _tabbed:
        _tabbed.add(key)
        keyboard = await page.context.new_cdp_session(page)
        press = {"type": "rawKeyDown", "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
        await asyncio.gather(*(keyboard.send("Input.dispatchKeyEvent", press) for _ in range(presses)))
        await keyboard.detach()
        found = await page.evaluate(TABBED)
        assert not found, f"{page.url} with the keyboard: {found}"
        return
    await page.evaluate(TABBED)


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
