"""Whoever recovers an account or registers comes to where they wanted to go: an application, a device, a page."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from tests.citizens import NEW_PASSWORD, SENDING, last_code, sent, token_of
from tests.conformance.test_rfc8628_devices import device
from tests.support import Browser, City, form_of, main_of, query_of
from tests.web.test_second_step import with_app

from sso import clock
from sso.jobs import clear_up

QUIET = {**SENDING, "risk_based_second_factor": "none", "client_registration": "open"}
pytestmark = pytest.mark.parametrize("overrides", [QUIET], ids=[""])
MAIL = "siti@warga.example"
LINK = re.compile(r'<a [^>]*?href="(/[^"]*)"[^>]*>(.*?)</a>', re.S)


def link(page: httpx.Response, start: str) -> str:
    """Return the address of the first link of a page that begins like this."""
    addresses = [html.unescape(address) for address, _ in LINK.findall(main_of(page))]
    return next(address for address in addresses if address.startswith(start) and "lang=" not in address)


async def recovered(city: City, browser: Browser, page: httpx.Response) -> httpx.Response:
    """Follow the link of a page to the recovery, and recover the account of siti; return where that leads."""
    page = await browser.open(link(page, "/recover"))
    page = await browser.submit(page, username=MAIL)
    page = await browser.submit(page, code=await last_code(city))
    page = await browser.submit(page, password="pendek")  # a mistake loses nothing
    assert page.status_code == 400
    return await browser.submit(page, password=NEW_PASSWORD)


async def test_a_recovery_leads_on_to_the_application(city: City) -> None:
    party = city.relying_party("warga")
    name = city.provider.registry.get("warga").name("id")  # type: ignore[union-attr]
    async with city.browser() as browser:
        page = await browser.open(party.url())
        begun = await browser.open(link(page, "/recover"))
        assert name in begun.text
        assert name in (await browser.open(link(begun, "/login"))).text  # and the way back keeps it
        answer = await recovered(city, browser, page)
        assert answer.headers["location"].startswith(party.redirect_uri)
        assert query_of(answer.headers["location"])["state"] == party.state
        assert (await party.exchange(query_of(answer.headers["location"])["code"])).status == 200


async def test_a_stale_page_of_a_recovery_names_the_application(city: City) -> None:
    """Also where the request had ended before the recovery began, and where the browser lost its cookies."""
    party = city.relying_party("warga")
    for ended in (False, True):
        async with city.browser() as browser, city.client() as stranger:
            page = await browser.open(party.url())
            begun = await browser.open(link(page, "/recover"))
            if ended:
                clock.advance(city.settings.authorization_request_lifetime + timedelta(seconds=1))
                begun = await browser.open(str(begun.url))
            answers = [await stranger.post("/recover", data={**form_of(begun).fields, "username": MAIL})]
            page = await browser.submit(begun, username=MAIL)
            clock.advance(3601)
            answers += [await browser.open(str(page.url)), await browser.submit(page, code="123456")]
            answers.append(await stranger.get(str(page.url)))
            for answer in answers:
                assert answer.status_code == 400
                assert "Aplikasi: Layanan Warga" in answer.text
                assert 'href="/open/warga"' in answer.text
    async with city.browser() as browser, city.client() as stranger:
        page = await browser.open("/login?then=/open/warga")
        answer = await stranger.post("/login", data={**form_of(page).fields, "username": "siti", "password": "x"})
        assert "Aplikasi: Layanan Warga" in answer.text
        for client_id in ("padam-lain", "//evil.example", "<b>"):
            answer = await browser.http.post("/recover", data={"c": "x", "client": client_id})
            assert answer.status_code == 400
            assert "Aplikasi:" not in answer.text


async def test_a_recovery_leads_on_to_a_page_and_to_a_device(city: City) -> None:
    async with city.browser() as browser:
        page = await recovered(city, browser, await browser.open("/login?then=data"))
        assert "Akun Anda sudah dipulihkan" in page.text
        assert (await browser.open(link(page, "/account/data"))).url.path == "/account/data"
    clock.advance(3600)
    tv = await device(city)
    begun = await tv.post("/device_authorization", {"scope": "openid"})
    code = begun.json()["user_code"]
    async with city.browser() as browser:
        page = await recovered(city, browser, await browser.open(f"/device?user_code={code}"))
        page = await browser.open(link(page, "/device"))
        assert page.url.path == "/device"
        assert code in page.text


async def test_a_request_that_ended_meanwhile_is_replaced_by_the_way_to_the_application(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.open(party.url())
        page = await browser.open(link(page, "/recover"))
        page = await browser.submit(page, username=MAIL)
        page = await browser.submit(page, code=await last_code(city))
        clock.advance(city.settings.authorization_request_lifetime + timedelta(seconds=1))
        page = await browser.submit(page, password=NEW_PASSWORD)
        page = await browser.open(link(page, "/open/warga"))
        assert page.url.path == "/open/warga"
        assert 'href="https://warga.example/masuk?iss=' in page.text
    clock.advance(3600)
    async with city.browser() as browser:  # an application that we cannot open: the page links to its site
        page = await browser.open(city.relying_party("sehat").url())
        page = await browser.open(link(page, "/recover"))
        page = await browser.submit(page, username=MAIL)
        page = await browser.submit(page, code=await last_code(city))
        clock.advance(city.settings.authorization_request_lifetime + timedelta(seconds=1))
        page = await browser.submit(page, password=NEW_PASSWORD)
        assert 'href="https://sehat.example/"' in page.text
    # an old link of the sign-in page opens the recovery all the same
    async with city.browser() as browser:
        assert (await browser.open("/recover?i=unbekannt&client=gibt-es-nicht")).status_code == 200


async def test_a_recovery_that_waited_leads_on_in_another_browser(city: City) -> None:
    await with_app(city)
    async with city.browser() as browser:
        page = await browser.open(city.relying_party("warga").url())
        page = await browser.open(link(page, "/recover"))
        page = await browser.submit(page, username=MAIL)
        page = await browser.submit(page, code=await last_code(city))
        fields = {**form_of(page).fields, "choice": "lost", "code": ""}
        waits = await browser.http.post("/recover", data=fields)
        assert waits.status_code == 200
    clock.advance(city.settings.recovery_delay + timedelta(minutes=1))
    await clear_up(city.provider)
    async with city.browser() as other:
        page = await other.open(f"/recover/continue?t={await token_of(city, 'recovery_ready')}")
        page = await other.submit(page)
        page = await other.submit(page, password=NEW_PASSWORD)
        page = await other.open(link(page, "/open/warga"))
        assert 'href="https://warga.example/masuk?iss=' in page.text


async def test_a_registration_leads_on_and_survives_the_end_of_the_request(city: City) -> None:
    party = city.relying_party("warga")
    name = city.provider.registry.get("warga").name("id")  # type: ignore[union-attr]
    async with city.browser() as browser:
        page = await browser.open(link(await browser.open(party.url()), "/signup"))
        assert name in page.text
        page = await browser.submit(page, contact="baru@warga.example", agree="1")
        page = await browser.submit(page, code=await last_code(city))
        clock.advance(city.settings.authorization_request_lifetime + timedelta(seconds=1))
        page = await browser.submit(page, name="Bayu Baru", password=NEW_PASSWORD)
        assert page.url.path == "/welcome"
        assert (await browser.open(link(page, "/login"))).url.path == "/open/warga"
    tv = await device(city)
    code = (await tv.post("/device_authorization", {"scope": "openid"})).json()["user_code"]
    async with city.browser() as browser:
        page = await browser.open(link(await browser.open(f"/device?user_code={code}"), "/signup"))
        assert code in (await browser.open(link(page, "/login"))).text
        clock.advance(60)
        page = await browser.submit(page, contact="lain@warga.example", agree="1")
        page = await browser.submit(page, code=await last_code(city))
        page = await browser.submit(page, name="Lain Lagi", password=NEW_PASSWORD)
        page = await browser.open(link(page, "/login"))
        assert page.url.path == "/device"
        assert code in page.text


async def test_whoever_has_an_account_gets_a_link_that_names_the_application(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open(link(await browser.open(city.relying_party("warga").url()), "/signup"))
        await browser.submit(page, contact=MAIL, agree="1")
    values = next(message for message in await sent(city) if message["about"] == "already_here")["values"]
    async with city.browser() as other:
        page = await other.open(values["sign_in_at"])
        assert city.provider.registry.get("warga").name("id") in page.text  # type: ignore[union-attr]
        page = await other.submit(page, username="siti", password="kuda-laut-terbang-91")
        assert page.url.path == "/open/warga"
    for evil in ("//evil.example", "/open/../logout", "/open/a/b", "/open/", "https://evil.example/open/x"):
        async with city.browser() as other:
            page = await other.open("/login", params={"then": evil})
            page = await other.submit(page, username="siti", password="kuda-laut-terbang-91")
            assert page.url.path == "/", evil
            assert urlsplit(str(page.url)).netloc == "masuk.tangerang.example"
