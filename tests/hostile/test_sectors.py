"""No application becomes part of another's sector: its users' pairwise subjects would be the other's (OpenID Connect
Registration section 5)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.api.conftest import person_with
from tests.support import City
from tests.web.test_developer import person, post, signed_in

URI = "https://rumahsakit.example/sektor.json"
OURS = "https://ketiga.example/cb"
DOCUMENT = {
    "client_name": "Ketiga", "group": "E-Kesehatan", "contacts": ["a@ketiga.example"], "scope": "openid",
    "redirect_uris": [OURS], "subject_type": "pairwise", "sector_identifier_uri": URI,
}  # fmt: skip


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"relying_party_check": "offered"}


async def test_a_team_gets_no_place_in_the_sector_of_another_application(city: City) -> None:
    listed = ["https://rumahsakit.example/cb"]

    async def get(uri: str, *_: Any, **__: Any) -> bytes:
        assert uri == URI
        return json.dumps(listed).encode()

    city.provider.outbound.get = get  # type: ignore[method-assign, assignment]
    await person(city, "dimas", "developer")
    team = await person_with(city, "developer", name="dimas")
    sandbox = {"redirect_uris": ["http://localhost:3000/cb"]}
    application = {"application_id": "ketiga", "kind": "web", "document": DOCUMENT, "sandbox": sandbox}
    assert (await team("POST", "/applications", json=application)).status_code == 201
    assert (await team("POST", "/applications/ketiga/acts", json={"act": "submit"})).status_code == 200
    revision = (await team.get("/applications/ketiga"))["revision"]
    admin = await person_with(city, "admin")
    decision = {"decision": "approve", "revision": revision}
    answer = await admin("POST", "/applications/ketiga/review", json=decision)
    assert answer.status_code == 409, answer.text
    assert "sector_identifier_uri" in answer.text
    async with await signed_in(city, "ratna") as ratna:
        page = await ratna.open("/admin/applications/ketiga")
        assert (await post(ratna, page, "/admin/applications/ketiga/review", choice="approve")).status_code == 409
        assert city.provider.registry.get("ketiga") is None
        # Where the document names it, it is in.
        listed.append(OURS)
        page = await ratna.open("/admin/applications/ketiga")
        assert (await post(ratna, page, "/admin/applications/ketiga/review", choice="approve")).status_code == 200
        assert city.provider.registry.get("ketiga") is not None
        # Nor with another redirect URI afterwards, by the page of settings.
        page = await ratna.open("/admin/applications/ketiga/settings")
        answer = await post(ratna, page, redirect_uris=f"{OURS}\nhttps://ketiga.example/lain", note="x")
        assert answer.status_code == 409, answer.text[:300]
        client = city.provider.registry.get("ketiga")
        assert client is not None
        assert client.meta.redirect_uris == [OURS]
