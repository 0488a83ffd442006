"""One account does not use up the SMS of everybody, and a channel is stored for a number that is proven alone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.arranged import sign_in
from tests.citizens import SENDING, here, identifiers, last_code, post, query, sent, wrong_code
from tests.support import Browser, City

from sso import clock
from sso.platform.security.message_limits import NEW_NUMBERS_PER_DAY

CONTACTS, STEP = "/account/contacts", "/login/second"
NONE_LEFT = "Kami tidak dapat mengirim SMS atau WhatsApp saat ini"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


def limited(**settings: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("overrides", [{**SENDING, **settings}], ids=[""])


async def to_phones(city: City) -> list[str]:
    return [message["to"] for message in await sent(city) if message["kind"] == "phone"]


async def add(browser: Browser, number: str) -> Any:
    return await post(browser, CONTACTS, {"choice": "add", "contact": number}, await browser.open(CONTACTS))


async def test_an_account_has_codes_sent_to_a_few_new_numbers_a_day(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        for number in range(NEW_NUMBERS_PER_DAY):
            assert (await add(browser, f"081390000{number:03}")).url.path == f"{CONTACTS}/code"
        for _ in range(2):
            page = await add(browser, "081390000999")
            assert (page.status_code, page.url.path) == (429, CONTACTS)
            assert "terlalu banyak nomor telepon" in page.text
        again = await add(browser, "081390000000")
        assert again.url.path == f"{CONTACTS}/code", "a number counts once"
    assert len(set(await to_phones(city))) == NEW_NUMBERS_PER_DAY


@limited(sms_per_day=5, sign_up="open")
async def test_new_numbers_use_no_sms_that_are_reserved_for_second_factors(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        for number in range(3):
            await add(browser, f"081390000{number:03}")
        await add(browser, "081390000000")
        page = await add(browser, "081390000001")
        assert NONE_LEFT in page.text, "the page does not say that a code was sent"
        assert len(await to_phones(city)) == 4
    async with city.browser() as browser:
        pages = []
        for number in ("0812 3456 7890", "0813 9111 1111"):
            page = await post(browser, "/signup", {"contact": number, "agree": "1"}, await browser.open("/signup"))
            assert (page.status_code, NONE_LEFT in page.text) == (503, True)
            pages.append(page.text.replace(number, "X"))
        assert pages[0] == pages[1], "nobody learns who has an account"
    async with city.browser() as browser:  # a new browser of a user with a verified number
        page = await here(city, browser)
        page = await browser.open(f"{STEP}?c={query(page)['c']}&m=phone")
        clock.advance(31)
        page = await post(browser, STEP, {"choice": "resend", "m": "phone"}, page)
        assert len(await to_phones(city)) == 5
        answer = await post(browser, STEP, {"code": await last_code(city), "m": "phone"}, page)
        assert browser.session is not None, answer.text
    async with city.browser() as browser:
        page = await here(city, browser)
        page = await browser.open(f"{STEP}?c={query(page)['c']}&m=phone")
        clock.advance(31)
        page = await post(browser, STEP, {"choice": "resend", "m": "phone"}, page)
        assert (page.status_code, NONE_LEFT in page.text) == (503, True)


WHATSAPP = {
    "whatsapp_phone_number_id": "12345",
    "whatsapp_token": "t" * 32,
    "whatsapp_app_secret": "a" * 32,
    "whatsapp_verify_token": "v" * 32,
}


@limited(**WHATSAPP)
async def test_the_channel_is_stored_when_the_code_was_right(city: City) -> None:
    async def channel() -> str | None:
        return next(known.channel for known in await identifiers(city) if known.kind == "phone")

    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
    async with city.browser() as browser:
        page = await here(city, browser)
        page = await browser.open(f"{STEP}?c={query(page)['c']}&m=phone")
        clock.advance(31)
        page = await post(browser, STEP, {"choice": "resend whatsapp", "m": "phone"}, page)
        assert (await to_phones(city)) != []
        assert await channel() is None
        await post(browser, STEP, {"code": await wrong_code(city), "m": "phone"}, page)
        assert await channel() is None
        await post(browser, STEP, {"code": await last_code(city), "m": "phone"}, page)
        assert await channel() == "whatsapp"
