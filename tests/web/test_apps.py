"""The portal: every application of the catalogue by group, found by words, starred, and what was used last."""

from __future__ import annotations

from typing import Any

import pytest
from tests.arranged import sign_in
from tests.citizens import post
from tests.support import City

from sso.clients.metadata import ClientMetadata
from sso.clients.models import HERE
from sso.clients.secrets import create_client
from sso.identity.users.service import find, set_roles
from sso.platform.actor import Actor


async def test_every_application_with_a_group_is_there_and_those_that_can_be_opened_have_a_link(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open("/apps")
    for text in ("E-Pemerintahan", "E-Kesehatan", "Layanan Warga", "Antrean Puskesmas", 'href="/open/warga"'):
        assert text in page.text
    assert 'href="/open/sehat"' not in page.text
    assert "Apotek Mitra" not in page.text


async def test_an_application_is_found_by_words_in_any_order(city: City, subtests: pytest.Subtests) -> None:
    cases = (
        ("puskesmas", True), ("PUSKESMÁS antrean", True), ("kesehatan", True), ("tidak ada", False), ("<script>", False)
    )  # fmt: skip
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        for words, is_listed in cases:
            with subtests.test(words=words):
                page = await browser.open("/apps", params={"q": words})
                assert ("Antrean Puskesmas" in page.text) == is_listed
                assert "<script>" not in page.text.replace("<script src", "")


async def test_a_favourite_comes_first_until_it_is_taken_back(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open("/apps")
        page = await post(browser, "/apps", {"choice": "add sehat"}, page)
        assert "Favorit</h2>" in page.text
        page = await post(browser, "/apps", {"choice": "remove sehat"}, page)
        assert "Favorit</h2>" not in page.text
        page = await post(browser, "/apps", {"choice": "add tidak-ada"}, page)
        assert "Favorit</h2>" not in page.text
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        answer = await browser.http.post("/apps", data={"choice": "add sehat", "csrf_token": "x"})
        assert answer.status_code == 303
        assert "Favorit</h2>" not in (await browser.open("/apps")).text


async def test_what_was_used_last_is_on_the_start_page_too(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        assert "Terakhir digunakan" in (await browser.open("/apps")).text
        assert 'href="/open/warga"' in (await browser.open("/")).text


async def register(city: City, client_id: str, **members: Any) -> None:
    """Register an application of the city."""
    document = {"group": "E-Pemerintahan", "client_name": client_id.title(), **members}
    if document.setdefault("type", "web") == "web":
        document |= {"first_party": True, "redirect_uris": [f"https://{client_id}.example/cb"]}
        document["initiate_login_uri"] = f"https://{client_id}.example/masuk"
    async with city.provider.db.write() as session:
        metadata = ClientMetadata.model_validate(document)
        city.secrets[client_id] = (
            await create_client(session, city.provider.box, client_id, metadata, catalogue=HERE, actor=Actor("test"))
            or ""
        )
    await city.provider.refresh()


async def test_applications_are_shown_to_those_who_may_use_them(city: City) -> None:
    await register(city, "kepegawaian", listed_for="staff")
    await register(city, "loket", allowed_roles=["officer"])
    await register(city, "sinkron", type="service")
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        for address in ("/apps", "/apps?q=kepegawaian", "/apps?q=loket", "/apps?q=sinkron"):
            page = await browser.open(address)
            for client_id in ("kepegawaian", "loket", "sinkron"):
                assert f'id="{client_id}"' not in page.text, address
        async with city.provider.db.write() as session:
            await set_roles(session, await find(session, "siti"), ["citizen", "employee"])
        page = await browser.open("/apps")
        assert 'id="kepegawaian"' in page.text
        assert 'id="loket"' not in page.text
        async with city.provider.db.write() as session:
            await set_roles(session, await find(session, "siti"), ["citizen"])
        assert 'id="kepegawaian"' not in (await browser.open("/apps")).text
        # The list is an offer and no limit: who follows a link to it finds it here from then on.
        await browser.tokens(city.relying_party("kepegawaian"))
        page = await browser.open("/apps")
        assert page.text.index("Terakhir digunakan") < page.text.index('href="/open/kepegawaian"')
        assert 'href="/open/kepegawaian"' in (await browser.open("/")).text
        results = (await browser.open("/apps", params={"q": "pemerintahan"})).text
        assert results.index("Kepegawaian") < results.index("Layanan Warga"), "recently used first"


async def test_many_groups_are_folded_and_few_are_open(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        assert '<details class="group" open>' in (await browser.open("/apps")).text
        for number in range(12):
            await register(city, f"aplikasi-{number}")
        page = await browser.open("/apps")
        assert '<details class="group">' in page.text
        assert '<details class="group" open>' not in page.text
        assert "tint-" in page.text, "initials where there is no logo"
