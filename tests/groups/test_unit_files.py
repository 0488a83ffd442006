"""Files of units: what is read, what is told of each line, and that a file is applied whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.groups.test_units import check_tree
from tests.groups.units import ACTOR, events, join, listening, parents, tree
from tests.support import City, Statements

from sso.accounts.group_files import (
    UnitFileRefused,
    UnitPlan,
    apply_plan,
    as_yaml,
    make_plan,
    read_units_csv,
    read_units_yaml,
)
from sso.errors import Refusal
from sso.identity.groups import tree as units

ZONE = "Asia/Jakarta"


def written(folder: Path, text: str | bytes, name: str = "unit.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("code,name_id,warna\nA,Dinas A,biru\n", "The column “warna” is unknown"),
        ("code,parent_code\nA,B\n", "The column “name_id” is missing"),
        ("code,name_id\n", "no units"),
        ("code,name_id\nA,Dinas Ké\n".encode("cp1252"), "is not UTF-8"),
        (b"PK\x03\x04unit", "Excel workbook: save the sheet as CSV UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str | bytes, refusal: str) -> None:
    with pytest.raises(Refusal, match=refusal):
        read_units_csv(written(tmp_path, text), ZONE)


@pytest.mark.parametrize(
    "data",
    [
        "code;name_id;valid_until\nA;Dinas Ké;2026-12-31\n".encode("utf-8-sig"),
        "code\tname_id\tvalid_until\nA\tDinas Ké\t2026-12-31\n".encode("utf-16"),
        'sep=,\r\ncode,name_id,valid_until\r\nA,"Dinas Ké",2026-12-31\r\n'.encode(),
    ],
)
def test_delimiters_and_encodings_of_spreadsheets_are_read(tmp_path: Path, data: bytes) -> None:
    (entry,), mistakes = read_units_csv(written(tmp_path, data), ZONE)
    assert not mistakes
    assert (entry.new.code, entry.new.name_id) == ("A", "Dinas Ké")
    assert str(entry.new.valid_until) == "2026-12-31 17:00:00+00:00", "the last day belongs to it, in the city's time"


async def planned(city: City, path: Path, *, apply: bool = False) -> UnitPlan:
    read = read_units_yaml if path.suffix == ".yaml" else read_units_csv
    entries, mistakes = read(path, ZONE)
    async with city.provider.db.write() as session:
        await units.lock_tree(session)
        plan = await make_plan(session, entries, mistakes)
        if apply:
            await apply_plan(session, city.provider, plan, name=path.name, actor=ACTOR, reason="SOTK 2026")
    return plan


async def test_every_error_is_told_with_its_line(city: City, tmp_path: Path) -> None:
    await tree(city)
    lines = [
        "code,name_id,parent_code,valid_from,valid_until", "A,Dinas A,B,,", "B,Bidang B,C,,", "C,Seksi C,A,,",
        "D d,Dinas D,,,", "E,,,,", "A,Dinas A lagi,,,", "F,Dinas F,TIDAK-ADA,,", "G,Dinas G,,31/12/2026,",
        "H,Dinas H,,2026-02-01,2026-01-31", 'I,"Dinas I,,,', "J,Dinas J", "K,<b>,,,",
        "DINKES,Dinas Kesehatan,PKM-1,,",
    ]  # fmt: skip
    plan = await planned(city, written(tmp_path, "\n".join(lines) + "\n"))
    messages = [str(mistake) for mistake in plan.mistakes]
    for expected in (
        "line 2: parent_code: The units are below one another in a circle: A < B < C < A",
        "line 3: parent_code: The units are below", "line 4: parent_code: The units are below",
        "line 5: code: The value is not valid", "line 6: name_id: The value is missing",
        "line 7: code: The code is also on line 2", "line 8: parent_code: No unit has the code TIDAK-ADA",
        "line 9: valid_from: Write the day", "line 10: valid_until: The last day is before", "line 11: The line cannot",
        "line 12: The line cannot be read: has 2 values for 5 columns", "line 13: name_id: The value is not valid",
        "line 14: parent_code: The units are below one another in a circle: DINKES < PKM-1 < DINKES",
    ):  # fmt: skip
        assert any(text.startswith(expected) for text in messages), (expected, messages)
    assert plan.changes == []


async def test_a_file_creates_changes_and_moves_in_any_order_and_once(city: City, tmp_path: Path) -> None:
    ids, listener = await tree(city), await listening(city)
    await join(city, "siti", ids["PKM-1"])
    await listener.groups()
    text = (
        "code,name_id,name_en,parent_code\nPKM-3,Puskesmas 3,,BIDANG\nBIDANG,Bidang Yankes,Services,DINKES\n"
        "PKM-1,Puskesmas 1,Clinic 1,BIDANG\nDINKES,Dinas Kesehatan,,DISDIK\nDISDIK,Unit DISDIK,,KOTA\n"
        "BARU,Unit baru,,\n"
    )
    path = written(tmp_path, text)
    assert (await planned(city, path)).counted() == {"create": 3, "update": 0, "move": 2, "unchanged": 1}
    assert "BIDANG" not in await parents(city)
    await planned(city, path, apply=True)
    assert await listener.groups() == [["BIDANG", "DINKES", "DISDIK", "KOTA", "PKM-1"]]
    assert await parents(city) == {
        "KOTA": None, "DISDIK": "KOTA", "DINKES": "DISDIK", "PKM-2": "DINKES", "BIDANG": "DINKES", "PKM-1": "BIDANG",
        "PKM-3": "BIDANG", "BARU": None,
    }  # fmt: skip
    await check_tree(city)
    assert (await planned(city, path)).counted() == {"create": 0, "update": 0, "move": 0, "unchanged": 6}
    (event,) = await events(city, "groups.imported")
    assert event.data["counts"] == {"create": 3, "update": 0, "move": 2, "unchanged": 1}
    assert event.data["note"] == "SOTK 2026"
    swapped = written(tmp_path, "code,name_id,parent_code\nDISDIK,Unit DISDIK,DINKES\nDINKES,Dinas Kesehatan,KOTA\n")
    await planned(city, swapped, apply=True)
    assert (await parents(city))["DISDIK"] == "DINKES"
    await check_tree(city)


async def test_a_unit_is_not_closed_above_open_ones(city: City, tmp_path: Path) -> None:
    ids, listener = await tree(city), await listening(city)
    await join(city, "siti", ids["PKM-1"])
    await listener.groups()
    path = written(tmp_path, "code,name_id,valid_until\nDINKES,Unit DINKES,2020-12-31\n")
    plan = await planned(city, path)
    assert [str(mistake) for mistake in plan.mistakes] == [
        f"line 2: valid_until: {code} is open, but its parent unit DINKES is closed." for code in ("PKM-1", "PKM-2")
    ]
    rest = "PKM-1,Unit PKM-1,2020-12-31\nPKM-2,Unit PKM-2,2020-12-31\n"
    plan = await planned(city, written(tmp_path, path.read_text() + rest), apply=True)
    assert plan.counted() == {"create": 0, "update": 3, "move": 0, "unchanged": 0}
    assert await listener.groups() == [[]], "what ended years ago is told now"


async def test_many_units_take_few_statements(city: City, tmp_path: Path) -> None:
    rows = [f"U{n},Unit {n},{f'U{(n - 1) // 10}' if n else ''}" for n in range(900, -1, -1)]
    watch = Statements(city)
    await planned(city, written(tmp_path, "\n".join(["code,name_id,parent_code", *rows])), apply=True)
    assert len(watch.take()) < 60
    await check_tree(city)


async def test_yaml_is_read_as_it_is_exported(city: City, tmp_path: Path) -> None:
    text = (
        "units:\n  - {code: KOTA, name_id: Kota}\n  - code: DINKES\n    name_id: Dinas Kesehatan\n    parent: KOTA\n"
        "    valid_from: 2020-01-01\n    valid_until: 2095-12-31\ngroups:\n  - {code: PANITIA, name_id: Panitia}\n"
    )
    path = written(tmp_path, text, "unit.yaml")
    assert (await planned(city, path, apply=True)).counted()["create"] == 3
    async with city.provider.db.read() as session:
        exported = as_yaml(await units.all_groups(session), ZONE)
    again = written(tmp_path, exported, "lagi.yaml")
    assert (await planned(city, again)).counted() == {"create": 0, "update": 0, "move": 0, "unchanged": 3}
    for wrong in ("a: 1", "units: 5", "- x", "units: [", "groups: []"):
        with pytest.raises(UnitFileRefused):
            read_units_yaml(written(tmp_path, wrong, "salah.yaml"), ZONE)
    _, (mistake, other) = read_units_yaml(
        written(tmp_path, "units:\n - {code: A, name: x}\ngroups:\n - {code: B, name_id: b, parent: A}\n", "s.yaml"),
        ZONE,
    )
    assert str(mistake).startswith("line 2: name: The column")
    assert str(other) == "line 4: parent_code: A group has no parent unit."
