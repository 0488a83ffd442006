"""``sso db``: the schema."""

from __future__ import annotations

import asyncio
import sys

from sso.cli.common import Json, group, print_json
from sso.platform.db import Database
from sso.platform.db.database import NoDatabase
from sso.platform.db.migrate import current_revision, head_revision, upgrade
from sso.settings import Settings, load_settings

app = group()


@app.command("upgrade")
def upgrade_command() -> None:
    """Bring the schema to what this release needs. Safe while the previous release still runs: each migration is a
    transaction of its own that waits for a lock for 2 seconds at most, and indexes are built without keeping writers
    waiting. Of several hosts that upgrade at once, one does and the others wait. A command that is broken off is
    simply run again."""
    settings = load_settings()
    settings.secrets()  # on loopback the secret key is made with the database
    before, after = asyncio.run(_upgrade(settings))
    print(f"schema {after}: nothing to do" if before == after else f"schema {before or 'none'} -> {after}")


@app.command("current")
def current(json: Json = False) -> None:
    """Show the schema that the database has and the one that this release needs. Exit code 1 when they differ."""
    current, head = asyncio.run(_current(load_settings())), head_revision()
    if json:
        print_json({"current": current, "head": head})
    else:
        print(f"the database has {current or 'none'}, this release needs {head}")
    if current != head:
        raise SystemExit(1)


async def _upgrade(settings: Settings) -> tuple[str | None, str | None]:
    db = Database(settings)
    try:
        before = await current_revision(db)
        await upgrade(db, tell=lambda line: print(line, file=sys.stderr))
        return before, await current_revision(db)
    finally:
        await db.close()


async def _current(settings: Settings) -> str | None:
    try:
        db = Database(settings, create=False)
    except NoDatabase:
        return None
    try:
        return await current_revision(db)
    finally:
        await db.close()
