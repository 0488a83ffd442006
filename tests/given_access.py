"""Applications with roles of their own, units and groups, and who has what: rows as the use cases leave them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from tests.support import City

from sso import clock
from sso.clients.metadata import ClientMetadata
from sso.clients.models import HERE, ClientRow
from sso.clients.secrets import create_client
from sso.identity.groups import store
from sso.identity.groups.models import Group, Membership, RoleAssignment
from sso.platform.actor import Actor
from sso.platform.db import bump_version

PROGRAM = {"first_party": True, "profile": "legacy", "require_pkce": True}


def document_of(client_id: str, roles: list[str], **members: Any) -> dict[str, Any]:
    """Return the metadata of an application with these roles."""
    document: dict[str, Any] = {
        "type": "web",
        "client_name": client_id.title(),
        "scope": "openid roles groups",
        "application_roles": {role: {"title": role.title()} for role in roles},
        **PROGRAM,
        **members,
    }
    if document["type"] == "web":
        document.setdefault("redirect_uris", [f"https://{client_id}.example/cb"])
    return document


async def register(city: City, client_id: str, roles: list[str], **members: Any) -> None:
    """Register an application with these roles."""
    metadata = ClientMetadata.model_validate(document_of(client_id, roles, **members))
    async with city.provider.db.write() as session:
        secret = await create_client(
            session, city.provider.box, client_id, metadata, catalogue=HERE, actor=Actor("test")
        )
    city.secrets[client_id] = secret or ""
    await city.provider.refresh()


async def change(city: City, client_id: str, roles: list[str], **members: Any) -> None:
    """Replace the metadata of an application."""
    metadata = ClientMetadata.model_validate(document_of(client_id, roles, **members))
    async with city.provider.db.write() as session:
        mine = update(ClientRow).where(ClientRow.client_id == client_id)
        await session.execute(mine.values(metadata_=metadata.stored()))  # row before counter: the order of locks
        await session.execute(mine.values(version=await bump_version(session, "clients")))
    await city.provider.refresh()


async def unit(city: City, code: str, parent: str | None = None, *, kind: str = "unit", **times: datetime) -> None:
    """Add a unit, or a group."""
    now = clock.now()
    async with city.provider.db.write() as session:
        parent_id = await _id_of(session, parent) if parent else None
        group = Group(kind=kind, code=code, name_id=code, parent_id=parent_id, created_at=now, updated_at=now, **times)
        await store.add_group(session, group)


async def member(city: City, username: str, code: str, **times: datetime) -> uuid.UUID:
    """Make a user a member of a unit or group."""
    async with city.provider.db.write() as session:
        row = Membership(
            user_id=city.users[username],
            group_id=await _id_of(session, code),
            source="manual",
            created_at=clock.now(),
            **times,
        )
        session.add(row)
        await session.flush()
        return row.id


async def give(
    city: City,
    client_id: str,
    role: str,
    *,
    user: str = "",
    group: str = "",
    below: bool = False,
    limit: str = "",
    **times: datetime,
) -> uuid.UUID:
    """Give a role to a user or to a group, with the units below it, or limited to a unit."""
    async with city.provider.db.write() as session:
        row = RoleAssignment(
            client_id=client_id,
            role=role,
            user_id=city.users[user] if user else None,
            group_id=await _id_of(session, group) if group else None,
            with_units_below=below,
            unit_id=await _id_of(session, limit) if limit else None,
            reason="test",
            given_by="test",
            created_at=clock.now(),
            **times,
        )
        session.add(row)
        await session.flush()
        return row.id


async def end(city: City, table: type[Membership] | type[RoleAssignment], row_id: uuid.UUID) -> None:
    """End a membership or an assignment now."""
    async with city.provider.db.write() as session:
        await session.execute(update(table).where(table.id == row_id).values(valid_until=clock.now()))


async def _id_of(session: AsyncSession, code: str) -> uuid.UUID:
    return (await session.execute(select(Group.id).where(Group.code == code))).scalar_one()
