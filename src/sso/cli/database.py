"""``sso db``: the schema."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from sso.cli.common import Json, group, print_json
from sso.platform.messages import _

if TYPE_CHECKING:
    from sso.settings import Settings

app = group()


@app.command("upgrade")
def upgrade_command() -> None:
    """Upgrade the schema of the database to this release.

    The previous release can go on running: each migration is a transaction of its own that waits for a lock for at most
    2 seconds, and indexes are built without blocking writes. When several hosts upgrade at the same time, one does the
    work and the others wait. If the command is interrupted, run it again.
    """
    from sso.settings import load_settings

    settings = load_settings()
    settings.secrets()  # on loopback the secret key is made with the database
    before, after = asyncio.run(_upgrade(settings))
    nothing = _("schema %(revision)s: nothing to do") % {"revision": after}
    print(
        nothing if before == after else _("schema %(before)s -> %(after)s") % {"before": before or "-", "after": after}
    )


@app.command("current")
def current(json: Json = False) -> None:
    """Show the schema of the database and the schema that this release needs. Exit code 1: they differ."""
    from sso.platform.db.migrate import head_revision
    from sso.settings import load_settings

    current, head = asyncio.run(_current(load_settings())), head_revision()
    if json:
        print_json({"current": current, "head": head})
    else:
        print(
            _("the database has schema %(present)s, this release needs %(needed)s")
            % {"present": current or "-", "needed": head}
        )
    if current != head:
        raise SystemExit(1)


async def _upgrade(settings: Settings) -> tuple[str | None, str | None]:
    from sso.platform.db import Database
    from sso.platform.db.migrate import current_revision, upgrade

    db = Database(settings)
    try:
        before = await current_revision(db)
        await upgrade(db, tell=lambda line: print(line, file=sys.stderr))
        return before, await current_revision(db)
    finally:
        await db.close()


async def _current(settings: Settings) -> str | None:
    from sso.platform.db import Database
    from sso.platform.db.database import NoDatabase
    from sso.platform.db.migrate import current_revision

    try:
        db = Database(settings, create=False)
    except NoDatabase:
        return None
    try:
        return await current_revision(db)
    finally:
        await db.close()
