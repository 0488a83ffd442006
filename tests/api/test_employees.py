"""The import of employees over the API: a plan, the import, its limits, and who may ask for it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from tests.accounts.test_employee_import import NIK, prove_nik, units
from tests.accounts.test_employees import NIP, OTHER_NIP, facts, signs_in
from tests.api.conftest import PROGRAM_SCOPES, Api, person_with, program
from tests.citizens import SENDING
from tests.support import City

from sso.platform.audit.models import AuditEvent

PATH = "/employees/import"
SITI = {
    "nip": NIP, "name": "Siti Rahmawati", "nik": NIK, "unit_code": "PKM-CPD", "position": "Perawat", "grade": "III/b",
    "employment_status": "pns", "from": "2010-01-01",
}  # fmt: skip
NEW = {"nip": OTHER_NIP, "name": "Rudi Hartono", "unit_code": "DINKES", "employment_status": "PPPK"}


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {**SENDING, "risk_based_second_factor": "none"}


async def sent(api: Api, *employees: dict[str, Any], status: int = 200, **options: Any) -> dict[str, Any]:
    body = {"employees": list(employees), "reason": "SIMPEG", "verified": ["nik"], **options}
    answer = await api("POST", PATH, json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def test_a_plan_and_an_import(city: City, api: Api) -> None:
    await units(city)
    await prove_nik(city)
    wrong = {**NEW, "nip": "198513012010011001"}
    plan = await sent(api, SITI, NEW, wrong, dry_run=True)
    assert (plan["rows"], plan["dry_run"]) == (3, True)
    assert plan["counts"] == {
        "created": 1, "linked": 1, "proposed": 0, "changed": 0, "unchanged": 0, "rejected": 1,
    }  # fmt: skip
    assert [(line["number"], line["result"], line["nip"]) for line in plan["lines"]] == [
        (1, "linked", NIP), (2, "created", OTHER_NIP), (3, "rejected", None),
    ]  # fmt: skip
    assert "nip" in plan["lines"][2]["text"]
    assert await facts(city) == (["citizen"], []), "a plan changes nothing"
    done = await sent(api, SITI, NEW)
    assert (done["counts"]["linked"], done["counts"]["created"]) == (1, 1)
    assert await facts(city) == (["citizen", "employee"], [("Perawat", True)])
    assert await signs_in(city, NIP)
    assert (await sent(api, SITI, NEW))["counts"]["unchanged"] == 2, "again changes nothing"
    async with city.provider.db.read() as session:
        about = select(AuditEvent).where(AuditEvent.type == "employees.imported").order_by(AuditEvent.id)
        events = list((await session.execute(about)).scalars())
    assert [(event.actor, event.data["note"]) for event in events] == [("petugas", "SIMPEG")] * 2


async def test_a_complete_list_has_a_limit(city: City, api: Api) -> None:
    await units(city)
    await prove_nik(city)
    await sent(api, SITI, NEW)
    assert (await sent(api, NEW, complete=True, dry_run=True))["ended"] == 1
    refused = await sent(api, NEW, complete=True, status=409)
    assert refused["type"] == "urn:sso:problem:needs_confirmation"
    assert (await facts(city))[0] == ["citizen", "employee"]
    assert (await sent(api, NEW, complete=True, max_ended_percent=50))["ended"] == 1
    assert (await facts(city))[0] == ["citizen"]
    broken = await sent(api, NEW, {**SITI, "nip": "1.98501E+17"}, complete=True, status=422)
    assert "no NIP that can be read" in broken["detail"]


REFUSED: list[dict[str, Any]] = [
    {"employees": []},
    {"employees": [NEW] * 501},
    {"employees": [{**NEW, "salary": 1}]},
    {"employees": [{**NEW, "name": "x" * 2000}]},
    {"verified": ["username"]},
    {"reason": " "},
    {"max_ended_percent": 101},
]


async def test_what_cannot_be_imported(api: Api, subtests: pytest.Subtests) -> None:
    for options in REFUSED:
        with subtests.test(str(options)[:60]):
            await sent(api, NEW, status=422, **options)


async def test_who_may_import(city: City) -> None:
    """As on the page: three permissions; and nobody their own employment."""
    await units(city)
    for scope in ("users:write", "groups:write", "users:check_identity"):
        others = " ".join(name for name in PROGRAM_SCOPES.split() if name != f"sso:{scope}")
        assert (
            await (await program(city, others))("POST", PATH, json={"employees": [NEW], "reason": "x"})
        ).status_code == 403
    await prove_nik(city, "ratna")
    admin = await person_with(city, "admin", name="ratna")
    own = await sent(admin, SITI)
    assert (own["lines"][0]["result"], own["lines"][0]["text"]) == ("rejected", "nobody confirms their own employment")
    officer = await person_with(city, "officer", name="budi")
    assert (await officer("POST", PATH, json={"employees": [NEW], "reason": "x"})).status_code == 403
