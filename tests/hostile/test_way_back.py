"""A page that cannot go on names the application and leads back to it: after signing out, and where the request that a
page belonged to is gone. Only to what is registered, and only while the application is enabled."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from tests.conformance.test_rfc8628_devices import begin, device
from tests.elsewhere import add_client
from tests.support import PASSWORD, City, form_of, forms_in

from sso import clock
from sso.oidc.authorize.stored import client_of_token, token_end
from sso.platform.actor import Actor
from sso.portal.lifecycle import suspend_client

PAGES = tuple(
    f"sso.http.sign_in.{name}"
    for name in ("authorize", "login", "account_selection", "consent", "second_factor", "sign_up")
)
"""The modules whose pages are steps of a sign-in for an application."""
GONE = "Halaman ini sudah kedaluwarsa"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"smtp_url": "smtp://127.0.0.1:9", "client_registration": "open"}


def steps(city: City) -> list[tuple[str, str]]:
    """Return method and path of every page of a sign-in."""

    def walk(routes: list[BaseRoute]) -> list[APIRoute]:
        return [route for route in routes if isinstance(route, APIRoute)]

    pages = [
        (method, route.path)
        for route in walk(city.app.routes)
        if route.endpoint.__module__ in PAGES and "{" not in route.path and route.path != "/authorize"
        for method in sorted(route.methods or ())
        if method in ("GET", "POST")
    ]
    assert {path for _, path in pages} >= {"/login", "/select", "/consent", "/identity", "/login/second", "/signup"}
    return pages


def links(html: str) -> list[str]:
    return re.findall(r'<a href="([^"]*)"', html)


async def test_every_stale_page_of_a_sign_in_names_the_application(city: City) -> None:
    token = "x" * 43 + token_end(city.provider.box, "warga")
    foreign = ["x" * 43, "x.y.warga", "x" * 43 + token_end(city.provider.box, "warga").replace("warga", "mitra")]
    seen = set()
    async with city.browser() as browser:
        await browser.open("/login")  # so that there is a browser cookie
        for method, path in steps(city):
            for name in ("i", "c"):
                async with city.client(cookies=browser.http.cookies) as http:
                    options = {"params": {name: token}} if method == "GET" else {"data": {name: token, "choice": "x"}}
                    answer = await http.request(method, path, **options)
                    if GONE not in answer.text:
                        continue
                    seen.add((method, path))
                    assert answer.status_code == 400
                    assert "Aplikasi: Layanan Warga" in answer.text, (method, path)
                    assert "/open/warga" in links(answer.text), (method, path)
        for other in foreign:
            answer = await browser.open(f"/login?{urlencode({'i': other})}")
            assert GONE in answer.text
            assert "Aplikasi:" not in answer.text, other
    assert seen >= {
        ("GET", "/login"), ("POST", "/login"), ("POST", "/select"), ("POST", "/consent"), ("POST", "/identity"),
        ("GET", "/login/second"), ("POST", "/login/second"), ("GET", "/signup"), ("POST", "/signup"),
    }, seen  # fmt: skip


async def test_back_after_the_answer_without_cookies_and_of_a_suspended_application(city: City) -> None:
    sehat, mitra = city.relying_party("sehat"), city.relying_party("mitra")
    async with city.browser() as browser, city.client() as stranger:
        page = await browser.open(sehat.url())
        fields = form_of(page).fields
        here = f"/login?{urlencode({'i': fields['i']})}"
        assert (await browser.submit(page, username="siti", password="kuda-laut-terbang-91")).status_code == 303
        # The back button, a bookmark, and another browser.
        for answer in (await browser.open(here), await stranger.get(here)):
            assert "Aplikasi: Antrean Puskesmas" in answer.text
            assert "https://sehat.example/" in links(answer.text), "the site of its redirect URI"
        answer = await stranger.post("/login", data={**fields, "username": "siti", "password": "x"})
        assert "Antrean Puskesmas" in answer.text, "without cookies"
        assert answer.status_code == 400
        consent = await browser.open(mitra.url())
        assert "/consent" in {form.action for form in forms_in(consent.text)}
        clock.advance(city.settings.authorization_request_lifetime + timedelta(seconds=1))
        answer = await browser.submit(consent, choice="allow")
        assert "Aplikasi: Apotek Mitra" in answer.text
        # The token is of no use to learn of an application that is suspended.
        async with city.provider.db.write() as session:
            await suspend_client(session, city.provider, "sehat", actor=Actor("test"))
        await city.provider.refresh()
        answer = await stranger.get(here)
        assert GONE in answer.text
        assert "Antrean" not in answer.text
        assert client_of_token(city.provider.box, city.provider.registry, fields["i"]) is None
        # A request whose redirect URI is not registered leads back to what is.
        answer = await browser.open(city.relying_party("warga", "https://lain.example/cb").url())
        assert answer.status_code == 400
        assert "/open/warga" in links(answer.text)
        assert not [link for link in links(answer.text) if link.startswith("https://lain")]


async def test_a_code_of_a_device_that_is_over_names_the_application(city: City) -> None:
    party = await device(city, client_name="Mesin Antrean")
    begun = await begin(party)
    async with city.browser() as browser:
        page = await browser.submit(await browser.open("/login"), username="siti", password=PASSWORD)
        page = await browser.open(begun["verification_uri_complete"])
        await browser.submit(page, choice="deny")
        for address in (begun["verification_uri_complete"], "/device?user_code=BCDF-GHJK"):
            page = await browser.open(address)
            assert page.status_code == 400
            assert ("Aplikasi: Mesin Antrean" in page.text) == ("BCDF" not in address)


async def test_there_is_a_way_back_after_signing_out(city: City) -> None:
    home = {"warga": "https://warga.example/", "sehat": "https://sehat.example/", "peta": "https://peta.example/",
            "ponsel": "example.ponsel:/signed-out", "mitra-lain": "https://klinik.example/"}  # fmt: skip
    await add_client(city, "meja", type="android", redirect_uris=["http://127.0.0.1/cb", "id.go.kota.meja:/cb"])
    async with city.browser() as browser:
        tokens = await browser.tokens(city.relying_party("warga"))
        installed = await browser.open("/logout?client_id=meja")
        assert "127.0.0.1" not in installed.text, "nothing listens there"
        for client_id, address in home.items():
            confirm = await browser.open(f"/logout?{urlencode({'client_id': client_id})}")
            assert confirm.status_code == 200
            assert address in links(confirm.text), (client_id, links(confirm.text))
        for parameters in (
            {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": "https://lain.example/"},
            {"client_id": "warga", "id_token_hint": "abc"},
            {"client_id": "sehat", "id_token_hint": tokens["id_token"]},
        ):
            refused = await browser.open(f"/logout?{urlencode(parameters)}")
            assert refused.status_code == 400
            assert home["warga"] in links(refused.text), parameters
            assert not [link for link in links(refused.text) if link.startswith("https://lain")]
        done = await browser.open(f"/logout?{urlencode({'id_token_hint': tokens['id_token']})}")
        assert home["warga"] in links(done.text)
        assert browser.session is None
        clock.advance(60)
        for client_id, address in home.items():  # the session had ended already
            again = await browser.open(f"/logout?{urlencode({'client_id': client_id})}")
            assert address in links(again.text), client_id
        async with city.provider.db.write() as session:
            await suspend_client(session, city.provider, "sehat", actor=Actor("test"))
        await city.provider.refresh()
        again = await browser.open(f"/logout?{urlencode({'client_id': 'sehat'})}")
        assert home["sehat"] not in links(again.text)
        tokens = await browser.tokens(city.relying_party("warga"))
        async with city.provider.db.write() as session:
            await suspend_client(session, city.provider, "warga", actor=Actor("test"))
        await city.provider.refresh()
        hint = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": "https://warga.example/keluar"}
        done = await browser.open(f"/logout?{urlencode(hint)}")
        assert done.status_code == 200, "nobody is sent to a suspended application"
        assert not [link for link in links(done.text) if "warga" in link]
        assert "Layanan Warga" not in (await browser.open("/login?then=/open/warga")).text
