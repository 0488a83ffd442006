"""Several accounts in one browser, remembered devices, how many sessions there may be, what is kept of an address."""

from __future__ import annotations

import re
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import select
from tests.support import PASSWORD, Browser, City, Statements, form_of, query_of

from sso import clock
from sso.identity.sessions.models import SsoSession
from sso.platform.actor import Actor
from sso.platform.security.ip_privacy import kept_address

SESSION, REMEMBERED = "__Host-sso-session", "__Host-sso-remembered"


async def sessions(city: City) -> list[SsoSession]:
    async with city.provider.db.read() as session:
        return list((await session.execute(select(SsoSession).order_by(SsoSession.id))).scalars())


async def add_account(browser: Browser, name: str) -> httpx.Response:
    """Sign somebody in besides those who are signed in."""
    return await browser.submit(await browser.open("/login?add=1"), username=name, password=PASSWORD)


def choices(page: httpx.Response) -> dict[str, str]:
    """Return the buttons of a page of choices: what each says, and its value."""
    buttons = re.findall(r'<button name="choice" value="([^"]*)"[^>]*>\s*([^<]*?)\s*</button>', page.text)
    return {text: value for value, text in buttons}


async def test_two_people_in_one_browser_switch_without_signing_out(city: City) -> None:
    warga, sehat = city.relying_party("warga"), city.relying_party("sehat")
    async with city.browser() as browser:
        await browser.tokens(warga)
        home = await add_account(browser, "budi")
        assert "Halo, Budi Santoso" in home.text
        assert "Lanjutkan sebagai Siti Rahmawati" in home.text
        tokens = await browser.tokens(sehat)
        assert tokens.claims()["sub"] == str(city.users["budi"])
        assert [session.end_reason for session in await sessions(city)] == [None, None], "nobody was signed out"

        page = await browser.open(warga.url(prompt="select_account"))
        assert set(choices(page)) == {
            "Lanjutkan sebagai Budi Santoso",
            "Lanjutkan sebagai Siti Rahmawati",
            "Gunakan akun lain",
        }
        answer = await browser.submit(page, choice=choices(page)["Lanjutkan sebagai Siti Rahmawati"])
        tokens = await warga.exchange(query_of(answer.headers["location"])["code"])
        assert tokens.claims()["sub"] == str(city.users["siti"])
        assert "Halo, Siti Rahmawati" in (await browser.open("/")).text, "who was chosen is the present one"


async def test_the_start_page_switches_too(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        home = await add_account(browser, "budi")
        form = next(element for element in re.findall(r"<form.*?</form>", home.text, re.S) if "/accounts" in element)
        token = re.search(r'name="csrf_token" value="([^"]+)"', form)
        assert token is not None
        siti = {"csrf_token": token[1], "choice": choices(home)["Lanjutkan sebagai Siti Rahmawati"]}
        forged = await browser.http.post("/accounts", data={**siti, "csrf_token": "x" * 43})
        assert (await browser.open(forged.headers["location"])).text.count("Halo, Budi") == 1
        await browser.http.post("/accounts", data=siti)
        assert "Halo, Siti Rahmawati" in (await browser.open("/")).text


async def test_an_account_of_another_browser_cannot_be_chosen(city: City) -> None:
    async with city.browser() as other:
        await other.tokens(city.relying_party("warga"), username="ratna")
    foreign = str((await sessions(city))[0].id)
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        page = await browser.open(city.relying_party("warga").url(prompt="select_account"))
        answer = await browser.submit(page, choice=foreign)
        assert form_of(answer).action == "/login", "it asks to sign in"


async def test_use_another_account_adds_and_a_forced_sign_in_replaces(city: City) -> None:
    """On a telephone that a family shares, nobody's account stays behind unless that was wanted."""
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.tokens(party)
        page = await browser.open(party.url(prompt="select_account"))
        page = await browser.submit(page, choice="other")
        await browser.submit(page, username="budi", password=PASSWORD)
        assert [session.end_reason for session in await sessions(city)] == [None, None]
        page = await browser.open(party.url(prompt="login"))
        await browser.submit(page, username="ratna", password=PASSWORD)
        assert [session.end_reason for session in await sessions(city)] == [None, "other_person", None]


async def test_a_hint_chooses_the_account_it_names_also_silently(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        siti = await browser.tokens(party)
        await add_account(browser, "budi")
        answer = await browser.open(party.url(prompt="none", id_token_hint=siti["id_token"]))
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
        assert tokens.claims()["sub"] == str(city.users["siti"])
        answer = await browser.open(party.url(prompt="none"))
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
        assert tokens.claims()["sub"] == str(city.users["budi"]), "without a hint it is the present one"


async def test_signing_in_again_renews_the_account_that_is_there(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        await add_account(browser, "budi")
        before = browser.session
        await add_account(browser, "siti")
        sso_sessions = await sessions(city)
        assert len(sso_sessions) == 2, "one for each person"
        assert browser.session is not None
        assert before is not None
        assert len(set(browser.session.split(".")) | set(before.split("."))) == 3, "its value is new"


async def test_an_application_signs_out_the_person_it_names_and_nobody_else(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        siti = await browser.tokens(party)
        await add_account(browser, "budi")
        page = await browser.open(f"/logout?id_token_hint={siti['id_token']}")
        assert "Akun yang masih masuk di browser ini: Budi Santoso." in page.text
        assert [session.end_reason for session in await sessions(city)] == ["signed_out", None]
        assert "Halo, Budi Santoso" in (await browser.open("/")).text


async def test_signing_out_here_signs_out_everybody_or_one(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        await add_account(browser, "budi")
        page = await browser.open("/logout")
        assert "Akun lain yang masuk di browser ini: Siti Rahmawati." in page.text
        assert (await browser.submit(page)).text.count("Akun yang masih masuk") == 1
        await add_account(browser, "budi")
        page = await browser.submit(await browser.open("/logout"), all="1")
        assert "Akun yang masih masuk" not in page.text
        assert browser.session is None
        assert all(session.ended_at for session in await sessions(city))


async def test_five_accounts_at_the_most(city: City) -> None:
    from sso.identity.users.schemas import NewUser
    from sso.identity.users.service import create_users
    from sso.identity.users.store import credentials_of

    async with city.provider.db.write() as session:
        credentials = await credentials_of(session, city.users["siti"])
        people = [
            NewUser(username=f"orang{n}", name=f"Orang {n}", password_hash=credentials[0].secret) for n in range(6)
        ]
        await create_users(session, people)
    async with city.browser() as browser:
        for n in range(6):
            await add_account(browser, f"orang{n}")
        assert browser.session is not None
        assert len(browser.session.split(".")) == 5
        assert [sso_session.end_reason for sso_session in await sessions(city)] == ["too_many", *[None] * 5]


async def test_one_account_costs_no_statement_more(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.tokens(party)
        statements = Statements(city)
        await browser.open(party.url())
        assert len(statements.take()) <= 3


async def test_a_remembered_device_stays_signed_in_after_the_browser_was_closed(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.open(party.url())
        assert 'name="remember"' in page.text
        answer = await browser.submit(page, username="siti", password=PASSWORD, remember="1")
        remembered = [cookie for cookie in answer.headers.get_list("set-cookie") if cookie.startswith(REMEMBERED)]
        assert "Max-Age=2592000" in remembered[0]
        assert "HttpOnly" in remembered[0]
        first = [cookie for cookie in answer.headers.get_list("set-cookie") if cookie.startswith(SESSION)]
        assert "Max-Age" not in first[0]
        browser.http.cookies.delete(SESSION)  # closed
        for _ in range(3):
            clock.advance(9 * 86400)
            assert (await browser.open(party.url())).is_redirect, "used now and then it goes on"
        clock.advance(4 * 86400)
        assert form_of(await browser.open(party.url())).action == "/login", "thirty days are the end of it"


async def test_a_remembered_device_that_is_not_used_is_over_after_two_weeks(city: City) -> None:
    from sso.jobs import clear_up

    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.open(party.url())
        await browser.submit(page, username="siti", password=PASSWORD, remember="1")
        clock.advance(13 * 86400)
        await clear_up(city.provider)
        assert (await sessions(city))[0].ended_at is None
        clock.advance(86401)
        assert form_of(await browser.open(party.url())).action == "/login"
        await clear_up(city.provider)
        assert (await sessions(city))[0].end_reason == "expired"


async def test_without_the_tick_nothing_is_remembered(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        assert REMEMBERED not in browser.http.cookies
        clock.advance(8 * 3600 + 1)
        assert form_of(await browser.open(city.relying_party("warga").url())).action == "/login"


@pytest.mark.parametrize("overrides", [{"remembered_session_lifetime": "0s"}])
async def test_a_city_can_switch_it_off(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open("/login")
        assert 'name="remember"' not in page.text
        await browser.submit(page, username="siti", password=PASSWORD, remember="1")
        assert REMEMBERED not in browser.http.cookies


async def test_signing_out_forgets_the_device(city: City) -> None:
    async with city.browser() as browser:
        await browser.submit(await browser.open("/login"), username="siti", password=PASSWORD, remember="1")
        await browser.submit(await browser.open("/logout"))
        assert REMEMBERED not in browser.http.cookies
        assert SESSION not in browser.http.cookies


@pytest.mark.parametrize("overrides", [{"sessions_per_user": 2}])
async def test_too_many_sessions_end_the_one_that_was_used_longest_ago(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as first, city.browser() as second, city.browser() as third:
        for browser in (first, second):
            await browser.tokens(party)
            clock.advance(120)
        assert (await first.open(party.url())).is_redirect
        await third.tokens(party)
        assert [session.end_reason for session in await sessions(city)] == [None, "too_many", None]
        assert form_of(await second.open(party.url())).action == "/login"
        assert (await first.open(party.url())).is_redirect
    async with city.browser() as other:
        await other.tokens(party, username="budi")
    assert [session.end_reason for session in await sessions(city)].count("too_many") == 1, "each person has their own"


async def test_the_cookie_is_new_whenever_somebody_proves_who_they_are(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.tokens(party)
        seen = [browser.session]
        for parameters in ({"prompt": "login"}, {"max_age": "0"}):
            clock.advance(5)
            page = await browser.open(party.url(**parameters))
            await browser.submit(page, username="siti", password=PASSWORD)
            seen.append(browser.session)
        assert len(set(seen)) == 3
        assert len(await sessions(city)) == 1


@pytest.mark.parametrize(
    ("address", "privacy", "expected"),
    [
        ("203.0.113.7", "network", "203.0.113.0/24"),
        ("203.0.113.7", "full", "203.0.113.7"),
        ("203.0.113.7", "none", None),
        ("2001:db8:1:2:3::4", "network", "2001:db8:1::/48"),
        ("::ffff:203.0.113.7", "network", "203.0.113.0/24"),
        ("fe80::1%eth0", "network", "fe80::/48"),
        ("testclient", "network", None),
        ("", "full", None),
    ],
)
def test_what_is_kept_of_an_address(address: str, privacy: Any, expected: str | None) -> None:
    assert kept_address(address, privacy) == expected


@pytest.mark.parametrize("overrides", [{"ip_address_privacy": "none"}])
async def test_no_address_is_kept_anywhere_where_a_city_wants_none(city: City) -> None:
    from sqlalchemy import text

    async with city.browser() as browser:
        tokens = await browser.tokens(city.relying_party("warga"))
        await city.relying_party("warga").post("/revoke", {"token": tokens["refresh_token"]})
        page = await browser.open("/login?add=1")
        await browser.submit(page, username="siti", password="salah-sekali")
    async with city.provider.db.read() as session:
        for table in ("sessions", "audit_events"):
            assert "203.0.113" not in str((await session.execute(text(f"SELECT * FROM {table}"))).all())


async def test_when_the_present_account_is_over_the_other_is_offered_and_never_taken_silently(city: City) -> None:
    from sso.logout.end_sessions import end_sessions

    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.tokens(party)
        await add_account(browser, "budi")
        async with city.provider.db.write() as session:
            await end_sessions(
                session, city.provider, [(await sessions(city))[1].id], "administrator", actor=Actor("test")
            )
        answer = await browser.open(party.url(prompt="none"))
        assert query_of(answer.headers["location"])["error"] == "account_selection_required"
        page = await browser.open(party.url())
        assert set(choices(page)) == {"Lanjutkan sebagai Siti Rahmawati", "Gunakan akun lain"}
        answer = await browser.submit(page, choice="continue")
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
        assert tokens.claims()["sub"] == str(city.users["siti"])
        assert "Halo, Siti Rahmawati" in (await browser.open("/")).text
        assert "Sesi aktif" in (await browser.open("/account/sessions")).text
        page = await browser.open(party.url(prompt="select_account"))
        page = await browser.submit(page, choice="other")
        answer = await browser.submit(page, username="budi", password=PASSWORD)
        assert "code" in query_of(answer.headers["location"]), "who signs in has chosen"


async def test_the_language_can_be_changed_while_an_account_is_added(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        page = await browser.open("/login?add=1")
        link = re.search(r'href="(/login[^"]*lang=en)"', page.text)
        assert link is not None
        page = await browser.open(link[1].replace("&amp;", "&"))
        assert "<h1>Sign in</h1>" in page.text
        assert form_of(page).fields["add"] == "1"
