"""Units, groups and roles: the tree, and what a user has in an application."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from tests.conftest import settings_for

from sso import clock
from sso.clients.models import ClientRow
from sso.clients.roles import check_interest, check_role_name, group_claims, role_claims
from sso.identity.groups import store
from sso.identity.groups.models import Group, GroupAncestor, Membership, RoleAssignment
from sso.identity.groups.rules import check_code
from sso.identity.users.models import User
from sso.platform.db import Database


@pytest.mark.parametrize("text", ["", "-x", "x-", "a b", "a/b", "a" * 65, "é", "DINKES/*"])
def test_a_code_is_short_and_plain(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        check_code(text)


@pytest.mark.parametrize("text", ["", "Operator", "operator@x", "1x", "a b", "x" * 65, "x-"])
def test_a_role_name_is_short_and_plain(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        check_role_name(text)


def test_codes_and_names_that_are_right() -> None:
    assert [check_code(text) for text in ("A", "DINKES-01", "a.b_c")] == ["A", "DINKES-01", "a.b_c"]
    assert check_interest("DINKES/*") == "DINKES/*"
    assert [check_role_name(text) for text in ("a", "operator", "kepala-2")] == ["a", "operator", "kepala-2"]


def test_a_limited_role_never_appears_alone() -> None:
    held = [("operator", "PKM-1"), ("reader", None), ("old", None)]
    assert role_claims(held, {"operator", "reader"}) == ["operator@PKM-1", "reader"]


def test_only_groups_of_interest_are_told() -> None:
    codes = [("PKM-1", frozenset({"DINKES", "KOTA"})), ("DINKES", frozenset({"KOTA"})), ("KOTA", frozenset[str]())]
    assert group_claims(codes, []) == []
    assert group_claims(codes, ["DINKES"]) == ["DINKES"]
    assert group_claims(codes, ["DINKES/*"]) == ["DINKES", "PKM-1"]
    assert group_claims(codes, ["PKM-2", "KOTA"]) == ["KOTA"]


class Tree:
    """Units by their codes, in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.ids: dict[str, uuid.UUID] = {}

    async def add(self, code: str, parent: str | None = None, **times: datetime) -> None:
        now = clock.now()
        group = Group(
            kind="unit", code=code, name_id=code, parent_id=self.ids.get(parent or ""), created_at=now, updated_at=now
        )
        group.valid_from, group.valid_until = times.get("valid_from"), times.get("valid_until")
        await store.add_group(self.session, group)
        self.ids[code] = group.id

    async def above(self, code: str) -> set[str]:
        names = {group_id: name for name, group_id in self.ids.items()}
        rows = await self.session.execute(
            select(GroupAncestor.ancestor_id).where(GroupAncestor.group_id == self.ids[code], GroupAncestor.depth > 0)
        )
        return {names[row[0]] for row in rows}

    async def below(self, code: str) -> set[str]:
        names = {group_id: name for name, group_id in self.ids.items()}
        rows = await self.session.execute(
            select(GroupAncestor.group_id).where(GroupAncestor.ancestor_id == self.ids[code], GroupAncestor.depth > 0)
        )
        return {names[row[0]] for row in rows}


async def test_a_subtree_moves_with_all_that_is_below(database: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    db = Database(settings_for(database[0], tmp_path))
    try:
        async with db.write() as session:
            tree = Tree(session)
            for code, parent in (
                ("KOTA", None),
                ("A", "KOTA"),
                ("B", "KOTA"),
                ("A1", "A"),
                ("A11", "A1"),
                ("A12", "A1"),
            ):
                await tree.add(code, parent)
            assert await tree.above("A11") == {"A1", "A", "KOTA"}
            assert await store.is_below(session, tree.ids["A11"], tree.ids["A"])
            assert not await store.is_below(session, tree.ids["A"], tree.ids["A11"])
            await store.move_subtree(session, tree.ids["A1"], tree.ids["B"])
            assert await tree.above("A12") == {"A1", "B", "KOTA"}
            assert await tree.below("A") == set()
            await store.move_subtree(session, tree.ids["A1"], None)
            assert await tree.above("A11") == {"A1"}
    finally:
        await db.close()


async def test_roles_come_of_assignments_memberships_and_units(
    database: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    db = Database(settings_for(database[0], tmp_path))
    now, hour = clock.now(), timedelta(hours=1)
    try:
        async with db.write() as session:
            client = (await session.execute(select(ClientRow.client_id).limit(1))).scalar_one()
            user = User(name="Siti", created_at=now, updated_at=now)
            session.add(user)
            await session.flush()
            tree = Tree(session)
            for code, parent in (("KOTA", None), ("DINKES", "KOTA"), ("PKM", "DINKES")):
                await tree.add(code, parent)
            session.add(Membership(user_id=user.id, group_id=tree.ids["PKM"], source="manual", created_at=now))

            def give(role: str, **about: Any) -> RoleAssignment:
                row = RoleAssignment(client_id=client, role=role, reason="r", given_by="t", created_at=now, **about)
                session.add(row)
                return row

            give("own", user_id=user.id)
            give("own", user_id=user.id, unit_id=tree.ids["PKM"])
            give("unit", group_id=tree.ids["PKM"])
            give("inherited", group_id=tree.ids["DINKES"], with_units_below=True)
            give("not-inherited", group_id=tree.ids["DINKES"])
            give("later", user_id=user.id, valid_from=now + hour)
            ending = give("ending", user_id=user.id, valid_until=now + hour)
            await session.flush()

            async def access(moment: datetime) -> store.Access:
                columns = select(*store.access_columns(user.id, client, None))
                seen = store.read_access((await session.execute(columns, {"now": moment})).one())
                assert await store.access_in(session, user.id, [client], moment) == {client: seen}
                return seen

            async def roles(moment: datetime) -> list[tuple[str, str | None]]:
                return sorted((await access(moment)).roles, key=str)

            first = [("ending", None), ("inherited", None), ("own", "PKM"), ("own", None), ("unit", None)]
            assert await roles(now) == sorted(first, key=str)
            assert ("later", None) in await roles(now + hour)
            assert (ending.role, None) not in await roles(now + hour)
            assert dict((await access(now)).groups) == {
                "PKM": {"DINKES", "KOTA"}, "DINKES": {"KOTA"}, "KOTA": frozenset(),
            }  # fmt: skip
            dinkes = await session.get(Group, tree.ids["DINKES"])
            assert dinkes is not None
            dinkes.valid_until = now + hour
            await session.flush()
            assert ("inherited", None) not in await roles(now + hour), "a unit that is over gives nothing"
    finally:
        await db.close()
