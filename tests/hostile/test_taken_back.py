"""What was taken back is over: the NIK of a check at a counter, and the power of whoever made a recovery code."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import person_with, program
from tests.citizens import SENDING, post, sent
from tests.support import PASSWORD, City

from sso.identity.users.service import find, set_roles

NIK = "3671014104900001"
CHECK = {"document": "ktp", "document_number": NIK, "place": "MPP Kota Tangerang"}


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


async def test_the_nik_of_a_check_that_was_taken_back_is_not_proven_any_more(city: City) -> None:
    siti, officer = city.users["siti"], await person_with(city, "officer")
    assert (await officer("POST", f"/users/{siti}/identity-checks", json=CHECK)).status_code == 201
    async with city.browser() as browser:
        page = await browser.submit(await browser.open("/login"), username=NIK, password=PASSWORD)
        assert (await browser.open("/account")).status_code == 200, page.text[:300]
        assert (await browser.open("/account")).url.path == "/account"
    assert (await officer("DELETE", f"/users/{siti}/identity-checks")).status_code == 204
    async with city.browser() as browser:
        await browser.submit(await browser.open("/login"), username=NIK, password=PASSWORD)
        assert (await browser.open("/account")).url.path == "/login"
    receivers = [
        message["to"] for message in await sent(city) if message["about"] == "sign_in_name_changed" and "to" in message
    ]
    assert receivers.count("siti@warga.example") == 2, "once for the check, once for taking it back"
    # Whose NIK it is can prove it now.
    right = await officer("POST", f"/users/{city.users['lengkap']}/identity-checks", json=CHECK)
    assert right.status_code == 201, right.text


async def test_a_recovery_code_is_worth_no_more_than_whoever_made_it(city: City) -> None:
    siti, helpdesk = city.users["siti"], await person_with(city, "helpdesk")

    async def recovered(code: str) -> None:
        async with city.browser() as thief:
            page = await post(thief, "/recover", {"username": "siti"}, await thief.open("/recover"))
            await post(thief, "/recover", {"code": code}, page)

    async def waits() -> int:
        return len([message for message in await sent(city) if message["about"] == "recovery_waits"])

    code = (await helpdesk("POST", f"/users/{siti}/recovery")).json()["code"]
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, "siti"), ["citizen", "admin"])
    await recovered(code)
    assert await waits() == 0, "the helpdesk may not open what has become an administrator's account"
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, "siti"), ["citizen"])
    code = (await helpdesk("POST", f"/users/{siti}/recovery")).json()["code"]
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, "budi"), ["citizen"])
    await recovered(code)
    assert await waits() == 0, "nor somebody who is not of the helpdesk any more"
    api = await program(city)
    code = (await api("POST", f"/users/{siti}/recovery")).json()["code"]
    await recovered(code)
    assert await waits() > 0, "a program that may still do it"
