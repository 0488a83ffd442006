"""Employees: sign-in by NIP, the scope ``employee``, and what ends with an employment."""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from tests.arranged import sign_in
from tests.citizens import SENDING, notices, post
from tests.scheduled import run_jobs
from tests.support import PASSWORD, City, RelyingParty, Statements

from sso import clock
from sso.accounts import access_changes, groups
from sso.accounts import employees as employments
from sso.accounts.contacts import add_contact
from sso.accounts.data_export import everything_about
from sso.accounts.employees import EmploymentDetails, employ, end_employment
from sso.clients import store as clients
from sso.clients.metadata import ClientMetadata
from sso.clients.secrets import new_secret
from sso.identity.authn.passwords import Passwords
from sso.identity.employees.models import Employment
from sso.identity.groups.models import Group, Membership, PendingAccessChange
from sso.identity.groups.store import add_group
from sso.identity.users import store
from sso.identity.users.models import Identifier, User
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import UserError, create_users, find
from sso.jobs import RowsFailed
from sso.platform.actor import CLI, Actor
from sso.platform.audit.models import AuditEvent
from sso.platform.db import bump_version, new_id

NIP, OLD_NIP, OTHER_NIP = "198501012010011001", "130119400", "199003152024212002"
CLAIMS = {"nip", "unit", "unit_code", "position", "grade", "employment_status"}


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {**SENDING, "risk_based_second_factor": "none"}


async def unit(city: City, code: str = "PKM-CPD", name: str = "Puskesmas Cipondoh") -> uuid.UUID:
    """Add a unit and return its id."""
    now = clock.now()
    group = Group(id=new_id(), kind="unit", code=code, name_id=name, created_at=now, updated_at=now)
    async with city.provider.db.write() as session:
        await add_group(session, group)
    return group.id


async def hire(city: City, name: str = "siti", **about: Any) -> uuid.UUID:
    """Record an employment and return its id."""
    details = EmploymentDetails(**{"status": "pns", "nip": NIP, "grade": "III/b", **about})
    async with city.provider.db.write() as session:
        user = await store.lock_user(session, city.users[name])
        assert user is not None
        employment = await employ(
            session, city.provider, user, details, source="import", actor=CLI, reason="Data kepegawaian"
        )
        return employment.id


async def dismiss(city: City, name: str = "siti", at: datetime | None = None) -> None:
    """End the employment of a user."""
    async with city.provider.db.write() as session:
        user = await store.lock_user(session, city.users[name])
        assert user is not None
        await end_employment(session, city.provider, user, at=at, actor=CLI, reason="Pensiun")


async def application(city: City, client_id: str = "kinerja", **metadata: Any) -> RelyingParty:
    """Register an application of the city with the scope ``employee``."""
    meta = ClientMetadata.model_validate(
        {
            "type": "web",
            "client_name": "E-Kinerja",
            "first_party": True,
            "redirect_uris": [f"https://{client_id}.example/cb"],
            "scope": "openid profile email employee offline_access",
            "scope_claims_in_id_token": True,
            "profile": "legacy",
            **metadata,
        }
    )
    now = clock.now()
    async with city.provider.db.write() as session:
        version = await bump_version(session, "clients")
        row = {"client_id": client_id, "catalogue": "tests", "status": "active", "metadata": meta.stored()}
        await clients.insert_clients(session, [{**row, "version": version, "created_at": now, "updated_at": now}])
        city.secrets[client_id] = await new_secret(session, city.provider.box, client_id)
    await city.provider.refresh()
    return city.relying_party(client_id)


async def signs_in(city: City, typed: str, password: str = PASSWORD) -> bool:
    """Tell whether somebody signs in with what is typed."""
    async with city.browser() as browser:
        return (await browser.sign_in(city.relying_party("warga"), typed, password)).is_redirect


async def facts(city: City, name: str = "siti") -> tuple[list[str], list[tuple[str, bool]]]:
    """Return the roles of a user, and the memberships with whether each is valid now."""
    now = clock.now()
    async with city.provider.db.read() as session:
        mine = select(Membership).where(Membership.user_id == city.users[name]).order_by(Membership.created_at)
        rows = (await session.execute(mine)).scalars()
        held = [(row.position or "", row.valid_until is None or row.valid_until > now) for row in rows]
        return await store.roles_of(session, city.users[name]), held


async def test_an_employee_signs_in_by_nip_and_applications_learn_of_the_work(city: City) -> None:
    party, other = await application(city), city.relying_party("warga")
    unit_id = await unit(city)
    assert not await signs_in(city, NIP)
    await hire(city, unit_id=unit_id, position="Perawat", old_nip=OLD_NIP)
    for typed in (NIP, "19850101 201001 1 001", OLD_NIP, "130 119 400", "siti"):
        assert await signs_in(city, typed), typed
    assert await facts(city) == (["citizen", "employee"], [("Perawat", True)])
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid employee", username=NIP)
        userinfo = (await party.userinfo(tokens["access_token"])).json()
        expected = {
            "nip": NIP, "unit": "Puskesmas Cipondoh", "unit_code": "PKM-CPD", "position": "Perawat", "grade": "III/b",
            "employment_status": "pns",
        }  # fmt: skip
        assert {name: userinfo[name] for name in CLAIMS} == expected
        assert {name: tokens.claims().get(name) for name in CLAIMS} == expected
        # Another application learns nothing, and the NIP is no user name for it.
        theirs = await browser.tokens(other, scope="openid profile email")
        their_userinfo = (await other.userinfo(theirs["access_token"])).json()
    assert not CLAIMS & set(their_userinfo)
    assert (NIP in str(their_userinfo), their_userinfo["preferred_username"]) == (False, "siti")
    assert "sign_in_name_changed" in await notices(city)


async def test_the_end_of_an_employment_ends_what_was_had_through_it(city: City) -> None:
    party, strict = await application(city), await application(city, "absen", end_session_on_role_loss=True)
    await hire(city, unit_id=await unit(city), position="Perawat")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid employee", username=NIP)
        ended = await browser.tokens(strict, scope="openid employee")
        await dismiss(city)
        userinfo = (await party.userinfo(tokens["access_token"])).json()
        assert not CLAIMS & set(userinfo)
        assert (await strict.userinfo(ended["access_token"])).status_code == 401
        # The citizen stays signed in.
        assert (await browser.open(city.relying_party("warga").url())).is_redirect
    assert await facts(city) == (["citizen"], [("Perawat", False)])
    assert (await signs_in(city, NIP), await signs_in(city, "siti")) == (False, True)
    assert "employment_ended" in await notices(city)
    async with city.provider.db.read() as session:
        assert (await find(session, NIP)).id == city.users["siti"], "the helpdesk still finds somebody who left"
        types = (await session.execute(select(AuditEvent.type).order_by(AuditEvent.id))).scalars().all()
    assert [name for name in types if name.startswith("employment.")] == ["employment.recorded", "employment.ended"]
    await hire(city)
    assert await signs_in(city, NIP), "who comes back signs in with the same NIP"


async def test_an_employment_begins_and_ends_by_time(city: City) -> None:
    party, now = await application(city), clock.now()
    times = {"valid_from": now + timedelta(days=1), "valid_until": now + timedelta(days=3)}
    await hire(city, unit_id=await unit(city), position="Perawat", **times)
    await run_jobs(city.provider, "role_times", "employments")
    assert (await signs_in(city, NIP), (await facts(city))[0]) == (False, ["citizen"])
    clock.advance(timedelta(days=2).total_seconds())
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid employee", username=NIP)
        await run_jobs(city.provider, "role_times", "employments")
        assert (await facts(city))[0] == ["citizen", "employee"]
        tokens = await browser.tokens(party, scope="openid employee")
        assert tokens.claims()["position"] == "Perawat"
    clock.advance(timedelta(days=2).total_seconds())
    assert not await signs_in(city, NIP), "before the job has run"
    await run_jobs(city.provider, "role_times", "employments")
    assert await facts(city) == (["citizen"], [("Perawat", False)])
    async with city.provider.db.read() as session:
        (employment,) = (await session.execute(select(Employment))).scalars()
    assert (employment.ended_at is not None, employment.valid_until) == (True, times["valid_until"])


async def test_a_nip_has_one_holder(city: City) -> None:
    await hire(city)
    with pytest.raises(UserError, match="another account has this NIP"):
        await hire(city, "budi")
    async with city.provider.db.write() as session:
        session.add(_identifier(city.users["budi"], OTHER_NIP))
    with pytest.raises(UserError, match="as its username"):
        await hire(city, nip=OTHER_NIP)
    # A user name that is the NIP becomes it, for the user who has it, and stays what applications are told.
    await dismiss(city)
    await hire(city, "budi", nip=OTHER_NIP, status="pppk")
    async with city.provider.db.read() as session:
        kinds = {
            row.lookup: (row.kind, row.is_primary) for row in await store.identifiers_of(session, city.users["budi"])
        }
    assert kinds[OTHER_NIP] == ("nip", True)


def _identifier(user_id: uuid.UUID, value: str) -> Identifier:
    now = clock.now()
    return Identifier(
        user_id=user_id, kind="username", value=value, lookup=value, is_primary=True, created_at=now, verified_at=now
    )


async def test_a_change_of_unit_and_of_nip_leaves_the_history(city: City) -> None:
    first, second = await unit(city), await unit(city, "DINKES", "Dinas Kesehatan")
    employment_id = await hire(city, unit_id=first, position="Perawat")
    assert await hire(city, unit_id=first, position="Perawat") == employment_id
    assert (await facts(city))[1] == [("Perawat", True)]
    assert await hire(city, unit_id=second, position="Kepala Seksi", nip=OTHER_NIP) == employment_id
    assert (await facts(city))[1] == [("Perawat", False), ("Kepala Seksi", True)]
    assert (await signs_in(city, NIP), await signs_in(city, OTHER_NIP)) == (False, True)


async def test_users_cannot_change_their_nip(city: City) -> None:
    await hire(city)
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        page = await browser.open("/account/contacts")
        assert "19850101 201001 1 001" in page.text
        async with city.provider.db.read() as session:
            mine = select(Identifier.id).where(Identifier.lookup == NIP)
            identifier_id = (await session.execute(mine)).scalar_one()
        for choice in ("remove", "primary"):
            await post(browser, "/account/contacts", {"choice": f"{choice} {identifier_id}"}, page)
        answer = await post(browser, "/account/contacts", {"choice": "username", "username": OTHER_NIP}, page)
    assert answer.status_code == 400
    async with city.provider.db.read() as session:
        user = await session.get(User, city.users["siti"])
        assert user is not None
        kinds = [row.kind for row in await store.identifiers_of(session, user.id) if row.lookup == NIP]
    assert kinds == ["nip"]


async def test_only_applications_with_the_scope_cost_more(city: City) -> None:
    party, other = await application(city), city.relying_party("warga")
    await hire(city, unit_id=await unit(city))
    for chosen, scope in ((other, "openid profile"), (party, "openid employee")):
        async with city.browser() as browser:
            tokens = await browser.tokens(chosen, scope=scope)
        await chosen.userinfo(tokens["access_token"])
        statements = Statements(city)
        await chosen.userinfo(tokens["access_token"])
        taken = [text for text in statements.take() if text.lstrip().startswith("SELECT")]
        assert len(taken) <= 2
        assert any("employments" in text for text in taken) is (chosen is party)


def test_only_applications_of_the_city_have_the_scope() -> None:
    about = {"type": "web", "client_name": "Mitra", "redirect_uris": ["https://mitra.example/cb"]}
    with pytest.raises(ValueError, match="employee is only for the city's own"):
        ClientMetadata.model_validate({**about, "scope": "openid employee"})


async def test_an_officer_records_and_ends_an_employment(city: City) -> None:
    await unit(city)
    async with city.browser() as browser:
        await sign_in(city, browser, "ratna")
        at = f"/admin/people/{city.users['siti']}"
        page = await browser.open(at)
        typed = {"nip": "19850101 201001 1 001", "employment_status": "pns", "unit": "PKM-CPD", "position": "Bidan"}
        wrong = {"nip": "198513012010011001", "employment_status": "pns", "note": "SK 12"}
        refused = await post(browser, f"{at}/employ", wrong, page)
        assert (refused.status_code, "ke-1 sampai ke-8" in refused.text or "digits 1 to 8" in refused.text) == (
            409,
            True,
        )
        await post(browser, f"{at}/employ", {**typed, "note": "SK 12"}, page)
        page = await browser.open(at)
        assert ("19850101 201001 1 001" in page.text, "Puskesmas Cipondoh" in page.text) == (True, True)
        assert await facts(city) == (["citizen", "employee"], [("Bidan", True)])
        assert city.users["siti"].hex[:4] in (await browser.open(f"/admin/people?q={NIP}")).text.replace("-", "")
        await post(browser, f"{at}/end_employment", {"note": "Pensiun"}, page)
    assert await facts(city) == (["citizen"], [("Bidan", False)])


async def test_nobody_hires_or_extends_themselves(city: City) -> None:
    """A rule of the use case, whoever calls it: also an administrator with every permission."""
    own, later = Actor(str(city.users["ratna"])), clock.now() + timedelta(days=90)
    details = EmploymentDetails("pns", OTHER_NIP, valid_until=later)

    async def act(user: User, session: AsyncSession, *, at: datetime | None = None, new: bool = False) -> None:
        if new:
            await employ(session, city.provider, user, details, source="manual", actor=own, reason="SK 1")
        else:
            await end_employment(session, city.provider, user, at=at, actor=own, reason="SK 2")

    async def try_to(**what: Any) -> None:
        async with city.provider.db.write() as session:
            user = await store.lock_user(session, city.users["ratna"])
            assert user is not None
            await act(user, session, **what)

    with pytest.raises(UserError, match="their own employment"):
        await try_to(new=True)
    await hire(city, "ratna", nip=OTHER_NIP, valid_until=later - timedelta(days=60))
    for what in ({"new": True}, {"at": later}):
        with pytest.raises(UserError, match="their own employment"):
            await try_to(**what)
    await try_to(at=clock.now() + timedelta(days=1))  # shorter
    async with city.browser() as browser:
        await sign_in(city, browser, "ratna")
        at = f"/admin/people/{city.users['ratna']}"
        page = await browser.open(at)
        assert f'"{at}/employ"' not in page.text, "there is no form"
        token = re.search(r'name="csrf_token" value="([^"]+)"', page.text[page.text.index(f"{at}/") :])
        assert token is not None
        form = {"nip": OTHER_NIP, "employment_status": "pns", "note": "SK 12", "until": "2099-12-31"}
        refused = await browser.http.post(f"{at}/employ", data={**form, "csrf_token": token[1]})
        assert refused.status_code == 409
        assert "Anda tidak dapat mengonfirmasi" in refused.text or "kepegawaian Anda sendiri" in refused.text
    async with city.provider.db.read() as session:
        (employment,) = (await session.execute(select(Employment))).scalars()
    assert employment.valid_until is not None
    assert employment.valid_until < clock.now() + timedelta(days=2)


async def test_the_export_of_a_user_has_the_employments(city: City) -> None:
    await hire(city, unit_id=await unit(city), position="Perawat")
    async with city.provider.db.read() as session:
        document = await everything_about(session, city.provider.box, city.provider.registry, city.users["siti"])
    (employment,) = cast("list[dict[str, object]]", document["employments"])
    assert (employment["nip"], employment["unit_code"], employment["position"]) == (NIP, "PKM-CPD", "Perawat")


async def cancelled_membership(city: City, user_id: uuid.UUID, unit_id: uuid.UUID) -> None:
    """Plan a membership that begins in ten years, and end it before it begins."""
    later = clock.now() + timedelta(days=3650)
    async with city.provider.db.write() as session:
        planned = await groups.add_member(
            session, city.provider, user_id=user_id, group_id=unit_id, valid_from=later, actor=CLI, reason="Mutasi"
        )
    async with city.provider.db.write() as session:
        await groups.end_membership(session, city.provider, membership_id=planned.id, actor=CLI, reason="Batal")


async def test_a_cancelled_membership_does_not_keep_the_employment(city: City) -> None:
    unit_id, soon = await unit(city), clock.now() + timedelta(hours=1)
    await hire(city, valid_until=soon)
    await hire(city, "budi", nip=OTHER_NIP)
    for name in ("siti", "budi"):
        await cancelled_membership(city, city.users[name], unit_id)
    await hire(city, "budi", nip=OTHER_NIP, unit_id=unit_id)
    await dismiss(city, "budi", clock.now() + timedelta(days=3))
    await dismiss(city, "budi")
    assert (await facts(city, "budi"))[0] == ["citizen"]
    clock.advance(timedelta(hours=2).total_seconds())
    await run_jobs(city.provider, "role_times", "employments")
    assert (await facts(city))[0] == ["citizen"]


async def test_the_job_goes_on_after_a_user_whose_employment_cannot_end(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = clock.now() + timedelta(hours=1)
    first, second = sorted(("siti", "budi"), key=lambda name: city.users[name])
    await hire(city, first, valid_until=soon)
    await hire(city, second, nip=OTHER_NIP, valid_until=soon)
    end = employments.end_nip

    async def fails_once(session: Any, user: User, *more: Any) -> None:
        if user.id == city.users[first]:
            raise UserError("this one cannot end")
        await end(session, user, *more)

    monkeypatch.setattr(employments, "end_nip", fails_once)
    clock.advance(timedelta(hours=2).total_seconds())
    with pytest.raises(RowsFailed, match=r"1 of 2 failed, the first with UserError\('this one cannot end'\)"):
        await run_jobs(city.provider, "role_times", "employments")
    assert (await facts(city, first))[0] == ["citizen", "employee"]
    assert (await facts(city, second))[0] == ["citizen"]
    monkeypatch.undo()
    await run_jobs(city.provider, "role_times", "employments")
    assert (await facts(city, first))[0] == ["citizen"]


async def test_applications_for_employees_refuse_at_once_who_left_by_time(city: City) -> None:
    """They do not wait for the job, and the applications of others cost no statement more."""
    party = await application(
        city,
        group="Kepegawaian",
        allowed_roles=["employee"],
        listed_for="staff",
        initiate_login_uri="https://k.example/",
    )
    await hire(city, valid_until=clock.now() + timedelta(hours=1))
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid offline_access")
        assert "E-Kinerja" in (await browser.open("/")).text
        clock.advance(timedelta(hours=1).total_seconds())
        statements = Statements(city)
        assert (await party.refresh(tokens["refresh_token"])).status == 400
        assert any("employments" in text for text in statements.take())
        refused = await browser.open(party.url())
        assert "code=" not in refused.headers.get("location", "")
        assert (await party.userinfo(tokens["access_token"])).status_code == 401
        assert "E-Kinerja" not in (await browser.open("/")).text


async def test_an_officer_without_the_right_opens_and_prolongs_no_membership(city: City) -> None:
    unit_id, soon = await unit(city), clock.now() + timedelta(days=30)
    await hire(city, unit_id=unit_id, position="Perawat", valid_until=soon)
    async with city.browser() as browser:
        await sign_in(city, browser, "ratna")
        at = f"/admin/people/{city.users['siti']}"
        async with city.provider.db.write() as session:
            await store.replace_roles(session, city.users["ratna"], ["citizen", "officer"])
        page = await browser.open(at)
        typed = {"nip": NIP, "employment_status": "pns", "unit": "PKM-CPD", "position": "Perawat", "grade": "III/c"}
        answers = [await post(browser, f"{at}/employ", {**typed, **more, "note": "Kenaikan"}, page)
            for more in ({"position": "Kepala"}, {"until": "2099-12-31"}, {})]  # fmt: skip
        assert [answer.status_code for answer in answers] == [409, 200, 200]
        assert (await facts(city))[1] == [("Perawat", True)]
        async with city.provider.db.write() as session:
            (membership,) = (await session.execute(select(Membership))).scalars()
            assert membership.valid_until == soon
            await groups.end_membership(session, city.provider, membership_id=membership.id, actor=CLI, reason="Mutasi")
        page = await browser.open(at)
        assert 'value="PKM-CPD"' not in page.text
        changed = {**typed, "unit": "", "position": "", "grade": "III/d", "note": "Kenaikan"}
        assert (await post(browser, f"{at}/employ", changed, page)).status_code == 200
    assert await facts(city) == (["citizen", "employee"], [("Perawat", False)])
    async with city.provider.db.read() as session:
        (employment,) = (await session.execute(select(Employment))).scalars()
    assert employment.grade == "III/d"


async def test_who_has_only_the_nip_signs_in_with_it_until_there_is_something_else(city: City) -> None:
    hashed = await Passwords(city.settings).hash(PASSWORD)
    async with city.provider.db.write() as session:
        (user,) = await create_users(session, [NewUser(username=NIP, name="Rina", password_hash=hashed)], actor="test")
        city.users["rina"] = user.id
    soon = clock.now() + timedelta(hours=1)
    await hire(city, "rina", valid_until=soon)
    clock.advance(timedelta(hours=2).total_seconds())
    await run_jobs(city.provider, "role_times", "employments")
    assert await facts(city, "rina") == (["citizen"], [])
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, username=NIP, scope="openid profile")
        assert NIP not in (await party.userinfo(tokens["access_token"])).text, (
            "applications are not told of it any more"
        )
    async with city.provider.db.write() as session:
        locked = await store.lock_user(session, city.users["rina"])
        assert locked is not None
        assert await add_contact(session, city.provider, locked, "email", "rina@warga.example", actor=CLI)
    assert (await signs_in(city, NIP), await signs_in(city, "rina@warga.example")) == (False, True)
    await hire(city, "rina")
    assert await signs_in(city, NIP)


async def test_a_user_whose_roles_cannot_be_compared_stops_nobody(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned, other = city.users["siti"], city.users["budi"]
    async with city.provider.db.write() as session:
        about = {"client_ids": None, "since": clock.now(), "before": None, "actor": "system"}
        users = [str(poisoned), str(other)]
        session.add(PendingAccessChange(user_ids=users, created_at=clock.now(), **about))
    compared: list[uuid.UUID] = []

    async def compare(session: Any, services: Any, change: Any) -> None:
        user_ids = change.user_ids
        if poisoned in user_ids:
            raise ValueError("cannot be compared")
        compared.extend(user_ids)

    monkeypatch.setattr(access_changes, "_compare", compare)
    with pytest.raises(RowsFailed, match="cannot be compared"):
        await run_jobs(city.provider, "role_times", "employments")
    assert compared == [other]
    async with city.provider.db.read() as session:
        left = (await session.execute(select(PendingAccessChange.user_ids))).scalars().all()
    assert left == [[str(poisoned)]], "it is tried again"
