"""The one-time link of ``sso setup``: it makes the first administrator, once, in time, and tells nobody anything."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx2 as httpx
import pyotp
import pytest
from sqlalchemy import select, text
from tests.arranged import signed_in
from tests.citizens import wrong_code
from tests.support import Browser, City
from tests.web.test_admin import events_of_type
from tests.web.test_developer import post

from sso import clock
from sso.clients.store import all_clients
from sso.identity.users import store
from sso.identity.users.models import User
from sso.identity.users.service import find, set_roles
from sso.jobs import clear_up
from sso.platform.actor import CLI
from sso.platform.security.tokens import keyed_token
from sso.setup.links import LIFETIME, NewAdministrator, new_link
from sso.setup.models import SetupLink

STRONG = "perahu-kertas-di-sungai-88"
PERSON = NewAdministrator("Ayu Lestari", "ayu", "ayu@kota.example")
TYPED = {"name": "Ayu Lestari", "username": "ayu", "email": "ayu@kota.example", "password": STRONG}


async def link(city: City, person: NewAdministrator = PERSON) -> str:
    async with city.provider.db.write() as session:
        return await new_link(session, city.provider.box, person, actor=CLI)


async def without_administrator(city: City) -> None:
    """Leave the city without somebody who administers, as a new installation is."""
    async with city.provider.db.write() as session:
        await session.execute(text("DELETE FROM user_roles WHERE role = 'admin'"))


async def begin(browser: Browser, address: str, **fields: str) -> httpx.Response:
    """Choose a name and a password; return the page on which the authenticator app is set up."""
    page = await browser.open(address)
    assert page.status_code == 200, page.text[:300]
    return await post(browser, page, "/setup", **{**TYPED, **fields})


def app_of(page: httpx.Response) -> pyotp.TOTP:
    """Return the authenticator app that a page sets up."""
    seed = re.search(r'<p class="key"[^>]*>([A-Z2-7 ]+)<', page.text)
    assert seed, page.text[:300]
    return pyotp.TOTP(seed[1].replace(" ", ""))


async def finish(browser: Browser, page: httpx.Response) -> httpx.Response:
    """Enter the first code of the authenticator app."""
    return await post(browser, page, "/setup/app", code=app_of(page).at(clock.now()))


async def try_wrong_code(city: City, browser: Browser, page: httpx.Response) -> httpx.Response:
    """Enter what is no code of the authenticator app."""
    return await post(browser, page, "/setup/app", code=await wrong_code(city, app_of(page)))


async def use(browser: Browser, address: str, **fields: str) -> httpx.Response:
    return await finish(browser, await begin(browser, address, **fields))


async def created(city: City) -> list[User]:
    async with city.provider.db.read() as session:
        return list((await session.execute(select(User).where(User.name == "Ayu Lestari"))).scalars())


@pytest.mark.parametrize("overrides", [{}, {"second_factor_roles": []}], ids=["default", "no role needs it"])
async def test_the_first_administrator_is_created_with_two_step_verification(city: City) -> None:
    await without_administrator(city)
    address = await link(city)
    async with city.browser() as browser:
        page = await browser.open(address)
        assert 'value="ayu@kota.example"' in page.text, "what the terminal asked is filled in"
        for wrong in (
            {"password": "short"},
            {"name": ""},
            {"username": ""},
            {"username": "siti"},
            {"email": "no mail"},
        ):
            refused = await post(browser, page, "/setup", **{**TYPED, **wrong})
            assert refused.status_code in (400, 409), wrong
            assert 'id="problem"' in refused.text
        step = await begin(browser, address)
        assert step.url.path == "/setup/app"
        assert await created(city) == [], "with a password alone nobody is an administrator"
        assert (await browser.open("/admin")).url.path == "/login"
        refused = await try_wrong_code(city, browser, step)
        assert refused.status_code == 400
        assert 'id="code-error"' in refused.text
        assert await created(city) == []
        codes = await finish(browser, refused)
        assert codes.text.count("<li") >= 10, "recovery codes"
        assert (await browser.open("/admin/setup")).status_code == 200
    async with city.provider.db.read() as session:
        ayu = await find(session, "ayu")
        assert await store.roles_of(session, ayu.id) == ["admin"]
        known = {identifier.kind: identifier.verified_at for identifier in await store.identifiers_of(session, ayu.id)}
        assert known["email"] is None, "the link proves nothing about the address"
        kinds = {credential.kind for credential in await store.credentials_of(session, ayu.id)}
        assert kinds == {"password", "totp", "recovery_code"}
        assert (await session.execute(select(SetupLink))).first() is None
    (event,) = await events_of_type(city, "setup.administrator_created")
    assert event.actor == event.subject == str(ayu.id)
    async with city.browser() as thief:
        assert (await thief.open(address)).status_code == 410, "used"


async def test_who_gives_up_before_the_code_can_use_the_link_again(city: City) -> None:
    await without_administrator(city)
    address = await link(city)
    async with city.browser() as first:
        step = await begin(first, address)
        token = step.url.params["f"]
        async with city.browser() as other:
            assert (await other.open(f"/setup/app?f={token}")).status_code == 400, "another browser's"
            assert (await use(other, address)).status_code == 200
        assert (await finish(first, step)).status_code == 410, "the link was used meanwhile"
        assert (await first.open(f"/setup/app?f={token}")).status_code == 410
    assert len(await created(city)) == 1


async def test_codes_are_not_tried_without_end(city: City) -> None:
    await without_administrator(city)
    async with city.browser() as browser:
        step = await begin(browser, await link(city))
        for _ in range(10):
            assert (await try_wrong_code(city, browser, step)).status_code == 400
        refused = await finish(browser, step)
        assert (refused.status_code, refused.url.path) == (400, "/setup/app")
        clock.advance(1801)
        assert (await browser.open(str(step.url))).status_code == 400, "expired"
    assert await created(city) == []


async def test_a_link_is_over_when_used_replaced_expired_or_not_needed(city: City) -> None:
    await without_administrator(city)
    old, new = await link(city), await link(city)
    async with city.browser() as browser:
        assert (await browser.open(old)).status_code == 410, "replaced"
        page = await browser.open(new)
        clock.advance(LIFETIME.total_seconds() + 1)
        assert (await browser.open(new)).status_code == 410, "expired"
        assert (await post(browser, page, "/setup", **TYPED)).status_code == 410
        await clear_up(city.provider)
        async with city.provider.db.read() as session:
            assert (await session.execute(select(SetupLink))).first() is None
        again = await link(city)
        page = await browser.open(again)
        async with city.provider.db.write() as session:
            await set_roles(session, await find(session, "budi"), ["admin"])
        assert (await browser.open(again)).status_code == 410, "there is an administrator meanwhile"
        assert (await post(browser, page, "/setup", **TYPED)).status_code == 410
        beside = await link(city)  # the command line says that it shall be one more
        assert (await use(browser, beside)).status_code == 200
    for wrong in ("", "?c=", "?c=" + "x" * 43, "?c=%00"):
        async with city.browser() as browser:
            assert (await browser.open("/setup" + wrong)).status_code in (400, 410), wrong


async def test_of_many_who_use_a_link_one_succeeds(city: City) -> None:
    await without_administrator(city)
    address = await link(city)
    browsers = [city.browser() for _ in range(4)]
    steps = [
        await begin(browser, address, username=f"ayu{number}", email=f"ayu{number}@kota.example")
        for number, browser in enumerate(browsers)
    ]
    answers = await asyncio.gather(*(finish(browser, step) for browser, step in zip(browsers, steps, strict=True)))
    assert sorted(answer.status_code for answer in answers).count(410) == 3
    assert len(await created(city)) == 1
    for browser in browsers:
        await browser.http.aclose()


async def test_the_token_is_not_stored_and_guessing_is_limited(city: City) -> None:
    await without_administrator(city)
    address = await link(city)
    token = address.partition("c=")[2]
    async with city.provider.db.read() as session:
        (row,) = (await session.execute(select(SetupLink))).scalars()
        stored = row.token_hash + row.encrypted
    assert token.encode() not in stored
    assert b"ayu" not in stored
    async with city.browser() as browser:
        assert city.site.limits.setup_links._maximum == 30
        city.site.limits.setup_links.limit(3)
        codes = [(await browser.open(f"/setup?c={number}")).status_code for number in range(4)]
        assert codes == [410, 410, 410, 429]
        assert (await browser.open(address)).status_code == 429
    async with city.client(address="198.51.100.9") as elsewhere:
        assert (await elsewhere.get(address)).status_code == 200, "nobody uses up the share of others"


async def test_a_form_of_another_browser_is_refused(city: City) -> None:
    await without_administrator(city)
    address = await link(city)
    async with city.browser() as mine, city.browser() as other:
        page = await mine.open(address)
        await other.open(address)
        token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
        data = {**TYPED, "csrf_token": token, "c": address.partition("c=")[2]}
        assert (await other.http.post("/setup", data=data)).status_code == 400
        async with city.client() as without_cookies:
            assert (await without_cookies.post("/setup", data=data)).status_code == 400


@pytest.mark.parametrize("overrides", [{"development_outbox": True, "issuer": "http://localhost:8000"}])
async def test_the_setup_page_leads_through_what_can_be_done_on_a_page(city: City) -> None:
    async with await signed_in(city, "ratna") as ratna:
        page = await ratna.open("/admin/setup")
        assert page.status_code == 200
        for part in ("account", "mail", "brand", "applications", "checklist"):
            assert f'id="{part}"' in page.text
        refused = await post(ratna, page, "/admin/setup/mail", address="nobody")
        assert 'id="address-error"' in refused.text
        for two in (
            "a@b, evil@x.example",
            "a@kota.example,evil@x.example",
            "a@kota.example\r\nBcc: e@x.example",
            "a@@x",
        ):
            assert (await post(ratna, page, "/admin/setup/mail", address=two)).status_code == 400, two
        sent = await post(ratna, page, "/admin/setup/mail", address="ratna@kota.example")
        assert sent.status_code == 200
        assert (city.settings.data_dir / "outbox").exists()
        assert "/admin/people" in page.text, "the checklist leads to the page that mends it"


@pytest.mark.parametrize("overrides", [{"development_outbox": True, "issuer": "http://localhost:8000"}])
async def test_the_examples_do_not_suspend_registered_applications(city: City) -> None:
    """The button is on the page only while there is no application; the server must not trust that."""
    async with await signed_in(city, "ratna") as ratna:
        page = await ratna.open("/admin/setup")
        form = page.text.partition('action="/admin/setup/mail"')[2]
        token = re.search(r'name="csrf_token" value="([^"]+)"', form)
        assert token
        fields = {"csrf_token": token[1]}
        assert (await ratna.http.post("/admin/setup/applications", data=fields)).status_code == 400, "another form's"
        fields["csrf_token"] = own_token(city, ratna, "setup applications")
        before = {name: row.status for name, row in (await _all_clients(city)).items()}
        assert (await ratna.http.post("/admin/setup/applications", data=fields)).status_code == 409
        assert {name: row.status for name, row in (await _all_clients(city)).items()} == before


def own_token(city: City, browser: Browser, purpose: str) -> str:
    """Return the token of one of our forms, as somebody has it who opened the page when the form was there."""
    cookies = {name.rpartition("sso-")[2]: value for name, value in browser.http.cookies.items()}
    session = (cookies.get("session") or cookies["remembered"]).partition(".")[0]
    return keyed_token(city.provider.csrf_keys[0], purpose, cookies["browser"], session)


async def _all_clients(city: City) -> Any:
    async with city.provider.db.read() as session:
        return await all_clients(session)


async def test_who_may_not_change_settings_does_not_see_the_setup_page(city: City) -> None:
    async with await signed_in(city, "budi") as budi:
        assert (await budi.open("/admin/setup")).status_code == 403
    async with city.browser() as nobody:
        assert (await nobody.open("/admin/setup")).url.path == "/login"
