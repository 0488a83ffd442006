"""A link claims no event, and names no application that nobody approved: whoever writes it chooses its parameters."""

from __future__ import annotations

from typing import Any

import pytest
from tests.citizens import NEW_PASSWORD, SENDING, last_code, post
from tests.support import City
from tests.web.test_developer import OFFERED, person, register, signed_in

from sso import clock

DONE = "/recover/done"
RECOVERED = "Akun Anda sudah dipulihkan"
SANDBOX_NAME = "Verifikasi Bank Jakarta"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


async def test_a_page_of_a_recovery_belongs_to_the_user_and_the_browser_that_recovered(city: City) -> None:
    await person(city, "dimas")
    stranger = await signed_in(city, "dimas")
    assert RECOVERED not in (await stranger.open(f"{DONE}?client=warga")).text
    async with city.browser() as browser:
        page = await post(browser, "/recover", {"username": "siti"}, await browser.open("/recover?client=warga"))
        page = await post(browser, "/recover", {"code": await last_code(city)}, page)
        page = await post(browser, "/recover", {"password": NEW_PASSWORD}, page)
        assert RECOVERED in page.text
        address = str(page.url)
        proven = page.url.params["recovered"]
        assert RECOVERED in (await browser.open(address)).text, "the page can be loaded again"
        until, _, tag = proven.partition(".")
        for forged in ("", "x", f"{until}.", f"{int(until) + 1}.{tag}", f"{'9' * 40}.{tag}", f"{until}.é"):
            assert RECOVERED not in (await browser.open(f"{DONE}?client=warga&recovered={forged}")).text, forged
        clock.advance(1801)
        assert RECOVERED not in (await browser.open(address)).text, "the proof is valid for a short time"
        clock.advance(-1801)
    assert RECOVERED not in (await stranger.open(address)).text
    await stranger.http.aclose()


@OFFERED
async def test_parameters_alone_name_no_sandbox(city: City) -> None:
    await person(city, "dimas", "developer")
    team = await signed_in(city, "dimas")
    sandbox = "antrean-sandbox"
    await register(team, client_name=SANDBOX_NAME)
    assert SANDBOX_NAME in (await team.open("/developer/apps/antrean")).text
    async with city.browser() as browser:
        for path in ("/recover", "/signup", "/login", "/logout", "/second-way"):
            for query in (f"client={sandbox}", f"then=/open/{sandbox}", f"client_id={sandbox}"):
                page = await browser.open(f"{path}?{query}")
                assert SANDBOX_NAME not in page.text, (path, query)
                assert "localhost:3000" not in page.text, (path, query)
        page = await browser.open("/recover?c=gone&client=" + sandbox)
        assert SANDBOX_NAME not in page.text
    await team.http.aclose()
