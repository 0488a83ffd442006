"""Webhooks of teams and invitations of users through the API."""

from __future__ import annotations

import uuid

import pytest
from tests.api.conftest import Api, person_with, program
from tests.api.test_applications import begun
from tests.citizens import SENDING
from tests.support import City

from sso import clock
from sso.identity.users.service import find
from sso.platform.actor import Actor
from sso.portal.teams import add_member

ADDRESS = "/applications/antrean/webhooks"
HOOK = {"url": "https://antrean.example/peristiwa", "events": ["application.approved", "secret.created"]}


async def owner_of(city: City) -> Api:
    """Return the owner of the application, who calls through the city's console."""
    owner = await person_with(city, "developer")
    await begun(owner)
    return owner


async def test_an_owner_manages_webhooks_by_the_api(city: City) -> None:
    owner = await owner_of(city)
    key = {"Idempotency-Key": "hook-1-antrean"}
    added = await owner("POST", ADDRESS, json=HOOK, headers=key)
    assert added.status_code == 201, added.text
    webhook, secret = added.json()["webhook"], added.json()["secret"]
    assert secret.startswith("whsec_")
    assert (webhook["enabled"], webhook["events"]) == (True, ["secret.created", "application.approved"])
    assert (await owner("POST", ADDRESS, json=HOOK, headers=key)).json()["secret"] == secret, "carried out once"
    assert [row["id"] for row in await owner.get(ADDRESS)] == [webhook["id"]]
    assert "whsec_" not in str(await owner.get(ADDRESS)), "the secret is shown once"
    mine = f"{ADDRESS}/{webhook['id']}"
    rotated = await owner("POST", f"{mine}/secret")
    assert (rotated.status_code, rotated.json()["secret"] != secret) == (201, True)
    assert (await owner("POST", f"{mine}/enable")).json()["enabled"] is True
    assert (await owner("POST", f"{mine}/test")).status_code == 202
    (delivery,) = await owner.get("/applications/antrean/webhook-deliveries")
    assert (delivery["webhook_id"], delivery["type"], delivery["status"]) == (webhook["id"], "webhook.test", "pending")
    retried = await owner("POST", f"/applications/antrean/webhook-deliveries/{delivery['id']}/retry")
    assert retried.status_code == 404, "it still waits"
    assert (await owner("DELETE", mine)).status_code == 204
    for method, path in (
        ("DELETE", mine),
        ("POST", f"{mine}/secret"),
        ("POST", f"{mine}/enable"),
        ("POST", f"{mine}/test"),
    ):
        assert (await owner(method, path)).status_code == 404, path
    for change, pointer in (
        ({"url": "http://antrean.example"}, "/url"), ({"url": "https://u:p@antrean.example"}, "/url"),
        ({"events": ["session.started"]}, "/events"), ({"events": []}, "/events"), ({"secret": "x"}, "/secret"),
    ):  # fmt: skip
        refused = await owner("POST", ADDRESS, json={**HOOK, **change})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer), refused.text
        assert refused.headers["content-type"] == "application/problem+json"
    for _ in range(5):
        assert (await owner("POST", ADDRESS, json=HOOK)).status_code == 201
    full = await owner("POST", ADDRESS, json=HOOK)
    assert (full.status_code, full.json()["type"]) == (409, "urn:sso:problem:refused")


async def test_members_read_webhooks_and_others_do_not_learn_of_them(city: City) -> None:
    owner = await owner_of(city)
    key = {"Idempotency-Key": "hook-2-antrean"}
    added = (await owner("POST", ADDRESS, json=HOOK, headers=key)).json()["webhook"]
    other = await person_with(city, "developer", name="siti")
    mine = f"{ADDRESS}/{added['id']}"
    writes = (
        ("POST", ADDRESS), ("DELETE", mine), ("POST", f"{mine}/secret"), ("POST", f"{mine}/enable"),
        ("POST", f"{mine}/test"),
        ("POST", f"/applications/antrean/webhook-deliveries/{uuid.uuid4()}/retry"),
    )  # fmt: skip
    reads = (("GET", ADDRESS), ("GET", "/applications/antrean/webhook-deliveries"))
    for method, path in (*writes, *reads):
        answer = await other(method, path, json=HOOK if path == ADDRESS and method == "POST" else None)
        assert answer.status_code == 404, (method, path)
    async with city.provider.db.write() as session:
        siti = await find(session, "siti")
        await add_member(session, "antrean", siti.id, "member", actor=Actor("cli"))
    for method, path in reads:
        assert (await other(method, path)).status_code == 200
    for method, path in writes:
        answer = await other(method, path, json=HOOK if path == ADDRESS else None)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:sso:problem:not_an_owner"), (method, path)
    second = (await owner("POST", "/applications/lain/webhooks", json=HOOK)).status_code
    assert second == 404
    citizen = await person_with(city, name="lengkap")
    assert (await citizen("GET", ADDRESS)).status_code == 403


@pytest.mark.parametrize("overrides", [SENDING], ids=["with mail"])
async def test_users_are_invited_by_the_api(city: City, api: Api) -> None:
    person = {"name": "Dewi Lestari", "email": "Dewi@Kota.example", "reason": "Pegawai baru"}
    key = {"Idempotency-Key": "invite-dewi"}
    created = await api("POST", "/user-invitations", json=person, headers=key)
    assert created.status_code == 201, created.text
    invitation = created.json()
    assert (invitation["email"], invitation["roles"], invitation["times_sent"]) == ("dewi@kota.example", ["citizen"], 1)
    assert "token" not in created.text
    again = await api("POST", "/user-invitations", json=person, headers=key)
    assert again.json()["id"] == invitation["id"]
    assert len(await api.pages("/user-invitations", limit=1)) == 1
    twice = await api("POST", "/user-invitations", json=person)
    assert (twice.status_code, "already invited" in twice.json()["detail"]) == (409, True)
    mine = f"/user-invitations/{invitation['id']}"
    assert (await api("POST", f"{mine}/send")).status_code == 409, "a minute has not passed"
    clock.advance(61)
    assert (await api("POST", f"{mine}/send")).json()["times_sent"] == 2
    assert (await api.get(mine))["created_by"] == "petugas"
    assert (await api("DELETE", mine)).status_code == 204
    for method, path in (("GET", mine), ("DELETE", mine), ("POST", f"{mine}/send")):
        assert (await api(method, path)).status_code == 404
    for change in ({"email": "no mail"}, {"name": "=1+1"}, {"roles": ["king"]}, {"token": "x"}):
        assert (await api("POST", "/user-invitations", json={**person, **change})).status_code == 422, change


@pytest.mark.parametrize("overrides", [SENDING], ids=["with mail"])
async def test_nobody_invites_somebody_with_more_power_by_the_api(city: City) -> None:
    weak = await program(city, "sso:users:write")
    admin = {"name": "Dewi Lestari", "email": "dewi@kota.example", "roles": ["admin"]}
    refused = await weak("POST", "/user-invitations", json=admin)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:sso:problem:no_permission")
    assert (await (await program(city))("POST", "/user-invitations", json=admin)).status_code == 403, "no person asks"
    strong = await person_with(city, "admin")
    response = await strong("POST", "/user-invitations", json=admin)
    assert response.status_code == 201, response.text
    invitation = f"/user-invitations/{response.json()['id']}"
    clock.advance(61)
    for method, path in (("DELETE", invitation), ("POST", f"{invitation}/send")):
        assert (await weak(method, path)).status_code == 403, path
    reader = await program(city, "sso:users:read")
    assert (await reader("GET", "/user-invitations")).status_code == 403
