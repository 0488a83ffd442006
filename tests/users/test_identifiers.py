"""What people sign in with, in the one form under which it is found."""

from __future__ import annotations

import itertools
from typing import Any

import pyotp
import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from tests.api.conftest import person_with
from tests.citizens import SENDING, here, post, sent
from tests.db.test_migrations import _dump
from tests.support import PASSWORD, SECRET_KEY, City, query_of

from sso import clock
from sso.identity.authn.factors import add_totp, check_totp, new_totp_seed, reencrypt_seeds
from sso.identity.authn.passwords import Passwords
from sso.identity.users.importing import PURPOSE
from sso.identity.users.merge_proposals import reencrypt_users
from sso.identity.users.models import Identifier, MergeProposal
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import UserError, create_users, find, open_nik
from sso.identity.users.store import credentials_of, identifiers_of
from sso.platform.security.encryption import SecretBox

NIK = "3671014104900001"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {**SENDING, "risk_based_second_factor": "none"}


async def test_an_identifier_belongs_to_one_person(city: City) -> None:
    for names, wrong in ((("SITI", "baru"), "siti"), (("dua", "DUA"), "dua")):
        people = [NewUser(username=name, name=name) for name in names]
        with pytest.raises(UserError, match=f"{wrong} is already used"):
            async with city.provider.db.write() as session:
                await create_users(session, people)


async def test_a_nik_is_sealed_found_and_shown_masked(city: City) -> None:
    async with city.provider.db.write() as session:
        person = NewUser(username="nina", name="Nina", nik=NIK, nik_verified=True)
        nina = (await create_users(session, [person], box=city.provider.box))[0]
    async with city.provider.db.read() as session:
        assert (await find(session, "3671 0141 0490 0001", city.provider.box)).id == nina.id
        nik = next(identifier for identifier in await identifiers_of(session, nina.id) if identifier.kind == "nik")
        assert (nik.value, open_nik(nik, city.provider.box)) == ("3671••••••••0001", NIK)
        with pytest.raises(UserError):
            await find(session, "3671014104900002", city.provider.box)
    assert NIK not in await _dump(city.provider.db)
    with pytest.raises(UserError, match="the NIK is already used"):
        async with city.provider.db.write() as session:
            again = NewUser(username="lain", name="Lain", nik=NIK)
            await create_users(session, [again], box=city.provider.box)


async def test_one_signs_in_with_a_nik_that_was_checked_and_with_no_other(city: City) -> None:
    hashed = await Passwords(city.settings).hash(PASSWORD)
    async with city.provider.db.write() as session:
        for name, nik, verified in (("nina", NIK, True), ("nani", "3671014104900003", False)):
            person = NewUser(username=name, name=name, nik=nik, nik_verified=verified, password_hash=hashed)
            await create_users(session, [person], box=city.provider.box)
    async with city.browser() as browser:
        assert "code" in query_of((await browser.sign_in(city.relying_party("warga"), NIK)).headers["location"])
    async with city.browser() as browser:
        assert (await browser.sign_in(city.relying_party("warga"), "3671014104900003")).status_code == 400


async def test_numbers_and_codes_are_read_the_same_way_wherever_they_are_taken(city: City) -> None:
    api, numbers = await person_with(city, "admin", name="ratna"), itertools.count(1)

    async def create(**about: Any) -> tuple[int, dict[str, Any]]:
        answer = await api("POST", "/users", json={"username": f"orang{next(numbers)}", "name": "Orang", **about})
        return answer.status_code, answer.json()

    landline = {"phone_number": "(021) 555-0100 ext. 7", "phone_number_verified": True}
    status, created = await create(**landline, email="kantor@warga.example", email_verified=True)
    assert (status, created["identifiers"][2]["value"], created["warnings"]) == (201, "+62215550100;ext=7", [])
    for spelling in ("021-5550100 x7", "tel:+62-21-555-0100;ext=7"):
        assert (await create(phone_number=spelling, phone_number_verified=True))[0] == 409
    assert (await create(phone_number="0215550100", phone_number_verified=True))[0] == 201
    for wrong in ("81277770003.0", "8.12E+11", "8,12E+11", "-", "NULL", "0812 7777 0003 / 0813 7777 0003"):
        assert (await create(phone_number=wrong))[0] == 422, wrong
    assert (await create(phone_number="+62-21-555", phone_number_verified=True))[0] == 409
    codes = {"locale": "IN_id", "nik": "9971014104900001"}
    profile = {"zoneinfo": "asia/jakarta", "address": {"country": "xx"}}
    status, created = await create(phone_number="+62-21-555", **codes, profile=profile)
    assert (status, created["locale"], created["profile"]["zoneinfo"]) == (201, "id-ID", "Asia/Jakarta")
    fields = [warning.partition(":")[0] for warning in created["warnings"]]
    assert fields == ["phone_number", "nik", "profile.address.country"]
    path, headers = f"/users/{created['id']}", {"If-Match": await api.etag(f"/users/{created['id']}")}
    change = {"phone_number_verified": True}
    assert (await api("PATCH", path, json=change, headers=headers)).status_code == 409
    checked = {"document": "ktp", "document_number": "9971014104900001", "place": "MPP"}
    answer = await api("POST", f"{path}/identity-checks", json=checked)
    assert (answer.status_code, "province 99" in answer.json()["warnings"][0]) == (201, True)
    assert (await create(locale="bahasa indonesia"))[0] == 422
    # A landline is promised no SMS, and a number that does not exist is never proven.
    for typed, text in (("021 5550199", "SMS"), ("8.12E+11", "0812 3456"), ("+62-21-555", "0812 3456")):
        async with city.browser() as browser:
            page = await browser.open("/signup?lang=en")
            page = await post(browser, "/signup", {"contact": typed, "agree": "1"}, page)
            assert (page.status_code, text in page.text) == (400, True), typed
        async with city.browser() as browser:
            await here(city, browser, "siti")
            page = await browser.open("/account/contacts?lang=en")
            page = await post(browser, "/account/contacts", {"choice": "add", "contact": typed}, page)
            assert (page.status_code, text in page.text) == (400, True), typed
    async with city.browser() as browser:
        page = await browser.open("/recover")
        await post(browser, "/recover", {"username": "+62 21 555 0100 pes. 7"}, page)
    assert [(message["kind"], message["to"]) for message in await sent(city) if "to" in message][-1:] == [
        ("email", "kantor@warga.example")
    ]
    # Languages of pages, by any spelling of the tag.
    party = city.relying_party("warga")
    for tags, language in (("in", "id"), ("ind", "id"), ("EN_us", "en"), ("fr id-ID", "id"), ("eng", "en")):
        async with city.browser() as browser:
            page = await browser.open(party.url(ui_locales=tags))
            assert f'<html lang="{language}"' in page.text, tags


async def test_several_may_say_what_nobody_has_proven_and_who_proves_it_has_it(city: City) -> None:
    now = clock.now()
    async with city.provider.db.write() as session:
        for name in ("siti", "budi"):
            email = {"kind": "email", "value": "dua@warga.example", "lookup": "dua@warga.example"}
            session.add(Identifier(user_id=city.users[name], created_at=now, **email))
    async with city.provider.db.read() as session:
        with pytest.raises(UserError, match="nobody has the verified identifier"):
            await find(session, "dua@warga.example")
    async with city.provider.db.write() as session:
        mine = Identifier.lookup == "dua@warga.example", Identifier.user_id == city.users["budi"]
        await session.execute(update(Identifier).where(*mine).values(verified_at=now))
    async with city.provider.db.read() as session:
        assert (await find(session, "dua@warga.example")).id == city.users["budi"]
    with pytest.raises(IntegrityError):
        async with city.provider.db.write() as session:
            mine = Identifier.lookup == "dua@warga.example", Identifier.user_id == city.users["siti"]
            await session.execute(update(Identifier).where(*mine).values(verified_at=now))


async def test_what_is_sealed_of_people_is_sealed_anew(city: City) -> None:
    new = SecretBox([b"another secret of more than 32 characters"])
    both = SecretBox([b"another secret of more than 32 characters", SECRET_KEY.encode()])
    siti, seed = city.users["siti"], new_totp_seed()
    async with city.provider.db.write() as session:
        await create_users(session, [NewUser(username="nina", name="Nina", nik=NIK)], box=city.provider.box)
        await add_totp(session, city.provider.box, siti, seed, 1)
        row = {"user_id": siti, "reasons": ["nik"], "status": "open", "created_at": clock.now()}
        session.add(MergeProposal(**row, encrypted=city.provider.box.encrypt(b"{}", PURPOSE)))
    async with city.provider.db.write() as session:
        assert await reencrypt_users(session, both) + await reencrypt_seeds(session, both) == 3
    async with city.provider.db.write() as session:
        assert await reencrypt_users(session, both) + await reencrypt_seeds(session, both) == 0
        nina = await find(session, "nina")
        nik = next(identifier for identifier in await identifiers_of(session, nina.id) if identifier.kind == "nik")
        assert open_nik(nik, new) == NIK
        app = next(credential for credential in await credentials_of(session, siti) if credential.kind == "totp")
        assert await check_totp(session, new, app, pyotp.TOTP(seed).at(clock.timestamp()))
