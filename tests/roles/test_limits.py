"""What administrators of units, teams and developers do not get by giving roles and adding members."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import httpx2 as httpx
from sqlalchemy import event, select, update
from tests.accounts.test_employee_import import NIK, prove_nik
from tests.accounts.test_employees import hire
from tests.api.conftest import person_with, program
from tests.api.test_applications import OFFERED, WANTED, begun
from tests.arranged import sign_in
from tests.roles.conftest import Office
from tests.roles.test_assignments import TOLD, end, give, given
from tests.roles.test_pages import send, signed_in, token_of
from tests.support import Browser, City, Statements, forms_in, main_of

from sso import clock
from sso.accounts import groups
from sso.app import LOOKUPS_PER_HOUR
from sso.identity.groups.models import AccessClock, Membership, PendingAccessChange, RoleAssignment
from sso.identity.users.models import User
from sso.jobs import clear_up
from sso.platform.actor import CLI


async def add(browser: Browser, unit: uuid.UUID, who: str) -> httpx.Response:
    """Send the form of a unit that adds a member."""
    url = f"/admin/groups/{unit}"
    forms = forms_in((await browser.http.get(url)).text)
    form = next(form for form in forms if form.action.endswith("/members"))
    fields = {"csrf_token": form.fields["csrf_token"], "act": "add", "user": who, "note": "Tugas"}
    return await browser.http.post(url + "/members", data=fields)


async def claims(city: City, name: str) -> dict[str, Any]:
    async with city.browser() as browser:
        tokens = await browser.tokens(city.relying_party("sinyal"), username=name, scope=TOLD)
        return dict(tokens.claims())


async def leave(city: City, name: str) -> None:
    """End the only membership of a user."""
    async with city.provider.db.write() as session:
        row = (await session.execute(select(Membership).where(Membership.user_id == city.users[name]))).scalar_one()
        await groups.end_membership(session, city.provider, membership_id=row.id, actor=CLI, reason="Pindah")


async def test_nobody_gains_by_a_membership_what_they_may_not_give(city: City, office: Office) -> None:
    api = await program(city)
    await given(api, "sinyal", role="chief", group_id=str(office.units["PKM-2"]))
    await hire(city, "siti")
    async with city.browser() as browser:
        await signed_in(city, browser, "joko")
        for unit in ("PKM-1", "PKM-2", "DINKES"):
            own = await add(browser, office.units[unit], "joko")
            assert own.status_code == 409
            assert "yourself" in own.text or "diri sendiri" in own.text
        refused = await add(browser, office.units["PKM-2"], "siti")
        assert refused.status_code == 409, "its members are chiefs"
        assert "PKM-2" in main_of(refused)
        await given(api, "sinyal", role="chief", group_id=str(office.units["DINKES"]), with_units_below=True)
        assert (await add(browser, office.units["PKM-1"], "siti")).status_code == 409, "from a unit above"
        listed = await api.pages("/role-assignments", client_id="sinyal", role="chief")
        for row in listed:
            await end(api, row)
        await given(api, "sinyal", role="reader", group_id=str(office.units["DINKES"]), with_units_below=True)
        assert (await add(browser, office.units["PKM-1"], "siti")).status_code == 303, "a role that Joko gives too"
    assert (await claims(city, "joko"))["roles"] == []
    await given(api, "sinyal", role="chief", group_id=str(office.units["PKM-2"]))
    async with city.browser() as browser:
        await signed_in(city, browser, "ratna")
        assert (await add(browser, office.units["PKM-2"], "dewi")).status_code == 303, "who changes every unit may"


async def test_a_unit_adds_employees_and_learns_of_nobody_else(city: City, office: Office) -> None:
    await office.add_people("kepala")
    await office.join("kepala", "DISDIK")
    await hire(city, "siti")
    await prove_nik(city, "siti")
    unit = office.units["PKM-2"]
    async with city.browser() as browser:
        await signed_in(city, browser, "joko")
        answers = set()
        for who in ("budi@warga.example", "nobody@warga.example", "kepala", office.user("kepala"), NIK, "tidak ada"):
            answer = await add(browser, unit, who)
            assert answer.status_code == 409, who
            assert "Kepala" not in main_of(answer)
            answers.add(re.sub(r'value="[^"]*"', "", main_of(answer)))
        assert len(answers) == 1, "one answer for all of them"
        assert (await add(browser, unit, "siti@warga.example")).status_code == 303, "an employee"
        assert (await add(browser, unit, "dewi")).status_code == 303, "a member of another unit of Joko's"
        path = f"/admin/unit-roles/{office.units['PKM-1']}"
        role = {"choice": "give", "role": "sinyal operator", "unit": "PKM-2", "note": "r"}
        assert (await send(browser, path, **role, user="siti@warga.example")).status_code == 400, (
            "whom Joko added himself is not his to give roles to"
        )
        assert (await send(browser, path, **role, user="dewi")).status_code == 303


def lower_limit(city: City) -> int:
    """Let four users who are not found be the most, in place of 30 in an hour; return the number."""
    assert (LOOKUPS_PER_HOUR, city.site.limits.lookups._maximum) == (30, 30)
    city.site.limits.lookups.limit(4)
    return 4


async def test_misses_are_limited(city: City, office: Office) -> None:
    async with city.browser() as browser:
        await signed_in(city, browser, "joko")
        path, unit = f"/admin/unit-roles/{office.units['PKM-1']}", office.units["PKM-1"]
        role = {"choice": "give", "role": "sinyal operator", "unit": "PKM-1", "note": "r"}
        for number in range(2):  # the same user again is refused, and is no miss
            answer = await send(browser, path, **role, user="dewi")
            assert answer.status_code == (303 if number == 0 else 409)
        misses = lower_limit(city)
        codes = [(await send(browser, path, **role, user=f"user{number}")).status_code for number in range(misses)]
        assert set(codes) == {400}
        assert (await send(browser, path, **role, user="dewi")).status_code == 429
        assert (await add(browser, unit, "dewi")).status_code == 429


async def test_misses_are_limited_in_the_api_too(city: City, office: Office) -> None:
    joko, api = await person_with(city, "citizen", name="joko"), await program(city)
    role = {"role": "operator", "unit_id": str(office.units["PKM-1"])}
    assignment = await given(joko, "sinyal", **role, user_id=office.user("dewi"))
    assert (await give(joko, "sinyal", **role, user_id=office.user("dewi"))).status_code == 409, "and is no miss"
    misses = lower_limit(city)
    for number in range(misses):  # whether the user exists or not
        user_id = str(uuid.uuid4()) if number % 2 else office.user("siti")
        assert (await give(joko, "sinyal", **role, user_id=user_id)).status_code in (403, 404)
    refused = await give(joko, "sinyal", **role, user_id=office.user("dewi"))
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert (await end(joko, assignment)).status_code == 200, "what names nobody goes on"
    async with city.browser() as browser:
        await signed_in(city, browser, "joko")
        assert (await add(browser, office.units["PKM-1"], "dewi")).status_code == 429, "one limit for API and pages"
    for _ in range(misses + 1):
        assert (await give(api, "sinyal", **role, user_id=str(uuid.uuid4()))).status_code == 404, "who sees everybody"


@OFFERED
async def test_a_sandbox_tells_nobody_who_works_for_the_city(city: City, office: Office) -> None:
    await prove_nik(city, "dewi")
    developer = await person_with(city, "developer", name="budi")
    await begun(developer, document={**WANTED["document"], "application_roles": {"x": {"title": "X"}}})
    sandbox = "antrean-sandbox"
    async with city.browser() as browser:
        await sign_in(city, browser, "budi")
        path = "/developer/apps/antrean/roles"
        assert (
            await send(browser, path, choice="give", role="x", group="KOTA", below="1", note="r")
        ).status_code == 303
        for who in ("dewi", office.user("dewi"), "siti@warga.example", NIK, "3671014101850003", "nobody"):
            answer = await send(browser, path, choice="give", role="x", user=who, note="r")
            assert answer.status_code == 400, who
        assert (await send(browser, path, choice="give", role="x", user="budi", note="r")).status_code == 303
        page = await browser.http.get(path)
        token = token_of(page)
        file = await browser.http.post(path + "/download", data={"csrf_token": token, "note": "Rekap"})
        rows = file.text.splitlines()[1:]
        assert [line.split(",")[3] for line in rows] == [office.user("budi")], file.text
        assert "Dewi" not in main_of(page)
    assert (await give(developer, sandbox, role="x", user_id=office.user("dewi"))).status_code in (403, 404)
    api = await program(city)
    answer = await give(api, sandbox, role="x", user_id=office.user("dewi"))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (404, "/user_id"), "nor does anybody else"
    async with city.browser() as browser:
        await signed_in(city, browser, "joko")
        assert (await add(browser, office.units["PKM-2"], "dewi")).status_code == 303, (
            "what is in a sandbox stops nobody"
        )


async def test_many_roles_of_a_large_unit_read_its_members_once(city: City, office: Office) -> None:
    now, size = clock.now(), 250
    names = {f"r{number}": {"title": "R"} for number in range(5)}
    await office.set("sinyal", application_roles=names, team_gives_roles=True, end_session_on_role_loss=True)
    await office.team("sinyal", joko="member")
    unit = office.units["DINKES"]
    async with city.provider.db.write() as session:
        people = [User(name="N", created_at=now, updated_at=now, preferences={}, profile={}) for _ in range(size)]
        session.add_all(people)
        await session.flush()
        session.add_all(Membership(user_id=user.id, group_id=unit, source="manual", created_at=now) for user in people)
    team = await person_with(city, "citizen", name="joko")
    new = [{"role": f"r{n // 2}", "group_id": str(unit), "with_units_below": bool(n % 2)} for n in range(10)]
    watch, seen = Statements(city), []
    for some in (new[:1], new[1:]):
        watch.take()
        body = {"client_id": "sinyal", "reason": "x", "assignments": some}
        answer = await team("POST", "/role-assignments", json=body)
        assert answer.status_code == 201, answer.text
        statements = watch.take()
        assert sum("DISTINCT memberships.user_id" in statement for statement in statements) == 1
        seen.append(len(statements))
        if len(some) == 9:
            async with city.provider.db.read() as session:
                later = (await session.execute(select(PendingAccessChange.user_ids))).scalars().all()
            assert sorted(len(part) for part in later) == [50, 51, 100, 100], "a job tells the others"
    assert seen[1] - seen[0] <= 8 * 11, "a few for each role, none for each member"
    async with city.browser() as browser:
        await signed_in(city, browser, "joko")
        async with city.provider.db.read() as session:
            ids = (await session.execute(select(RoleAssignment.id))).scalars().all()
        watch.take()
        ticked = {f"assignment {assignment_id}": "1" for assignment_id in ids}
        answer = await send(browser, "/developer/apps/sinyal/roles", choice="end", note="Selesai", **ticked)
        assert answer.status_code == 303, answer.text
        assert sum("DISTINCT memberships.user_id" in statement for statement in watch.take()) == 1


async def test_a_unit_ends_only_its_own_roles(city: City, office: Office) -> None:
    api, dewi = await program(city), office.user("dewi")
    elsewhere = await given(api, "sinyal", role="reader", user_id=dewi)
    unit = await person_with(city, "employee", name="joko")
    assert (await end(unit, elsewhere)).status_code == 403, "the city gave it, and it is not of the unit"
    whole = await given(unit, "sinyal", role="reader", group_id=str(office.units["PKM-2"]))
    assert (await end(unit, whole)).status_code == 200, "given by an administrator of the unit"
    limited = await given(api, "sinyal", role="operator", user_id=dewi, unit_id=str(office.units["PKM-1"]))
    foreign = await given(api, "sinyal", role="operator", user_id=dewi, unit_id=str(office.units["DISDIK"]))
    await leave(city, "dewi")
    listed = await unit.pages("/role-assignments", user_id=dewi)
    assert [row["id"] for row in listed] == [limited["id"]], "the others are not theirs to see"
    assert (await end(unit, foreign)).status_code == 404
    assert (await end(unit, limited)).status_code == 200, "it is for their unit, wherever the user is now"


async def test_a_role_of_a_unit_ends_after_its_user_has_left(city: City, office: Office) -> None:
    api, dewi, pkm = await program(city), office.user("dewi"), str(office.units["PKM-1"])
    unit = await person_with(city, "employee", name="joko")
    by_unit = await given(unit, "sinyal", role="operator", user_id=dewi, unit_id=pkm)
    by_city = await given(api, "sinyal", role="operator", user_id=dewi, unit_id=str(office.units["DINKES"]))
    await clear_up(city.provider)
    assert len(await api.pages("/role-assignments", user_id=dewi)) == 2
    clock.advance(timedelta(seconds=1))
    await leave(city, "dewi")
    clock.advance(timedelta(minutes=6))
    await clear_up(city.provider)
    assert [row["id"] for row in await api.pages("/role-assignments", user_id=dewi)] == [by_city["id"]]
    ended = await api.get(f"/role-assignments/{by_unit['id']}")
    assert (ended["ended_by"], ended["end_reason"]) == ("system", "The user has left the unit.")


MANY_MEMBERSHIPS = """INSERT INTO memberships (id, user_id, group_id, source, created_at)
    SELECT gen_random_uuid(), gen_random_uuid(), one.group_id, one.source, one.created_at
    FROM (SELECT * FROM memberships LIMIT 1) AS one, generate_series(1, 5000)"""


async def test_who_left_is_found_by_the_end_of_the_membership(city: City, office: Office) -> None:
    """The job begins at memberships that ended since it looked, in an index, however many roles there are."""
    joko = await person_with(city, "employee", name="joko")
    role = {"role": "operator", "user_id": office.user("dewi"), "unit_id": str(office.units["PKM-1"])}
    first = await given(joko, "sinyal", **role)
    await clear_up(city.provider)
    seen: list[tuple[str, Any]] = []
    for engine in city.provider.db.engines:
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *given: seen.append((given[2], given[3])))
    clock.advance(timedelta(minutes=6))
    await clear_up(city.provider)
    [(statement, values)] = [
        executed for executed in seen if "unit_administrators" in executed[0] and "memberships" in executed[0]
    ]
    async with city.provider.db.engine.connect() as connection:  # in a transaction, which is rolled back
        explain = "EXPLAIN QUERY PLAN" if city.provider.db.is_sqlite else "EXPLAIN"
        if not city.provider.db.is_sqlite:  # with few rows any plan is as good
            for setting in ("session_replication_role = replica", "enable_seqscan = off"):
                await connection.exec_driver_sql(f"SET LOCAL {setting}")
            await connection.exec_driver_sql(MANY_MEMBERSHIPS)
            await connection.exec_driver_sql("ANALYZE memberships")
        plan = str((await connection.exec_driver_sql(f"{explain} {statement}", values)).all())
        await connection.rollback()
    assert "ix_memberships_valid_until" in plan
    assert "SCAN role_assignments" not in plan
    # An end in the past was not there when the job looked at that time: once a day it looks at everything.
    async with city.provider.db.write() as session:
        member = (
            await session.execute(select(Membership).where(Membership.user_id == city.users["dewi"]))
        ).scalar_one()
        member.valid_until = clock.now() - timedelta(minutes=5)
        member.created_at = (await session.get_one(RoleAssignment, uuid.UUID(first["id"]))).created_at
    clock.advance(timedelta(minutes=20))
    async with city.provider.db.write() as session:
        await session.execute(update(AccessClock).where(AccessClock.name == "left").values(looked_until=clock.now()))
    await clear_up(city.provider)
    async with city.provider.db.read() as session:
        assert (await session.get_one(RoleAssignment, uuid.UUID(first["id"]))).ended_by is None
    clock.advance(timedelta(days=1))
    await clear_up(city.provider)
    async with city.provider.db.read() as session:
        assert (await session.get_one(RoleAssignment, uuid.UUID(first["id"]))).ended_by == "system"
