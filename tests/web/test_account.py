"""A person's own pages: what they see, change, take along and delete; and what nobody else can."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select
from tests import arranged
from tests.arranged import sign_in
from tests.citizens import (
    NEW_PASSWORD,
    SENDING,
    Authenticator,
    app_of,
    form_at,
    here,
    identifiers,
    kinds,
    last_code,
    notices,
    options_of,
    passkey_sign_in,
    post,
    set_up_app,
    wrong_code,
)
from tests.db.test_migrations import _dump
from tests.support import ISSUER, PASSWORD, City, query_of

from sso import clock
from sso.accounts.identity_checks import check_identity, read_check
from sso.identity.sessions.models import SsoSession
from sso.identity.sessions.store import SessionFilter, count_not_ended
from sso.identity.users.models import Identifier, User
from sso.identity.users.service import find
from sso.jobs import people_in_time
from sso.platform.actor import Actor
from sso.platform.audit import verify
from sso.platform.audit.models import AuditEvent
from sso.portal.audit_chain import chain_audit_events

PAGES = ["", "/profile", "/contacts", "/security", "/sessions", "/applications", "/activity", "/notifications", "/data"]
SECURITY, CONTACTS = "/account/security", "/account/contacts"
DELETE = {"sure": "1", "password": PASSWORD}


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


@pytest.mark.parametrize("overrides", [{**SENDING, "risk_based_second_factor": "none"}], ids=[""])
async def test_a_page_leads_to_signing_in_and_back(city: City, subtests: pytest.Subtests) -> None:
    for path in (*(f"/account{page}" for page in PAGES), "/apps", f"{SECURITY}/app"):
        with subtests.test(path=path):
            async with city.browser() as browser:
                page = await browser.open(path)
                assert str(page.url).startswith(f"{ISSUER}/login")
                back = await browser.submit(page, username="siti", password=PASSWORD)
                assert str(back.url).startswith(ISSUER + (path if path != f"{SECURITY}/app" else SECURITY))
                assert back.headers["cache-control"] == "no-store"


async def test_a_form_from_elsewhere_changes_nothing(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        fields = {"name": "Jahat", "choice": "password", "new_password": NEW_PASSWORD, "sure": "1", "csrf_token": "x"}
        for path in ("/account/profile", SECURITY, CONTACTS, "/account/delete", "/account/export"):
            with subtests.test(path=path):
                answer = await browser.http.post(path, data=fields)
                assert answer.status_code == 400
                assert "Siti" in (await browser.open("/account")).text


@pytest.mark.parametrize("path", [SECURITY, CONTACTS, f"{SECURITY}/app"])
async def test_what_opens_the_account_needs_a_sign_in_of_a_moment_ago(city: City, path: str) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open(SECURITY if path != CONTACTS else CONTACTS)
        clock.advance(601)
        if path.endswith("/app"):
            answer = await browser.open(path)
        else:
            answer = await post(browser, path, {"choice": "distrust"}, page)
        assert str(answer.url).startswith(f"{ISSUER}/login?then=")
        assert "Anda masuk sebagai Siti" in answer.text
        await browser.submit(answer, username="siti", password=PASSWORD)
        assert (await browser.open(f"{SECURITY}/app")).url.path == f"{SECURITY}/app"


# Profile


async def test_the_profile_is_what_applications_see(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid profile address")
        page = await browser.open("/account/profile")
        fields = {
            "name": "Siti R. Baru", "given_name": "Siti", "gender": "female", "birthdate": "1991-05-06",
            "website": "https://siti.example/", "address_street_address": "Jalan Satria 1",
            "address_locality": "Tangerang", "address_postal_code": "15111", "address_country": "ID",
        }  # fmt: skip
        await post(browser, "/account/profile", fields, page)
    about = (await party.userinfo(tokens["access_token"])).json()
    assert (about["name"], about["birthdate"], about["gender"]) == ("Siti R. Baru", "1991-05-06", "female")
    assert about["address"]["formatted"] == "Jalan Satria 1\nTangerang 15111\nID"


async def test_what_is_wrong_in_a_profile_is_said_and_nothing_typed_is_lost(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open("/account/profile")
        fields = {"name": "Siti", "birthdate": "6 Mei", "website": "siti.example", "nickname": "Tetap"}
        answer = await post(browser, "/account/profile", fields, page)
        assert answer.status_code == 400
        for text in ('value="6 Mei"', 'value="Tetap"', "21/04/1990", "diawali https://", 'href="#birthdate"'):
            assert text in answer.text
        answer = await post(browser, "/account/profile", {"name": "<b>"}, page)
        assert answer.status_code == 400
        for day in ("1990-02-30", "0000-00-00", "2990-01-01"):
            answer = await post(browser, "/account/profile", fields | {"website": "", "birthdate": day}, page)
            assert (answer.status_code, 'href="#birthdate"' in answer.text) == (400, True), day


async def test_applications_receive_an_indonesian_address_as_the_standard_claim(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid address")
        page = await browser.open("/account/profile")
        fields = {
            "name": "Siti", "address_street_address": "Jalan Satria 1", "address_rt": "3", "address_rw": "5",
            "address_region": "Banten", "address_locality": "kota tangerang", "address_district": "Tangerang",
            "address_village": "Sukasari", "address_postal_code": "15118", "address_country": "Indonesia",
        }  # fmt: skip
        page = await post(browser, "/account/profile", fields, page)
        assert "Profil sudah disimpan" in page.text
        assert 'value="Kota Tangerang"' in page.text
        assert 'value="Indonesia"' in page.text
        exported = await post(browser, "/account/export", {}, await browser.open("/account/data"))
    assert (await party.userinfo(tokens["access_token"])).json()["address"] == {
        "street_address": "Jalan Satria 1\nRT 003/RW 005\nKel./Desa Sukasari, Kec. Tangerang",
        "locality": "Kota Tangerang", "region": "Banten", "postal_code": "15118", "country": "ID",
        "formatted": "Jalan Satria 1\nRT 003/RW 005\nKel./Desa Sukasari, Kec. Tangerang\n"
        "Kota Tangerang 15118\nBanten\nID",
    }  # fmt: skip
    address = json.loads(exported.content)["account"]["profile"]["address"]
    assert (address["rt"], address["village"], address["district"]) == ("003", "Sukasari", "Tangerang")


async def test_names_of_regions_are_offered_step_by_step_without_scripts(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open("/account/profile")
        assert "<option>Banten</option>" in page.text
        assert "<option>Kota Cilegon</option>" not in page.text
        fields = {"name": "Siti Baru", "choice": "regions", "address_region": "banten"}
        page = await post(browser, "/account/profile", fields, page)
        assert "<option>Kota Cilegon</option>" in page.text
        assert 'value="Siti Baru"' in page.text
        fields |= {"address_locality": "Kota Cilegon", "address_district": "Pulomerak"}
        page = await post(browser, "/account/profile", fields, page)
        assert "<option>Pulomerak</option>" in page.text
        assert "<option>Suralaya</option>" in page.text
        assert "Siti Baru" not in (await browser.open("/account")).text
        query = {"address_region": "Banten", "address_locality": "Kota Cilegon"}
        names = (await browser.http.get("/account/profile/regions", params=query)).json()
        assert "Pulomerak" in names["address_district"]
        assert names["address_village"] == []
    async with city.browser() as browser:
        assert (await browser.http.get("/account/profile/regions", params=query)).status_code == 303


async def test_a_new_name_removes_first_and_last_names_that_contradict_it_and_says_so(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open("/account/profile")
        fields = {"name": "Siti Rahmawati", "given_name": "Siti", "family_name": "Rahmawati"}
        page = await post(browser, "/account/profile", fields, page)
        page = await post(browser, "/account/profile", fields | {"name": "Kartini"}, page)
        assert "tidak sesuai dengan nama baru Anda" in page.text
        assert 'value="Rahmawati"' not in page.text


async def test_errors_of_the_profile_stand_at_their_fields_all_at_once(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open("/account/profile")
        fields = {"name": "", "birthdate": "31/02/1990", "website": "x", "address_rt": "tiga", "address_rw": "5"}
        page = await post(browser, "/account/profile", fields, page)
    for field in ("name", "birthdate", "website", "address_rt"):
        assert f'href="#{field}"' in page.text, field
        assert f'id="{field}-error"' in page.text, field
    assert 'id="address_rw-error"' not in page.text
    assert (
        page.text.index('href="#name"') < page.text.index('href="#birthdate"') < page.text.index('href="#address_rt"')
    )


def picture(size: tuple[int, int] = (900, 600), kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "Jalan Rahasia 1"
    Image.new("RGB", size, (200, 30, 30)).save(buffer, kind, exif=exif)
    return buffer.getvalue()


async def test_a_picture_is_made_small_and_anew(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
        page = await browser.open("/account/profile")
        form = form_at(page, "/account/picture")
        await browser.http.post("/account/picture", data=form, files={"picture": ("a.jpg", picture(), "image/jpeg")})
        about = (await party.userinfo(tokens["access_token"])).json()
        assert about["picture"].startswith(f"{ISSUER}/picture/")
        got = await browser.http.get(about["picture"])
        assert got.headers["content-type"] == "image/png"
        with Image.open(io.BytesIO(got.content)) as small:
            assert small.size == (256, 171)
        assert b"Rahasia" not in got.content
        page = await browser.open("/account/profile")
        await browser.http.post(
            "/account/picture", data={**form_at(page, "/account/picture"), "choice": "remove"}, files={"x": b""}
        )
        assert (await browser.http.get(about["picture"])).status_code == 404


async def test_what_is_no_picture_is_refused(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        form = form_at(await browser.open("/account/profile"), "/account/picture")
        for body in (b"", b"not a picture", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a" * 99):
            with subtests.test(body=body[:10]):
                answer = await browser.http.post("/account/picture", data=form, files={"picture": ("a.png", body)})
                assert answer.status_code == 400
                assert "tidak dapat kami baca" in answer.text


async def test_a_picture_may_be_large_and_nothing_else_may(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        form = form_at(await browser.open("/account/profile"), "/account/picture")
        body = picture((3000, 2000), "PNG") + b"\0" * 300_000
        answer = await browser.http.post("/account/picture", data=form, files={"picture": ("a.png", body)})
        assert answer.status_code == 303
        large = {"picture": ("a.png", b"\0" * (6 * 1024 * 1024))}
        assert (await browser.http.post("/account/picture", data=form, files=large)).status_code == 413
        assert (await browser.http.post("/account/profile", data={"name": "x" * 70_000})).status_code == 413


# Password


async def test_a_new_password_ends_every_other_session(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as other:
        tokens = await other.tokens(party, scope="openid offline_access")
        async with city.browser() as browser:
            page = await here(city, browser)
            await post(browser, "/login/second", {"code": await last_code(city)}, page)
            page = await browser.open(SECURITY)
            fields = {"choice": "password", "password": PASSWORD, "new_password": NEW_PASSWORD}
            answer = await post(browser, SECURITY, fields, page)
            assert "Kata sandi sudah diganti" in answer.text
            assert "Siti" in (await browser.open("/account")).text
        assert str((await other.open("/account")).url).startswith(f"{ISSUER}/login")
        assert (await party.refresh(tokens["refresh_token"])).status == 400
    assert "password_changed" in await notices(city)


@pytest.mark.parametrize("overrides", [{"risk_based_second_factor": "none"}])
async def test_a_new_password_ends_however_many_sessions_there_are(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sso.logout.end_sessions.BATCH", 2)
    for _ in range(5):
        async with city.browser() as other:
            await sign_in(city, other, "siti")
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        fields = {"choice": "password", "password": PASSWORD, "new_password": NEW_PASSWORD}
        await post(browser, SECURITY, fields, await browser.open(SECURITY))
        assert "Siti" in (await browser.open("/account")).text
    async with city.provider.db.read() as session:
        mine = SessionFilter(user_id=city.users["siti"])
        assert await count_not_ended(session, mine) == 1


async def test_a_password_that_will_not_do(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open(SECURITY)
        for fields, text in (
            ({"password": "wrong", "new_password": NEW_PASSWORD}, "saat ini salah"),
            ({"password": PASSWORD, "new_password": "pendek"}, "paling sedikit 15"),
            ({"password": PASSWORD, "new_password": "sitirahmawati99"}, "mudah ditebak"),
            ({"password": PASSWORD, "new_password": NEW_PASSWORD, "repeated": "x"}, "tidak sama"),
        ):
            with subtests.test(text=text):
                answer = await post(browser, SECURITY, {"choice": "password", **fields}, page)
                assert answer.status_code == 400
                assert text in answer.text
                assert NEW_PASSWORD not in answer.text


async def test_how_strong_a_password_is_while_it_is_typed(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open(SECURITY)
        token = page.text.split('data-strength="')[1].split('"')[0]
        answer = await browser.http.post("/password-strength", data={"csrf_token": token, "password": NEW_PASSWORD})
        assert answer.json() == {"score": 4, "missing": 0}
        assert (await browser.http.post("/password-strength", data={"password": "x"})).status_code == 403


# Second steps


async def test_an_app_and_its_recovery_codes(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        _, codes = await set_up_app(city, browser)
        assert len(set(codes)) == 10
        assert await kinds(city) == ["password", *["recovery_code"] * 10, "totp"]
        page = await browser.open(SECURITY)
        assert not any(code in page.text for code in codes)
        answer = await post(browser, SECURITY, {"choice": "codes"}, page)
        assert not any(code in answer.text for code in codes)
        assert answer.text.count("<li>") >= 10
    assert (await notices(city)).count("factor_added") == 2


async def test_a_copy_of_the_database_yields_no_second_step(city: City) -> None:
    device = Authenticator()
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        app, codes = await arranged.set_up_app(browser)
        await arranged.add_passkey(browser, device)
        known = [
            app.secret,
            *codes,
            *(code.replace("-", "") for code in codes),
            browser.http.cookies["__Host-sso-device"],
        ]
    dump = await _dump(city.provider.db)
    assert not [secret for secret in known if secret in dump]


async def test_a_wrong_first_code_sets_up_nothing(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open(f"{SECURITY}/app")
        app, _ = app_of(page)
        code = await wrong_code(city, app)
        assert (await post(browser, f"{SECURITY}/app", {"code": code}, page)).status_code == 400
    assert await kinds(city) == ["password"]


async def credential_id(city: City, kind: str) -> str:
    from sso.identity.users.store import credentials_of

    async with city.provider.db.read() as session:
        credentials = await credentials_of(session, city.users["siti"])
    return str(next(credential.id for credential in credentials if credential.kind == kind))


async def test_a_second_step_is_removed_with_a_notice_and_its_codes_with_it(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        await arranged.set_up_app(browser)
        page = await browser.open(SECURITY)
        await post(browser, SECURITY, {"choice": f"remove {await credential_id(city, 'totp')}"}, page)
    assert await kinds(city) == ["password"]
    assert "factor_removed" in await notices(city)


async def test_a_short_password_keeps_its_second_step(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        await arranged.set_up_app(browser)
        page = await browser.open(SECURITY)
        fields = {"choice": "password", "password": PASSWORD, "new_password": "kuda-laut-91"}
        assert (await post(browser, SECURITY, fields, page)).status_code == 200
        answer = await post(browser, SECURITY, {"choice": f"remove {await credential_id(city, 'totp')}"}, page)
        assert answer.status_code == 409
        assert "15 karakter" in answer.text


async def test_the_last_way_to_sign_in_stays(city: City) -> None:
    device = Authenticator()
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        await arranged.add_passkey(browser, device, "Ponsel Siti")
        page = await browser.open(SECURITY)
        assert "Ponsel Siti" in page.text
        await post(browser, SECURITY, {"choice": f"remove {await credential_id(city, 'password')}"}, page)
        assert "password" not in await kinds(city)
        answer = await post(browser, SECURITY, {"choice": f"remove {await credential_id(city, 'passkey')}"}, page)
        assert answer.status_code == 409
    assert "passkey" in await kinds(city)


async def test_nobody_removes_what_is_somebody_elses(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "budi")
        page = await browser.open(SECURITY)
        await post(browser, SECURITY, {"choice": f"remove {await credential_id(city, 'password')}"}, page)
        theirs = next(identifier for identifier in await identifiers(city) if identifier.kind == "phone")
        page = await browser.open(CONTACTS)
        await post(browser, CONTACTS, {"choice": f"remove {theirs.id}"}, page)
    assert await kinds(city) == ["password"]
    assert len(await identifiers(city)) == 3


# Contacts


async def test_a_contact_is_added_when_it_is_proven(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open(CONTACTS)
        page = await post(browser, CONTACTS, {"choice": "add", "contact": "Kedua@Warga.example"}, page)
        assert "kedua@warga.example" not in [identifier.value for identifier in await identifiers(city)]
        assert (await post(browser, f"{CONTACTS}/code", {"code": await wrong_code(city)}, page)).status_code == 400
        page = await post(browser, f"{CONTACTS}/code", {"code": await last_code(city)}, page)
        assert "kedua@warga.example" in page.text
        new = next(identifier for identifier in await identifiers(city) if identifier.value == "kedua@warga.example")
        assert not new.is_primary
        await post(browser, CONTACTS, {"choice": f"primary {new.id}"}, page)
    firsts = [
        identifier.value
        for identifier in await identifiers(city)
        if identifier.kind == "email" and identifier.is_primary
    ]
    assert firsts == ["kedua@warga.example"]
    assert "contact_added" in await notices(city)
    clock.advance(60)
    async with city.browser() as browser:
        page = await here(city, browser, "kedua@warga.example")
        await post(browser, "/login/second", {"code": await last_code(city)}, page)
        assert browser.session is not None


async def test_a_contact_of_somebody_else_is_never_added_and_nobody_learns_whose(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "budi")
        page = await browser.open(CONTACTS)
        page = await post(browser, CONTACTS, {"choice": "add", "contact": "siti@warga.example"}, page)
        assert page.status_code == 200
        assert "code_contact" not in await notices(city)


async def test_the_last_contact_stays(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open(CONTACTS)
        ids = {identifier.kind: identifier.id for identifier in await identifiers(city)}
        await post(browser, CONTACTS, {"choice": f"remove {ids['phone']}"}, page)
        answer = await post(browser, CONTACTS, {"choice": f"remove {ids['email']}"}, page)
        assert answer.status_code == 409
    assert "contact_removed" in await notices(city)


async def test_a_user_name_is_changed_where_nobody_has_it(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open(CONTACTS)
        for name, status in (("budi", 409), ("a", 400), ("siti@warga.example", 400), ("siti.baru", 200)):
            answer = await post(browser, CONTACTS, {"choice": "username", "username": name}, page)
            assert answer.status_code == status, name
    assert "siti.baru" in [identifier.value for identifier in await identifiers(city)]


async def test_a_nik_is_noted_and_opens_nothing_until_a_counter_checked_it(city: City) -> None:
    nik = "3671014104900001"
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open(CONTACTS)
        bad = await post(browser, CONTACTS, {"choice": "nik", "nik": "3671"}, page)
        assert bad.status_code == 400
        page = await post(browser, CONTACTS, {"choice": "nik", "nik": nik}, page)
        assert "3671••••••••0001" in page.text
        assert nik not in page.text
    async with city.browser() as browser:
        assert (await here(city, browser, nik)).status_code == 400
    async with city.provider.db.write() as session:
        user = await find(session, "siti")
        await check_identity(session, city.provider, user, read_check("ktp", nik, "MPP"), actor=Actor("test"))
    async with city.browser() as browser:
        page = await here(city, browser, nik)
        assert page.status_code == 200
        await post(browser, "/login/second", {"code": await last_code(city)}, page)
        page = await browser.open(CONTACTS)
        assert "sudah diperiksa di loket" in page.text
        answer = await post(browser, CONTACTS, {"choice": "nik", "nik": nik}, page)
        assert answer.status_code == 409
    assert "identity_checked" in await notices(city)


# Applications, activity, notifications


async def test_a_permission_is_withdrawn_and_the_application_is_out(city: City) -> None:
    party = city.relying_party("mitra")
    async with city.browser() as browser:
        page = await browser.sign_in(party, scope="openid profile offline_access")
        answer = await browser.submit(page, choice="allow")
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
        assert "application_connected" in await notices(city)
        page = await browser.open("/account/applications")
        assert "Apotek Mitra" in page.text
        assert "Nama Anda" in page.text
        await post(browser, "/account/applications", {"client": "mitra"}, page)
        assert (await party.userinfo(tokens["access_token"])).status_code == 401
        assert (await party.refresh(tokens["refresh_token"])).status == 400
        again = await browser.open(party.url())
        assert "meminta izin Anda" in again.text
        assert "Siti" in (await browser.open("/account")).text


async def test_what_happened_is_seen_by_its_person_alone(city: City) -> None:
    async with city.browser() as browser:
        await browser.sign_in(city.relying_party("warga"), password="wrong")
        await sign_in(city, browser, "siti")
        page = await browser.open("/account/activity")
        assert "Upaya masuk gagal" in page.text
        assert "203.0.113.0" in page.text
    async with city.browser() as browser:
        await sign_in(city, browser, "budi")
        assert "Upaya masuk gagal" not in (await browser.open("/account/activity")).text


async def test_language_and_notices_are_the_persons_to_choose(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open("/account/notifications")
        page = await post(browser, "/account/notifications", {"language": "en"}, page)
        assert "Notifications and language" in page.text
    async with city.provider.db.read() as session:
        user = await session.get(User, city.users["siti"])
        assert user is not None
        assert user.locale == "en"
        assert user.preferences == {"new_device": False, "application_connected": False}


# Export and deletion


async def test_everything_is_taken_along(city: City) -> None:
    async with city.provider.db.write() as session:
        user = await find(session, "siti")
        seen = read_check("ktp", "3671014104900001", "MPP")
        await check_identity(session, city.provider, user, seen, actor=Actor("test"))
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        await arranged.set_up_app(browser)
        page = await browser.open("/account/data")
        answer = await post(browser, "/account/export", {}, page)
    assert "attachment" in answer.headers["content-disposition"]
    export = json.loads(answer.content)
    assert export["account"]["name"] == "Siti Rahmawati"
    assert {identifier["value"] for identifier in export["identifiers"]} >= {"siti@warga.example", "3671014104900001"}
    assert {credential["kind"] for credential in export["ways_to_sign_in"]} == {"password", "totp", "recovery_code"}
    assert export["grants"][0]["client_id"] == "warga"
    assert export["sessions"][0]["network"] == "203.0.113.0/24"
    assert any(event["type"] == "session.started" for event in export["activity"])
    assert "$argon2" not in answer.text
    assert "exported" in await notices(city)


async def test_the_data_can_be_read_and_printed_in_both_languages(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        await arranged.set_up_app(browser)
        page = await browser.open("/account/data")
        page = await post(browser, "/account/export", {"choice": "page"}, page)
        for text in (
            "Siti Rahmawati",
            "siti@warga.example",
            "Aplikasi autentikator",
            "Layanan Warga",
            "203.0.113.0/24",
        ):
            assert text in page.text
        assert page.headers["cache-control"] == "no-store"
        assert "$argon2" not in page.text
        page = await browser.open("/account/data?lang=en")
        page = await post(browser, "/account/export", {"choice": "page"}, page)
        assert "Authenticator app" in page.text
    assert (await notices(city)).count("exported") == 2


async def stays(city: City) -> bool:
    """Tell whether nobody asked for the deletion of the account of siti."""
    async with city.provider.db.read() as session:
        user = await session.get(User, city.users["siti"])
    return user is not None and user.delete_at is None


async def test_a_deletion_needs_the_password(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open("/account/delete")
        for fields, field in (
            ({"password": PASSWORD}, "sure"),
            ({"sure": "1"}, "password"),
            ({"sure": "1", "password": "salah"}, "password"),
            ({"sure": "1", "credential": "{}"}, ""),
        ):
            answer = await post(browser, "/account/delete", fields, page)
            assert answer.status_code == 400
            assert not field or f'id="{field}-error"' in answer.text
            assert PASSWORD not in answer.text
        both = await post(browser, "/account/delete", {}, page)
        assert both.text.count('-error"') >= 4  # each at its field, and named by it
        assert await stays(city)
        clock.advance(601)
        answer = await post(browser, "/account/delete", DELETE, page)
        assert str(answer.url).startswith(f"{ISSUER}/login?then=data")
        assert await stays(city)


async def test_guesses_of_the_password_at_a_deletion_are_limited(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open("/account/delete")
        statuses = []
        for _ in range(30):
            answer = await post(browser, "/account/delete", {"sure": "1", "password": "salah"}, page)
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                break
        assert statuses[-1] == 429
        assert "retry-after" in answer.headers
        assert (await post(browser, "/account/delete", DELETE, page)).status_code == 429
    assert await stays(city)


async def test_a_passkey_deletes_the_account_only_with_a_challenge_for_this_act(city: City) -> None:
    device = Authenticator()
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        await arranged.add_passkey(browser, device)
        for_sign_in = device.get(options_of(await browser.open("/login?add=1"), "get"))
        page = await browser.open("/account/delete")
        answer = await post(browser, "/account/delete", {"sure": "1", "credential": for_sign_in}, page)
        assert answer.status_code == 400
        before = device.get(options_of(page, "get"))
        await browser.http.post("/logout", data=form_at(await browser.open("/"), "/logout"))
        page = await passkey_sign_in(browser, device, await browser.open("/login"))
        page = await browser.open("/account/delete")
        answer = await post(browser, "/account/delete", {"sure": "1", "credential": before}, page)
        assert answer.status_code == 400, "the challenge was made for another session"
        assert await stays(city)
        credential = device.get(options_of(page, "get"))
        answer = await post(browser, "/account/delete", {"sure": "1", "credential": credential}, page)
        assert "Akun Anda akan dihapus" in answer.text
    assert not await stays(city)


async def test_a_deletion_can_be_taken_back_for_two_weeks(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open("/account/delete")
        assert (await post(browser, "/account/delete", {}, page)).status_code == 400
        page = await post(browser, "/account/delete", DELETE, page)
        assert "Akun Anda akan dihapus" in page.text
        assert browser.session is None
    clock.advance(13 * 86400)
    await people_in_time(city.provider)
    async with city.browser() as browser:
        page = await here(city, browser)
        page = await post(browser, "/login/second", {"code": await last_code(city)}, page)
        assert "Pertahankan akun Anda?" in page.text
        assert browser.session is None
        await post(browser, "/login/second", {"choice": "keep"}, page)
        assert browser.session is not None
    clock.advance(30 * 86400)
    await people_in_time(city.provider)
    async with city.provider.db.read() as session:
        user = await session.get(User, city.users["siti"])
        assert user is not None
        assert user.deleted_at is None
    assert await notices(city) == ["deletion_planned", "code_sign_in", "deletion_cancelled", "new_device"]


async def test_after_two_weeks_everything_is_gone_and_the_log_is_anonymous_and_whole(city: City) -> None:
    siti = city.users["siti"]
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        page = await browser.open("/account/delete")
        await post(browser, "/account/delete", DELETE, page)
    await chain_audit_events(city.provider.db, city.provider.box)
    clock.advance(14 * 86400 + 1)
    await people_in_time(city.provider)
    await chain_audit_events(city.provider.db, city.provider.box)
    async with city.provider.db.read() as session:
        user = await session.get(User, siti)
        assert user is not None
        assert (user.name, user.profile, user.deleted_at is not None) == ("", {}, True)
        assert (await session.execute(select(Identifier).where(Identifier.user_id == siti))).first() is None
        rows = (await session.execute(select(SsoSession).where(SsoSession.user_id == siti))).scalars().all()
        assert all((row.address, row.user_agent, row.device_hash) == (None, None, None) for row in rows)
        events = (await session.execute(select(AuditEvent).where(AuditEvent.subject == str(siti)))).scalars().all()
        assert len(events) > 2
        assert all(event.address is None and event.data == {} for event in events if event.type != "user.deleted")
        report = await verify(session, city.provider.box)
    assert report.broken_at is None
    assert (await works_no_more(city)) == 400


async def works_no_more(city: City) -> int:
    async with city.browser() as browser:
        return (await here(city, browser)).status_code


async def test_what_was_redacted_cannot_be_altered_either(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open("/account/delete")
        await post(browser, "/account/delete", DELETE, page)
    await chain_audit_events(city.provider.db, city.provider.box)
    clock.advance(14 * 86400 + 1)
    await people_in_time(city.provider)
    await chain_audit_events(city.provider.db, city.provider.box)
    async with city.provider.db.write() as session:
        statement = select(AuditEvent).where(AuditEvent.redaction.is_not(None)).order_by(AuditEvent.seq).limit(1)
        event = (await session.execute(statement)).scalar_one()
        event.type = "something.else"
        where = event.seq
    async with city.provider.db.read() as session:
        assert (await verify(session, city.provider.box)).broken_at == where


async def test_the_last_administrator_cannot_leave(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "ratna")
        page = await browser.open("/account/delete")
        answer = await post(browser, "/account/delete", DELETE, page)
    assert answer.status_code == 409


async def test_the_pages_are_small(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        for path in PAGES:
            assert len((await browser.open(f"/account{path}")).content) < 24_000, path
