"""The second step: when it is asked for, every way to take it, and that there is no way around it (SECURITY 8)."""

from __future__ import annotations

import asyncio
import json
import re
from copy import copy
from pathlib import Path
from typing import Any

import pyotp
import pytest
from tests import arranged
from tests.arranged import sign_in
from tests.citizens import (
    SENDING,
    Authenticator,
    add_passkey,
    form_at,
    here,
    kinds,
    last_code,
    notices,
    options_of,
    passkey_sign_in,
    post,
    query,
    sent,
    wrong_code,
)
from tests.demands import demand
from tests.support import ISSUER, PASSWORD, City, Statements, form_of, query_of

from sso import clock
from sso.identity.users.service import find, set_roles

STEP = "/login/second"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


async def with_app(city: City) -> tuple[pyotp.TOTP, list[str]]:
    """Let siti have an authenticator app, and time pass."""
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        app_and_codes = await arranged.set_up_app(browser)
    clock.advance(60)
    return app_and_codes


def now(app: pyotp.TOTP) -> str:
    return str(app.at(clock.timestamp()))


@demand("RFC 6238 5.2", "a code of the app opens the account, and only once")
async def test_an_app_is_asked_for_and_each_code_works_once(city: City) -> None:
    app, _ = await with_app(city)
    party, code = city.relying_party("warga"), now(app)
    async with city.browser() as browser:
        page = await browser.sign_in(party)
        assert str(page.url).startswith(f"{ISSUER}{STEP}")
        assert browser.session is None
        assert (await post(browser, STEP, {"code": await wrong_code(city, app)}, page)).status_code == 400
        answer = await post(browser, STEP, {"code": code}, page)
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
    claims = tokens.claims()
    assert (claims["acr"], claims["amr"]) == ("urn:sso:acr:mfa", ["pwd", "otp", "mfa"])
    async with city.browser() as browser:
        page = await browser.sign_in(party)
        assert (await post(browser, STEP, {"code": code}, page)).status_code == 400
        clock.advance(30)
        assert "code" in query_of((await post(browser, STEP, {"code": now(app)}, page)).headers["location"])


async def test_a_code_of_the_app_at_two_browsers_at_once_opens_one(city: City) -> None:
    app, _ = await with_app(city)
    async with city.browser() as first, city.browser() as other:
        pages = [await browser.sign_in(city.relying_party("warga")) for browser in (first, other)]
        code = now(app)
        answers = await asyncio.gather(
            *(post(browser, STEP, {"code": code}, page) for browser, page in zip((first, other), pages, strict=True))
        )
    assert sorted(answer.status_code for answer in answers) == [303, 400]


async def test_a_recovery_code_works_once(city: City) -> None:
    _, codes = await with_app(city)
    assert len(codes) == 10
    for expected in (303, 400):
        async with city.browser() as browser:
            page = await browser.sign_in(city.relying_party("warga"))
            page = await browser.open(f"{STEP}?c={query(page)['c']}&m=recovery_code")
            answer = await post(browser, STEP, {"code": codes[0].upper(), "m": "recovery_code"}, page)
            assert answer.status_code == expected


async def test_there_is_no_way_around_it(city: City) -> None:
    """By a direct address, with another person's step, from another browser, or by the page of another method."""
    app, _ = await with_app(city)
    party = city.relying_party("warga")
    async with city.browser() as browser, city.browser() as thief:
        page = await browser.sign_in(party)
        for path in ("/", "/account", "/account/security", "/apps", party.url()):
            assert "Keluar" not in (await browser.open(path)).text
        assert browser.session is None
        await thief.open("/login")
        assert (await thief.open(f"{STEP}?c={query(page)['c']}")).status_code == 400
        for method in ("email", "phone", "passkey", "", "x"):
            fields = {"code": await wrong_code(city, app), "m": method, "credential": "{}"}
            answer = await post(browser, STEP, fields, page)
            assert answer.status_code in (400, 429)
        assert browser.session is None


async def test_after_five_wrong_codes_the_step_is_over(city: City) -> None:
    app, _ = await with_app(city)
    async with city.browser() as browser:
        page = await browser.sign_in(city.relying_party("warga"))
        for _ in range(5):
            await post(browser, STEP, {"code": await wrong_code(city, app)}, page)
        assert (await post(browser, STEP, {"code": now(app)}, page)).status_code == 429


async def test_a_browser_that_is_trusted_needs_none_for_thirty_days(city: City) -> None:
    app, _ = await with_app(city)
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.sign_in(party)
        await post(browser, STEP, {"code": now(app), "trust": "1"}, page)
        await browser.submit(await browser.open("/"))
        answer = await browser.sign_in(party)
        assert "code" in query_of(answer.headers["location"])
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
        assert tokens.claims()["acr"] == "urn:sso:acr:password"
        clock.advance(31 * 86400)
        assert str((await browser.sign_in(party)).url).startswith(f"{ISSUER}{STEP}")


async def test_trust_is_over_when_the_person_says_so(city: City) -> None:
    app, _ = await with_app(city)
    async with city.browser() as browser:
        page = await here(city, browser)
        await post(browser, STEP, {"code": now(app), "trust": "1"}, page)
        page = await browser.open("/account/security")
        assert "Browser tepercaya" in page.text
        await post(browser, "/account/security", {"choice": "distrust"}, page)
        page = await browser.open("/login?add=1")
        assert STEP in str((await browser.submit(page, username="siti", password=PASSWORD)).url)


@demand("WebAuthn 7.2", "a passkey alone signs in, and the level says so")
async def test_a_passkey_alone_signs_in(city: City) -> None:
    device, party = Authenticator(), city.relying_party("warga")
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        answer = await add_passkey(browser, device)
        assert "Kode pemulihan" in answer.text
    async with city.browser() as browser:
        answer = await passkey_sign_in(browser, device, await browser.open(party.url()))
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
    claims = tokens.claims()
    assert (claims["acr"], claims["amr"]) == ("urn:sso:acr:passkey", ["pop", "user", "mfa"])


@demand("WebAuthn 7.2", "challenge, origin, rp id, user verification, signature and user handle must be right")
async def test_a_passkey_that_is_not_right(city: City, subtests: pytest.Subtests) -> None:
    device = Authenticator()
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        await arranged.add_passkey(browser, device)
    changes: dict[str, tuple[str, Any]] = {
        "origin": ("origin", "https://masuk.tangerang.example.evil"),
        "rp": ("rp_id", "evil.example"),
        "not verified": ("flags", 0x01),
        "signature": ("key", Authenticator().key),
        "handle": ("user_handle", city.users["budi"].bytes),
        "unknown": ("id", b"x" * 32),
        "replay": ("count", -1),  # as passkeys that are synchronised: they do not count
    }
    for wrong in (*changes, "challenge", "browser", "old"):
        with subtests.test(wrong=wrong):
            await _refused(city, copy(device), wrong, changes.get(wrong))
    async with city.browser() as browser:
        page = await browser.open("/login")
        await post(browser, "/login/passkey", {"credential": device.get(options_of(page, "get"))}, page)
        assert browser.session is not None, "the same passkey, with nothing wrong"


async def _refused(city: City, device: Authenticator, wrong: str, change: tuple[str, Any] | None) -> None:
    async with city.browser() as browser, city.browser() as other:
        page = await browser.open("/login")
        options = options_of(page if wrong != "browser" else await other.open("/login"), "get")
        if wrong == "challenge":
            options["challenge"] = options["challenge"][:-4] + "AAAA"
        if change is not None:
            setattr(device, *change)
        clock.advance(1801 if wrong == "old" else 0)
        answer = device.get(options)
        if wrong == "replay":
            await post(browser, "/login/passkey", {"credential": answer}, page)
            browser.http.cookies.delete("__Host-sso-session")
        refused = await post(browser, "/login/passkey", {"credential": answer}, page)
        assert refused.status_code == 400
        assert "Kunci sandi ini tidak diterima" in refused.text
        assert browser.session is None


async def test_what_is_no_passkey_at_all(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        page = await browser.open("/login")
        for answer in ("", "x", "{}", '{"response": 1}', json.dumps({"rawId": "AA", "response": {}})):
            with subtests.test(answer=answer):
                assert (await post(browser, "/login/passkey", {"credential": answer}, page)).status_code == 400


@pytest.mark.parametrize("overrides", [{**SENDING, "sign_in_failures_per_ip_address": 3}], ids=[""])
async def test_after_many_passkeys_that_were_none_the_page_says_how_long_to_wait(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open("/login")
        for _ in range(city.settings.sign_in_failures_per_ip_address + 1):
            answer = await post(browser, "/login/passkey", {"credential": "x"}, page)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "Coba lagi dalam 15 menit" in answer.text


async def test_a_passkey_is_a_second_step_after_a_password_too(city: City) -> None:
    device = Authenticator()
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        await arranged.add_passkey(browser, device)
    async with city.browser() as browser:
        page = await browser.sign_in(city.relying_party("warga"))
        credential = device.get(options_of(page, "get"))
        answer = await post(browser, STEP, {"credential": credential, "m": "passkey"}, page)
        assert "code" in query_of(answer.headers["location"])


async def test_a_passkey_of_somebody_else_is_no_second_step(city: City) -> None:
    device, other = Authenticator(), Authenticator()
    for name, its in (("siti", device), ("budi", other)):
        async with city.browser() as browser:
            await sign_in(city, browser, name)
            await arranged.add_passkey(browser, its)
    async with city.browser() as browser:
        page = await browser.sign_in(city.relying_party("warga"))
        credential = other.get(options_of(page, "get"))
        assert (await post(browser, STEP, {"credential": credential, "m": "passkey"}, page)).status_code == 400


# Risk


async def test_the_first_sign_in_and_a_known_browser_need_no_second_step(city: City) -> None:
    async with city.browser() as browser:
        await browser.code(city.relying_party("warga"))
        await browser.submit(await browser.open("/"))
        await browser.code(city.relying_party("warga"))
    assert await notices(city) == []


async def test_a_browser_that_is_new_needs_a_code_and_the_person_is_told(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.code(party)
    async with city.browser() as browser:
        page = await browser.sign_in(party)
        assert "Anda masuk dari perangkat baru" in page.text
        assert "s•••i@warga.example" in page.text
        answer = await post(browser, STEP, {"code": await last_code(city)}, page)
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
        assert tokens.claims()["acr"] == "urn:sso:acr:code"
        await browser.submit(await browser.open("/"))
        await browser.code(party)
    assert await notices(city) == ["code_sign_in", "new_device"]


async def test_the_code_can_go_to_the_telephone_instead(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
    async with city.browser() as browser:
        page = await here(city, browser)
        page = await browser.open(f"{STEP}?c={query(page)['c']}&m=phone")
        clock.advance(31)
        page = await post(browser, STEP, {"choice": "resend", "m": "phone"}, page)
        assert (await sent(city))[-1]["to"] == "+6281234567890"
        answer = await post(browser, STEP, {"code": await last_code(city), "m": "phone"}, page)
        assert answer.status_code == 200
        assert browser.session is not None


@pytest.mark.parametrize("overrides", [{}], ids=["nothing is sent"])
async def test_where_nothing_can_be_sent_a_new_browser_is_let_in(city: City) -> None:
    for _ in range(2):
        async with city.browser() as browser:
            await browser.code(city.relying_party("warga"))


@pytest.fixture
def countries(tmp_path: Path) -> Path:
    from mmdb_writer import MMDBWriter
    from netaddr import IPSet

    writer = MMDBWriter(database_type="test", description="test")
    for network, code in (("203.0.113.0/24", "ID"), ("198.51.100.0/24", "NL")):
        writer.insert_network(IPSet([network]), {"country": {"iso_code": code}})
    writer.to_db_file(str(tmp_path / "countries.mmdb"))
    return tmp_path / "countries.mmdb"


@pytest.fixture
async def abroad(database: Any, tmp_path: Path, countries: Path) -> Any:
    from tests.conftest import settings_for

    from sso.app import create_app

    url, contents = database
    settings = settings_for(
        url, tmp_path, **SENDING, country_database=countries, risk_based_second_factor="new_country"
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield City(app, settings, contents["secrets"], contents["users"])


async def test_a_country_that_is_new_needs_a_code(abroad: City) -> None:
    async with abroad.browser() as browser:
        await here(abroad, browser)
        assert "(Indonesia)" in (await browser.open("/account/sessions")).text
    async with abroad.browser() as browser:
        await here(abroad, browser)
        assert browser.session is not None
    async with abroad.browser(address="198.51.100.4") as browser:
        page = await here(abroad, browser)
        assert str(page.url).startswith(f"{ISSUER}{STEP}")
        await post(browser, STEP, {"code": await last_code(abroad)}, page)
        assert "(Belanda)" in (await browser.open("/account/sessions")).text


# Roles and applications


@pytest.mark.parametrize("overrides", [{**SENDING, "second_factor_roles": ["admin"]}], ids=[""])
async def test_a_role_that_needs_a_second_step_sets_one_up(city: City) -> None:
    async with city.browser() as browser:
        page = await here(city, browser, "ratna")
        assert "Aktifkan verifikasi dua langkah" in page.text
        assert browser.session is None
        seed = re.search(r'class="key" translate="no">([A-Z2-7 ]+)<', page.text)
        assert seed is not None
        app = pyotp.TOTP(seed.group(1).replace(" ", ""))
        assert (await post(browser, STEP, {"code": await wrong_code(city, app)}, page)).status_code == 400
        page = await post(browser, STEP, {"code": now(app)}, page)
        codes = re.findall(r"<li>([a-z0-9-]{8,})</li>", page.text)
        assert len(set(codes)) == 10
        assert browser.session is None
        for again in (
            await browser.open(f"{STEP}?c={form_at(page, STEP)['c']}"),
            await post(browser, STEP, {"code": now(app)}, page),
        ):
            assert again.status_code == 200
            assert not any(code in again.text for code in codes)
        assert (await browser.open("/account")).url.path == "/login"
        stranger = await city.client().post(STEP, data={**form_of(page).fields, "choice": "kept"})
        assert stranger.status_code == 400
        home = await browser.submit(page, choice="kept")
        assert home.status_code == 200
        assert browser.session is not None
        assert (await browser.open("/account/security")).status_code == 200
        assert (await browser.http.post(STEP, data={**form_of(page).fields, "choice": "kept"})).status_code == 400
    assert await kinds(city, "ratna") == ["password", *["recovery_code"] * 10, "totp"]
    async with city.browser() as browser:  # a code works as the second step, once
        page = await here(city, browser, "ratna")
        await post(browser, STEP, {"code": codes[3], "m": "recovery_code"}, page)
        assert browser.session is not None
    async with city.browser() as browser:
        party = city.relying_party("warga")
        page = await browser.open(party.url())
        page = await browser.submit(page, username="ratna", password=PASSWORD)
        assert (await post(browser, STEP, {"code": codes[3], "m": "recovery_code"}, page)).status_code == 400


@pytest.mark.parametrize("overrides", [{**SENDING, "second_factor_roles": ["helpdesk"]}], ids=[""])
async def test_who_can_be_reached_proves_that_first(city: City) -> None:
    """A stolen password alone must not set up the second step of somebody who has none yet."""
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, "siti"), ["helpdesk"])
    async with city.browser() as browser:
        page = await here(city, browser)
        assert "key" not in page.text
        clock.advance(31)
        page = await post(browser, STEP, {"choice": "resend", "m": "email"}, page)
        page = await post(browser, STEP, {"code": await last_code(city), "m": "email"}, page)
        assert "Aktifkan verifikasi dua langkah" in page.text
        assert browser.session is None


@demand("RFC 9470 5", "acr_values asks somebody who is signed in for the second factor alone")
async def test_an_application_asks_for_a_higher_level(city: City) -> None:
    app, _ = await with_app(city)
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.sign_in(party)
        await post(browser, STEP, {"code": now(app), "trust": "1"}, page)
        await browser.submit(await browser.open("/"))
        await browser.code(party)
        before = clock.now()
        clock.advance(120)
        page = await browser.open(party.url(acr_values="urn:sso:acr:mfa"))
        assert str(page.url).startswith(f"{ISSUER}{STEP}")
        answer = await post(browser, STEP, {"code": now(app)}, page)
        claims = (await party.exchange(query_of(answer.headers["location"])["code"])).claims()
    assert claims["acr"] == "urn:sso:acr:mfa"
    assert claims["auth_time"] <= int(before.timestamp())


@demand("Core 3.1.2.1", "acr_values that cannot be reached are wished for only: the answer says what was reached")
async def test_a_wish_that_cannot_be_fulfilled(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.code(party)
        answer = await browser.open(party.url(acr_values="urn:sso:acr:passkey urn:other"))
        claims = (await party.exchange(query_of(answer.headers["location"])["code"])).claims()
    assert claims["acr"] == "urn:sso:acr:password"


@demand("Core 5.5.1.1", "an essential acr that needs a second factor is reached, or the application is told")
async def test_an_essential_level(city: City) -> None:
    app, _ = await with_app(city)
    party = city.relying_party("warga")
    claims = json.dumps({"id_token": {"acr": {"essential": True, "value": "urn:sso:acr:mfa"}}})
    async with city.browser() as browser:
        page = await browser.sign_in(party, claims=claims)
        answer = await post(browser, STEP, {"code": now(app)}, page)
        assert (await party.exchange(query_of(answer.headers["location"])["code"])).claims()["acr"].endswith(":mfa")
        silent = await browser.open(party.url(claims=claims.replace(":mfa", ":passkey"), prompt="none"))
        assert query_of(silent.headers["location"])["error"] == "login_required"


async def test_an_applications_minimum(city: City) -> None:
    """aman wants a second step of everybody."""
    party = city.relying_party("aman")
    async with city.browser() as browser:
        page = await browser.sign_in(party)
        assert "Aplikasi ini memerlukan verifikasi dua langkah" in page.text
        answer = await post(browser, STEP, {"code": await last_code(city)}, page)
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
        assert tokens.claims()["acr"] == "urn:sso:acr:code"
        assert (await browser.open(party.url())).is_redirect


@demand(
    "Core 5.5.1.1", "a level of the identity that is not met: the person is told how, the application that it failed"
)
async def test_an_identity_that_was_not_checked(city: City) -> None:
    party = city.relying_party("dinas")
    async with city.browser() as browser:
        page = await browser.sign_in(party)
        assert "Verifikasi identitas Anda" in page.text
        answer = await browser.submit(page)
        assert query_of(answer.headers["location"])["error"] == "unmet_authentication_requirements"
        silent = await browser.open(party.url(prompt="none"))
        assert query_of(silent.headers["location"])["error"] == "unmet_authentication_requirements"


async def test_an_unproven_address_is_proven_on_the_way(city: City) -> None:
    async with city.browser() as browser:
        page = await here(city, browser, "budi@warga.example")
        assert "Pastikan alamat email atau nomor telepon ini milik Anda" in page.text
        await post(browser, STEP, {"code": await last_code(city)}, page)
        assert browser.session is not None
        page = await browser.open("/account/contacts")
        assert "belum terverifikasi" not in page.text


async def test_the_steps_cost_no_statement_where_there_are_none(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.open(party.url())
        statements = Statements(city)
        await browser.submit(page, username="siti", password=PASSWORD)
        assert len(statements.take()) <= 6


async def test_a_form_of_the_step_from_elsewhere_does_nothing(city: City) -> None:
    app, _ = await with_app(city)
    async with city.browser() as browser:
        page = await browser.sign_in(city.relying_party("warga"))
        fields = {**form_at(page, STEP), "csrf_token": "x", "code": now(app)}
        assert (await browser.http.post(STEP, data=fields)).status_code == 400
        assert form_of(page).method == "post"
