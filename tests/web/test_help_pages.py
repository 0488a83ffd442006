"""Help for citizens and the manual of developers at ``/help``."""

from __future__ import annotations

import re

import pytest
from tests.support import City, Statements, main_of

from sso.http.common import manual

pytestmark = pytest.mark.parametrize("database_kind", ["sqlite"])


async def test_everybody_reads_and_searches_the_help_in_both_languages(city: City) -> None:
    log = Statements(city)
    async with city.browser() as browser:
        contents = await browser.open("/help")
        english = await browser.open("/help?lang=en")
    async with city.browser() as browser:
        page = await browser.open("/help/second-factor")
        other = await browser.open("/help/second-factor?lang=en")
    async with city.browser() as browser:
        results = await browser.open("/help?q=kode+pemulihan+kertas")
        nothing = await browser.open("/help?q=%3Cscript%3E")
        unknown = [(await browser.http.get(path)).status_code for path in ("/help/x", "/help/developers/x")]
        assert unknown == [404, 404]
    assert log.take() == [], "a visitor's page reads nothing"
    assert "<h1>Bantuan</h1>" in contents.text
    for name in manual.FIRST["citizen"]:
        assert f'href="/help/{name}"' in main_of(contents)
    assert "<h1>Help</h1>" in english.text
    assert "<h1>Verifikasi dua langkah</h1>" in page.text
    assert 'href="/help/recovery"' in main_of(page)
    assert '<h2 id="memasang-aplikasi-autentikator">' in page.text
    assert 'href="/help/second-factor?lang=en"' in page.text
    assert "<h1>Two-step verification</h1>" in other.text
    assert 'href="/help/second-factor#menyimpan-kode-pemulihan"' in results.text
    assert "Tidak ada hasil" in nothing.text or "Tidak ditemukan" in nothing.text
    assert "<script>" not in nothing.text


async def test_a_developers_page_without_a_twin_is_shown_in_its_language(city: City) -> None:
    async with city.browser() as browser:
        contents = await browser.open("/help/developers")
        page = await browser.open("/help/developers/libraries")
        php = await browser.open("/help/developers/php?lang=en")
    assert 'href="/help/developers/libraries" lang="en"' in contents.text
    assert '<h1 lang="en">' in page.text
    assert "hanya tersedia dalam bahasa Inggris" in page.text
    assert 'href="/help/developers/developers#errors-and-usage"' in page.text
    assert "available in Indonesian only" in php.text


async def test_a_page_that_did_not_change_is_not_sent_again(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open("/help/privacy")
        again = await browser.http.get("/help/privacy", headers={"If-None-Match": page.headers["etag"]})
        other = await browser.http.get("/help/code", headers={"If-None-Match": page.headers["etag"]})
        chosen = await browser.open("/help/privacy?lang=en")
        english = await browser.http.get("/help/privacy", headers={"If-None-Match": page.headers["etag"]})
        policy = (await browser.open("/privacy")).headers["content-security-policy"]
    assert page.headers["cache-control"] == "private, no-cache"
    assert page.headers["vary"] == "Cookie, Accept-Language"
    assert page.headers["content-security-policy"] == policy
    assert "set-cookie" not in page.headers
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", page.headers["etag"])
    assert again.headers["content-security-policy"] == policy
    assert other.status_code == 200
    assert chosen.headers["cache-control"] == "no-store", "it sets the cookie of the language"
    assert english.status_code == 200, "the language has changed"


async def test_pictures_of_pages_are_served_and_nothing_else(city: City) -> None:
    addresses = re.findall(r'src="(/help/[^"]+)"', "".join([
        manual.html_of(page, "id", lambda audience, name: "", "/help/pictures/")
        for audience in manual.AUDIENCES for page in manual.pages(audience, "id")
    ]))  # fmt: skip
    assert addresses
    async with city.client() as http:
        for address in set(addresses):
            picture = await http.get(address)
            assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
            again = await http.get(address, headers={"If-None-Match": picture.headers["etag"]})
            assert again.status_code == 304
        for address in ("none.png", "..%2Fsign-in.md", "sign-in.md", "%2e%2e", ".png", "a" * 300 + ".png"):
            assert (await http.get(f"/help/pictures/{address}")).status_code == 404, address


FOOT = '<li><a href="/help">'


@pytest.mark.parametrize(
    ("overrides", "statuses", "linked"),
    [
        ({}, [200, 200], True),
        ({"help_pages": "citizen"}, [200, 404], True),
        ({"help_pages": "developer"}, [404, 200], False),
        ({"help_pages": "none"}, [404, 404], False),
        ({"support_contact": "https://bantuan.kota.example"}, [200, 200], False),
    ],
    ids=["all", "citizen", "developer", "none", "own"],
)
async def test_the_city_chooses_which_help_is_served(city: City, statuses: list[int], linked: bool) -> None:
    async with city.browser() as browser:
        for ending in ("", "/developers"), ("/sign-in", "/developers/developers"):
            answers = [await browser.http.get(f"/help{path}") for path in ending]
            assert [answer.status_code for answer in answers] == statuses
        footer = (await browser.open("/login")).text.partition("<footer>")[2]
        assert (FOOT in footer) is linked
        served = [answer for answer in answers if answer.status_code == 200]
        for answer in served if 404 in statuses else []:
            assert not re.search(">Panduan untuk pengembang<|>Bantuan untuk warga<", main_of(answer))
