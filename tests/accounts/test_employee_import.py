"""Taking employees over from a personnel system."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from tests.accounts.test_employees import (
    NIP,
    OTHER_NIP,
    application,
    cancelled_membership,
    facts,
    hire,
    signs_in,
    unit,
)  # fmt: skip
from tests.arranged import sign_in
from tests.citizens import SENDING, form_at
from tests.support import City

from sso import clock
from sso.accounts import employees as employments
from sso.accounts.employee_import import ImportRequest, LineResult, Outcome, TooManyEnd, import_employees
from sso.accounts.merging import decide_proposal
from sso.errors import Refusal
from sso.identity.employees.models import Employment
from sso.identity.employees.rows import EmployeeFile, RowWrong, check_columns, read_lines, read_row
from sso.identity.users import store
from sso.identity.users.models import Identifier, MergeProposal, User
from sso.identity.users.service import UserError, encrypt_nik
from sso.platform.actor import CLI, Actor

NIK = "3671014101850002"
HEADER = ("NIP", "Nama", "NIK", "Email", "Kode Unit", "Jabatan", "Golongan", "Status Pegawai", "TMT", "Sampai")
SITI = (NIP, "Siti Rahmawati", NIK, "", "PKM-CPD", "Perawat", "III/b", "PNS", "01-01-2010", "")
NEW = (OTHER_NIP, "Rudi Hartono", "", "rudi@dinas.example", "DINKES", "Analis", "IX", "PPPK", "2024-02-01", "")


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {**SENDING, "risk_based_second_factor": "none"}


def written(path: Path, *rows: tuple[str, ...], header: tuple[str, ...] = HEADER, delimiter: str = ";") -> EmployeeFile:
    """Write a file as a personnel system does, and return it with its columns."""
    file = path / "pegawai.csv"
    with file.open("w", newline="", encoding="utf-8-sig") as opened:
        csv.writer(opened, delimiter=delimiter).writerows([header, *rows])
    return check_columns(EmployeeFile(file, verified=frozenset({"nik", "email"})))[0]


async def run(city: City, file: EmployeeFile, **options: Any) -> tuple[Outcome, dict[int, LineResult]]:
    """Import a file, and return the counts and the result of each line."""
    lines: dict[int, LineResult] = {}
    request = ImportRequest(file, "Data SIMPEG", options.pop("actor", CLI), **options)
    outcome = await import_employees(city.provider, request, report=lambda result: lines.update({result.line: result}))
    return outcome, lines


async def prove_nik(city: City, name: str = "siti") -> None:
    """Give a user a verified NIK."""
    now = clock.now()
    async with city.provider.db.write() as session:
        row = Identifier(user_id=city.users[name], kind="nik", is_primary=True, created_at=now, value="", lookup="")
        encrypt_nik(row, NIK, city.provider.nik_key, city.provider.box)
        row.verified_at = now
        session.add(row)


async def units(city: City) -> None:
    """Add the units of the files."""
    await unit(city)
    await unit(city, "DINKES", "Dinas Kesehatan")


async def test_employees_are_linked_created_and_found_again(city: City, tmp_path: Path) -> None:
    await units(city)
    await prove_nik(city)
    file = written(tmp_path, SITI, NEW)
    outcome, lines = await run(city, file, dry_run=True)
    assert [lines[line].result for line in (2, 3)] == ["linked", "created"]
    assert not await signs_in(city, NIP), "a dry run changes nothing"
    outcome, _ = await run(city, file)
    assert (outcome.counts["linked"], outcome.counts["created"]) == (1, 1)
    assert await signs_in(city, NIP)
    assert await facts(city) == (["citizen", "employee"], [("Perawat", True)])
    async with city.provider.db.read() as session:
        (created,) = (await session.execute(select(User).where(User.name == "Rudi Hartono"))).scalars()
        known = {row.kind: row.verified_at is not None for row in await store.identifiers_of(session, created.id)}
        assert known == {"nip": True, "email": True}
        assert await store.roles_of(session, created.id) == ["citizen", "employee"]
    outcome, _ = await run(city, file)
    assert outcome.counts["unchanged"] == 2
    moved = (*SITI[:4], "DINKES", "Kepala Seksi", *SITI[6:])
    outcome, _ = await run(city, written(tmp_path, moved, NEW))
    assert (outcome.counts["changed"], outcome.counts["unchanged"]) == (1, 1)
    assert (await facts(city))[1] == [("Perawat", False), ("Kepala Seksi", True)]


async def test_a_complete_list_ends_the_employments_of_others_within_a_limit(city: City, tmp_path: Path) -> None:
    await units(city)
    await application(city)
    await prove_nik(city)
    await run(city, written(tmp_path, SITI, NEW))
    await hire(city, "budi", nip="198001012005011003")
    async with city.provider.db.write() as session:
        await session.execute(
            update(Employment).where(Employment.user_id == city.users["budi"]).values(source="manual")
        )
    rest = written(tmp_path, NEW)
    assert (await run(city, rest))[0].ended == 0, "a partial list ends nothing"
    outcome, _ = await run(city, rest, complete=True, dry_run=True)
    assert outcome.ended == 1
    with pytest.raises(TooManyEnd, match="1 of 2 employments would end"):
        await run(city, rest, complete=True)
    assert await signs_in(city, NIP)
    outcome, _ = await run(city, rest, complete=True, confirmed=True)
    assert outcome.ended == 1
    assert await facts(city) == (["citizen"], [("Perawat", False)])
    assert (await facts(city, "budi"))[0] == ["citizen", "employee"], "an officer recorded it, not the import"
    broken = written(tmp_path, NEW, ("1.98501E+17", *SITI[1:]))
    with pytest.raises(Refusal, match=r"the first is line 3"):
        await run(city, broken, complete=True)


async def test_nobody_takes_an_account_over_by_a_row(city: City, tmp_path: Path) -> None:
    """A NIK that nobody has proven, a user name or a contact is not enough: somebody decides."""
    await units(city)
    now = clock.now()
    async with city.provider.db.write() as session:
        name = {"kind": "username", "value": NIP, "lookup": NIP, "is_primary": False}
        session.add(Identifier(user_id=city.users["budi"], created_at=now, verified_at=now, **name))
    file = written(tmp_path, SITI)
    outcome, _ = await run(city, file)
    assert (outcome.counts["proposed"], (await facts(city, "budi"))[0]) == (1, ["citizen"])
    assert (await run(city, file))[1][2].text == "waits for a decision"
    async with city.provider.db.read() as session:
        (proposal,) = (await session.execute(select(MergeProposal))).scalars()
    assert (proposal.user_id, proposal.reasons) == (city.users["budi"], ["nip"])
    with pytest.raises(UserError, match=r"NIP|has no identifier of its own"):
        async with city.provider.db.write() as session:
            await decide_proposal(session, city.provider, proposal.id, "separate", actor=CLI)
    async with city.provider.db.write() as session:
        await decide_proposal(session, city.provider, proposal.id, "merged", actor=CLI)
    assert await facts(city, "budi") == (["citizen", "employee"], [("Perawat", True)])
    assert (await run(city, file))[0].counts["unchanged"] == 1
    # Another NIK than the one that was proven here names somebody else.
    async with city.provider.db.write() as session:
        claimed = (Identifier.user_id == city.users["budi"]) & (Identifier.kind == "nik")
        await session.execute(update(Identifier).where(claimed).values(verified_at=now))
    other = written(tmp_path, (NIP, "Siti", "3671014101850003", *SITI[3:]))
    assert (await run(city, other))[1][2].result == "rejected"


async def test_a_page_takes_a_file_of_its_size(city: City, tmp_path: Path) -> None:
    """Larger than other forms may be."""
    file = tmp_path / "pegawai.csv"
    rows = [(f"19850101201001{number:04}", "Pegawai " + "x" * 80, *SITI[2:]) for number in range(700)]
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened, delimiter=";").writerows([HEADER, *rows])
    assert file.stat().st_size > city.settings.max_body_size
    async with city.browser() as browser:
        await sign_in(city, browser, "ratna")
        form = form_at(await browser.open("/admin/employees"), "/admin/employees")
        files = {"file": ("pegawai.csv", file.read_bytes(), "text/csv")}
        answer = await browser.http.post("/admin/employees", data=form, files=files)
    assert answer.status_code == 200, answer.text


async def test_an_officer_does_not_import_the_own_employment(city: City, tmp_path: Path) -> None:
    await units(city)
    await prove_nik(city)
    file, officer = written(tmp_path, SITI, NEW), Actor(str(city.users["siti"]))
    for dry_run in (True, False):
        _, lines = await run(city, file, actor=officer, dry_run=dry_run)
        assert (lines[2].result, lines[2].text) == ("rejected", "nobody confirms their own employment")
        assert lines[3].result == "created"
    assert await facts(city) == (["citizen"], [])
    assert (await run(city, file))[1][2].result == "linked", "somebody else imports it"
    extended = written(tmp_path, (*SITI[:-1], "31-12-2099"), NEW)
    _, lines = await run(city, extended, actor=officer)
    assert [lines[line].result for line in (2, 3)] == ["rejected", "unchanged"]
    assert (await run(city, written(tmp_path, SITI, NEW), actor=officer))[1][2].result == "unchanged"
    # Nor by a proposal.
    now = clock.now()
    async with city.provider.db.write() as session:
        name = {"kind": "username", "value": "198001012005011003", "lookup": "198001012005011003", "is_primary": False}
        session.add(Identifier(user_id=city.users["budi"], created_at=now, verified_at=now, **name))
    await run(city, written(tmp_path, ("198001012005011003", "Budi", "", *SITI[3:])))
    async with city.provider.db.read() as session:
        (proposal,) = (await session.execute(select(MergeProposal))).scalars()
    own = Actor(str(city.users["budi"]))
    with pytest.raises(UserError, match="their own employment"):
        async with city.provider.db.write() as session:
            await decide_proposal(session, city.provider, proposal.id, "merged", actor=own)


async def test_each_row_that_is_wrong_is_named_with_the_reason(city: City, tmp_path: Path) -> None:
    await unit(city)
    file = written(
        tmp_path,
        ("198513012010011001", *SITI[1:]),
        (OTHER_NIP, *SITI[1:4], "TIDAK-ADA", *SITI[5:]),
        (*SITI[:7], "pensiunan", *SITI[8:]),
        (*SITI[:8], "31-02-2020", ""),
        SITI,
        SITI,
        ("", *SITI[1:]),
    )
    _, lines = await run(city, file)
    assert {line: result.text.partition(":")[0] for line, result in lines.items() if result.result == "rejected"} == {
        2: "nip", 3: "unit_code", 4: "employment_status", 5: "from", 7: "nip", 8: "nip",
    }  # fmt: skip
    assert lines[6].result == "created"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"nip": "198501012010011000"}, "a spreadsheet may have destroyed"),
        ({"nip": "1.98501E+17"}, "rewritten by a spreadsheet"),
        ({"old_nip": "13011940"}, "9 digits"),
        ({"until": "2009-12-31"}, "ends before it begins"),
        ({"name": "<b>"}, "name: must have"),
        ({"name": "Si\u202eti"}, "name"),
        ({"nik": "123"}, "nik: a NIK has 16 digits"),
        ({"grade": "x" * 41}, "more than 40"),
    ],
)
def test_a_row_is_read_strictly(given: dict[str, str], text: str) -> None:
    right = {"nip": NIP, "name": "Siti", "employment_status": "PNS", "from": "2010-01-01"}
    assert read_row(2, right, "Asia/Jakarta").nip == NIP
    with pytest.raises(RowWrong, match=text):
        read_row(2, {**right, **given}, "Asia/Jakarta")


def test_days_are_days_of_the_city(tmp_path: Path) -> None:
    row = (*SITI[:8], "01/02/2010", "2026-12-31")
    (line,) = read_lines(written(tmp_path, row, delimiter=","))
    assert line.row is not None
    assert [str(at) for at in (line.row.valid_from, line.row.valid_until)] == [
        "2010-01-31 17:00:00+00:00", "2026-12-31 17:00:00+00:00",
    ]  # fmt: skip
    with pytest.raises(Refusal, match="no column name"):
        written(tmp_path, row, header=("NIP", "X", *HEADER[2:]))


async def test_a_complete_list_goes_on_after_a_user_whose_employment_cannot_end(
    city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await units(city)
    await run(city, written(tmp_path, SITI, NEW))
    async with city.provider.db.read() as session:
        held = select(Identifier.lookup, Identifier.user_id).where(Identifier.kind == "nip")
        who = {row.lookup: row.user_id for row in (await session.execute(held)).all()}
    await cancelled_membership(city, who[NIP], await unit(city, "KEL"))
    left = written(tmp_path, (*SITI[:9], "2026-01-01"), NEW)
    outcome, lines = await run(city, left)
    assert (lines[2].result, lines[2].text) == ("changed", "")
    await run(city, written(tmp_path, SITI, NEW))
    end = employments.end_nip

    async def fails_once(session: Any, user: User, *more: Any) -> None:
        if user.id == min(who.values()):
            raise UserError("this one cannot end")
        await end(session, user, *more)

    monkeypatch.setattr(employments, "end_nip", fails_once)
    third = ("197001011995031001", "Ani", "", "", "DINKES", "Analis", "IX", "PNS", "", "")
    outcome, _ = await run(city, written(tmp_path, third), complete=True, confirmed=True)
    assert (outcome.ended, outcome.not_ended, outcome.counts["created"]) == (1, 1, 1)


async def test_a_proposal_follows_the_newest_file(city: City, tmp_path: Path) -> None:
    await units(city)
    now = clock.now()
    async with city.provider.db.write() as session:
        name = {"kind": "username", "value": NIP, "lookup": NIP, "is_primary": False}
        session.add(Identifier(user_id=city.users["budi"], created_at=now, verified_at=now, **name))
    gone = (*SITI[:9], "2026-01-01")
    assert (await run(city, written(tmp_path, gone)))[1][2].text == "the employment is over"
    await run(city, written(tmp_path, SITI))
    _, lines = await run(city, written(tmp_path, gone))
    assert (lines[2].result, lines[2].text) == ("changed", "the employment is over: the proposal is withdrawn")
    async with city.provider.db.read() as session:
        assert (await session.execute(select(MergeProposal))).first() is None
    await run(city, written(tmp_path, SITI))
    await run(city, written(tmp_path, (*SITI[:4], "DINKES", "Kepala Seksi", *SITI[6:])))
    async with city.provider.db.write() as session:
        proposal_id = (await session.execute(select(MergeProposal.id))).scalar_one()
        await decide_proposal(session, city.provider, proposal_id, "merged", actor=CLI)
    assert await facts(city, "budi") == (["citizen", "employee"], [("Kepala Seksi", True)])


async def test_a_complete_list_keeps_the_employees_that_it_brings(city: City, tmp_path: Path) -> None:
    await units(city)
    await prove_nik(city)
    file = written(tmp_path, SITI, NEW)
    outcome, _ = await run(city, file, complete=True)
    assert (outcome.counts["linked"], outcome.counts["created"], outcome.ended) == (1, 1, 0)
    assert (await facts(city))[0] == ["citizen", "employee"]
    assert await signs_in(city, NIP)
