"""The portal: every application of the catalogue by group, found by words, starred, and what was used last."""

from __future__ import annotations

import pytest
from tests.citizens import here, post
from tests.support import City


async def test_every_application_with_a_group_is_there_and_those_that_can_be_opened_have_a_link(city: City) -> None:
    async with city.browser() as browser:
        await here(city, browser)
        page = await browser.open("/apps")
    for text in ("E-Pemerintahan", "E-Kesehatan", "Layanan Warga", "Antrean Puskesmas", 'href="/open/warga"'):
        assert text in page.text
    assert 'href="/open/sehat"' not in page.text
    assert "Apotek Mitra" not in page.text


@pytest.mark.parametrize(
    ("words", "found"),
    [("puskesmas", True), ("PUSKESMÁS antrean", True), ("kesehatan", True), ("tidak ada", False), ("<script>", False)],
)
async def test_an_application_is_found_by_words_in_any_order(city: City, words: str, found: bool) -> None:
    async with city.browser() as browser:
        await here(city, browser)
        page = await browser.open("/apps", params={"q": words})
    assert ("Antrean Puskesmas" in page.text) == found
    assert "<script>" not in page.text.replace("<script src", "")


async def test_a_favourite_comes_first_until_it_is_taken_back(city: City) -> None:
    async with city.browser() as browser:
        await here(city, browser)
        page = await browser.open("/apps")
        page = await post(browser, "/apps", {"choice": "add sehat"}, page)
        assert "Favorit</h2>" in page.text
        page = await post(browser, "/apps", {"choice": "remove sehat"}, page)
        assert "Favorit</h2>" not in page.text
        page = await post(browser, "/apps", {"choice": "add tidak-ada"}, page)
        assert "Favorit</h2>" not in page.text
    async with city.browser() as browser:
        await here(city, browser)
        answer = await browser.http.post("/apps", data={"choice": "add sehat", "csrf_token": "x"})
        assert answer.status_code == 303
        assert "Favorit</h2>" not in (await browser.open("/apps")).text


async def test_what_was_used_last_is_on_the_start_page_too(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        assert "Terakhir digunakan" in (await browser.open("/apps")).text
        assert 'href="/open/warga"' in (await browser.open("/")).text
