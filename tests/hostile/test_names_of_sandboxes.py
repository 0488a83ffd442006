"""The name of a sandbox leads to that sandbox alone, never to an application that happens to have such a name."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import person_with, program
from tests.support import City
from tests.web.test_developer import person, post, register, signed_in

from sso.identity.users.store import replace_groups

OTHERS: dict[str, Any] = {
    "type": "web", "client_name": "Lain", "group": "Perizinan", "redirect_uris": ["https://lain.example/cb"],
}  # fmt: skip


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"relying_party_check": "offered"}


async def test_the_team_of_one_application_gets_no_hold_of_another_named_like_its_sandbox(city: City) -> None:
    api = await program(city)
    own = {**OTHERS, "client_name": "Kita", "group": "E-Kesehatan", "redirect_uris": ["https://kita.example/cb"]}
    for client_id, metadata in (("kita", own), ("kita-sandbox", OTHERS)):
        answer = await api("POST", "/clients", json={"client_id": client_id, "metadata": metadata})
        assert answer.status_code == 201, answer.text
    await person(city, "kepala", "group_admin", "developer")
    async with city.provider.db.write() as session:
        await replace_groups(session, city.users["kepala"], ["E-Kesehatan"])
    async with await signed_in(city, "kepala") as kepala:
        page = await kepala.open("/admin/applications/kita")
        answer = await post(kepala, page, "/admin/applications/kita/owner", who="kepala")
        assert answer.status_code == 409, "it cannot have a sandbox of its own"
        mine = await person_with(city, "developer", "group_admin", name="kepala")
        answer = await mine("POST", "/applications/kita/secrets", json={"environment": "sandbox"})
        assert answer.status_code == 404
    assert len((await api.get("/clients/kita-sandbox"))["metadata"]["redirect_uris"]) == 1


async def test_nobody_registers_what_is_the_name_of_a_sandbox(city: City) -> None:
    await person(city, "dimas", "developer")
    async with await signed_in(city, "dimas") as dimas:
        await register(dimas, choice="draft")
    api = await program(city)
    answer = await api("POST", "/clients", json={"client_id": "antrean-sandbox", "metadata": OTHERS})
    assert answer.status_code == 409, "the team would replace it by opening its sandbox"
