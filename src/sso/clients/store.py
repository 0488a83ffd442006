"""Every SQL statement about applications."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Text, bindparam, cast, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients.models import (
    REMOVED,
    SANDBOX,
    SANDBOX_END,
    Application,
    ClientPrivilege,
    ClientRegistration,
    ClientRow,
    ClientSecret,
)
from sso.platform.db import bump_version, fetch, fetch_objects, lock_rows, table_of

BATCH = 500
PAGE = 2000
_clients, _secrets, _privileges = map(table_of, (ClientRow, ClientSecret, ClientPrivilege))
_c, _s, _p = _clients.c, _secrets.c, _privileges.c
_CHANGED_CLIENTS = (
    select(_c.client_id, _c.status, cast(_c.metadata, Text))
    .where(_c.version > bindparam("seen"), _c.client_id > bindparam("last"))
    .order_by(_c.client_id)
    .limit(PAGE)
)
_SECRETS_OF_CHANGED = (
    select(_s.client_id, _s.id, _s.secret_hash, _s.encrypted, _s.expires_at)
    .join(_clients, _c.client_id == _s.client_id)
    .where(_c.version > bindparam("seen"))
    .order_by(_s.created_at)
)
_PRIVILEGES_OF_CHANGED = (
    select(_p.client_id, _p.privilege, _p.without_person, _p.revoked_at)
    .join(_clients, _c.client_id == _p.client_id)
    .where(_c.version > bindparam("seen"))
)
_PRIVILEGES_OF = select(_privileges).where(_p.client_id == bindparam("client_id")).order_by(_p.granted_at, _p.id)
_ACTIVE_PRIVILEGES_OF = _PRIVILEGES_OF.where(_p.revoked_at.is_(None))
_LOCK_PAIR = (
    select(_clients)
    .where(or_(_c.client_id == bindparam("stem"), _c.client_id == bindparam("sandbox")))
    .order_by(_c.client_id)
    .with_for_update(key_share=True)
)
_SECRETS_OF = select(_secrets).where(_s.client_id == bindparam("client_id")).order_by(_s.created_at)
_MARK_SECRET_USED = update(_secrets).where(_s.id == bindparam("secret_id")).values(last_used_at=bindparam("moment"))


async def changed_clients(session: AsyncSession, seen: int) -> AsyncIterator[tuple[str, str, str]]:
    """Yield (client_id, status, metadata as JSON text) of every application with a version above ``seen``.

    In pages, so that tens of thousands of applications hold up nobody and are never all in memory twice.
    """
    last = ""
    while True:
        rows = (await session.execute(_CHANGED_CLIENTS, {"seen": seen, "last": last})).all()
        for client_id, status, metadata in rows:
            yield client_id, status, metadata
        if len(rows) < PAGE:
            return
        last = rows[-1][0]


class StoredSecret(NamedTuple):
    """A client secret as it is stored: its hash, and itself, encrypted, where client_secret_jwt or the gate needs it
    again."""

    id: UUID
    secret_hash: bytes
    encrypted: bytes | None
    expires_at: datetime | None


class StoredGrant(NamedTuple):
    """A grant of a privilege as it is stored."""

    privilege: str
    without_person: bool
    revoked_at: datetime | None


async def secrets_of_changed(session: AsyncSession, seen: int) -> dict[str, list[StoredSecret]]:
    """Return the secrets of every client with a version above ``seen``, by client_id, oldest first."""
    secrets: dict[str, list[StoredSecret]] = {}
    for row in (await session.execute(_SECRETS_OF_CHANGED, {"seen": seen})).all():
        secrets.setdefault(row[0], []).append(StoredSecret(row[1], row[2], row[3], row[4]))
    return secrets


async def privileges_of_changed(session: AsyncSession, seen: int) -> dict[str, list[StoredGrant]]:
    """Return every grant of a privilege, also revoked ones, to every client with a version above ``seen``, by
    client_id."""
    grants: dict[str, list[StoredGrant]] = {}
    for row in (await session.execute(_PRIVILEGES_OF_CHANGED, {"seen": seen})).all():
        grants.setdefault(row[0], []).append(StoredGrant(row[1], row[2], row[3]))
    return grants


async def privileges_of(session: AsyncSession, client_id: str, *, active: bool = False) -> list[ClientPrivilege]:
    """Return every grant of a privilege to an application, oldest first; only those that hold where ``active``."""
    statement = _ACTIVE_PRIVILEGES_OF if active else _PRIVILEGES_OF
    return await fetch_objects(session, ClientPrivilege, statement, {"client_id": client_id})


async def all_privileges(session: AsyncSession, client_id: str | None, *, active: bool) -> list[ClientPrivilege]:
    """Return grants of privileges, by application: of one or of all; only those that hold where ``active``."""
    statement = select(ClientPrivilege)
    if client_id is not None:
        statement = statement.where(ClientPrivilege.client_id == client_id)
    if active:
        statement = statement.where(ClientPrivilege.revoked_at.is_(None))
    order = (ClientPrivilege.client_id, ClientPrivilege.privilege, ClientPrivilege.granted_at)
    return list((await session.execute(statement.order_by(*order))).scalars())


async def privileges_of_catalogue(session: AsyncSession, catalogue: str) -> list[ClientPrivilege]:
    """Return every grant of a privilege to the applications of a catalogue, oldest first."""
    statement = select(ClientPrivilege).join(ClientRow, ClientRow.client_id == ClientPrivilege.client_id)
    mine = statement.where(ClientRow.catalogue == catalogue)
    return list((await session.execute(mine.order_by(ClientPrivilege.granted_at, ClientPrivilege.id))).scalars())


async def get_client(session: AsyncSession, client_id: str) -> ClientRow | None:
    """Return one application's row."""
    return await session.get(ClientRow, client_id)


async def lock_client(session: AsyncSession, client_id: str) -> ClientRow | None:
    """Return one application's row as it is now, which nobody else changes until the transaction ends. An application
    and its sandbox are locked together: most changes of one are changes of both."""
    stem = client_id.removesuffix(SANDBOX_END)
    pair = {"stem": stem, "sandbox": stem + SANDBOX_END}
    rows = await fetch_objects(session, ClientRow, _LOCK_PAIR, pair, renew=True)
    return next((row for row in rows if row.client_id == client_id), None)


class StoredClient(NamedTuple):
    """A client as it is stored: the catalogue that manages it, its status, and its metadata."""

    catalogue: str
    status: str
    metadata: dict[str, object]


async def all_clients(session: AsyncSession) -> dict[str, StoredClient]:
    """Return every client, also removed ones, by client_id; the oldest first."""
    columns = select(ClientRow.client_id, ClientRow.catalogue, ClientRow.status, ClientRow.metadata_)
    rows = (await session.execute(columns.order_by(ClientRow.created_at, ClientRow.client_id))).all()
    return {row[0]: StoredClient(row[1], row[2], row[3]) for row in rows}


async def page_of_clients(
    session: AsyncSession, *, catalogue: str | None, status: str | None, after: str, limit: int
) -> list[ClientRow]:
    """Return applications that were not removed, by client_id, from after ``after`` on."""
    statement = select(ClientRow).where(ClientRow.status != REMOVED, ClientRow.client_id > after)
    if catalogue is not None:
        statement = statement.where(ClientRow.catalogue == catalogue)
    if status is not None:
        statement = statement.where(ClientRow.status.in_(("active", SANDBOX)) == (status == "active"))
    return list((await session.execute(statement.order_by(ClientRow.client_id).limit(limit))).scalars())


async def begun_ids(session: AsyncSession, client_ids: list[str]) -> set[str]:
    """Return those of ``client_ids`` that a team has begun in the portal, and the names of their sandboxes: they are
    not to be had."""
    stems = sorted({name for client_id in client_ids for name in (client_id, client_id.removesuffix(SANDBOX_END))})
    begun: set[str] = set()
    for start in range(0, len(stems), BATCH):
        mine = Application.application_id.in_(stems[start : start + BATCH])
        begun.update((await session.execute(select(Application.application_id).where(mine))).scalars())
    return {client_id for client_id in client_ids if client_id in begun or client_id.removesuffix(SANDBOX_END) in begun}


async def insert_clients(session: AsyncSession, rows: list[dict[str, object]]) -> None:
    """Insert applications."""
    for start in range(0, len(rows), BATCH):
        await session.execute(ClientRow.__table__.insert(), rows[start : start + BATCH])  # type: ignore[attr-defined]


async def update_client(session: AsyncSession, client_id: str, version: int, now: datetime, **values: object) -> None:
    """Change one application's columns."""
    statement = update(ClientRow).where(ClientRow.client_id == client_id)
    await session.execute(statement.values(version=version, updated_at=now, **values))


async def touch_clients(session: AsyncSession, client_ids: list[str], version: int) -> None:
    """Let every process read these applications again."""
    for start in range(0, len(client_ids), BATCH):
        mine = ClientRow.client_id.in_(client_ids[start : start + BATCH])
        await session.execute(update(ClientRow).where(mine).values(version=version))


async def lock_clients(session: AsyncSession, client_ids: list[str]) -> None:
    """Lock applications, in the order of their names, until the transaction ends."""
    locked = sorted(set(client_ids))
    for start in range(0, len(locked), BATCH):
        some = ClientRow.client_id.in_(locked[start : start + BATCH])
        await lock_rows(session, select(ClientRow.client_id).where(some).order_by(ClientRow.client_id))


async def remove_clients(session: AsyncSession, client_ids: list[str], now: datetime) -> None:
    """Remove applications: they can do nothing any more. Their rows are kept for a while; see ``REMOVED``."""
    await lock_clients(session, client_ids)
    batches = [client_ids[start : start + BATCH] for start in range(0, len(client_ids), BATCH)]
    for some in batches:
        for table in (ClientSecret, ClientRegistration):
            await session.execute(delete(table).where(table.client_id.in_(some)))
    version = await bump_version(session, "clients")
    for some in batches:
        mine = update(ClientRow).where(ClientRow.client_id.in_(some))
        await session.execute(mine.values(status=REMOVED, version=version, updated_at=now))


async def removed_before(session: AsyncSession, before: datetime, limit: int) -> list[str]:
    """Return applications that were removed before a moment."""
    old = (ClientRow.status == REMOVED) & (ClientRow.updated_at < before)
    return list((await session.execute(select(ClientRow.client_id).where(old).limit(limit))).scalars())


async def delete_clients(session: AsyncSession, client_ids: list[str]) -> None:
    """Delete applications and everything that is known of them."""
    for start in range(0, len(client_ids), BATCH):
        await session.execute(delete(ClientRow).where(ClientRow.client_id.in_(client_ids[start : start + BATCH])))
    await bump_version(session, "client_removals")


async def secrets_of(session: AsyncSession, client_id: str) -> list[ClientSecret]:
    """Return every secret of one application, oldest first."""
    return await fetch_objects(session, ClientSecret, _SECRETS_OF, {"client_id": client_id})


async def secrets_ending(
    session: AsyncSession, now: datetime, before: datetime, after: uuid.UUID | None
) -> list[uuid.UUID]:
    """Return secrets that end before a moment, of which nobody was reminded yet, in the order of their ids after
    ``after``."""
    ending = select(ClientSecret.id).where(
        ClientSecret.expires_at > now, ClientSecret.expires_at <= before, ClientSecret.reminded_at.is_(None)
    )
    if after is not None:
        ending = ending.where(ClientSecret.id > after)
    return list((await session.execute(ending.order_by(ClientSecret.id).limit(BATCH))).scalars())


async def count_secrets_ending(session: AsyncSession, now: datetime, before: datetime) -> int:
    """Return how many secrets end before a moment."""
    ending = select(func.count()).select_from(ClientSecret)
    return int(
        (
            await session.execute(ending.where(ClientSecret.expires_at > now, ClientSecret.expires_at <= before))
        ).scalar_one()
    )


async def mark_secrets_used(session: AsyncSession, used: Mapping[UUID, datetime]) -> None:
    """Write when secrets were used last."""
    for secret_id, moment in sorted(used.items()):
        await fetch(session, _MARK_SECRET_USED, {"secret_id": secret_id, "moment": moment})


async def encrypted_secrets(session: AsyncSession) -> list[ClientSecret]:
    """Return every secret that is stored encrypted."""
    return list((await session.execute(select(ClientSecret).where(ClientSecret.encrypted.is_not(None)))).scalars())
