"""Looking at a page in several displays: axe-core, and whether anything is cut.

A page is loaded once for each language and shown in each size and colour scheme by changing the window: a page that the
server sends is the same for all of them. Loading a page and axe-core again takes longer than all rules together.

The rules that measure are most of the work of all rules, so they look only where they can find something: see
:data:`LOOK`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.async_api import Browser, BrowserContext, Error, Locator, Page

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


LOOK = """async ([known, rules, structure, options]) => {
  if (!("axe" in window)) return null;
  const seen = new Set(known.split(" ")), met = new Set(), chains = new Map(), blocks = new Map();
  const hashes = new Map(), hash = (text) => {
    if (hashes.has(text)) return hashes.get(text);
    let a = 0x811c9dc5, b = 0x1b873593;
    for (let i = 0; i < text.length; i++) {
      a = Math.imul(a ^ text.charCodeAt(i), 0x01000193);
      b = Math.imul(b ^ text.charCodeAt(i), 0x85ebca6b);
    }
    hashes.set(text, (a >>> 0).toString(36) + (b >>> 0).toString(36));
    return hashes.get(text);
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
  const is_block = (one) => /^(block|list-item|table.*|flex|grid|inline-block)$/.test(getComputedStyle(one).display);
  const block = (element) => {
    while (element.parentElement && !is_block(element)) element = element.parentElement;
    if (!blocks.has(element)) {
      const styles = getComputedStyle(element);
      blocks.set(element, [element.textContent.trim(), hash(element.innerHTML), styles]);
    }
    return blocks.get(element);
  };
  const DISTINCT = ["textDecorationLine", "textDecorationStyle", "fontWeight", "fontStyle", "fontSize"];
  const CONTROLS = "a[href], button:enabled, input:enabled:not([type=hidden]), select:enabled, textarea:enabled";
  const is_new = (style) => !seen.has(style) && met.add(style) && seen.add(style);
  const is_seen = (element) => element.checkVisibility({checkVisibilityCSS: true});
  const find = {
    "color-contrast": () => [...document.body.querySelectorAll("*")].filter((one) => {
      const box = one.getBoundingClientRect();
      const texts = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
      if (!texts && !one.matches("input, select, textarea, button")) return false;
      return box.width >= 2 && box.height >= 2 && is_seen(one) && is_new(chain(one));
    }),
    "link-in-text-block": () => [...document.querySelectorAll("a[href], [role=link]")].filter((one) => {
      const [text, around, styles] = block(one.parentElement || one), style = getComputedStyle(one);
      if (text === one.textContent.trim() || !is_seen(one)) return false;
      if (is_block(one) || /^inline-(flex|grid)$/.test(style.display)) return false;
      if (DISTINCT.some((name) => style[name] !== styles[name])) return false;
      const own = [style.borderStyle, style.borderWidth, style.borderColor, style.fontFamily, style.fontStyle];
      return is_new(hash([chain(one), own, around].join(";")));
    }),
    "target-size": () => {
      const controls = "a, area, button, input, select, textarea, summary, [tabindex], [contenteditable], [role]";
      const all = [...document.querySelectorAll(controls)].filter((one) => {
        const parts = /^(a|area|button|input|select|textarea|summary)$/i.test(one.tagName);
        const widget = parts || one.isContentEditable || (one.hasAttribute("tabindex") && one.hasAttribute("role"));
        return widget && one.getAttribute("role") !== "region" && one.checkVisibility();
      });
      const boxes = all.map((one) => one.getBoundingClientRect()), small = (box) => box.width < 24 || box.height < 24;
      const meet = (box, near, rim) => near.left < box.right - rim && near.right > box.left + rim
        && near.top < box.bottom - rim && near.bottom > box.top + rim;
      const gap = (box, near) => Math.hypot(...[["left", "right"], ["top", "bottom"]].map(([from, to]) => {
        const centre = (box[from] + box[to]) / 2;
        return Math.max(near[from] - centre, centre - near[to], 0);
      }));
      return all.filter((one, at) => {
        const box = boxes[at], others = boxes.filter((_, other) => other !== at);
        if (!small(box)) return others.some((near) => meet(box, near, Math.min(box.width, box.height) < 26 ? 0 : 1));
        const lines = [box, ...one.getClientRects()], room = (near) => (small(near) ? 24.5 : 12.5);
        return others.some((near) => lines.some((line) => meet(line, near, 0) || gap(line, near) < room(near)));
      });
    },
    "scrollable-region-focusable": () => [...document.querySelectorAll("*")].filter((one) =>
      one.getAttribute("tabindex") !== "0" && (one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight)
      && /auto|scroll/.test(getComputedStyle(one).overflow)
      && ![...one.querySelectorAll(CONTROLS)].some((control) =>
        !control.hasAttribute("tabindex") && !control.closest("[inert]") && is_seen(control))),
  };
  for (const name of Object.keys(find).map((rule) => `data-${rule}`)) {
    for (const old of document.querySelectorAll(`[${name}]`)) old.removeAttribute(name);
  }
  const marked = rules.map((rule) => [rule, find[rule]()]), running = marked.filter(([, ones]) => ones.length);
  for (const [rule, ones] of marked) {
    for (const one of ones) one.setAttribute(`data-${rule}`, "");
    axe.configure({rules: [{id: rule, selector: `[data-${rule}]`}]});
  }
  if (!structure) options.runOnly = {type: "rule", values: running.map(([rule]) => rule)};
  if (!structure && !running.length) return [[], [...met].join(" ")];
  return [(await axe.run(options)).violations, [...met].join(" ")];
}"""
"""Runs axe-core, if the page has it.

The rules that measure look only at the elements where they can find a fault that is not known to be absent, and do not
run where there is no such element:

- Contrast: one visible text of each style that is not known. A style is what axe-core computes the contrast from:
  colours, size, weight, opacity and layers of the element and of all elements around it. Rows of a table, and what is
  the same on every page, have one style each.
- Links among text: one of each style and content of the block around it. A link that is all the text of its block
  stands in no text, and neither does one that is a box. A link that has another decoration, weight, slant or size than
  the block around it can be told from its text.
- Size of targets: a small one with another one in the circle around it, and a large one that another one overlaps by
  more than its rim. All others fulfil the rule: by "target-offset" if they are small, by "target-size" if large.
- Regions that scroll: what has more content than room, and neither is nor has a control that Tab reaches.
"""
_measured: set[str] = set()
"""The styles whose contrast was found sufficient, on any page of this worker."""


async def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """Return a context whose pages have axe-core from their start.

    That costs a quarter of sending it to a loaded page. Nothing moves in it: else colours would be measured that are on
    their way from light to dark.
    """
    context = await browser.new_context(reduced_motion="reduce", **options)
    await context.add_init_script(AXE_SCRIPT)
    return context


async def follow(page: Page, control: Locator) -> None:
    """Click a button or link that leads to a page, and wait until that page has loaded.

    A click alone does not: what comes next could see the page of before, or end the request that the click sends. While
    a page loads, its scripts do not listen yet, and one of them can move the focus away from a field that is filled.
    """
    async with page.expect_navigation():
        await control.click()


def measured_by(rules: Rules) -> list[str]:
    """Return the rules that measure in these groups."""
    return [rule for group, names in MEASURING.items() if group in rules for rule in names]


def options_of(rules: Rules) -> dict[str, Any]:
    """Return the options of axe-core that run these rules and no others."""
    left_out = {rule: {"enabled": False} for names in MEASURING.values() for rule in names}
    for rule in measured_by(rules):
        del left_out[rule]
    return {"resultTypes": ["violations"], "runOnly": {"type": "tag", "values": TAGS}, "rules": left_out}


async def check_access(page: Page, rules: Rules = Rules.ALL) -> None:
    """Run rules of axe-core on what is shown, and check that nothing is cut."""
    await page.wait_for_load_state()
    if rules:
        arguments = [" ".join(_measured), measured_by(rules), Rules.STRUCTURE in rules, options_of(rules)]
        looked = await page.evaluate(LOOK, arguments)
        if looked is None:
            await page.evaluate(AXE_SCRIPT)
            looked = await page.evaluate(LOOK, arguments)
        violations, styles = looked
        assert not violations, AxeResults({"violations": violations}).generate_report()
        _measured.update(styles.split())
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
    const box = one.getBoundingClientRect();
    if (box.width <= 1 || box.right <= width + 1) continue;
    found.push(`${one.tagName} cut: ${one.textContent.trim().slice(0, 60)}`);
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
    if (one.getBoundingClientRect().right <= width + 1) continue;
    if (one.closest("pre, .scrolled, .unseen, svg, nav ul") || !one.checkVisibility()) continue;
    found.push(`${one.tagName} ${one.textContent.trim().slice(0, 40)}`);
  }
  return found.slice(0, 6);
}"""


LARGE = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("@media (width: 320px) and (height: 639px) { :root { font-size: 200% !important } }");
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}"""
"""Makes text large in one size of the window alone: the page is laid out once for the size and its text, not twice."""


async def check_large_text(page: Page) -> None:
    """Check that nothing of a page is wider than 320 pixels with text of 200 percent (WCAG 2.2, 1.4.4 and 1.4.10).
    It leaves the page in that size."""
    await page.evaluate(LARGE)
    await page.set_viewport_size({"width": 320, "height": 639})
    large, too_wide = await page.evaluate(f"[getComputedStyle(document.documentElement).fontSize, ({WIDER})()]")
    assert large == "32px", f"{page.url}: the text is {large} high"
    assert not too_wide, f"{page.url} with text of 200 percent at 320 pixels: {too_wide}"


async def check_tablet(page: Page) -> None:
    """Check that nothing of a page is cut at 768 pixels, where the layout of a phone becomes that of a desk."""
    await page.set_viewport_size({"width": 768, "height": 1024})
    faults = await page.evaluate(CUT)
    assert not faults, f"{page.url} at 768 pixels: {faults}"


TABBABLE = """(walked) => {
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
  if (walked.includes(found.length)) return null;
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
parts of a date are several. Where that many stops were walked before, it leaves the page alone."""

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
_tabbed: defaultdict[str, list[int]] = defaultdict(list)
"""For each page, the numbers of stops with which this worker has gone through it with the keyboard."""


async def check_keyboard(page: Page) -> None:
    """Check that Tab reaches every control of a page, in the order of the document, and that each shows its focus
    (WCAG 2.2, 2.1.1, 2.1.2, 2.4.3 and 2.4.7). A control that keeps the focus would hide those after it."""
    walked = _tabbed[re.sub(r"[?&]lang=[a-z]+|[0-9a-f-]{36}|[A-Za-z0-9_-]{40,}", "", page.url)]
    tabbable = await page.evaluate(TABBABLE, walked)
    if tabbable is None:
        return
    stops, presses = tabbable
    walked.append(stops)
    keyboard = await page.context.new_cdp_session(page)
    press = {"type": "rawKeyDown", "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
    await asyncio.gather(*(keyboard.send("Input.dispatchKeyEvent", press) for _ in range(presses)))
    await keyboard.detach()
    faults = await page.evaluate(TABBED)
    assert not faults, f"{page.url} with the keyboard: {faults}"


async def check_fits(page: Page) -> None:
    """Check that nothing of a page is cut: neither the page, nor a table or an arrow on it."""
    await page.wait_for_load_state()
    faults = await page.evaluate(CUT)
    assert not faults, f"{page.url}: {faults}"


async def keep_picture(page: Page, path: Path) -> None:
    """Keep a picture of a page when ``PICTURES`` is set, as in ``PICTURES=1 make unit``."""
    if os.environ.get("PICTURES"):
        path.parent.mkdir(exist_ok=True)
        await take_picture(page, path=path, full_page=True)


async def take_picture(page: Page, **options: Any) -> bytes:
    """Return a picture of a page. Chromium sometimes refuses the first one, and takes the same one when it is asked
    again."""
    try:
        return await page.screenshot(**options)
    except Error as error:
        if "Unable to capture screenshot" not in str(error):
            raise
        return await page.screenshot(**options)
