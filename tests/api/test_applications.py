"""Applications of teams through the API: what the portal does, for programs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import Api, person_with, program
from tests.support import City

WANTED: dict[str, Any] = {
    "application_id": "antrean",
    "kind": "web",
    "document": {
        "client_name": "Antrean Puskesmas",
        "group": "E-Kesehatan",
        "contacts": ["tim@antrean.example"],
        "redirect_uris": ["https://antrean.example/callback"],
        "scope": "openid profile",
        "scope_reasons": {"profile": "Nama di karcis."},
    },
    "sandbox": {"redirect_uris": ["http://localhost:3000/callback"]},
}
OFFERED = pytest.mark.parametrize("overrides", [{"relying_party_check": "offered"}])


async def begun(api: Api, **changes: Any) -> dict[str, Any]:
    """Begin an application, and return what was answered."""
    answer = await api("POST", "/applications", json={**WANTED, **changes})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


@OFFERED
async def test_from_a_request_to_production(city: City, api: Api) -> None:
    developer = await person_with(city, "developer", name="budi")
    created = await begun(developer)
    assert len(created["client_secret"]) == 43
    assert created["application"]["state"] == "sandbox"
    path = "/applications/antrean"
    submitted = await developer("POST", f"{path}/acts", json={"act": "submit", "text": "Mulai Januari."})
    assert submitted.json()["application"]["state"] == "submitted", submitted.text
    seen = (await api("GET", path)).json()
    assert seen["changes"]["redirect_uris"] == [None, ["https://antrean.example/callback"]]
    (waiting,) = (await api("GET", "/applications?state=submitted")).json()["items"]
    assert waiting["application_id"] == "antrean"
    refused = await developer("POST", f"{path}/review", json={"decision": "approve", "revision": 1})
    assert refused.status_code == 403
    decision = {"decision": "approve", "revision": seen["revision"], "granted": {"first_party": True}}
    done = (await api("POST", f"{path}/review", json=decision)).json()
    assert (done["state"], done["granted"], done["changes"]) == ("approved", {"first_party": True}, {})
    secret = await developer("POST", f"{path}/secrets", json={"environment": "production", "valid_days": 90})
    city.secrets["antrean"] = secret.json()["client_secret"]
    async with city.browser() as siti:
        assert (await siti.tokens(city.relying_party("antrean"), scope="openid profile")).status == 200


async def test_production_needs_the_check_by_the_api_too(city: City) -> None:
    developer = await person_with(city, "developer", name="budi")
    await begun(developer)
    answer = await developer("POST", "/applications/antrean/acts", json={"act": "submit"})
    assert answer.status_code == 409
    assert "relying-party check" in answer.json()["detail"]
    assert (await developer("GET", "/applications/antrean/check")).status_code == 404
    begins = await developer("POST", "/applications/antrean/check", json={})
    assert begins.status_code == 409, "the sandbox does not say where a sign-in begins"


async def test_others_do_not_even_learn_that_it_is_there(city: City, api: Api) -> None:
    developer = await person_with(city, "developer", name="budi")
    await begun(developer)
    other = await person_with(city, "developer", name="siti")
    for method, path, body in (
        ("GET", "", None), ("PUT", "", {"document": {}, "revision": 1}), ("POST", "/acts", {"act": "withdraw"}),
        ("GET", "/team", None), ("GET", "/secrets", None), ("GET", "/mistakes", None), ("POST", "/check", {}),
        ("POST", "/secrets", {"environment": "sandbox"}),
    ):  # fmt: skip
        answer = await other(method, f"/applications/antrean{path}", **({"json": body} if body is not None else {}))
        assert answer.status_code == 404, f"{method} {path}"
    team = f"/applications/antrean/team/{city.users['siti']}"
    assert (await other("PUT", team, json={"role": "owner"})).status_code == 404
    assert (await developer("PUT", team, json={"role": "member"})).status_code == 403, "people are invited"
    assert (await api("PUT", team, json={"role": "member"})).status_code == 200
    assert (await other("GET", "/applications/antrean")).status_code == 200
    secret = await other("POST", "/applications/antrean/secrets", json={"environment": "sandbox"})
    assert secret.status_code == 403, "secrets are for owners"
    assert (await other("DELETE", f"/applications/antrean/team/{city.users['budi']}")).status_code == 403
    assert (await other("DELETE", team)).status_code == 204, "everybody may leave"
    last = await developer("DELETE", f"/applications/antrean/team/{city.users['budi']}")
    assert last.status_code == 409, "the last owner stays"


async def test_a_change_that_somebody_else_has_overtaken_is_refused(city: City) -> None:
    developer = await person_with(city, "developer", name="budi")
    await begun(developer)
    update = {"document": {**WANTED["document"], "description": "Satu."}, "sandbox": WANTED["sandbox"], "revision": 1}
    assert (await developer("PUT", "/applications/antrean", json=update)).json()["revision"] == 2
    assert (await developer("PUT", "/applications/antrean", json=update)).status_code == 409
    granted = {**update, "document": {**WANTED["document"], "first_party": True}, "revision": 2}
    refused = await developer("PUT", "/applications/antrean", json=granted)
    assert refused.status_code == 422, "only an administrator decides that"
    assert refused.json()["errors"][0]["pointer"] == "/document/first_party"


@OFFERED
async def test_what_an_administrator_changes_in_production_the_team_sees(city: City, api: Api) -> None:
    developer = await person_with(city, "developer", name="budi")
    await begun(developer)
    await developer("POST", "/applications/antrean/acts", json={"act": "submit"})
    await api("POST", "/applications/antrean/review", json={"decision": "approve", "revision": 1})
    tag = {"If-Match": await api.etag("/clients/antrean")}
    metadata = (await api("GET", "/clients/antrean")).json()["metadata"]
    metadata = {name: value for name, value in metadata.items() if name != "sector_identifier_uri"}
    metadata |= {"description": "Dari kota.", "audience": "urn:antrean"}
    answer = await api("PUT", "/clients/antrean", json={"metadata": metadata}, headers=tag)
    assert answer.status_code == 200, answer.text
    seen = (await developer("GET", "/applications/antrean")).json()
    assert seen["document"]["description"] == "Dari kota."
    assert seen["granted"]["audience"] == "urn:antrean"
    assert seen["changes"] == {}
    suspended = await api("POST", "/clients/antrean-sandbox/suspend", json={})
    assert suspended.status_code == 409, "both go together"
    await api("POST", "/clients/antrean/suspend", json={})
    assert (await developer("GET", "/applications/antrean")).json()["state"] == "suspended"


async def test_a_program_begins_one_for_somebody(city: City) -> None:
    api = await program(city)
    assert (await api("POST", "/applications", json=WANTED)).status_code == 422, "it names who owns it"
    response = await api("POST", "/applications", json={**WANTED, "owner_id": str(city.users["siti"])})
    assert response.status_code == 201, response.text
    (member,) = (await api("GET", "/applications/antrean/team")).json()
    assert (member["user_id"], member["role"]) == (str(city.users["siti"]), "owner")


async def test_a_team_sees_its_mistakes_and_revokes_a_secret(city: City) -> None:
    developer = await person_with(city, "developer", name="budi")
    created = await begun(developer)
    party = city.relying_party("antrean-sandbox", "http://localhost:3000/callback")
    city.secrets["antrean-sandbox"] = "wrong"
    await party.exchange("x")
    await city.provider.write_usage()
    (mistake,) = (await developer("GET", "/applications/antrean/mistakes")).json()
    assert (mistake["code"], mistake["count"]) == ("invalid_client", 1)
    (secret,) = (await developer("GET", "/applications/antrean/secrets")).json()
    assert secret["hint"] == created["client_secret"][-4:]
    assert (await developer("DELETE", f"/applications/antrean/secrets/{secret['id']}")).status_code == 204
    assert (await developer("DELETE", f"/applications/antrean/secrets/{secret['id']}")).status_code == 404
    city.secrets["antrean-sandbox"] = created["client_secret"]
    assert (await party.post("/introspect", {"token": "x"})).status_code == 401
