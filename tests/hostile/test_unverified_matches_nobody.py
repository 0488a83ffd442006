"""What somebody only typed, or an import does not vouch for, matches nobody and keeps nobody out (SECURITY.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select, update
from tests.api.conftest import Api, person_with
from tests.citizens import SENDING, last_code, post
from tests.support import Browser, City
from tests.web.test_developer import signed_in

from sso import clock
from sso.identity.authn.legacy_hashes import taken_over
from sso.identity.users import store
from sso.identity.users.identifiers import nik_lookup
from sso.identity.users.importing import PURPOSE, Options, import_file
from sso.identity.users.models import Identifier, MergeProposal
from sso.platform.db import new_id
from sso.platform.security.instance_secrets import instance_secret

NIK, OTHER = "3671014104900001", "3671014104900002"
MAIL = "siti@warga.example"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


async def imported(city: City, path: Path, *rows: dict[str, Any], verified: tuple[str, ...] = ()) -> list[str]:
    """Take rows over, and return why rows were rejected."""
    file, rejected = path / f"{new_id()}.jsonl", list[str]()
    file.write_text("\n".join(json.dumps(row) for row in rows))
    options = Options("sehat", frozenset(verified))
    await import_file(
        city.provider.db,
        city.provider.box,
        file,
        options,
        taken_over,
        reject=lambda *arguments: rejected.append(arguments[2]),
    )
    return rejected


async def type_nik(browser: Browser, nik: str) -> None:
    """Say on one's own page that a NIK is one's own."""
    answer = await post(
        browser, "/account/contacts", {"choice": "nik", "nik": nik}, await browser.open("/account/contacts")
    )
    assert "3671" in answer.text


async def holders(city: City, lookup: str) -> dict[str, bool]:
    """Return who has an identifier, by user id, and whether it is verified."""
    async with city.provider.db.read() as session:
        identifiers = (await session.execute(select(Identifier).where(Identifier.lookup == lookup))).scalars().all()
    return {str(identifier.user_id): identifier.verified_at is not None for identifier in identifiers}


async def nik_of(city: City, nik: str) -> str:
    async with city.provider.db.read() as session:
        return nik_lookup(nik, await instance_secret(session, city.provider.box, "nik"))


async def waiting(admin: Api) -> list[dict[str, Any]]:
    proposals: list[dict[str, Any]] = (await admin.get("/merge-proposals"))["items"]
    return proposals


async def test_a_typed_nik_matches_no_imported_row_and_keeps_its_owner_from_nothing(city: City, tmp_path: Path) -> None:
    admin = await person_with(city, "admin")
    async with await signed_in(city, "budi") as budi:
        await type_nik(budi, NIK)
    rows = {"nik": NIK, "name": "Pemilik", "username": "pemilik", "local_user_id": "1", "email": "p@warga.example"}
    assert await imported(city, tmp_path, rows, verified=("nik",)) == []
    assert await waiting(admin) == []
    async with city.provider.db.read() as session:
        owner = await store.verified_user(session, "pemilik")
    assert owner is not None
    lookup, budis = await nik_of(city, NIK), str(city.users["budi"])
    assert await holders(city, lookup) == {budis: False, str(owner.id): True}
    users = (await admin.get("/users", identifier=NIK))["items"]
    assert [user["id"] for user in users] == [str(owner.id)]
    seen = {"document": "ktp", "document_number": NIK, "place": "MPP"}
    assert (await admin("POST", f"/users/{budis}/identity-checks", json=seen)).status_code == 409
    # A row with a NIK that nobody vouches for: it opens nothing, and finds nobody.
    assert await imported(city, tmp_path, {**rows, "username": "lain", "local_user_id": "2", "email": ""}) == []
    assert await waiting(admin) == []
    async with await signed_in(city, "siti") as siti:
        await type_nik(siti, OTHER)
    assert (await admin.get("/users", identifier=OTHER))["items"] == []
    new_user = {"username": "baru", "name": "Baru", "nik": OTHER, "nik_verified": True}
    assert (await admin("POST", "/users", json=new_user)).status_code == 201, (
        "what siti typed does not stand in the way"
    )
    lookup = await nik_of(city, OTHER)
    assert sorted((await holders(city, lookup)).values()) == [False, True]


@pytest.mark.parametrize("row_verified", [False, True])
async def test_only_what_is_verified_on_both_sides_proposes_a_merge(
    city: City, tmp_path: Path, row_verified: bool
) -> None:
    admin, verified = await person_with(city, "admin"), ("email",) if row_verified else ()
    rows = [
        {"email": MAIL, "name": "Siti", "username": "siti.lama", "local_user_id": "1"},  # she has verified it
        {"email": "budi@warga.example", "name": "Budi", "username": "budi.lama", "local_user_id": "2"},  # he has not
    ]
    assert await imported(city, tmp_path, *rows, verified=verified) == []
    proposals = await waiting(admin)
    assert [proposal["user_id"] for proposal in proposals] == ([str(city.users["siti"])] if row_verified else [])
    assert (await holders(city, MAIL)) == {str(city.users["siti"]): True}
    budis = await holders(city, "budi@warga.example")
    assert budis.pop(str(city.users["budi"])) is False
    assert list(budis.values()) == ([True] if row_verified else []), "who verifies it has it, whoever said so before"
    nothing_else = await imported(city, tmp_path, {"email": MAIL, "name": "Siti", "local_user_id": "3"})
    assert len(nothing_else) == 1
    if not row_verified:
        return
    # Between the proposal and the decision she gives the address up: nothing is the same any more.
    async with city.provider.db.write() as session:
        mine = (Identifier.user_id == city.users["siti"]) & (Identifier.kind == "email")
        await session.execute(update(Identifier).where(mine).values(verified_at=None))
    path = f"/merge-proposals/{proposals[0]['id']}/decision"
    assert (await admin("POST", path, json={"decision": "merged"})).status_code == 409
    async with city.provider.db.write() as session:
        mine = (Identifier.user_id == city.users["siti"]) & (Identifier.kind == "email")
        await session.execute(update(Identifier).where(mine).values(verified_at=Identifier.created_at))
    assert (await admin("POST", path, json={"decision": "merged"})).status_code == 200
    assert await holders(city, "siti.lama") == {str(city.users["siti"]): True}, "either user name signs in"


async def test_a_proposal_of_before_that_nothing_verified_supports_says_so_and_is_not_merged(city: City) -> None:
    admin = await person_with(city, "admin")
    row = {"name": "Budi", "identifiers": [["email", "budi@warga.example", False]], "password": "", "locale": None}
    row |= {"profile": {}, "roles": ["citizen"]}
    async with city.provider.db.write() as session:
        encrypted = city.provider.box.encrypt(orjson.dumps(row), PURPOSE)
        values = {"client_id": "sehat", "local_user_id": "9", "reasons": ["email"], "status": "open"}
        session.add(MergeProposal(user_id=city.users["budi"], encrypted=encrypted, created_at=clock.now(), **values))
    (proposal,) = await waiting(admin)
    assert [identifier["verified"] for identifier in proposal["identifiers"]] == [False]
    async with await signed_in(city, "ratna") as browser:
        assert "(belum terverifikasi)" in (await browser.open("/admin/imports")).text
    answer = await admin("POST", f"/merge-proposals/{proposal['id']}/decision", json={"decision": "merged"})
    assert answer.status_code == 409
    assert "verified" in answer.json()["detail"]
    dropped = await admin("POST", f"/merge-proposals/{proposal['id']}/decision", json={"decision": "dropped"})
    assert dropped.status_code == 200


async def test_who_verifies_a_contact_has_it_whoever_said_so_before(city: City) -> None:
    """budi says that an address is his; its owner registers with it. His unverified one is worth nothing then."""
    admin = await person_with(city, "admin")
    mail = "budi@warga.example"
    async with city.browser() as browser:
        page = await browser.open("/signup")
        page = await post(browser, "/signup", {"contact": mail, "agree": "1"}, page)
        page = await post(browser, "/signup", {"code": await last_code(city)}, page)
        done = await post(browser, "/signup", {"name": "Pemilik", "password": "perahu-hijau-menyapa-awan"}, page)
        assert done.status_code < 400
        assert browser.session is not None
    have = await holders(city, mail)
    assert have.pop(str(city.users["budi"])) is False
    assert list(have.values()) == [True]
    users = (await admin.get("/users", identifier=mail))["items"]
    assert [user["id"] for user in users] == list(have)
    tag = {"If-Match": await admin.etag(f"/users/{city.users['budi']}")}
    answer = await admin("PATCH", f"/users/{city.users['budi']}", json={"email_verified": True}, headers=tag)
    assert answer.status_code == 409, answer.text
    async with city.browser() as browser:
        page = await browser.submit(await browser.open("/login"), username=mail, password="kuda-laut-terbang-91")
        assert page.status_code == 400, "it is not budi who signs in by it"
