"""Registering: a proven contact, a name, a password or passkey, and on to the application; nobody learns who is
here."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from typing import Any

import pyotp
import pytest
from sqlalchemy import select
from tests.citizens import (
    NEW_PASSWORD,
    SENDING,
    Authenticator,
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
from tests.support import Browser, City, forms_in, query_of

from sso import clock
from sso.identity.users import store
from sso.identity.users.models import Agreement, Identifier, User

MAIL = "baru@warga.example"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


async def begin(browser: Browser, contact: str = MAIL, url: str = "/signup", **fields: str) -> Any:
    page = await browser.open(url)
    return await post(browser, "/signup", {"contact": contact, "agree": "1", **fields}, page)


async def proven(city: City, browser: Browser, contact: str = MAIL, url: str = "/signup") -> Any:
    page = await begin(browser, contact, url)
    return await post(browser, "/signup", {"code": await last_code(city)}, page)


async def later(browser: Browser, page: Any) -> Any:
    """Follow the link of the page that offers a second way, or of the page of recovery codes, to where it leads."""
    address = re.findall(r'<a href="([^"]*)" role="button"', page.text)[-1]
    return await browser.open(unescape(address))


async def person(city: City, lookup: str = MAIL) -> User | None:
    async with city.provider.db.read() as session:
        return await store.find_user(session, lookup)


@demand("Prompt Create 4", "prompt=create leads to registering, and back to the application that asked")
async def test_one_registers_and_goes_on_to_the_application(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await proven(city, browser, url=party.url(prompt="create"))
        assert MAIL in page.text
        answer = await post(browser, "/signup", {"name": "Bayu  Baru", "password": NEW_PASSWORD}, page)
        assert "Tambahkan cara kedua untuk masuk" in answer.text
        answer = await later(browser, answer)
        assert answer.headers["location"].startswith(party.redirect_uri)
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
    about = (await party.userinfo(tokens["access_token"])).json()
    assert (about["name"], about["email"], about["email_verified"]) == ("Bayu Baru", MAIL, True)
    assert tokens.claims()["acr"] == "urn:sso:acr:password"
    assert "welcome" in await notices(city)


async def test_the_terms_that_were_agreed_to_are_kept_with_their_version(city: City) -> None:
    async with city.browser() as browser:
        page = await proven(city, browser)
        await post(browser, "/signup", {"name": "Bayu", "password": NEW_PASSWORD}, page)
    async with city.provider.db.read() as session:
        rows = (await session.execute(select(Agreement))).scalars().all()
    assert sorted((agreement.document, agreement.version) for agreement in rows) == [("privacy", "1"), ("terms", "1")]


async def test_a_telephone_number_is_as_good(city: City) -> None:
    async with city.browser() as browser:
        page = await proven(city, browser, "0857 1111 2222")
        answer = await post(browser, "/signup", {"name": "Bayu", "password": NEW_PASSWORD}, page)
        assert answer.status_code == 200
    assert (await sent(city))[0]["kind"] == "phone"
    assert await person(city, "+6285711112222") is not None


async def test_one_registers_with_a_passkey_alone(city: City) -> None:
    device, party = Authenticator(), city.relying_party("warga")
    async with city.browser() as browser:
        page = await proven(city, browser, url=party.url(prompt="create"))
        credential = device.create(options_of(page, "create"))
        page = await post(browser, "/signup", {"name": "Bayu", "credential": credential}, page)
        assert len(set(re.findall(r"<li>([a-z0-9]{4}(?:-[a-z0-9]{4}){3})</li>", page.text))) == 10
        answer = await later(browser, page)
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
    assert tokens.claims()["acr"] == "urn:sso:acr:passkey"
    async with city.browser() as browser:
        page = await browser.open(party.url())
        answer = await passkey_sign_in(browser, device, page)
        assert "code" in query_of(answer.headers["location"])


async def test_whoever_has_an_account_sees_the_same_and_is_told_by_mail(city: City) -> None:
    texts = []
    async with city.browser() as browser:
        for contact in (MAIL, "siti@warga.example"):
            page = await begin(browser, contact)
            texts.append(page.text.replace(query(page)["c"], "").replace(page_token(page), ""))
    masked = [text.replace("b•••u@", "").replace("s•••i@", "") for text in texts]
    assert masked[0] == masked[1]
    assert await notices(city) == ["code_sign_up", "already_here"]
    assert "code" not in (await sent(city))[1]["values"]


def page_token(page: Any) -> str:
    from tests.citizens import form_at

    return form_at(page, "/signup")["csrf_token"]


async def test_nobody_registers_with_a_contact_that_somebody_has_proven(city: City) -> None:
    async with city.browser() as browser:
        page = await begin(browser, "siti@warga.example")
        for number in range(3):
            answer = await post(browser, "/signup", {"code": f"{number:06}"}, page)
            assert answer.status_code == 400
    async with city.provider.db.read() as session:
        rows = (await session.execute(select(Identifier).where(Identifier.lookup == "siti@warga.example"))).all()
    assert len(rows) == 1


@pytest.mark.parametrize("contact", ["", "bukan alamat", "siti", "3671014104900001", "a@b", "0" * 300])
async def test_what_is_no_contact_is_explained_and_kept(city: City, contact: str) -> None:
    async with city.browser() as browser:
        page = await begin(browser, contact)
    assert page.status_code == 400
    assert "Masukkan alamat email" in page.text
    assert await sent(city) == []


async def test_without_agreement_nothing_is_sent(city: City) -> None:
    async with city.browser() as browser:
        page = await begin(browser, agree="")
        assert page.status_code == 400
        assert f'value="{MAIL}"' in page.text
        # what is wrong with both fields is said at once: in the summary and at the field
        page = await begin(browser, "bukan alamat", agree="")
    for field, text in (("contact", "Masukkan alamat email"), ("agree", "Centang kotak")):
        assert page.text.count(text) == 2
        assert f'href="#{field}"' in page.text
        assert f'id="{field}-error"' in page.text
    assert 'value="bukan alamat"' in page.text
    assert await sent(city) == []


async def test_a_code_is_tried_five_times_and_then_never_again(city: City) -> None:
    async with city.browser() as browser:
        page = await begin(browser)
        right = await last_code(city)
        wrong = f"{(int(right) + 1) % 1_000_000:06}"
        for _ in range(5):
            assert (await post(browser, "/signup", {"code": wrong}, page)).status_code == 400
        assert (await post(browser, "/signup", {"code": right}, page)).status_code == 429


async def test_many_tries_at_once_are_no_more_than_five(city: City) -> None:
    async with city.browser() as browser:
        page = await begin(browser)
        right = int(await last_code(city))
        wrong = [f"{(right + n) % 1_000_000:06}" for n in range(1, 21)]
        answers = await asyncio.gather(*(post(browser, "/signup", {"code": code}, page) for code in wrong))
        assert [answer.status_code for answer in answers].count(400) == 5
        assert [answer.status_code for answer in answers].count(429) == 15


async def test_a_code_is_over_after_ten_minutes_and_a_new_one_replaces_it(city: City) -> None:
    async with city.browser() as browser:
        page = await begin(browser)
        first = await last_code(city)
        clock.advance(11 * 60)
        assert (await post(browser, "/signup", {"code": first}, page)).status_code == 400
        again = await post(browser, "/signup", {"choice": "resend"}, page)
        assert "Kode baru sudah dikirim" in again.text
        assert (await post(browser, "/signup", {"code": await last_code(city)}, page)).status_code == 200


async def test_another_browser_cannot_go_on_with_it(city: City) -> None:
    async with city.browser() as browser, city.browser() as thief:
        page = await begin(browser)
        await thief.open("/signup")
        stolen = await thief.open(f"/signup?c={query(page)['c']}")
    assert stolen.status_code == 400


async def test_codes_to_one_address_are_few(city: City) -> None:
    async with city.browser() as browser:
        for _ in range(8):
            await begin(browser)
    assert len(await sent(city)) == 5


@pytest.mark.parametrize("overrides", [{**SENDING, "sign_ups_per_ip_address": 2}], ids=[""])
async def test_registrations_from_one_address_are_few(city: City) -> None:
    async with city.browser() as browser:
        for n in range(2):
            assert (await begin(browser, f"a{n}@warga.example")).status_code == 200
        assert (await begin(browser, "a3@warga.example")).status_code == 429
    async with city.browser(address="198.51.100.9") as other:
        assert (await begin(other, "a4@warga.example")).status_code == 200


async def test_what_is_wrong_is_said_and_the_registration_goes_on(city: City, subtests: pytest.Subtests) -> None:
    cases: tuple[tuple[dict[str, str], str], ...] = (
        ({"name": "", "password": NEW_PASSWORD}, "Masukkan nama Anda"),
        ({"name": "<b>", "password": NEW_PASSWORD}, "Masukkan nama Anda"),
        ({"name": "", "password": "pendek"}, "Masukkan nama Anda"),
        ({"name": "", "password": "pendek"}, "paling sedikit 15"),
        ({"name": "Bayu", "password": "Kopi hujan sepeda 77"}, "adalah contoh"),
        ({"name": "Bayu", "password": "pendek"}, "paling sedikit 15"),
        ({"name": "Bayu", "password": "baru@warga.example"}, "mudah ditebak"),
        ({"name": "Bayu", "credential": "{}"}, "Kunci sandi tidak dapat dibuat"),
    )
    async with city.browser() as browser:
        page = await proven(city, browser)
        for fields, text in cases:
            with subtests.test(fields=fields):
                answer = await post(browser, "/signup", fields, page)
                assert text in answer.text
                assert await person(city) is None
        await post(browser, "/signup", {"name": "Bayu", "password": NEW_PASSWORD}, page)
    assert await person(city) is not None


async def test_a_form_sent_twice_makes_one_account(city: City) -> None:
    async with city.browser() as browser:
        page = await proven(city, browser)
        fields = {"name": "Bayu", "password": NEW_PASSWORD}
        await post(browser, "/signup", fields, page)
        assert (await post(browser, "/signup", fields, page)).status_code == 400


async def test_a_form_from_elsewhere_does_nothing(city: City) -> None:
    async with city.browser() as browser:
        await browser.open("/signup")
        answer = await browser.http.post("/signup", data={"contact": MAIL, "agree": "1", "csrf_token": "x"})
    assert answer.status_code == 400
    assert await sent(city) == []


@pytest.mark.parametrize("overrides", [{}, {**SENDING, "sign_up": "closed"}], ids=["nothing is sent", "closed"])
async def test_where_nobody_can_register_nothing_says_so(city: City) -> None:
    async with city.browser() as browser:
        assert (await browser.open("/signup")).status_code == 404
        assert "/signup" not in (await browser.open("/login")).text
        document = (await browser.open("/.well-known/openid-configuration")).json()
        assert "create" not in document["prompt_values_supported"]
        party = city.relying_party("warga")
        answer = await browser.open(party.url(prompt="create"))
        assert query_of(answer.headers["location"])["error"] == "invalid_request"


async def test_registering_is_announced_where_it_works(city: City) -> None:
    async with city.browser() as browser:
        document = (await browser.open("/.well-known/openid-configuration")).json()
        assert "create" in document["prompt_values_supported"]
        assert "/signup" in (await browser.open("/login")).text


async def test_the_database_tells_no_code(city: City) -> None:
    async with city.browser() as browser:
        await begin(browser)
    code = await last_code(city)
    from tests.db.test_migrations import _dump

    assert code not in await _dump(city.provider.db)


# A second way to sign in


async def registered(city: City, browser: Browser, url: str = "/signup") -> Any:
    """Register with a password, and return the page that offers a second way."""
    page = await proven(city, browser, url=url)
    return await post(browser, "/signup", {"name": "Bayu", "password": NEW_PASSWORD}, page)


async def test_a_passkey_is_added_after_registering_and_the_application_is_not_lost(city: City) -> None:
    device, party = Authenticator(), city.relying_party("warga")
    async with city.browser() as browser:
        page = await registered(city, browser, party.url(prompt="create"))
        refused = await post(browser, "/welcome", {"choice": "passkey", "credential": "{}"}, page)
        assert refused.status_code == 400
        credential = device.create(options_of(page, "create"))
        page = await post(browser, "/welcome", {"choice": "passkey", "credential": credential}, page)
        assert "Simpan kode pemulihan Anda" in page.text
        answer = await later(browser, page)
        assert "code" in query_of(answer.headers["location"])
    user = await person(city)
    assert user is not None
    async with city.provider.db.read() as session:
        held = {credential.kind for credential in await store.credentials_of(session, user.id)}
    assert held == {"password", "passkey", "recovery_code"}


async def test_an_app_and_a_second_contact_are_added_after_registering(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await registered(city, browser, party.url(prompt="create"))
        wrong = await post(browser, "/welcome", {"choice": "contact", "contact": "x"}, page)
        assert wrong.status_code == 400
        assert 'id="contact-error"' in wrong.text
        code_page = await post(browser, "/welcome", {"choice": "contact", "contact": "0857 1111 2222"}, page)
        fields = {"choice": "code", "code": await wrong_code(city)}
        assert (await post(browser, "/welcome", fields, code_page)).status_code == 400
        fields = {"choice": "code", "code": await last_code(city)}
        page = await post(browser, "/welcome", {**form_fields(code_page), **fields}, code_page)
        assert "Kontak Anda sudah terverifikasi" in page.text
        page = await post(browser, "/welcome", {**form_fields(page), "choice": "app"}, page)
        seed = re.search(r'class="key" translate="no">([A-Z2-7 ]+)<', page.text)
        assert seed is not None
        app, here = pyotp.TOTP(seed.group(1).replace(" ", "")), form_fields(page)
        assert (await post(browser, "/welcome", {**here, "choice": "app_code", "code": "0"}, page)).status_code == 400
        fields = {"choice": "app_code", "code": app.at(clock.timestamp())}
        page = await post(browser, "/welcome", {**here, **fields}, page)
        assert "Simpan kode pemulihan Anda" in page.text
        answer = await later(browser, page)
        assert "code" in query_of(answer.headers["location"])
    assert await person(city, "+6285711112222") is not None


def form_fields(page: Any) -> dict[str, str]:
    """Return the hidden fields of the last form of a page that goes to the second way."""
    return [form for form in forms_in(page.text) if form.action == "/welcome"][-1].fields


async def test_a_second_way_is_offered_to_who_has_just_signed_in_alone(city: City) -> None:
    async with city.browser() as browser, city.browser() as stranger:
        page = await registered(city, browser)
        assert (await stranger.open("/welcome?client=warga")).url.path == "/login"
        form = form_fields(page)
        forged = await browser.http.post("/welcome", data={**form, "csrf_token": "x", "choice": "app"})
        assert forged.status_code == 400
        clock.advance(3600)
        assert (await browser.open("/welcome")).url.path == "/"
        assert (await browser.http.post("/welcome", data={**form, "choice": "app"})).status_code == 303
        assert await notices(city) == ["code_sign_up", "welcome"]


@pytest.mark.parametrize("overrides", [{**SENDING, "password_min_length": 10}], ids=[""])
async def test_a_setting_says_how_long_a_password_must_be(city: City) -> None:
    async with city.browser() as browser:
        page = await proven(city, browser)
        assert "Paling sedikit 10 karakter" in page.text
        assert 'data-minimum="10"' in page.text
        assert "kopi hujan sepeda 77" in page.text
        answer = await post(browser, "/signup", {"name": "Bayu", "password": "kuda-lau9"}, page)
        assert "paling sedikit 10" in answer.text
        await post(browser, "/signup", {"name": "Bayu", "password": "kuda-lau91"}, page)
    assert await person(city) is not None
