"""The checks of pages find each kind of fault, in the display that has it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.async_api import Browser
from tests.journeys.displays import Display, Rules, check_displays, check_keyboard, new_context

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("demo")]
PAGE = """<!doctype html><html lang=id><title>Halaman</title><style>
  h1 { font-size: 1.25rem }
  a { display: inline-block; color: #024; background: #fff; }
  %s
</style><main><h1>Halaman</h1><a href="/satu">Satu</a> <a href="/dua">Dua</a> %s</main>"""
NARROW, WIDE = "@media (max-width: 400px)", "@media (min-width: 400px)"
FAULTS = {
    "nothing": ("", "", ""),
    "grey on white in light": ("@media (prefers-color-scheme: light) { a { color: #bbb } }", "", "color-contrast"),
    "grey on white in dark": ("@media (prefers-color-scheme: dark) { a { color: #bbb } }", "", "color-contrast"),
    "one grey text among many": (
        "",
        f"<ul>{'<li>Satu</li>' * 9}<li style='color: #bbb'>Satu</li></ul>",
        "color-contrast",
    ),
    "tiny on a phone": (f"{NARROW} {{ a {{ font-size: 5px; margin: -1px }} }}", "", "target-size"),
    "tiny on a desk": (f"{WIDE} {{ a {{ font-size: 5px; margin: -1px }} }}", "", "target-size"),
    "a large target under another": (
        "",
        "<p style='position: relative; height: 30px'><a href='/tiga' style='position: absolute; left: 0; width: 60px;"
        " height: 30px'>Tiga</a><a href='/empat' style='position: absolute; left: 10px; width: 60px; height: 30px'>"
        "Empat</a></p>",
        "target-size",
    ),
    "a link that looks like the text around it": (
        "p a { display: inline; color: #024; text-decoration: none } p { color: #013 }",
        "<p><a href='/tiga'>Tiga</a></p><p>Baca <a href='/tiga'>Tiga</a> dahulu, lalu teruskan.</p>",
        "link-in-text-block",
    ),
    "such a link in a heading, after one that is underlined": (
        "h2 { font-weight: 700 } h2 a { display: inline; color: #024; text-decoration: none } h2 { color: #013 }",
        "<h2>Baca <a href='/tiga' style='text-decoration: underline'>Tiga</a> dahulu, lalu teruskan dengan"
        " <a href='/empat'>Empat</a>.</h2>",
        "link-in-text-block",
    ),
    "links among text that are underlined, larger or boxes": (
        "p a { display: inline; color: #024; text-decoration: none } p { color: #013 }",
        "<p>Baca <a href='/tiga' style='text-decoration: underline'>Tiga</a> dahulu, lalu teruskan dengan"
        " <a href='/empat' style='font-size: 2rem'>Empat</a> atau"
        " <a href='/lima' style='display: inline-flex; padding: 8px'>Lima</a>.</p>",
        "",
    ),
    "such a link on a desk in light": (
        "p a { display: inline; color: #024 }"
        f"{WIDE} and (prefers-color-scheme: light) {{ p a {{ text-decoration: none }} p {{ color: #013 }} }}",
        "<p><a href='/tiga'>Tiga</a></p><p>Baca <a href='/tiga'>Tiga</a> dahulu, lalu teruskan.</p>",
        "link-in-text-block",
    ),
    "a region that scrolls and has no focus": (
        "",
        "<div style='height: 40px; overflow: auto'><p style='height: 300px'>Panjang</p><p>Sekali</p></div>",
        "scrollable-region-focusable",
    ),
    "a region that scrolls and has no control that Tab reaches": (
        "",
        "<div style='height: 40px; overflow: auto'><p style='height: 300px'>Panjang</p><button disabled>Satu</button>"
        "<button tabindex=-1>Dua</button><button hidden>Tiga</button>"
        "<button style='visibility: hidden'>Empat</button><input type=hidden></div>",
        "scrollable-region-focusable",
    ),
    "a region that scrolls and has a control": (
        "",
        "<div style='height: 40px; overflow: auto'><p style='height: 300px'>Panjang</p><button>Satu</button></div>",
        "",
    ),
    "no alternative": ("", "<img src=''>", "image-alt"),
    "no alternative on a phone": (f"{WIDE} {{ img {{ display: none }} }}", "<img src=''>", "image-alt"),
    "cut with large text": (
        "",
        "<p style='white-space: nowrap'>Kata sandi Anda sendiri</p>",
        "200 percent",
    ),
    "a control that Tab passes by": (
        "",
        "<button onfocus='this.blur(); document.links[0].focus()'>Tiga</button><a href='/empat'>Empat</a>",
        "Tab does not reach",
    ),
    "a field that keeps the focus": (
        "",
        "<input aria-label=Kota onkeydown='event.preventDefault()'><a href='/lima'>Lima</a>",
        "Tab does not reach",
    ),
    "another order": ("", "<a href='/tiga' tabindex=3>Tiga</a>", "tabindex"),
    "no outline": ("a:focus { outline: none }", "", "the focus cannot be seen"),
    "cut on a tablet": (
        "@media (min-width: 700px) and (max-width: 900px) { p { width: 1000px } }",
        "<p>Panjang</p>",
        "at 768 pixels",
    ),
    "cut on a phone": ("", "<p style='width: 500px'>Panjang</p>", "wider than the screen"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_found_and_named(chromium: Browser, fault: str) -> None:
    style, text, expected = FAULTS[fault]
    displays = [
        Display(320, 640, "light", Rules.ALL),
        Display(320, 640, "dark", Rules.COLOURS),
        Display(1280, 800, "light", Rules.COLOURS | Rules.SIZES),
    ]
    context = await new_context(chromium)
    page = await context.new_page()
    await page.goto("data:text/html," + quote(PAGE % (style, text)))
    message = ""
    try:
        await check_displays(page, displays)
    except AssertionError as error:
        message = str(error)
    assert expected in message
    assert bool(expected) == bool(message)


async def test_the_keyboard_goes_again_through_a_page_that_has_got_another_control(chromium: Browser) -> None:
    context = await new_context(chromium)
    page = await context.new_page()
    await page.goto("data:text/html," + quote(PAGE % ("", "<p>Dua kali</p>")))
    await check_keyboard(page)
    await page.evaluate("document.querySelector('main').append(document.createElement('input'))")
    await page.evaluate("document.querySelector('input').style.outline = 'none'")
    with pytest.raises(AssertionError, match="the focus cannot be seen"):
        await check_keyboard(page)
    await context.close()
