"""The clients that an application registers: its sandbox, and production."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store
from sso.clients.metadata import ClientMetadata
from sso.clients.metadata.gate import derived
from sso.clients.models import HERE, SANDBOX, Application, ClientRow
from sso.clients.privileges import held_by
from sso.clients.secrets import ClientError
from sso.platform.db import bump_version
from sso.platform.permissions import restricted
from sso.portal.applications.settings import RequestedSettings, Unfinished


async def put_client(session: AsyncSession, client_id: str, metadata: ClientMetadata, status: str) -> None:
    """Register a client, or replace its metadata and status.

    Raises:
        ClientError: when a sandbox would replace another application.
    """
    row = await store.lock_client(session, client_id)
    if row is not None and status == SANDBOX and row.status == "active":
        raise ClientError(f"another application has the name {client_id!r}")
    if row is not None and not metadata.needs_secret:
        for old in await store.secrets_of(session, client_id):
            await session.delete(old)
    version, now = await bump_version(session, "clients"), clock.now()
    if row is None:
        values = {"client_id": client_id, "catalogue": HERE, "status": status, "metadata": metadata.stored()}
        await store.insert_clients(session, [{**values, "version": version, "created_at": now, "updated_at": now}])
        return
    row.metadata_, row.status, row.version, row.updated_at = metadata.stored(), status, version, now
    await session.flush()


async def check_managed_here(session: AsyncSession, application: Application) -> ClientRow | None:
    """Return the row of an application in production, where there is one.

    Raises:
        ClientError: when a catalogue file manages its configuration.
    """
    row = await store.get_client(session, application.application_id)
    if file := catalogue_of(row):
        raise ClientError(f"its configuration is managed by the catalogue {file!r}: change it there")
    return row


def catalogue_of(row: ClientRow | None) -> str:
    """Return the catalogue file that looks after an application's configuration; nothing: its team does, here."""
    return "" if row is None or row.catalogue == HERE else row.catalogue


async def check_privileges(session: AsyncSession, application_id: str, requested: RequestedSettings) -> None:
    """Check that what a team wants names no privilege that its application was not granted.

    Raises:
        Unfinished: when it does.
    """
    document = requested.document
    scope = derived(document.get("gate"))["scope"] if requested.kind == "gate" else document.get("scope")
    named = restricted(str(scope or "").split())
    held = await held_by(session, application_id) if named else {}
    missing = [name for name in named if name not in held]
    if missing:
        raise Unfinished({"scope": f"{missing[0]} has not been granted to this application: ask an administrator"})
