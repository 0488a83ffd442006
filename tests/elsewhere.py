"""Changes of applications as another process or a command makes them: in the database, behind the back of this one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update
from tests.support import City

from sso import clock
from sso.clients import store
from sso.clients.metadata import ClientMetadata
from sso.clients.models import ClientRow
from sso.clients.secrets import new_secret
from sso.platform.db import bump_version


async def add_client(city: City, client_id: str, **fields: Any) -> str:
    """Register an application as another process would, and return its secret."""
    values = {"type": "web", "client_name": client_id, "first_party": True, **fields}
    if values["type"] == "web":
        values.setdefault("redirect_uris", [f"https://{client_id}.example/cb"])
    metadata, now = ClientMetadata.model_validate(values), clock.now()
    async with city.provider.db.write() as session:
        version = await bump_version(session, "clients")
        row = {"client_id": client_id, "catalogue": "tests", "status": "active", "metadata": metadata.stored()}
        await store.insert_clients(session, [{**row, "version": version, "created_at": now, "updated_at": now}])
        await session.flush()
        secret = await new_secret(session, city.provider.box, client_id) if metadata.needs_secret else ""
    city.secrets[client_id] = secret
    return secret


async def change(city: City, client_id: str, **values: Any) -> None:
    """Change the row of an application as another process would."""
    async with city.provider.db.write() as session:
        await store.lock_clients(session, [client_id])
        version = await bump_version(session, "clients")
        mine = update(ClientRow).where(ClientRow.client_id == client_id)
        await session.execute(mine.values(version=version, **values))


async def renew_secret(city: City, client_id: str) -> None:
    """Make a new secret as ``sso clients secret`` does."""
    async with city.provider.db.write() as session:
        city.secrets[client_id] = await new_secret(session, city.provider.box, client_id)
