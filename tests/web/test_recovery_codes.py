"""Recovery codes are shown in every enrolment, and the page that shows them gives them as a file without a script."""

from __future__ import annotations

import re
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import select
from tests.arranged import sign_in
from tests.citizens import Authenticator, add_passkey, app_of, form_at, here, post
from tests.support import Browser, City

from sso import clock
from sso.identity.users.models import Credential

STEP = "/login/second"
overrides = {"second_factor_roles": ["admin"], "service_name": "Tangerang Satu"}
pytestmark = pytest.mark.parametrize("overrides", [overrides], ids=[""])


def codes_of(page: httpx.Response) -> list[str]:
    return re.findall(r"<li>([a-z0-9]{4}(?:-[a-z0-9]{4}){3})</li>", page.text)


async def at_sign_in(browser: Browser, city: City) -> httpx.Response:
    page = await here(city, browser, "ratna")
    return await post(browser, STEP, {"code": app_of(page)[0].at(clock.timestamp())}, page)


async def in_the_account(browser: Browser, city: City) -> httpx.Response:
    await sign_in(city, browser, "siti")
    page = await browser.open("/account/security/app")
    return await post(browser, "/account/security/app", {"code": app_of(page)[0].at(clock.timestamp())}, page)


async def by_passkey(browser: Browser, city: City) -> httpx.Response:
    await sign_in(city, browser, "siti")
    return await add_passkey(browser, Authenticator())


@pytest.mark.parametrize("enrol", [at_sign_in, in_the_account, by_passkey])
async def test_codes_are_shown_once_and_downloaded(city: City, enrol: Any) -> None:
    async with city.browser() as browser:
        page = await enrol(browser, city)
        codes = codes_of(page)
        assert len(set(codes)) == 10
        form = {"codes": " ".join(codes), **form_at(page, "/recovery-codes")}
        file = await browser.http.post("/recovery-codes", data=form)
        assert file.status_code == 200
        assert file.headers["content-type"] == "text/plain; charset=utf-8"
        assert file.headers["content-disposition"] == 'attachment; filename="recovery-codes.txt"'
        assert file.headers["cache-control"] == "no-store"
        assert re.findall(r"^ *\d+\. ([a-z0-9-]+)\r$", file.text, re.M) == codes
        assert "Tangerang Satu" in file.text
        again = await browser.open(str(page.url))
        assert not any(code in again.text for code in codes)
    async with city.provider.db.read() as session:
        stored = (await session.execute(select(Credential.secret).where(Credential.kind == "recovery_code"))).scalars()
        assert not {code.replace("-", "") for code in codes} & set(stored)


async def test_only_codes_of_a_page_of_ours_become_a_file(city: City) -> None:
    async with city.browser() as browser, city.browser() as stranger:
        page = await in_the_account(browser, city)
        codes = codes_of(page)
        form = form_at(page, "/recovery-codes")
        for text in ("", "x", "<script>", " ".join([*codes, codes[0]]), f"{codes[0]} pay-here"):
            assert (await browser.http.post("/recovery-codes", data={**form, "codes": text})).status_code == 400
        forged = {"codes": " ".join(codes), "csrf_token": "x"}
        assert (await browser.http.post("/recovery-codes", data=forged)).status_code == 400
        await stranger.open("/login")
        stolen = await stranger.http.post("/recovery-codes", data={**form, "codes": " ".join(codes)})
        assert stolen.status_code == 400
