"""What officers and the helpdesk do for a person through the API, and what imported people become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import Api, person_with
from tests.citizens import NEW_PASSWORD, SENDING, here, identifiers, last_code, notices, post
from tests.support import City, query_of

from sso import clock
from sso.identity.authn.legacy_hashes import taken_over
from sso.identity.users import store
from sso.identity.users.importing import Options, import_file

NIK = "3671014104900001"
CHECK = {"document": "ktp", "document_number": NIK, "place": "MPP Kota Tangerang"}


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


async def test_an_officer_records_a_check_and_the_application_that_needs_it_opens(city: City) -> None:
    siti, officer = city.users["siti"], await person_with(city, "officer")
    answer = await officer("POST", f"/users/{siti}/identity-checks", json=CHECK)
    assert answer.status_code == 201, answer.text
    assert answer.json()["document_end"] == "0001"
    assert NIK not in answer.text
    party = city.relying_party("dinas")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid identity nik")
    assert tokens.claims()["acr"] == "urn:sso:identity:counter-verified"
    about = (await party.userinfo(tokens["access_token"])).json()
    assert about["nik"] == NIK
    assert about["identity_level"] == "urn:sso:identity:counter-verified"
    assert isinstance(about["identity_checked_at"], int)
    assert "identity_checked" in await notices(city)
    assert len(await officer.get(f"/users/{siti}/identity-checks")) == 1
    assert (await officer("DELETE", f"/users/{siti}/identity-checks")).status_code == 204
    about = (await party.userinfo(tokens["access_token"])).json()
    assert about["identity_level"] == "urn:sso:identity:contact-verified"


async def test_a_check_that_cannot_be_right(city: City, subtests: pytest.Subtests) -> None:
    officer = await person_with(city, "officer")
    numbers = ({"document_number": "3671"}, {"document_number": "3671013002900001"})
    for wrong in (*numbers, {"place": " "}, {"document": "x"}):
        with subtests.test(str(wrong)):
            answer = await officer("POST", f"/users/{city.users['siti']}/identity-checks", json={**CHECK, **wrong})
            assert answer.status_code in (409, 422)
            assert "identity_checked" not in await notices(city)


async def test_a_nik_is_one_persons(city: City) -> None:
    officer = await person_with(city, "officer")
    assert (await officer("POST", f"/users/{city.users['siti']}/identity-checks", json=CHECK)).status_code == 201
    answer = await officer("POST", f"/users/{city.users['lengkap']}/identity-checks", json=CHECK)
    assert answer.status_code == 409
    assert "another account has this NIK" in answer.text


async def test_nobody_checks_their_own_identity(city: City) -> None:
    officer = await person_with(city, "officer")
    answer = await officer("POST", f"/users/{city.users['budi']}/identity-checks", json=CHECK)
    assert answer.status_code == 409


async def test_the_helpdesk_makes_a_code_and_sees_nothing_else(city: City) -> None:
    helpdesk = await person_with(city, "helpdesk")
    answer = await helpdesk("POST", f"/users/{city.users['siti']}/recovery")
    assert answer.status_code == 201, answer.text
    code = answer.json()["code"]
    assert "helpdesk_recovery" in await notices(city)
    async with city.browser() as browser:
        page = await post(browser, "/recover", {"username": "siti"}, await browser.open("/recover"))
        page = await post(browser, "/recover", {"code": await last_code(city)}, page)
        assert "Kata sandi baru" in page.text
    assert len(code) == 14
    assert (await helpdesk("POST", f"/users/{city.users['siti']}/identity-checks", json=CHECK)).status_code == 403


# Imported people


async def imported(city: City, tmp_path: Path, *rows: dict[str, Any]) -> list[tuple[int, str, str]]:
    path, rejected = tmp_path / "p.jsonl", list[tuple[int, str, str]]()
    path.write_text("\n".join(json.dumps(row) for row in rows))
    await import_file(
        city.provider.db,
        city.provider.box,
        path,
        Options("sehat", frozenset({"email"})),
        taken_over,
        reject=lambda *rejection: rejected.append(rejection),
    )
    return rejected


async def proposals(api: Api) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.get("/merge-proposals"))["items"]
    return items


async def test_somebody_who_is_here_already_is_proposed_and_merged_by_a_person(city: City, tmp_path: Path) -> None:
    admin = await person_with(city, "admin")
    row = {"email": "siti@warga.example", "phone_number": "0857 2222 3333", "name": "Siti R", "local_user_id": "4711"}
    assert await imported(city, tmp_path, {**row, "birthdate": "1999-01-01", "nickname": "Iti"}) == []
    merge_proposals = await proposals(admin)
    assert (merge_proposals[0]["reasons"], merge_proposals[0]["user_id"]) == (["email"], str(city.users["siti"]))
    assert "+6285722223333" not in json.dumps(merge_proposals)
    answer = await admin("POST", f"/merge-proposals/{merge_proposals[0]['id']}/decision", json={"decision": "merged"})
    assert answer.json()["status"] == "merged"
    again = await admin("POST", f"/merge-proposals/{merge_proposals[0]['id']}/decision", json={"decision": "dropped"})
    assert again.status_code == 409
    async with city.provider.db.read() as session:
        known = {
            identifier.value: identifier.verified_at
            for identifier in await store.identifiers_of(session, city.users["siti"])
        }
    assert known["+6285722223333"] is None
    party = city.relying_party("sehat")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid profile")
    about = (await party.userinfo(tokens["access_token"])).json()
    assert (about["local_user_id"], about["birthdate"], about["nickname"]) == ("4711", "1990-04-21", "Iti")
    warga = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.sign_in(warga)
        answer = await post(browser, "/login/second", {"code": await last_code(city)}, page)
        tokens = await warga.exchange(query_of(answer.headers["location"])["code"])
    assert "local_user_id" not in (await warga.userinfo(tokens["access_token"])).json()


async def usernames_of(api: Api, user_id: object) -> dict[str, bool]:
    """Return the usernames of a user, and whether each is the primary one."""
    identifiers = (await api.get(f"/users/{user_id}"))["identifiers"]
    return {each["value"]: each["primary"] for each in identifiers if each["kind"] == "username"}


async def test_the_application_is_told_every_old_id_and_either_user_name_signs_in(city: City, tmp_path: Path) -> None:
    admin, siti = await person_with(city, "admin"), str(city.users["siti"])
    row = {"email": "siti@warga.example", "name": "Siti R"}
    for name, local in (("siti.dinas", "12"), ("BUDI", "9"), ("198501012010011001", "10")):
        assert await imported(city, tmp_path, {**row, "username": name, "local_user_id": local}) == []
    answers = []
    for proposal in sorted(
        await proposals(admin), key=lambda proposal: ["12", "9", "10"].index(proposal["local_user_id"])
    ):
        answer = await admin("POST", f"/merge-proposals/{proposal['id']}/decision", json={"decision": "merged"})
        answers.append(answer.json())
    assert [merged["username"] for merged in answers] == ["siti"] * 3
    assert [merged["other_usernames"] for merged in answers][::2] == [
        ["siti.dinas"],
        ["siti.dinas", "198501012010011001"],
    ]
    assert [merged["left_out"] for merged in answers] == [[], [{"kind": "username", "value": "budi"}], []]
    assert answers[2]["local_user_ids"] == ["12", "9", "10"]
    async with city.browser() as browser:
        await here(city, browser, "ratna")
        page = (await browser.open(f"/admin/imports?decided={answers[2]['id']}")).text
        assert "siti.dinas, 198501012010011001" in page
    party = city.relying_party("sehat")
    for name in ("siti", "Siti.Dinas", "198501012010011001", "19850101 201001 1 001"):
        async with city.browser() as browser:
            page = await browser.sign_in(party, name, scope="openid profile")
            if not page.is_redirect:
                page = await post(browser, "/login/second", {"code": await last_code(city)}, page)
            tokens = await party.exchange(query_of(page.headers["location"])["code"])
        about = (await party.userinfo(tokens["access_token"])).json()
        assert (about["preferred_username"], about["local_user_id"]) == ("siti", "12")
        assert about["local_user_ids"] == ["12", "9", "10"]
        clock.advance(61)
    # She puts another one first, and removes one.
    async with city.browser() as browser:
        page = await here(city, browser, "siti")
        if "/login/second" in str(page.url):
            await post(browser, "/login/second", {"code": await last_code(city)}, page)
        names = {
            identifier.value: str(identifier.id)
            for identifier in await identifiers(city)
            if identifier.kind == "username"
        }
        for choice in (f"primary {names['siti.dinas']}", f"remove {names['siti']}"):
            await post(browser, "/account/contacts", {"choice": choice}, await browser.open("/account/contacts"))
        assert "12, 9, 10" in (await browser.open("/account/applications")).text
        contacts = (await browser.open("/account/contacts")).text
        assert 'value="siti.dinas"' in contacts
    assert await usernames_of(admin, siti) == {
        "siti.dinas": True,
        "198501012010011001": False,
    }
    change = {"username": "198501012010011001"}
    headers = {"If-Match": await admin.etag(f"/users/{siti}")}
    assert (await admin("PATCH", f"/users/{siti}", json=change, headers=headers)).status_code == 200
    assert await usernames_of(admin, siti) == {
        "siti.dinas": False,
        "198501012010011001": True,
    }


async def test_two_who_are_two_are_kept_apart(city: City, tmp_path: Path) -> None:
    admin = await person_with(city, "admin")
    row = {"email": "siti@warga.example", "username": "siti.kedua", "name": "Siti Kedua", "local_user_id": "1"}
    await imported(city, tmp_path, row)
    merge_proposals = await proposals(admin)
    answer = await admin("POST", f"/merge-proposals/{merge_proposals[0]['id']}/decision", json={"decision": "separate"})
    assert answer.status_code == 200
    async with city.provider.db.read() as session:
        user = await store.find_user(session, "siti.kedua")
        assert user is not None
        assert [identifier.kind for identifier in await store.identifiers_of(session, user.id)] == ["username"]
        assert [account.local_user_id for account in await store.local_accounts_of(session, user.id)] == ["1"]


async def test_what_leaves_nothing_to_sign_in_with_cannot_be_separate(city: City, tmp_path: Path) -> None:
    admin = await person_with(city, "admin")
    await imported(city, tmp_path, {"email": "siti@warga.example", "name": "Siti"})
    merge_proposals = await proposals(admin)
    answer = await admin("POST", f"/merge-proposals/{merge_proposals[0]['id']}/decision", json={"decision": "separate"})
    assert answer.status_code == 409
    dropped = await admin("POST", f"/merge-proposals/{merge_proposals[0]['id']}/decision", json={"decision": "dropped"})
    assert dropped.status_code == 200


async def test_the_password_of_the_other_application_never_opens_this_account(city: City, tmp_path: Path) -> None:
    from passlib.hash import hex_md5

    admin = await person_with(city, "admin")
    await imported(
        city, tmp_path, {"email": "siti@warga.example", "name": "S", "password_hash": hex_md5.hash(NEW_PASSWORD)}
    )
    merge_proposals = await proposals(admin)
    await admin("POST", f"/merge-proposals/{merge_proposals[0]['id']}/decision", json={"decision": "merged"})
    async with city.browser() as browser:
        assert (await browser.sign_in(city.relying_party("warga"), password=NEW_PASSWORD)).status_code == 400


async def test_a_nik_that_nobody_checked_is_told_to_no_application(city: City) -> None:
    officer = await person_with(city, "officer")
    seen = {"document": "passport", "document_number": "A1234567", "place": "MPP"}
    assert (await officer("POST", f"/users/{city.users['siti']}/identity-checks", json=seen)).status_code == 201
    party = city.relying_party("dinas")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid identity nik")
        page = await browser.open("/account/contacts")
        await post(browser, "/account/contacts", {"choice": "nik", "nik": NIK}, page)
    about = (await party.userinfo(tokens["access_token"])).json()
    assert "nik" not in about
    assert about["identity_level"] == "urn:sso:identity:counter-verified"
