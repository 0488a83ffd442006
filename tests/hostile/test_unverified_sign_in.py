"""An unverified contact never replaces a second factor, never counts as one, and never opens a recovery (SECURITY.md:
what is proven is what was shown to be proven)."""

from __future__ import annotations

from typing import Any

import pyotp
import pytest
from sqlalchemy import delete, update
from tests.arranged import sign_in
from tests.citizens import (
    SENDING,
    form_at,
    here,
    identifiers,
    last_code,
    notices,
    post,
    sent,
    set_up_app,
    wrong_code,
)
from tests.support import City, forms_in, query_of

from sso import clock
from sso.identity.users.models import Identifier
from sso.identity.users.service import find, set_roles

STEP = "/login/second"
MAIL, PHONE = "siti@warga.example", "0812 3456 7890"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING, second_factor_roles=["admin"], risk_based_second_factor="new_device")


async def unverify(city: City, name: str = "siti") -> None:
    """Let none of a person's contacts be verified."""
    async with city.provider.db.write() as session:
        mine = (Identifier.user_id == city.users[name]) & Identifier.kind.in_(("email", "phone"))
        await session.execute(update(Identifier).where(mine).values(verified_at=None))


def now(app: pyotp.TOTP) -> str:
    return str(app.at(clock.timestamp()))


@pytest.mark.parametrize("typed", [MAIL, PHONE])
async def test_an_unverified_contact_never_replaces_the_second_factor(city: City, typed: str) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        app, _ = await set_up_app(city, browser)
    await unverify(city)
    clock.advance(60)
    for party in (city.relying_party("warga"), city.relying_party("aman")):  # aman asks for a level
        async with city.browser() as browser:
            codes = [message for message in await sent(city) if "code" in message["values"]]
            page = await browser.sign_in(party, typed)
            assert [message for message in await sent(city) if "code" in message["values"]] == codes, (
                "the factor comes first"
            )
            for method in ("email", "phone", "totp", "passkey"):
                fields = {**form_at(page, STEP), "m": method, "choice": "resend"}
                await browser.http.post(STEP, data=fields)
            assert [message for message in await sent(city) if "code" in message["values"]] == codes
            clock.advance(60)
            page = await post(browser, STEP, {"m": "totp", "code": now(app), "trust": "1"}, page)
            assert browser.session is None, "the contact is verified too, before anybody is signed in"
            wrong = await post(browser, STEP, {"code": await wrong_code(city), "m": "email"}, page)
            assert wrong.status_code == 400
            code = await last_code(city)
            answer = await post(browser, STEP, {"code": code}, page)
            tokens = await party.exchange(query_of(answer.headers["location"])["code"])
            assert tokens.claims()["amr"] == ["pwd", "otp", "mfa"]
        await unverify(city)
        clock.advance(60)


async def test_verifying_a_contact_is_no_second_factor(city: City) -> None:
    """budi has one unverified contact, and nothing else."""
    warga, aman = city.relying_party("warga"), city.relying_party("aman")
    async with city.browser() as browser:  # an application that needs a level: a code to that contact is none
        page = await browser.sign_in(aman, "budi@warga.example")
        codes = [message for message in await sent(city) if "code" in message["values"]]
        assert codes == []
        assert "otpauth://" in page.text
    async with city.browser() as browser:
        page = await browser.sign_in(warga, "budi@warga.example")
        answer = await post(browser, STEP, {"code": await last_code(city), "trust": "1"}, page)
        tokens = await warga.exchange(query_of(answer.headers["location"])["code"])
        assert (tokens.claims()["acr"], tokens.claims()["amr"]) == ("urn:sso:acr:password", ["pwd"])
        page = await browser.open(aman.url())
        assert "location" not in page.headers or "code=" not in page.headers["location"]
    assert "contact_verified" in await notices(city), "the person is told that a contact opens the account now"


async def test_a_role_that_needs_a_second_factor_needs_it_with_an_unverified_contact_too(city: City) -> None:
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, "budi"), ["admin"])
    async with city.browser() as browser:
        page = await here(city, browser, "budi@warga.example")
        assert [message for message in await sent(city) if "code" in message["values"]] == []
        seed = page.text.partition('translate="no">')[2].partition("<")[0].replace(" ", "")
        page = await post(browser, STEP, {"code": now(pyotp.TOTP(seed))}, page)
        page = await browser.submit(page, choice="kept")  # the recovery codes
        assert browser.session is None
        await post(browser, STEP, {"code": await last_code(city)}, page)
        assert browser.session is not None


async def test_an_unverified_identifier_opens_no_recovery(city: City) -> None:
    async with city.provider.db.write() as session:
        mine = (Identifier.user_id == city.users["siti"]) & (Identifier.kind == "email")
        await session.execute(update(Identifier).where(mine).values(verified_at=None))
    async with city.browser() as browser:
        await browser.submit(await browser.open("/recover"), username=MAIL)
        assert await sent(city) == []
        clock.advance(60)
        await browser.submit(await browser.open("/recover"), username="siti")
        assert (await sent(city))[-1]["to"] == "+6281234567890"


async def test_a_code_is_worth_nothing_when_its_contact_was_changed_meanwhile(city: City) -> None:
    """A contact that was taken away, by the person or an administrator, while a code to it was under way."""

    async def remove(kind: str, name: str = "siti") -> None:
        async with city.provider.db.write() as session:
            mine = (Identifier.user_id == city.users[name]) & (Identifier.kind == kind)
            await session.execute(delete(Identifier).where(mine))

    async with city.browser() as browser:
        page = await browser.open("/recover")
        page = await browser.submit(page, username=PHONE)
        code = await last_code(city)
        await remove("phone")
        answer = await post(browser, "/recover", {"code": code}, page)
        assert answer.status_code == 400
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
    clock.advance(60)
    async with city.browser() as browser:  # a new browser: a code to the verified address is due
        page = await here(city, browser, "siti")
        code = await last_code(city)
        async with city.provider.db.write() as session:
            mine = (Identifier.user_id == city.users["siti"]) & (Identifier.kind == "email")
            await session.execute(update(Identifier).where(mine).values(value="a@b.example", lookup="a@b.example"))
        assert (await post(browser, STEP, {"m": "email", "code": code}, page)).status_code == 400
        assert browser.session is None
    async with city.browser() as browser:  # somebody else verifies the same address while the code is under way
        page = await here(city, browser, "budi@warga.example")
        code, at = await last_code(city), clock.now()
        async with city.provider.db.write() as session:
            values = {"kind": "email", "value": "budi@warga.example", "lookup": "budi@warga.example"}
            session.add(Identifier(user_id=city.users["ratna"], created_at=at, verified_at=at, **values))
        assert (await post(browser, STEP, {"code": code}, page)).status_code == 400
        assert browser.session is None
    async with city.browser() as browser:  # without its contact a ceremony is over: no app can be set up in it
        async with city.provider.db.write() as session:
            other = (Identifier.user_id == city.users["ratna"]) & (Identifier.kind == "email")
            await session.execute(delete(Identifier).where(other))
        page = await here(city, browser, "budi@warga.example")
        form = forms_in(page.text)[0].fields
        await remove("email", "budi")
        answer = await browser.http.post(STEP, data={**form, "code": "123456"})
        assert answer.status_code == 400
        assert "otpauth://" not in (await browser.open(f"{STEP}?c={form['c']}")).text
    assert [identifier for identifier in await identifiers(city, "budi") if identifier.kind == "email"] == []
