"""``sso backup``: an encrypted copy of the whole database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from sso import clock
from sso.cli.common import Json, print_json
from sso.platform.backup import Manifest, Restored, check, check_scratch, create
from sso.platform.backup.report import described, problems
from sso.platform.db import Database
from sso.platform.db.migrate import head_revision
from sso.platform.messages import _
from sso.settings import Settings, load_settings
from sso.setup.store import record_backup

SUFFIX = ".backup"


def backup(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A new file, or a directory. In a directory the file is named by the time."
        ),
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Restore the backup into a scratch database and compare every table.")
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, help="In a directory: keep this many backups, the new one included, and delete the older ones."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Back up the database to an encrypted file while servers run.

    The secret key (SSO_SECRET_KEY) is not in the backup.

    SSO_BACKUP_KEY_FILE or SSO_BACKUP_PASSPHRASE encrypts the file. PostgreSQL needs pg_dump of the version of the
    server, or newer.
    """
    settings = load_settings()
    path = file / f"sso-{clock.now():%Y%m%dT%H%M%SZ}{SUFFIX}" if file.is_dir() else file
    manifest, checked = asyncio.run(_backup(settings, path, verify=verify))
    if json:
        print_json(
            {"file": str(path), "bytes": path.stat().st_size, "verified": verify, **manifest.model_dump(mode="json")}
        )
    else:
        print(f"{path}: " + _("%(count)s bytes") % {"count": path.stat().st_size} + f"; {described(manifest)}")
        if checked is not None:
            print(_("verified: a scratch database has the same rows, and its audit log is intact"))
    if keep is not None and file.is_dir():
        for old in sorted(file.glob(f"sso-*{SUFFIX}"))[:-keep]:
            old.unlink(missing_ok=True)
            if not json:
                print(_("deleted: %(path)s") % {"path": old})


async def _backup(settings: Settings, path: Path, *, verify: bool) -> tuple[Manifest, Restored | None]:
    if verify:
        await check_scratch(settings)
    db = Database(settings, create=False)
    try:
        started = clock.now()
        manifest = await create(db, settings, path, actor="cli")
        if manifest.contents.revision == head_revision():
            async with db.write() as session:
                await record_backup(session, started, clock.now())
    finally:
        await db.close()
    if not verify:
        return manifest, None
    checked = await check(settings, path)
    problems(checked)
    return manifest, checked
