"""Units, people and applications with roles, for the tests of roles."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from tests.support import PASSWORD, City

from sso import clock
from sso.clients import store as clients
from sso.clients.models import Application, TeamMember
from sso.identity.authn.passwords import Passwords
from sso.identity.groups.models import Group, Membership, UnitAdministrator
from sso.identity.groups.store import add_group
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import create_users

ROLES = {
    "operator": {"title": "Petugas", "title#en": "Operator", "units_give": "limited"},
    "reader": {"title": "Pembaca", "title#en": "Reader", "units_give": "whole"},
    "chief": {"title": "Kepala", "title#en": "Chief"},
}
OTHER_ROLES = {"hakim": {"title": "Hakim rahasia"}}
TREE = (("KOTA", None), ("DINKES", "KOTA"), ("PKM-1", "DINKES"), ("PKM-2", "DINKES"), ("DISDIK", "KOTA"))


@dataclass
class Office:
    """The applications ``sinyal`` and ``warga`` with roles of their own, and a tree of units: KOTA, DINKES, PKM-1,
    PKM-2, and DISDIK. Dewi is a member of PKM-1; Joko looks after DINKES."""

    city: City
    units: dict[str, uuid.UUID] = field(default_factory=dict)

    def user(self, name: str) -> str:
        return str(self.city.users[name])

    async def add_people(self, *names: str) -> None:
        async with self.city.provider.db.write() as session:
            await self._add_people(session, names)

    async def _add_people(self, session: AsyncSession, names: Sequence[str]) -> None:
        password = await Passwords(self.city.settings).hash(PASSWORD)
        new = [NewUser(username=name, name=name.title(), password_hash=password) for name in names]
        for name, user in zip(names, await create_users(session, new, actor="test"), strict=True):
            self.city.users[name] = user.id

    async def add_unit(self, code: str, parent: str | None = None, kind: str = "unit") -> None:
        async with self.city.provider.db.write() as session:
            await self._add_unit(session, code, parent, kind)

    async def _add_unit(self, session: AsyncSession, code: str, parent: str | None, kind: str = "unit") -> None:
        now = clock.now()
        parent_id = self.units[parent] if parent else None
        unit = Group(kind=kind, code=code, name_id=f"Unit {code}", parent_id=parent_id, created_at=now)
        unit.updated_at = now
        await add_group(session, unit)
        self.units[code] = unit.id

    async def join(self, name: str, code: str, **times: Any) -> uuid.UUID:
        async with self.city.provider.db.write() as session:
            return await self._join(session, name, code, **times)

    async def _join(self, session: AsyncSession, name: str, code: str, **times: Any) -> uuid.UUID:
        member = Membership(user_id=self.city.users[name], group_id=self.units[code], source="manual")
        member.created_at = clock.now()
        member.valid_from, member.valid_until = times.get("valid_from"), times.get("valid_until")
        session.add(member)
        await session.flush()
        return member.id

    async def look_after(self, name: str, code: str) -> None:
        async with self.city.provider.db.write() as session:
            self._look_after(session, name, code)

    def _look_after(self, session: AsyncSession, name: str, code: str) -> None:
        row = UnitAdministrator(user_id=self.city.users[name], group_id=self.units[code], created_by="test")
        row.created_at = clock.now()
        session.add(row)

    async def fill(self) -> None:
        """Add people and units, and who belongs to which, in one transaction."""
        async with self.city.provider.db.write() as session:
            await self._add_people(session, ["dewi", "joko"])
            for code, parent in TREE:
                await self._add_unit(session, code, parent)
            await self._join(session, "dewi", "PKM-1")
            self._look_after(session, "joko", "DINKES")

    async def set(self, client_id: str, **changes: Any) -> None:
        """Change the metadata of an application."""
        await self.set_all({client_id: changes})

    async def set_all(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Change the metadata of applications, in one transaction; ``changes``: by their client_id."""
        async with self.city.provider.db.write() as session:
            for client_id in sorted(changes):
                row = await clients.lock_client(session, client_id)
                assert row is not None
                row.metadata_ = {**row.metadata_, **changes[client_id]}
                await clients.touch_clients(session, [client_id], row.version + 1000)
        self.city.provider._versions = {}
        await self.city.provider.refresh()

    async def team(self, client_id: str, **members: str) -> None:
        """Give an application a team: user name and role."""
        now = clock.now()
        async with self.city.provider.db.write() as session:
            if await session.get(Application, client_id) is None:
                session.add(_application(client_id))
                await session.flush()
            for name, role in members.items():
                member = TeamMember(application_id=client_id, user_id=self.city.users[name], role=role, since=now)
                session.add(member)


def _application(client_id: str) -> Application:
    now = clock.now()
    document = {"client_name": client_id, "redirect_uris": [f"https://{client_id}.example/cb"]}
    return Application(
        application_id=client_id, name=client_id, kind="web", state="approved", document=document, sandbox={},
        granted={}, revision=1, created_at=now, updated_at=now,
    )  # fmt: skip


@pytest.fixture
async def office(city: City) -> Office:
    office = Office(city)
    await office.fill()
    scope = "openid profile offline_access ssf.read ssf.manage roles groups"
    await office.set_all(
        {
            "sinyal": {"application_roles": ROLES, "groups_of_interest": ["DINKES/*"], "scope": scope},
            "warga": {"application_roles": OTHER_ROLES, "groups_of_interest": ["DISDIK"]},
        }
    )
    return office
