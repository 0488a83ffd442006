"""The code of an SMS is filled in where the browser can read it (WebOTP), under the policy of our pages."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Route, expect

from sso.http.common.assets import STATIC_DIR
from sso.http.common.pages import environment, page_headers
from sso.settings import Settings

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("demo")]
ADDRESS = "https://masuk.example/signup"
PAGE = """<!doctype html><html lang=id><title>Kode</title><script src="/otp.js" defer></script><main>
<form method="post">%s{{ code_field("Kode verifikasi") }}<button>Lanjutkan</button></form></main></html>"""
PHONE = """window.OTPCredential = class {}; navigator.credentials.get = async (asked) => {
  window.asked = asked.otp.transport.join(); window.ended = asked.signal;
  return await new Promise((found) => { window.arrives = (code) => found({code}); });
};"""


@pytest.mark.parametrize("able", [True, False], ids=["a phone that reads SMS", "any other browser"])
async def test_the_code_is_filled_in_and_what_was_typed_stays(chromium: Browser, able: bool) -> None:
    context = await chromium.new_context(locale="id-ID")
    form = environment("id").from_string('{% from "form.html" import code_field %}' + PAGE.replace("%s", "")).render()

    async def answer(route: Route) -> None:
        if route.request.url.endswith("/otp.js"):
            await route.fulfill(path=STATIC_DIR / "otp.js", content_type="text/javascript")
        else:
            await route.fulfill(body=form, headers=page_headers(Settings()), content_type="text/html")

    await context.route("**/*", answer)
    if able:
        await context.add_init_script(PHONE)
    page = await context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(ADDRESS)
    code = page.locator("#code")
    await expect(code).to_have_attribute("autocomplete", "one-time-code")
    if able:
        assert await page.evaluate("window.asked") == "sms"
        await page.evaluate("window.arrives('481516')")
        await expect(code).to_have_value("481516")
        await expect(page.get_by_role("button")).to_be_focused()
        await page.goto(ADDRESS)
        await code.fill("123")
        await page.evaluate("window.arrives('481516')")
        await page.evaluate("document.forms[0].addEventListener('submit', (event) => event.preventDefault())")
        await page.get_by_role("button").click()
        await expect(code).to_have_value("123")
        assert await page.evaluate("window.ended.aborted"), "nothing waits when the form is sent"
    else:
        await code.fill("123456")
        await expect(code).to_have_value("123456")
    assert [text for text in errors if "favicon" not in text] == []
    await context.close()
