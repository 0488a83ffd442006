"""Units, groups and memberships: what is refused, what is recorded, and two changes at the same time."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.groups.units import ACTOR, Told, events, join, listening, parents, tree
from tests.support import City, Statements

from sso import clock
from sso.accounts import groups
from sso.accounts.groups import GroupRefused
from sso.accounts.role_assignments import giver_of
from sso.identity.groups import members
from sso.identity.groups import tree as units
from sso.identity.groups.models import Group, GroupAncestor, Membership
from sso.identity.groups.schemas import GroupChange, NewGroup
from sso.identity.users.service import UserError


@pytest.fixture
async def listener(city: City) -> Told:
    return await listening(city)


async def test_units_are_created_changed_moved_closed_and_deleted(city: City, listener: Told) -> None:
    ids, services = await tree(city), city.provider
    await join(city, "siti", ids["PKM-1"], position="Perawat")
    assert await listener.groups() == [["DINKES", "KOTA", "PKM-1"]]
    about: dict[str, Any] = {"actor": ACTOR, "reason": "Perda 7/2026"}

    async with city.provider.db.write() as session:
        with pytest.raises(GroupRefused, match="Another unit or group has the code DINKES"):
            await groups.create_group(session, NewGroup(code="DINKES", name_id="x"), **about)
        with pytest.raises(GroupRefused, match="Write the reason"):
            await groups.create_group(session, NewGroup(code="X", name_id="x"), actor=ACTOR, reason=" ")
        with pytest.raises(GroupRefused, match="no parent unit"):
            new = NewGroup(kind="group", code="PANITIA", name_id="x", parent_id=ids["KOTA"])
            await groups.create_group(session, new, **about)
        with pytest.raises(GroupRefused, match="below itself"):
            await groups.move_group(session, services, ids["DINKES"], ids["PKM-1"], **about)
        with pytest.raises(GroupRefused, match="below itself"):
            await groups.move_group(session, services, ids["DINKES"], ids["DINKES"], **about)
        with pytest.raises(GroupRefused, match="2 units below DINKES are still open"):
            await groups.close_group(session, services, ids["DINKES"], **about)
        with pytest.raises(GroupRefused, match="PKM-1 is not empty"):
            await groups.delete_group(session, ids["PKM-1"], **about)
        with pytest.raises(GroupRefused, match="does not exist"):
            await groups.delete_group(session, uuid.uuid4(), **about)

    async with city.provider.db.write() as session:
        names = GroupChange(name_en="Clinic 1")
        await groups.change_group(session, services, ids["PKM-1"], names, **about)
    assert await listener.groups() == [], "a name is in no token"
    async with city.provider.db.write() as session:
        await groups.change_group(session, services, ids["PKM-1"], GroupChange(code="PKM-A"), **about)
        await groups.move_group(session, services, ids["PKM-1"], ids["DISDIK"], **about)
        await groups.delete_group(session, ids["PKM-2"], **about)
        await groups.close_group(session, services, ids["DISDIK"], with_units_below=True, **about)
    assert await listener.groups() == [["DINKES", "KOTA", "PKM-A"], ["DISDIK", "KOTA", "PKM-A"], []]
    async with city.provider.db.write() as session:
        with pytest.raises(GroupRefused, match="PKM-A is closed"):
            await groups.add_member(session, services, user_id=city.users["budi"], group_id=ids["PKM-1"], **about)
        with pytest.raises(GroupRefused, match="DISDIK is closed"):
            await groups.move_group(session, services, ids["DINKES"], ids["DISDIK"], **about)
        with pytest.raises(GroupRefused, match="The parent unit DISDIK is closed"):
            await groups.reopen_group(session, services, ids["PKM-1"], **about)
        await groups.reopen_group(session, services, ids["DISDIK"], **about)
        await groups.reopen_group(session, services, ids["PKM-1"], **about)
    assert await listener.groups() == [["DISDIK", "KOTA", "PKM-A"]]
    assert await parents(city) == {"KOTA": None, "DINKES": "KOTA", "DISDIK": "KOTA", "PKM-A": "DISDIK"}
    (moved,) = await events(city, "group.moved")
    assert moved.data == {"unit": "PKM-A", "from": "DINKES", "to": "DISDIK", "note": "Perda 7/2026"}
    assert (moved.actor, moved.subject) == ("cli", str(ids["PKM-1"]))
    changed = [event.data for event in await events(city, "group.changed")]
    assert changed[1] == {"unit": "PKM-A", "changed": ["code"], "from": "PKM-1", "to": "PKM-A", "note": "Perda 7/2026"}
    for type_, count in (("group.created", 5), ("group.deleted", 1), ("group.closed", 1), ("group.reopened", 2)):
        assert len(await events(city, type_)) == count, type_


async def test_memberships_never_overlap_in_one_unit(city: City, listener: Told) -> None:
    ids, services, day = await tree(city), city.provider, timedelta(days=1)
    now = clock.now()
    first = await join(city, "siti", ids["PKM-1"], position="Perawat", valid_until=now + 10 * day)
    await join(city, "siti", ids["PKM-2"])
    await join(city, "siti", ids["PKM-1"], valid_from=now + 10 * day, valid_until=now + 20 * day)
    for times in (
        {}, {"valid_from": now - day, "valid_until": now + day}, {"valid_from": now + 9 * day},
        {"valid_from": now + 15 * day, "valid_until": now + 16 * day}, {"valid_from": now - day},
    ):  # fmt: skip
        with pytest.raises(GroupRefused, match="already has a membership in PKM-1"):
            await join(city, "siti", ids["PKM-1"], **times)
    with pytest.raises(GroupRefused, match="end must be after"):
        await join(city, "siti", ids["PKM-1"], valid_from=now, valid_until=now)
    await join(city, "siti", ids["PKM-1"], valid_from=now + 20 * day)

    await listener.groups()
    async with city.provider.db.write() as session:
        about: dict[str, Any] = {"actor": ACTOR, "reason": "mutasi"}
        ended = await groups.end_membership(session, services, membership_id=first.id, **about)
        assert ended.valid_until is not None
        with pytest.raises(GroupRefused, match="already ended"):
            await groups.end_membership(session, services, membership_id=first.id, at=now + 30 * day, **about)
        with pytest.raises(GroupRefused, match="does not exist"):
            await groups.end_membership(session, services, membership_id=uuid.uuid4(), **about)
    assert await listener.groups() == [["DINKES", "KOTA", "PKM-2"]]
    await join(city, "siti", ids["PKM-1"], valid_until=now + 10 * day)  # after the end there is room
    async with city.provider.db.write() as session:
        later = (await members.memberships_of(session, city.users["siti"]))[0][0]
        planned = await session.scalar(
            select(Membership).where(Membership.valid_from == now + 20 * day, Membership.user_id == city.users["siti"])
        )
        assert planned is not None
        await groups.end_membership(session, services, membership_id=planned.id, **about)
        assert planned.valid_until == planned.valid_from, "it never counts"
        assert members.status_of(later, clock.now()) == "current"
    await join(city, "siti", ids["PKM-1"], valid_from=now + 20 * day)
    (event, *_) = await events(city, "membership.ended")
    assert event.subject == str(city.users["siti"])
    assert {"unit": "PKM-1", "position": "Perawat", "source": "manual", "note": "mutasi"}.items() <= event.data.items()


async def test_two_moves_at_once_make_no_cycle(city: City) -> None:
    ids, services = await tree(city, (("A", None), ("B", None), ("A1", "A"), ("B1", "B"))), city.provider

    async def move(what: str, below: str) -> str:
        try:
            async with city.provider.db.write() as session:
                await groups.move_group(session, services, ids[what], ids[below], actor=ACTOR, reason="r")
        except GroupRefused as error:
            return str(error)
        return ""

    results = await asyncio.gather(move("A", "B1"), move("B", "A1"), move("A1", "B1"), move("B1", "A1"))
    assert results.count("") >= 1
    assert any("below itself" in text for text in results), results
    await check_tree(city)


async def check_tree(city: City) -> None:
    """Check that the rows of the tree are those of the parents."""
    above = await parents(city)
    expected = set()
    for code in above:
        at: str | None = code
        depth = 0
        while at is not None:
            assert depth < 20, f"{code} is in a cycle"
            expected.add((code, at, depth))
            at, depth = above[at], depth + 1
    async with city.provider.db.read() as session:
        codes = {row.id: row.code for row in (await session.execute(select(Group))).scalars()}
        rows = (await session.execute(select(GroupAncestor))).scalars().all()
    assert {(codes[row.group_id], codes[row.ancestor_id], row.depth) for row in rows} == expected


async def test_of_two_equal_memberships_at_once_one_is_refused(city: City) -> None:
    ids = await tree(city)
    results = await asyncio.gather(*(join(city, "siti", ids["PKM-1"]) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(result, Membership) for result in results) == 1, results
    assert sum(isinstance(result, GroupRefused) for result in results) == 3


async def test_a_unit_that_gets_a_member_meanwhile_is_not_deleted(city: City) -> None:
    ids = await tree(city)

    async def remove() -> None:
        async with city.provider.db.write() as session:
            await groups.delete_group(session, ids["PKM-2"], actor=ACTOR, reason="r")

    results = await asyncio.gather(join(city, "siti", ids["PKM-2"]), remove(), return_exceptions=True)
    async with city.provider.db.read() as session:
        there = await units.get(session, ids["PKM-2"])
        count = (await session.execute(select(func.count()).select_from(Membership))).scalar_one()
    assert (there is not None) == (count == 1) == isinstance(results[0], Membership), results


async def test_a_move_takes_the_same_statements_whatever_the_size(city: City) -> None:
    ids = await tree(city, (("R", None), ("A", "R"), ("B", None), *((f"A{n}", "A") for n in range(30))))
    watch = Statements(city)
    seen = []
    for what in ("A1", "A"):
        watch.take()
        async with city.provider.db.write() as session:
            await groups.move_group(session, city.provider, ids[what], ids["B"], actor=ACTOR, reason="r")
        seen.append(watch.take())
    assert len(seen[0]) == len(seen[1]) <= 12, seen[1]
    assert (
        sum(
            statement.startswith(("DELETE FROM group_ancestors", "INSERT INTO group_ancestors"))
            for statement in seen[1]
        )
        == 2
    )
    await check_tree(city)


async def test_a_tree_has_a_greatest_depth(city: City) -> None:
    deep = tuple((f"L{n}", f"L{n - 1}" if n else None) for n in range(units.MAX_DEPTH))
    ids = await tree(city, (*deep, ("TOP", None)))
    async with city.provider.db.write() as session:
        with pytest.raises(GroupRefused, match="at most 16 levels"):
            new = NewGroup(code="X", name_id="x", parent_id=ids[f"L{units.MAX_DEPTH - 1}"])
            await groups.create_group(session, new, actor=ACTOR, reason="r")
        with pytest.raises(GroupRefused, match="at most 16 levels"):
            await groups.move_group(session, city.provider, ids["L0"], ids["TOP"], actor=ACTOR, reason="r")


async def test_administrators_of_a_unit_look_after_what_is_below(city: City) -> None:
    ids = await tree(city)
    siti, budi = city.users["siti"], city.users["budi"]
    async with city.provider.db.write() as session:
        await groups.set_unit_administrators(session, ids["DINKES"], [siti, budi], actor=ACTOR, reason="SK 1")
        await groups.set_unit_administrators(session, ids["DINKES"], [siti], actor=ACTOR, reason="SK 2")
        assert await groups.may_manage(session, siti, ids["PKM-1"])
        assert await groups.may_manage(session, siti, ids["DINKES"])
        assert not await groups.may_manage(session, siti, ids["KOTA"])
        assert not await groups.may_manage(session, budi, ids["PKM-1"])
        (listed,) = await units.administrators_of(session, ids["PKM-1"])
        assert (listed.user_id, listed.group.code) == (siti, "DINKES")
        with pytest.raises((GroupRefused, UserError)):
            await groups.set_unit_administrators(session, ids["DINKES"], [uuid.uuid4()], actor=ACTOR, reason="r")
    async with city.provider.db.write() as session:
        await groups.close_group(session, city.provider, ids["DINKES"], with_units_below=True, actor=ACTOR, reason="r")
        assert not await groups.may_manage(session, siti, ids["PKM-1"]), "nobody manages a unit that is closed"
        assert not (await giver_of(session, ACTOR, "warga", siti)).units
        assert [unit.code for unit in await units.units_recorded_for(session, siti)] == ["DINKES"]
    first, second = await events(city, "group.administrators_set")
    assert set(first.data["added"]) == {str(siti), str(budi)}
    assert second.data["removed"] == [str(budi)]


async def test_a_search_by_name_finds_the_same_with_few_and_many_of_the_name(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await tree(city)
    for name, code in (("siti", "PKM-1"), ("budi", "DINKES"), ("siti", "DISDIK"), ("siti", "DINKES")):
        await join(city, name, ids[code])

    async def pages(code: str, limit: int) -> list[str]:
        codes, after = [], None
        async with city.provider.db.read() as session:
            chosen = members.MemberFilter(below=True, words="sit rah")
            while rows := await members.page_of_members(session, ids[code], chosen, after, limit, clock.now()):
                codes += [row.group.code for row in rows]
                after = rows[-1].membership.id
        return codes

    for near in (1, 2, 1000):
        monkeypatch.setattr(members, "NEAR", near)
        for limit in (1, 2, 51):
            assert await pages("KOTA", limit) == ["PKM-1", "DISDIK", "DINKES"]
            assert await pages("DINKES", limit) == ["PKM-1", "DINKES"]


async def test_lists_take_few_statements(city: City) -> None:
    ids = await tree(city)
    await join(city, "siti", ids["PKM-1"])
    await join(city, "budi", ids["DINKES"])
    watch, now = Statements(city), clock.now()
    async with city.provider.db.read() as session:
        watch.take()
        page = await units.page_of_groups(session, units.GroupFilter(words="pkm unit"), None, 51, now)
        listed = await units.counted(session, page, now)
        assert len(watch.take()) == 3
        assert [(unit.group.code, unit.members) for unit in listed] == [("PKM-1", 1), ("PKM-2", 0)]
        ways = await units.way_to(session, [ids["PKM-1"], ids["DISDIK"]])
        assert [group.code for group in ways[ids["PKM-1"]]] == ["KOTA", "DINKES", "PKM-1"]
        assert len(watch.take()) == 1
        below = members.MemberFilter(below=True)
        rows = await members.page_of_members(session, ids["KOTA"], below, None, 51, now)
        assert [(row.name, row.group.code) for row in rows] == [("Siti Rahmawati", "PKM-1"), ("Budi Santoso", "DINKES")]
        named = members.MemberFilter(below=True, words="rah")
        assert [row.name for row in await members.page_of_members(session, ids["KOTA"], named, None, 51, now)] == [
            "Siti Rahmawati"
        ]
        assert len(watch.take()) == 2
        assert await members.page_of_members(session, ids["KOTA"], members.MemberFilter(), None, 51, now) == []
        roots = frozenset({ids["DINKES"]})
        inside = await units.page_of_groups(session, units.GroupFilter(within=roots), None, 51, now)
        assert [group.code for group in inside] == ["DINKES", "PKM-1", "PKM-2"]
