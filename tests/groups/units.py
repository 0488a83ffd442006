"""Units of a city, and memberships, for tests."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from tests.conformance.test_shared_signals import Receiver
from tests.roles.conftest import Office
from tests.support import City

from sso.accounts import groups
from sso.identity.groups.models import Group, Membership
from sso.identity.groups.schemas import NewGroup
from sso.platform.actor import Actor
from sso.platform.audit.models import AuditEvent
from sso.ssf.events import TOKEN_CLAIMS_CHANGE

ACTOR = Actor("cli")
TREE = (("KOTA", None), ("DINKES", "KOTA"), ("PKM-1", "DINKES"), ("PKM-2", "DINKES"), ("DISDIK", "KOTA"))
"""The units of :func:`tree`: code and parent."""


async def tree(city: City, units: tuple[tuple[str, str | None], ...] = TREE) -> dict[str, uuid.UUID]:
    """Create units, and return their ids by code."""
    ids: dict[str, uuid.UUID] = {}
    async with city.provider.db.write() as session:
        for code, parent in units:
            new = NewGroup(code=code, name_id=f"Unit {code}", parent_id=ids.get(parent or ""))
            ids[code] = (await groups.create_group(session, new, actor=ACTOR, reason="tes")).id
    return ids


async def join(city: City, name: str, group_id: uuid.UUID, **about: Any) -> Membership:
    """Make a user of the city a member of a unit."""
    async with city.provider.db.write() as session:
        return await groups.add_member(
            session, city.provider, user_id=city.users[name], group_id=group_id, actor=ACTOR, reason="tes", **about
        )


async def parents(city: City) -> dict[str, str | None]:
    """Return the code of the parent of each unit."""
    async with city.provider.db.read() as session:
        rows = list((await session.execute(select(Group))).scalars())
    codes = {row.id: row.code for row in rows}
    return {row.code: codes[row.parent_id] if row.parent_id else None for row in rows}


async def events(city: City, type_: str) -> list[AuditEvent]:
    """Return the events of a type, the oldest first."""
    async with city.provider.db.read() as session:
        statement = select(AuditEvent).where(AuditEvent.type == type_).order_by(AuditEvent.id)
        return list((await session.execute(statement)).scalars())


@dataclass
class Told:
    """The application ``sinyal``, which asks for KOTA and everything below, has a stream, and which siti uses."""

    receiver: Receiver
    stream: dict[str, Any]

    async def groups(self) -> list[list[str]]:
        """Return the groups of which the application was told since the last time."""
        got = await self.receiver.poll(self.stream)
        claims = [await self.receiver.checked(token) for token in got["sets"].values()]
        await self.receiver.poll(self.stream, ack=list(got["sets"]), maxEvents=0)
        return [claim["events"][TOKEN_CLAIMS_CHANGE]["claims"]["groups"] for claim in claims]


async def listening(city: City) -> Told:
    """Let an application listen to changes of the groups of siti."""
    scope = "openid profile ssf.read ssf.manage groups"
    await Office(city).set("sinyal", groups_of_interest=["KOTA/*"], scope=scope)
    tokens = await city.relying_party("sinyal").token(grant_type="client_credentials", scope="ssf.read ssf.manage")
    receiver = Receiver(city, tokens["access_token"])
    stream = await receiver.make_stream(TOKEN_CLAIMS_CHANGE)
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("sinyal"), scope="openid groups")
    return Told(receiver, stream)
