"""Giving and ending roles through the API: who may, what is recorded, who is told, and what nobody sees."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx2 as httpx
from sqlalchemy import select
from tests.api.conftest import Api, person_with, program
from tests.conformance.test_shared_signals import Receiver
from tests.roles.conftest import Office
from tests.scheduled import run_jobs
from tests.support import City

from sso import clock
from sso.accounts import access_changes
from sso.accounts.access_changes import access_changed
from sso.identity.groups.models import AccessClock, Membership, PendingAccessChange, RoleAssignment
from sso.identity.sessions.models import SessionClient
from sso.platform.actor import Actor
from sso.platform.audit.models import AuditEvent
from sso.ssf.events import SESSION_REVOKED, TOKEN_CLAIMS_CHANGE

TOLD = "openid profile roles groups"


async def give(api: Api, client_id: str, **assignment: Any) -> httpx.Response:
    body = {"client_id": client_id, "reason": "Surat tugas 1", "assignments": [assignment]}
    return await api("POST", "/role-assignments", json=body)


async def given(api: Api, client_id: str, **assignment: Any) -> dict[str, Any]:
    answer = await give(api, client_id, **assignment)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()["items"][0]
    return created


async def end(api: Api, assignment: dict[str, Any]) -> httpx.Response:
    return await api("POST", f"/role-assignments/{assignment['id']}/end", json={"reason": "Pindah tugas"})


async def events_of(receiver: Receiver, stream: dict[str, Any], event: str) -> list[dict[str, Any]]:
    """Fetch the events of a kind, acknowledge everything, and return their claims."""
    got = await receiver.poll(stream)
    claims = [await receiver.checked(token) for token in got["sets"].values()]
    await receiver.poll(stream, ack=list(got["sets"]), maxEvents=0)
    return [claim for claim in claims if event in claim["events"]]


async def test_a_role_is_given_listed_and_ended(city: City, office: Office) -> None:
    api = await program(city)
    names = [role["name"] for role in await api.get("/applications/sinyal/roles")]
    assert names == ["chief", "operator", "reader"]
    until = (clock.now() + timedelta(days=30)).isoformat()
    assignment = await given(
        api,
        "sinyal",
        role="operator",
        user_id=office.user("siti"),
        unit_id=str(office.units["PKM-1"]),
        valid_until=until,
    )
    assert (assignment["role"], assignment["unit_code"], assignment["user_name"]) == (
        "operator",
        "PKM-1",
        "Siti Rahmawati",
    )
    assert (await give(api, "sinyal", role="operator", user_id=office.user("siti"))).status_code == 201, "not limited"
    group = await given(api, "sinyal", role="reader", group_id=str(office.units["DINKES"]), with_units_below=True)
    assert [
        row["id"] for row in await api.pages("/role-assignments", client_id="sinyal", group_id=group["group_id"])
    ] == [group["id"]]
    assert len(await api.pages("/role-assignments", user_id=office.user("siti"), limit=1)) == 2
    ended = (await end(api, assignment)).json()
    assert ended["end_reason"] == "Pindah tugas"
    assert (await end(api, assignment)).status_code == 409, "it has ended"
    assert (await end(api, {"id": office.user("siti")})).status_code == 404
    assert [row["id"] for row in await api.pages("/role-assignments", client_id="sinyal", state="ended")] == [
        assignment["id"]
    ]
    assert (await api.get(f"/role-assignments/{assignment['id']}"))["ended_by"] == "petugas"
    async with city.provider.db.read() as session:
        events = select(AuditEvent).where(AuditEvent.type.in_(["role.given", "role.ended"])).order_by(AuditEvent.id)
        recorded = [
            (event.type, event.client_id, event.data["role"]) for event in (await session.execute(events)).scalars()
        ]
    assert recorded == [
        ("role.given", "sinyal", "operator@PKM-1"),
        ("role.given", "sinyal", "operator"),
        ("role.given", "sinyal", "reader"),
        ("role.ended", "sinyal", "operator@PKM-1"),
    ]


async def test_what_makes_no_sense_is_refused(city: City, office: Office) -> None:
    api, siti, unit = await program(city), office.user("siti"), str(office.units["PKM-1"])
    await office.add_unit("TIM", kind="group")
    now = clock.now()
    cases: list[tuple[int, str, dict[str, Any]]] = [
        (422, "/role", {"role": "nobody", "user_id": siti}),
        (422, "/user_id", {"role": "operator"}),
        (422, "/user_id", {"role": "operator", "user_id": siti, "group_id": unit}),
        (422, "/with_units_below", {"role": "operator", "user_id": siti, "with_units_below": True}),
        (422, "/unit_id", {"role": "operator", "user_id": siti, "unit_id": str(office.units["TIM"])}),
        (404, "/unit_id", {"role": "operator", "user_id": siti, "unit_id": siti}),
        (404, "/user_id", {"role": "operator", "user_id": unit}),
        (422, "/valid_until", {"role": "operator", "user_id": siti, "valid_until": (now - timedelta(1)).isoformat()}),
        (
            422,
            "/valid_until",
            {"role": "operator", "user_id": siti, "valid_until": (now + timedelta(9999)).isoformat()},
        ),
    ]
    for status, pointer, assignment in cases:
        answer = await give(api, "sinyal", **assignment)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (status, pointer), answer.text
    assert (await give(api, "tidak-ada", role="operator", user_id=siti)).status_code == 404
    body = {"client_id": "sinyal", "reason": "r", "assignments": [{"role": "operator", "user_id": siti}] * 101}
    assert (await api("POST", "/role-assignments", json=body)).status_code == 422
    body["assignments"] = [{"role": "operator", "user_id": siti}, {"role": "nobody", "user_id": siti}]
    assert (await api("POST", "/role-assignments", json=body)).status_code == 422
    assert await api.pages("/role-assignments", client_id="sinyal") == [], "all of them or none"


async def test_teams_and_units_give_what_they_may(city: City, office: Office) -> None:
    await office.team("sinyal", dewi="member")
    team = await person_with(city, "citizen", name="dewi")
    siti, dewi, joko = (office.user(name) for name in ("siti", "dewi", "joko"))
    assert (await give(team, "sinyal", role="reader", user_id=siti)).status_code == 403, "the owner does not allow it"
    await office.set("sinyal", team_gives_roles=True)
    assignment = await given(team, "sinyal", role="chief", user_id=siti)
    assert (await give(team, "sinyal", role="reader", user_id=dewi)).status_code == 403, "not to oneself"
    assert (
        await give(team, "sinyal", role="reader", group_id=str(office.units["KOTA"]), with_units_below=True)
    ).status_code == 403
    assert (await give(team, "warga", role="hakim", user_id=siti)).status_code == 404, "not another application"
    assert [row["id"] for row in await team.pages("/role-assignments")] == [assignment["id"]]

    unit = await person_with(city, "employee", name="joko")
    pkm, school = str(office.units["PKM-1"]), str(office.units["DISDIK"])
    assert (await give(unit, "sinyal", role="operator", user_id=dewi)).status_code == 403, "it must name a unit"
    assert (await give(unit, "sinyal", role="operator", user_id=siti, unit_id=pkm)).status_code == 403, (
        "not of the unit"
    )
    assert (await give(unit, "sinyal", role="operator", user_id=dewi, unit_id=school)).status_code == 403
    assert (await give(unit, "sinyal", role="chief", user_id=dewi)).status_code == 403
    limited = await given(unit, "sinyal", role="operator", user_id=dewi, unit_id=pkm)
    await given(unit, "sinyal", role="reader", group_id=pkm)
    assert (await give(unit, "sinyal", role="reader", user_id=joko)).status_code == 403
    assert (await end(unit, assignment)).status_code == 404, "a role that they do not see"
    assert [row["id"] for row in await unit.pages("/role-assignments", user_id=dewi)] == [limited["id"]]
    assert [row["id"] for row in await unit.pages("/role-assignments")] == [limited["id"]], "for a unit of theirs"
    assert (await end(unit, limited)).status_code == 200
    nobody = await person_with(city, "developer", name="siti")
    assert (await give(nobody, "sinyal", role="reader", user_id=dewi)).status_code == 403
    assert (await nobody("GET", "/role-assignments")).status_code == 403


async def test_an_application_is_told_of_its_own_claims_only(city: City, office: Office) -> None:
    api = await program(city)
    tokens = await city.relying_party("sinyal").token(grant_type="client_credentials", scope="ssf.read ssf.manage")
    receiver = Receiver(city, tokens["access_token"])
    stream = await receiver.make_stream(TOKEN_CLAIMS_CHANGE, SESSION_REVOKED)
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("sinyal"), username="dewi", scope=TOLD)
        await browser.code(city.relying_party("warga"))
    assert await events_of(receiver, stream, TOKEN_CLAIMS_CHANGE) == []

    await given(api, "warga", role="hakim", user_id=office.user("dewi"))
    assert await events_of(receiver, stream, TOKEN_CLAIMS_CHANGE) == [], "the role of another application"
    assignment = await given(
        api, "sinyal", role="operator", user_id=office.user("dewi"), unit_id=str(office.units["PKM-1"])
    )
    [event] = await events_of(receiver, stream, TOKEN_CLAIMS_CHANGE)
    body = event["events"][TOKEN_CLAIMS_CHANGE]
    assert body["claims"] == {"roles": ["operator@PKM-1"], "groups": ["DINKES", "PKM-1"]}
    assert body["initiating_entity"] == "admin"
    assert event["sub_id"]["format"] == "iss_sub"
    for unit in ("DISDIK", "KOTA"):
        await office.join("dewi", unit)
        async with city.provider.db.write() as session:
            await access_changed(
                session, city.provider, user_ids=[city.users["dewi"]], client_ids=None, actor=Actor("test"),
                since=clock.now() - timedelta(milliseconds=1),
            )  # fmt: skip
    assert await events_of(receiver, stream, TOKEN_CLAIMS_CHANGE) == [], "groups that it does not want to hear of"
    await end(api, assignment)
    [event] = await events_of(receiver, stream, TOKEN_CLAIMS_CHANGE)
    assert event["events"][TOKEN_CLAIMS_CHANGE]["claims"]["roles"] == []
    assert await events_of(receiver, stream, SESSION_REVOKED) == [], "the session goes on"
    assert "hakim" not in json.dumps(await api.pages("/role-assignments", client_id="sinyal"))


async def test_a_session_ends_with_the_role_where_the_application_wants_it(city: City, office: Office) -> None:
    api = await program(city)
    await office.set("sinyal", end_session_on_role_loss=True)
    chief = await given(api, "sinyal", role="chief", user_id=office.user("dewi"))
    reader = await given(api, "sinyal", role="reader", user_id=office.user("dewi"))
    async with city.browser() as browser:
        tokens = await browser.tokens(city.relying_party("sinyal"), username="dewi", scope=TOLD + " offline_access")
        await browser.code(city.relying_party("warga"))
        assert (await end(api, chief)).status_code == 200
        async with city.provider.db.read() as session:
            parts = (await session.execute(select(SessionClient.client_id, SessionClient.ended_at))).all()
        assert {name for name, ended_at in parts if ended_at is not None} == {"sinyal"}, "and no other application"
        party = city.relying_party("sinyal")
        assert (await party.refresh(tokens["refresh_token"])).status == 400
        again = await browser.tokens(party, scope=TOLD)
        await run_jobs(city.provider, "role_times")
        assert (await party.userinfo(again["access_token"])).status_code == 200, "the job ends nothing a second time"
    assert (await api.get(f"/role-assignments/{reader['id']}"))["ended_by"] is None


async def test_what_ends_by_time_is_followed_by_a_job(city: City, office: Office) -> None:
    api = await program(city)
    await office.set("sinyal", end_session_on_role_loss=True)
    until = clock.now() + timedelta(minutes=10)
    await given(api, "sinyal", role="chief", group_id=str(office.units["PKM-1"]), valid_until=until.isoformat())
    async with city.browser() as browser:
        tokens = await browser.tokens(city.relying_party("sinyal"), username="dewi", scope=TOLD)
        await run_jobs(city.provider, "role_times")
        party = city.relying_party("sinyal")
        assert (await party.userinfo(tokens["access_token"])).status_code == 200
    clock.advance(timedelta(minutes=11))
    await run_jobs(city.provider, "role_times")
    async with city.provider.db.read() as session:
        assert (await session.execute(select(SessionClient.ended_at))).scalar_one() is not None
        looked = await session.scalar(select(AccessClock.looked_until).where(AccessClock.name == "roles"))
    assert looked is not None
    assert looked > until


async def test_a_large_change_goes_on_in_parts(city: City, office: Office, monkeypatch: Any) -> None:
    monkeypatch.setattr(access_changes, "PART", 2)
    await office.set("sinyal", end_session_on_role_loss=True)
    api, names = await program(city), ["dewi", "siti", "budi"]
    for name in ("siti", "budi"):
        await office.join(name, "PKM-2")
    assignment = await given(api, "sinyal", role="chief", group_id=str(office.units["DINKES"]), with_units_below=True)
    async with city.browser() as first, city.browser() as second, city.browser() as third:
        for browser, name in zip((first, second, third), names, strict=True):
            await browser.tokens(city.relying_party("sinyal"), username=name, scope=TOLD)
    await end(api, assignment)
    async with city.provider.db.read() as session:
        parts = (await session.execute(select(SessionClient.ended_at))).scalars().all()
        assert len([ended_at for ended_at in parts if ended_at is not None]) == 2
        assert (await session.execute(select(PendingAccessChange.user_ids))).scalars().all()
    await access_changes.work(city.provider, asyncio.Event())
    async with city.provider.db.read() as session:
        assert all((await session.execute(select(SessionClient.ended_at))).scalars())
        assert (await session.execute(select(PendingAccessChange.id))).first() is None


async def test_two_who_give_or_end_at_once(city: City, office: Office) -> None:
    api, siti = await program(city), office.user("siti")
    answers = await asyncio.gather(*(give(api, "sinyal", role="chief", user_id=siti) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
    assignment = next(answer.json()["items"][0] for answer in answers if answer.status_code == 201)
    ends = (end(api, assignment) for _ in range(4))
    gives = (give(api, "sinyal", role="chief", user_id=siti) for _ in range(4))
    answers = await asyncio.gather(*ends, *gives)
    assert [answer.status_code for answer in answers[:4]].count(200) == 1
    assert {answer.status_code for answer in answers[4:]} <= {201, 409}
    async with city.provider.db.read() as session:
        current = select(RoleAssignment).where(RoleAssignment.valid_until.is_(None))
        assert len((await session.execute(current)).scalars().all()) <= 1
        assert (await session.execute(select(Membership))).first() is not None
