"""What follows a change of units, memberships and employments: who is told, and which sessions end, by real streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from tests.arranged import signed_in
from tests.conformance.test_shared_signals import Receiver
from tests.given_access import register
from tests.roles.conftest import Office
from tests.scheduled import run_jobs
from tests.support import Browser, City, Tokens
from tests.waiting import until

from sso import clock
from sso.accounts import access_changes, groups
from sso.accounts.deletion import delete_user
from sso.accounts.employees import EmploymentDetails, employ, end_employment
from sso.accounts.group_files import apply_plan, make_plan, read_units_csv
from sso.accounts.role_assignments import NewAssignment, RoleError, giver_of
from sso.accounts.role_assignments import give_roles as give
from sso.accounts.role_rules import Giver
from sso.identity.groups import assignments, tree
from sso.identity.groups.models import RoleAssignment, UnitAdministrator
from sso.identity.groups.schemas import GroupChange
from sso.identity.sessions.models import SessionClient, SsoSession
from sso.identity.users import store as users
from sso.platform.actor import CLI
from sso.platform.audit.models import AuditEvent
from sso.ssf.events import SESSION_REVOKED, TOKEN_CLAIMS_CHANGE

ABOUT: dict[str, Any] = {"actor": CLI, "reason": "Perda 7/2026"}
DAY = timedelta(days=1)
SCOPE = "openid roles groups"
COMMAND = Giver(None, gives_all=True)


@dataclass
class Followed:
    """The applications ``sinyal`` (DINKES and below, with a stream) and ``sekolah`` (DISDIK and below), which both end
    sessions when somebody loses something."""

    city: City
    office: Office
    receiver: Receiver
    stream: dict[str, Any]
    stack: AsyncExitStack
    browsers: dict[str, Browser] = field(default_factory=dict)

    async def sign_in(self, *names: str, at: tuple[str, ...] = ("sinyal", "sekolah"), scope: str = SCOPE) -> Tokens:
        """Let users sign in at applications; return the last tokens."""
        for name in names:
            if name not in self.browsers:
                self.browsers[name] = await self.stack.enter_async_context(await signed_in(self.city, name))
            for client_id in at:
                party = self.city.relying_party(client_id)
                tokens = await self.browsers[name].tokens(party, username=name, scope=scope)
        return tokens

    async def change(self, act: Any, *given: Any, **more: Any) -> Any:
        """Do one thing in one transaction."""
        async with self.city.provider.db.write() as session:
            return await act(session, self.city.provider, *given, **more)

    async def changed_claims(self) -> list[dict[str, Any]]:
        """Return the changed claims of which ``sinyal`` was told since the last time."""
        got = await self.receiver.poll(self.stream)
        claims = [await self.receiver.checked(token) for token in got["sets"].values()]
        await self.receiver.poll(self.stream, ack=list(got["sets"]), maxEvents=0)
        events = [claim["events"] for claim in claims]
        return [event[TOKEN_CLAIMS_CHANGE]["claims"] for event in events if TOKEN_CLAIMS_CHANGE in event]

    async def later(self, time: timedelta) -> None:
        """Let time pass, and the jobs run."""
        clock.advance(time.total_seconds())
        await run_jobs(self.city.provider, "role_times", "employments")
        party = self.city.relying_party("sinyal")
        tokens = await party.token(grant_type="client_credentials", scope="ssf.read ssf.manage")
        self.receiver.token = tokens["access_token"]

    async def over(self) -> set[tuple[str, str]]:
        """Return the applications that a session of a user ended for, with the user."""
        names = {user_id: name for name, user_id in self.city.users.items()}
        statement = (
            select(SsoSession.user_id, SessionClient.client_id)
            .join(SessionClient, SessionClient.session_id == SsoSession.id)
            .where(SessionClient.ended_at.is_not(None))
        )
        async with self.city.provider.db.read() as session:
            return {(names[row[0]], row[1]) for row in (await session.execute(statement)).all()}

    async def quiet(self) -> bool:
        """Tell whether nobody was told of anything and nothing ended."""
        return (await self.changed_claims(), await self.over()) == ([], set())


@pytest.fixture
async def followed(city: City, office: Office) -> AsyncIterator[Followed]:
    await office.set("sinyal", end_session_on_role_loss=True)
    interest = {"groups_of_interest": ["DISDIK/*"], "end_session_on_role_loss": True}
    await register(city, "sekolah", ["guru"], **interest)
    tokens = await city.relying_party("sinyal").token(grant_type="client_credentials", scope="ssf.read ssf.manage")
    receiver = Receiver(city, tokens["access_token"])
    stream = await receiver.make_stream(TOKEN_CLAIMS_CHANGE, SESSION_REVOKED)
    async with AsyncExitStack() as stack:
        yield Followed(city, office, receiver, stream, stack)


async def test_a_unit_that_closes_later_or_opens_again_ends_nothing(followed: Followed) -> None:
    clinic, now = followed.office.units["PKM-1"], clock.now()
    await followed.sign_in("dewi")
    await followed.change(groups.close_group, clinic, at=now + 30 * DAY, **ABOUT)
    assert await followed.quiet(), "it closes in thirty days"
    await followed.change(groups.reopen_group, clinic, **ABOUT)
    await followed.change(groups.change_group, clinic, GroupChange(valid_from=now - 400 * DAY), **ABOUT)
    assert await followed.quiet()
    await followed.change(groups.close_group, clinic, at=now - DAY, **ABOUT)
    assert (await followed.changed_claims(), await followed.over()) == (
        [{"roles": [], "groups": []}],
        {("dewi", "sinyal")},
    ), "what closed yesterday is told now"
    await followed.sign_in("dewi")
    await followed.change(groups.reopen_group, clinic, **ABOUT)
    assert await followed.changed_claims() == [{"roles": [], "groups": ["DINKES", "PKM-1"]}]
    assert await followed.over() == set(), "nobody lost anything"


async def test_a_move_concerns_the_applications_of_both_branches_only(followed: Followed) -> None:
    units = followed.office.units
    await followed.office.join("budi", "DISDIK")
    await followed.sign_in("dewi", "budi")
    await followed.change(groups.move_group, units["DISDIK"], None, **ABOUT)
    assert await followed.quiet(), "sinyal asks for DINKES, and sekolah sees DISDIK as before"
    await followed.change(groups.change_group, units["KOTA"], GroupChange(code="KOTA-2"), **ABOUT)
    assert await followed.quiet()
    await followed.change(groups.move_group, units["PKM-1"], units["DISDIK"], **ABOUT)
    assert await followed.changed_claims() == [{"roles": [], "groups": []}]
    assert await followed.over() == {("dewi", "sinyal")}, "at sekolah dewi gained something"
    await followed.change(groups.change_group, units["PKM-1"], GroupChange(code="SD-1"), **ABOUT)
    assert await followed.changed_claims() == []
    assert await followed.over() == {("dewi", "sinyal"), ("dewi", "sekolah")}, "the claim PKM-1 is gone"


async def test_a_move_of_many_is_as_exact_for_those_that_a_job_compares(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_changes, "PART", 1)
    units = followed.office.units
    await followed.office.join("budi", "PKM-1")
    await followed.office.join("siti", "PKM-1")
    await followed.office.join("siti", "PKM-2")
    await followed.sign_in("dewi", "budi", "siti")
    await followed.change(groups.move_group, units["PKM-2"], units["KOTA"], **ABOUT)
    await followed.change(groups.move_group, units["PKM-1"], units["DISDIK"], **ABOUT)
    await access_changes.work(followed.city.provider, asyncio.Event())
    assert await followed.over() == {(name, "sinyal") for name in ("dewi", "budi", "siti")}
    lost: list[dict[str, list[str]]] = [{"roles": [], "groups": []}] * 2  # siti's grant ended with the first move
    assert await followed.changed_claims() == [{"roles": [], "groups": ["DINKES", "PKM-1"]}, *lost]


async def test_a_role_for_a_unit_that_closes_is_gone_for_people_of_other_units_too(followed: Followed) -> None:
    units = followed.office.units
    await followed.change(
        give,
        "sinyal",
        [NewAssignment("operator", "SK 1", user_id=followed.city.users["siti"], unit_id=units["PKM-2"])],
        giver=COMMAND,
        actor=CLI,
    )
    await followed.sign_in("siti")
    await followed.change(groups.change_group, units["PKM-2"], GroupChange(code="PKM-B"), **ABOUT)
    assert await followed.changed_claims() == [{"roles": ["operator@PKM-B"], "groups": []}]
    await followed.sign_in("siti")
    await followed.change(groups.close_group, units["DINKES"], with_units_below=True, **ABOUT)
    assert await followed.changed_claims() == [{"roles": [], "groups": []}]
    assert await followed.over() == {("siti", "sinyal")}


async def _apply(followed: Followed, folder: Path, *lines: str) -> None:
    path = folder / "unit.csv"
    path.write_text("\n".join(["code,name_id,parent_code,valid_until", *lines]) + "\n")
    entries, mistakes = read_units_csv(path, "Asia/Jakarta")
    async with followed.city.provider.db.write() as session:
        await tree.lock_tree(session)
        plan = await make_plan(session, entries, mistakes)
        await apply_plan(session, followed.city.provider, plan, name=path.name, **ABOUT)


async def test_a_file_of_units_is_followed_as_the_pages_are(followed: Followed, tmp_path: Path) -> None:
    await followed.office.join("budi", "PKM-2")
    await followed.office.join("siti", "DISDIK")
    await followed.sign_in("dewi", "budi", "siti")
    rest = ("DINKES,Dinas Kesehatan,KOTA,", "DISDIK,Dinas Pendidikan,KOTA,")
    await _apply(followed, tmp_path, *rest, "PKM-1,Puskesmas 1,DINKES,2099-12-31")
    assert await followed.quiet()
    await _apply(followed, tmp_path, *rest, "PKM-1,Puskesmas 1,DINKES,2020-12-31", "PKM-2,Puskesmas 2,DISDIK,")
    assert await followed.changed_claims() == [{"roles": [], "groups": []}] * 2
    assert await followed.over() == {("dewi", "sinyal"), ("budi", "sinyal")}


async def test_a_membership_that_ended_yesterday_ends_what_it_gave(followed: Followed) -> None:
    office, now = followed.office, clock.now()
    earlier = await office.join("dewi", "DISDIK", valid_from=now - 9 * DAY)
    later = await office.join("dewi", "PKM-2", valid_from=now - 9 * DAY)
    await followed.sign_in("dewi")
    await followed.change(groups.end_membership, membership_id=later, at=now - 2 * DAY, **ABOUT)
    assert await followed.changed_claims() == [{"roles": [], "groups": ["DINKES", "PKM-1"]}]
    assert await followed.over() == {("dewi", "sinyal")}
    await followed.sign_in("dewi", at=("sinyal",))
    await followed.change(groups.end_membership, membership_id=earlier, at=now - 3 * DAY, **ABOUT)
    assert await followed.changed_claims() == [], "what ended before was told before"
    assert await followed.over() == {("dewi", "sekolah")}


async def _hire(followed: Followed, name: str, **about: Any) -> None:
    async with followed.city.provider.db.write() as session:
        user = await users.lock_user(session, followed.city.users[name])
        assert user is not None
        details = EmploymentDetails(**{"status": "pns", "nip": "198501012010011001", **about})
        await employ(session, followed.city.provider, user, details, source="import", **ABOUT)


async def _dismiss(followed: Followed, name: str, at: datetime | None = None) -> None:
    async with followed.city.provider.db.write() as session:
        user = await users.lock_user(session, followed.city.users[name])
        assert user is not None
        await end_employment(session, followed.city.provider, user, at=at, **ABOUT)


async def test_the_end_of_an_employment_changes_the_person_first_and_ends_each_part_once(followed: Followed) -> None:
    """The order of the locks is checked by the fixture ``city``."""
    office = followed.office
    await office.join("dewi", "DISDIK")
    await _hire(followed, "dewi", unit_id=office.units["PKM-2"], position="Perawat")
    await register(followed.city, "absen", ["a"], allowed_roles=["employee"], end_session_on_role_loss=True)
    await followed.sign_in("dewi", at=("sinyal", "sekolah", "absen"))
    await followed.changed_claims()
    await _dismiss(followed, "dewi")
    assert await followed.changed_claims() == [{"roles": [], "groups": []}], "once, with what is left at the end"
    assert await followed.over() == {("dewi", name) for name in ("sinyal", "sekolah", "absen")}
    # Coming back with another unit, and a change of unit, keep the order too.
    await _hire(followed, "dewi", unit_id=office.units["PKM-1"])
    await followed.sign_in("dewi", at=("sinyal",))
    await followed.changed_claims()
    await _hire(followed, "dewi", unit_id=office.units["DISDIK"])
    assert await followed.changed_claims() == [{"roles": [], "groups": []}]


async def test_applications_are_told_of_the_work_of_an_employee(followed: Followed) -> None:
    """Each change of the claims of the scope ``employee`` is told once, to applications that were granted the scope."""
    city, office, now = followed.city, followed.office, clock.now()
    scope = "openid profile offline_access ssf.read ssf.manage employee"
    await office.set("sinyal", scope=scope, first_party=True, end_session_on_role_loss=False)
    await followed.sign_in("dewi", at=("sinyal",), scope="openid employee offline_access")
    await followed.sign_in("joko", at=("sinyal",), scope="openid profile")
    work = {"nip": "198501012010011001", "employment_status": "pns", "grade": "III/a", "position": "Perawat"}
    unit, about = {"unit": "Unit PKM-1", "unit_code": "PKM-1"}, {"unit_id": office.units["PKM-1"], "grade": "III/a"}
    await _hire(followed, "joko", nip="199003152024212002")
    assert await followed.changed_claims() == [], "joko did not grant the scope"
    await _hire(followed, "dewi", valid_from=now + DAY, position="Perawat", **about)
    await run_jobs(city.provider, "role_times", "employments")
    assert await followed.changed_claims() == [], "the employment begins tomorrow"
    await followed.later(DAY)
    assert await followed.changed_claims() == [{**work, **unit}]
    times: dict[str, Any] = {"valid_from": now + DAY, "valid_until": now + 9 * DAY}
    await _hire(followed, "dewi", position="Bidan", **times, **about)
    assert await followed.changed_claims() == [{"position": "Bidan"}], "only what changed"
    await _hire(followed, "dewi", position="Bidan", **times, **about)
    await _dismiss(followed, "dewi", now + 8 * DAY)
    await run_jobs(city.provider, "role_times", "employments")
    assert await followed.changed_claims() == [], "nothing that applications see has changed"
    await followed.later(8 * DAY)
    nothing = dict.fromkeys((*work, *unit))
    assert await followed.changed_claims() == [nothing]
    await _hire(followed, "dewi")
    assert await followed.changed_claims() == [{"nip": work["nip"], "employment_status": "pns"}]
    await office.set("sinyal", claim_reasons={"employment_status": "Statistik"})
    await _dismiss(followed, "dewi")
    assert await followed.changed_claims() == [{"employment_status": None}], (
        "claims that the application does not receive"
    )


async def test_who_left_keeps_no_power_of_the_work(followed: Followed) -> None:
    city, office, joko = followed.city, followed.office, followed.city.users["joko"]
    await office.set("warga", application_roles={"hakim": {"title": "Hakim"}}, allowed_roles=["employee"])
    await register(city, "warung", ["pemilik"])
    await _hire(followed, "joko", unit_id=office.units["DINKES"])
    for client_id, role, unit in (
        ("sinyal", "operator", "PKM-1"), ("sinyal", "chief", None), ("warga", "hakim", None),
        ("warung", "pemilik", None),
    ):  # fmt: skip
        new = NewAssignment(role, "SK 2", user_id=joko, unit_id=office.units[unit] if unit else None)
        await followed.change(give, client_id, [new], giver=COMMAND, actor=CLI)
    await _dismiss(followed, "joko")
    async with city.provider.db.write() as session:
        assert not await groups.may_manage(session, joko, office.units["PKM-1"])
        giver = await giver_of(session, CLI, "sinyal", joko)
        assert not giver.units
        assert (await session.execute(select(UnitAdministrator.user_id))).all() == []
        mine = select(RoleAssignment).where(RoleAssignment.user_id == joko).order_by(RoleAssignment.id)
        held = {(row.client_id, row.role): row for row in (await session.execute(mine)).scalars()}
        left = {name for name, row in held.items() if row.valid_until is None}
        events = select(AuditEvent).where(AuditEvent.subject == str(joko)).order_by(AuditEvent.id)
        recorded = {event.type: event.data for event in (await session.execute(events)).scalars()}
        units = select(AuditEvent.data).where(AuditEvent.type == "group.administrators_set")
        [removed] = (await session.execute(units)).scalars()
    assert left == {("sinyal", "chief"), ("warung", "pemilik")}, "a citizen can have these"
    assert held["sinyal", "operator"].end_reason == ABOUT["reason"]
    assert recorded["employment.ended"]["roles_left"] == ["sinyal: chief", "warung: pemilik"]
    assert (removed["unit"], removed["removed"]) == ("DINKES", [str(joko)])
    with pytest.raises(RoleError, match="you do not give"):
        new = NewAssignment("operator", "r", user_id=city.users["dewi"], unit_id=office.units["PKM-1"])
        await followed.change(give, "sinyal", [new], giver=giver, actor=CLI)


async def test_a_grant_that_is_newer_than_the_own_loss_stays(followed: Followed) -> None:
    city, now = followed.city, clock.now()
    for minutes, name in ((10, "dewi"), (30, "siti")):
        new = NewAssignment("chief", "r", user_id=city.users[name], valid_until=now + timedelta(minutes=minutes))
        await followed.change(give, "sinyal", [new], giver=COMMAND, actor=CLI)
    await followed.sign_in("dewi", "siti", at=("sinyal",))
    await run_jobs(city.provider, "role_times", "employments")
    clock.advance(timedelta(minutes=20).total_seconds())
    tokens = await followed.sign_in("dewi", at=("sinyal",), scope=SCOPE + " offline_access")
    clock.advance(timedelta(minutes=20).total_seconds())
    await run_jobs(city.provider, "role_times", "employments")
    assert await followed.over() == {("siti", "sinyal")}
    assert (await city.relying_party("sinyal").refresh(tokens["refresh_token"])).status == 200


async def test_a_user_who_is_deleted_meanwhile_gets_no_role(city: City, office: Office, monkeypatch: Any) -> None:
    siti, provider = city.users["siti"], city.provider
    deletions: list[asyncio.Task[None]] = []

    async def delete() -> None:
        async with provider.db.write() as session:
            user = await users.lock_user(session, siti)
            assert user is not None
            await delete_user(session, provider, user, actor=CLI)

    async def waits() -> bool:
        blocked = text("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        async with provider.db.read() as session:
            return deletions[0].done() or (await session.execute(blocked)).first() is not None

    same_as = assignments.same_as

    async def delete_first(*given: Any) -> RoleAssignment | None:
        deletions.append(asyncio.create_task(delete()))
        if not provider.db.is_sqlite:
            await until(waits)
        return await same_as(*given)

    monkeypatch.setattr(assignments, "same_as", delete_first)
    async with provider.db.write() as session:
        new = NewAssignment("chief", "Alasan tentang Siti", user_id=siti)
        await give(session, provider, "sinyal", [new], giver=COMMAND, actor=CLI)
    await deletions[0]
    async with provider.db.read() as session:
        assert (await session.execute(select(RoleAssignment))).all() == []
    monkeypatch.undo()
    with pytest.raises(RoleError, match="no such user"):
        async with provider.db.write() as session:
            await give(session, provider, "sinyal", [new], giver=COMMAND, actor=CLI)
