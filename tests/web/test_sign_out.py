"""RP-Initiated Logout 1.0 and what signing out does everywhere."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from sqlalchemy import select
from tests.demands import demand
from tests.support import City, query_of, tampered

from sso import clock
from sso.platform.outbox.models import Delivery

BACK = "https://warga.example/keluar"


def logout(**parameters: str) -> str:
    return f"/logout?{urlencode(parameters)}"


async def test_a_valid_hint_signs_out_and_goes_back(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
        answer = await browser.open(
            logout(id_token_hint=tokens["id_token"], post_logout_redirect_uri=BACK, state="a b&c")
        )
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(BACK + "?")
        assert query_of(answer.headers["location"]) == {"state": "a b&c"}
        assert browser.session is None
        assert (await browser.open(party.url())).status_code == 200
    assert (await party.userinfo(tokens["access_token"])).status_code == 401


async def test_an_expired_hint_is_accepted(city: City) -> None:
    async with city.browser() as browser:
        hint = (await browser.tokens(city.relying_party("warga")))["id_token"]
        clock.advance(3600)
        answer = await browser.open(logout(id_token_hint=hint, post_logout_redirect_uri=BACK))
    assert answer.headers["location"] == BACK


async def test_a_registered_address_with_a_query_is_kept(city: City) -> None:
    async with city.browser() as browser:
        hint = (await browser.tokens(city.relying_party("warga")))["id_token"]
        answer = await browser.open(logout(id_token_hint=hint, post_logout_redirect_uri=BACK + "?a=1", state="s"))
    assert answer.headers["location"] == BACK + "?a=1&state=s"


async def test_a_form_of_another_site_brings_no_cookie_and_still_signs_out(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser, city.client() as other_site:
        hint = (await browser.tokens(party))["id_token"]
        bounce = await other_site.post("/logout", data={"id_token_hint": hint, "post_logout_redirect_uri": BACK})
        assert bounce.status_code == 303
        answer = await browser.open(bounce.headers["location"])
        assert answer.headers["location"] == BACK
        assert (await browser.open(party.url())).status_code == 200


async def test_the_signed_out_page_says_from_what_and_what_could_not_be_reached(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        hint = (await browser.tokens(city.relying_party("sehat")))["id_token"]
        page = await browser.open(logout(id_token_hint=hint))
    assert page.status_code == 200
    reached, _, unreached = page.text.partition("Keluar sendiri dari aplikasi ini")
    assert "Layanan Warga" in reached
    assert "Antrean Puskesmas" in unreached
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("query", ["/logout", logout(state="x"), logout(client_id="warga")])
async def test_without_a_hint_the_person_is_asked_first(city: City, query: str) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.tokens(party)
        page = await browser.open(query)
        assert "Keluar?" in page.text
        assert (await browser.open(party.url())).is_redirect, "nothing has happened yet"
        done = await browser.submit(page)
        assert "Anda sudah keluar" in done.text
        assert (await browser.open(party.url())).status_code == 200


async def test_a_return_address_without_a_hint_is_not_followed(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        page = await browser.open(logout(client_id="warga", post_logout_redirect_uri=BACK))
        assert page.status_code == 200
        done = await browser.submit(page)
        assert done.status_code == 200
        assert "location" not in done.headers


UNREGISTERED = (
    "https://evil.example/",
    BACK + "/",
    BACK + "?b=1",
    BACK + "#x",
    BACK + "/../x",
    "https://warga.example@evil.example/keluar",
    "HTTPS://warga.example/keluar",
    "https://warga.example:443/keluar",
    "javascript:alert(1)",
    "//evil.example",
    "/keluar",
)
"""Addresses that look like the registered one, and others."""


async def test_an_unregistered_return_address_is_a_page_and_nothing_happens(
    city: City, subtests: pytest.Subtests
) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        hint = (await browser.tokens(party))["id_token"]
        for uri in UNREGISTERED:
            with subtests.test(uri=uri):
                page = await browser.open(logout(id_token_hint=hint, post_logout_redirect_uri=uri))
                assert page.status_code == 400
                assert "location" not in page.headers
                assert (await browser.open(party.url())).is_redirect


async def test_a_tampered_or_foreign_hint_is_a_page_and_nothing_happens(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
        for hint in (tampered(tokens["id_token"]), tokens["access_token"], "x.y.z"):
            page = await browser.open(logout(id_token_hint=hint, post_logout_redirect_uri=BACK))
            assert page.status_code == 400
        page = await browser.open(logout(id_token_hint=tokens["id_token"], client_id="sehat"))
        assert page.status_code == 400
        assert (await browser.open(party.url())).is_redirect


@demand("RP-Initiated Logout 2", "a hint of another person is asked about")
async def test_a_hint_of_another_person_is_asked_about(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as other:
        hint = (await other.tokens(party, username="budi"))["id_token"]
    async with city.browser() as browser:
        await browser.tokens(party)
        page = await browser.open(logout(id_token_hint=hint, post_logout_redirect_uri=BACK))
        assert "Keluar?" in page.text
        assert (await browser.open(party.url())).is_redirect


async def test_a_forged_form_signs_nobody_out(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.tokens(party)
        for form in ({}, {"csrf_token": "x" * 43}, {"csrf_token": ""}):
            page = await browser.http.post("/logout", data=form)
            assert "Keluar?" in page.text or page.status_code == 303
        assert (await browser.open(party.url())).is_redirect


async def test_signing_out_when_nobody_is_signed_in(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open("/logout")
        assert "Anda belum masuk" in page.text
        repeated = await browser.open("/logout?state=a&state=b")
        assert repeated.status_code == 400


@demand("Back-Channel Logout 2.5", "every application that took part is told")
async def test_everyone_who_took_part_is_told_in_the_same_transaction(city: City) -> None:
    async with city.browser() as browser:
        tokens = await browser.tokens(city.relying_party("warga"))
        await browser.tokens(city.relying_party("sehat"))
        await browser.open(logout(id_token_hint=tokens["id_token"]))
    async with city.provider.db.read() as session:
        deliveries = (await session.execute(select(Delivery))).scalars().all()
    assert [delivery.client_id for delivery in deliveries] == ["warga"]
    assert deliveries[0].payload["sid"] == tokens.claims()["sid"]
