"""Getting back in: quickly with enough proof, slowly with little, and never into somebody else's account (SECURITY
7)."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select
from tests import arranged
from tests.arranged import sign_in
from tests.citizens import (
    NEW_PASSWORD,
    SENDING,
    Authenticator,
    app_of,
    here,
    kinds,
    last_code,
    notices,
    options_of,
    post,
    query,
    sent,
    token_of,
    wrong_code,
)
from tests.support import PASSWORD, Browser, City, query_of

from sso import clock
from sso.accounts.helpdesk import start_recovery
from sso.identity.authn.models import Recovery
from sso.identity.sessions.models import SsoSession
from sso.identity.users.service import find, set_roles
from sso.jobs import people_in_time
from sso.platform.actor import Actor

HERE = "/recover"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


async def begin(browser: Browser, name: str = "siti") -> Any:
    return await post(browser, HERE, {"username": name}, await browser.open(HERE))


async def with_code(city: City, browser: Browser, name: str = "siti") -> Any:
    page = await begin(browser, name)
    return await post(browser, HERE, {"code": await last_code(city)}, page)


async def works(city: City, password: str) -> bool:
    """Tell whether a password opens siti's account, as far as a password does."""
    async with city.browser() as browser:
        page = await here(city, browser, password=password)
        return page.status_code == 200


@pytest.mark.parametrize("name", ["siti", "siti@warga.example", "0812 3456 7890"])
async def test_a_contact_alone_is_enough_where_nothing_else_is_set_up(city: City, name: str) -> None:
    party = city.relying_party("warga")
    async with city.browser() as signed_in:
        tokens = await signed_in.tokens(party)
    async with city.browser() as browser:
        page = await with_code(city, browser, name)
        answer = await post(browser, HERE, {"password": NEW_PASSWORD}, page)
        assert "Akun Anda sudah dipulihkan" in answer.text
        assert browser.session is not None
        assert (await browser.open("/account")).status_code == 200
    assert (await works(city, PASSWORD), await works(city, NEW_PASSWORD)) == (False, True)
    assert (await party.userinfo(tokens["access_token"])).status_code == 401
    assert (await party.refresh(tokens.body.get("refresh_token", "x"))).status == 400
    async with city.provider.db.read() as session:
        old = (await session.execute(select(SsoSession).order_by(SsoSession.id).limit(1))).scalar_one()
    assert old.end_reason == "recovered"
    assert "recovered" in await notices(city)
    assert (await sent(city))[0]["kind"] == ("phone" if name.startswith("0") else "email")


async def test_nobody_learns_who_has_an_account(city: City) -> None:
    pages = []
    async with city.browser() as browser:
        for name in ("siti@warga.example", "tidak@warga.example", "budi", "ratna"):
            page = await begin(browser, name)
            text = re.sub(r'value="[^"]*"|c=[\w-]*', "", page.text)
            pages.append(re.sub(r"[\w•]+@warga\.example|budi|ratna", "X", text))
            assert (await post(browser, HERE, {"code": await wrong_code(city)}, page)).status_code == 400
    assert len(set(pages)) == 1
    assert [message["to"] for message in await sent(city)] == ["siti@warga.example"]


async def test_a_second_proof_is_asked_for_where_one_is_set_up(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        app, _ = await arranged.set_up_app(browser)
    clock.advance(60)
    async with city.browser() as browser:
        page = await with_code(city, browser)
        assert "Perlu satu verifikasi lagi" in page.text
        for path in (f"{HERE}?c={query(page)['c']}", "/account"):
            assert "Buat kata sandi baru" not in (await browser.open(path)).text
        assert (await post(browser, HERE, {"password": NEW_PASSWORD}, page)).status_code == 400
        assert (await post(browser, HERE, {"code": await wrong_code(city, app)}, page)).status_code == 400
        page = await post(browser, HERE, {"code": app.at(clock.timestamp())}, page)
        await post(browser, HERE, {"password": "kuda-laut-91"}, page)
        tokens = await browser.tokens(city.relying_party("warga"))
        assert tokens.claims()["acr"] == "urn:sso:acr:mfa"
    assert await works(city, "kuda-laut-91")
    assert "totp" in await kinds(city)


async def test_a_recovery_code_or_a_passkey_is_a_second_proof(city: City) -> None:
    device = Authenticator()
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        _, codes = await arranged.set_up_app(browser)
        await arranged.add_passkey(browser, device)
    for number in range(2):
        clock.advance(60)
        async with city.browser() as browser:
            page = await with_code(city, browser)
            credential = {"credential": device.get(options_of(page, "get"))}
            proof = {"code": codes[0]} if number == 0 else credential
            page = await post(browser, HERE, proof, page)
            assert "Buat kata sandi baru" in page.text


async def test_with_one_proof_only_it_waits_and_the_owner_is_told(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        await arranged.set_up_app(browser)
    clock.advance(60)
    async with city.browser() as browser:
        page = await with_code(city, browser)
        page = await post(browser, HERE, {"choice": "lost"}, page)
        assert "Pemulihan Anda menunggu" in page.text
        assert "recovery_waits" in await notices(city)
        await people_in_time(city.provider)
        assert "recovery_ready" not in await notices(city)
        clock.advance(24 * 3600 + 1)
        await people_in_time(city.provider)
        await people_in_time(city.provider)
        assert (await notices(city)).count("recovery_ready") == 1
    async with city.browser() as browser:
        link = f"/recover/continue?t={await token_of(city, 'recovery_ready')}"
        page = await post(browser, "/recover/continue", {}, await browser.open(link))
        assert (await post(browser, HERE, {"password": "kuda-laut-91"}, page)).status_code == 400
        page = await post(browser, HERE, {"password": NEW_PASSWORD}, page)
        assert "Akun Anda sudah dipulihkan" in page.text
        page = await browser.open(link)
        assert (await post(browser, "/recover/continue", {}, page)).status_code == 400
    assert await works(city, NEW_PASSWORD)
    assert await kinds(city) == ["password"]


async def test_the_owner_stops_it(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        await arranged.set_up_app(browser)
    clock.advance(60)
    async with city.browser() as thief:
        page = await with_code(city, thief)
        await post(thief, HERE, {"choice": "lost"}, page)
    async with city.browser() as browser:
        page = await browser.open(f"/recover/stop?t={await token_of(city, 'recovery_waits')}")
        async with city.provider.db.read() as session:
            assert (await session.execute(select(Recovery))).first() is not None
        page = await post(browser, "/recover/stop", {}, page)
        assert "Pemulihan sudah dihentikan" in page.text
    clock.advance(25 * 3600)
    await people_in_time(city.provider)
    assert "recovery_ready" not in await notices(city)


@pytest.mark.parametrize("overrides", [{**SENDING, "second_factor_roles": ["admin"]}], ids=[""])
async def test_the_second_factor_that_a_role_needs_comes_after_the_recovery(city: City) -> None:
    party = city.relying_party("warga")
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, "siti"), ["admin"], actor=Actor("cli"))
    async with city.browser() as browser:
        page = await browser.open(party.url())
        recover_at = next(unescape(link) for link in re.findall(r'href="(/recover[^"]*)"', page.text))
        page = await post(browser, HERE, {"username": "siti"}, await browser.open(recover_at))
        page = await post(browser, HERE, {"code": await last_code(city)}, page)
        clock.advance(60)
        page = await post(browser, HERE, {"password": NEW_PASSWORD}, page)
        assert "Peran Anda memerlukan verifikasi dua langkah" in page.text
        assert browser.session is None
        page = await post(browser, "/login/second", {"choice": "resend", "m": "email"}, page)
        page = await post(browser, "/login/second", {"code": await last_code(city)}, page)
        app, _ = app_of(page)
        page = await post(browser, "/login/second", {"code": app.at(clock.timestamp())}, page)
        answer = await post(browser, "/login/second", {"choice": "kept"}, page)
        assert answer.headers["location"].startswith(party.redirect_uri)


async def test_the_page_after_a_recovery_is_for_who_is_signed_in(city: City) -> None:
    async with city.browser() as browser:
        assert (await browser.open(f"{HERE}/done?client=warga")).url.path == "/login"


async def helpdesk(city: City, name: str = "siti") -> str:
    async with city.provider.db.write() as session:
        return await start_recovery(session, city.provider, await find(session, name), actor=Actor("cli"))


async def test_the_helpdesks_code_stands_for_what_was_lost(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        await arranged.set_up_app(browser)
    clock.advance(60)
    code = await helpdesk(city)
    assert "helpdesk_recovery" in await notices(city)
    async with city.browser() as browser:
        page = await with_code(city, browser)
        page = await post(browser, HERE, {"code": code}, page)
        page = await post(browser, HERE, {"password": NEW_PASSWORD}, page)
        assert "Akun Anda sudah dipulihkan" in page.text
    assert await works(city, NEW_PASSWORD)
    assert await kinds(city) == ["password"]


async def test_the_helpdesk_alone_can_take_no_account_over(city: City) -> None:
    code = await helpdesk(city)
    async with city.browser() as browser:
        page = await begin(browser)
        page = await post(browser, HERE, {"code": code}, page)
        assert "Pemulihan Anda menunggu" in page.text
    assert "recovery_waits" in await notices(city)
    async with city.browser() as browser:
        page = await begin(browser)
        assert (await post(browser, HERE, {"code": code}, page)).status_code == 400


async def test_the_helpdesks_code_is_for_one_person_and_an_hour(city: City) -> None:
    code = await helpdesk(city, "budi")
    async with city.browser() as browser:
        assert (await post(browser, HERE, {"code": code}, await begin(browser, "siti"))).status_code == 400
    clock.advance(3601)
    async with city.browser() as browser:
        assert (await post(browser, HERE, {"code": code}, await begin(browser, "budi"))).status_code == 400


async def test_codes_are_tried_a_few_times_only(city: City) -> None:
    async with city.browser() as browser:
        page = await begin(browser)
        for _ in range(5):
            await post(browser, HERE, {"code": await wrong_code(city)}, page)
        assert (await post(browser, HERE, {"code": await last_code(city)}, page)).status_code == 429


async def test_another_browser_cannot_go_on_with_it(city: City) -> None:
    async with city.browser() as browser, city.browser() as thief:
        page = await with_code(city, browser)
        await thief.open("/login")
        assert (await thief.open(f"{HERE}?c={query(page)['c']}")).status_code == 400


async def test_a_disabled_person_gets_no_code(city: City) -> None:
    from sso.identity.users.store import set_disabled

    async with city.provider.db.write() as session:
        await set_disabled(session, city.users["siti"], clock.now(), clock.now())
    async with city.browser() as browser:
        await begin(browser)
    assert await sent(city) == []


@pytest.mark.parametrize("overrides", [{}], ids=["nothing is sent"])
async def test_where_nothing_can_be_sent_the_page_says_where_help_is(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open(HERE)
        assert "loket layanan" in page.text
        assert HERE not in (await browser.open("/login")).text


# "This was not me"


async def test_this_was_not_me_ends_the_session_and_locks_what_opens_the_account(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as own:
        await sign_in(city, own, "siti")
    async with city.browser() as thief:
        page = await thief.sign_in(party)
        answer = await post(thief, "/login/second", {"code": await last_code(city)}, page)
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
        link = f"/not-me?t={await token_of(city, 'new_device')}"
        async with city.browser() as mail:
            page = await mail.open(link)
            assert (await party.userinfo(tokens["access_token"])).status_code == 200
            page = await post(mail, "/not-me", {}, page)
            assert "Akun Anda dikunci" in page.text
        assert (await party.userinfo(tokens["access_token"])).status_code == 401
        assert "Masuk" in (await thief.open("/account")).text
    clock.advance(60)
    async with city.browser() as thief:
        page = await here(city, thief)
        await post(thief, "/login/second", {"code": await last_code(city)}, page)
        assert "Akun Anda dikunci" in (await thief.open("/account/security")).text
        fields = {"choice": "password", "password": PASSWORD, "new_password": NEW_PASSWORD}
        assert (await thief.http.post("/account/security", data=fields)).status_code == 403
        assert (await thief.open("/account/security/app")).status_code == 403
        fields = {"choice": "add", "contact": "jahat@warga.example"}
        assert (await thief.http.post("/account/contacts", data=fields)).status_code == 403
    async with city.browser() as browser:
        page = await with_code(city, browser)
        await post(browser, HERE, {"password": NEW_PASSWORD}, page)
        assert (await browser.open("/account/security/app")).status_code == 200
    clock.advance(60)
    async with city.browser() as browser:
        page = await here(city, browser, password=NEW_PASSWORD)
        await post(browser, "/login/second", {"code": await last_code(city)}, page)
        assert (await browser.open("/account/security/app")).status_code == 200
    assert "locked" in await notices(city)


async def test_a_made_up_link_does_nothing(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        for token in ("", "x", "0" * 32, f"{'0' * 32}.x", "../.."):
            with subtests.test(token=token):
                page = await browser.open(f"/not-me?t={token}")
                assert (await post(browser, "/not-me", {}, page)).status_code == 400
