"""``sso restore``: put a backup back, or look whether that would work."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from sso.cli.common import Json, print_json, refuse
from sso.platform.backup import Restored, check
from sso.platform.backup import restore as put_back
from sso.platform.backup.report import described, problems
from sso.platform.messages import _
from sso.settings import load_settings


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `sso backup` made.")],
    check_only: Annotated[
        bool, typer.Option("--check", help="Restore into a scratch database, compare every table, and delete it again.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the content of the database. Stop every server and worker first.")
    ] = False,
    json: Json = False,
) -> None:
    """Restore a backup into an empty database and upgrade its schema to this release.

    Exit code 1: the backup cannot be restored, or SSO_SECRET_KEY cannot decrypt the keys in it.
    """
    if check_only and replace:
        refuse(_("--check restores nothing: leave out --replace"))
    settings = load_settings()
    if check_only:
        restored = asyncio.run(check(settings, file))
    else:
        restored = asyncio.run(put_back(settings, file, replace_contents=replace, actor="cli"))
    if json:
        print_json(_as_json(restored, checked=check_only))
    else:
        print(described(restored.manifest))
        if restored.upgraded_to:
            versions = {"old": restored.manifest.contents.revision, "new": restored.upgraded_to}
            print(_("schema %(old)s -> %(new)s") % versions)
        print(_("checked: every table has its rows") if check_only else _("restored: every table has its rows"))
    problems(restored)
    if not json:
        print(_("the secret key decrypts the keys; the audit log is intact"))


def _as_json(restored: Restored, *, checked: bool) -> dict[str, object]:
    return {
        "checked": checked,
        "restored": not checked,
        "usable": restored.usable,
        "upgraded_to": restored.upgraded_to,
        "cannot_decrypt": restored.locked,
        "audit": restored.chain or "whole",
        **restored.manifest.model_dump(mode="json"),
    }
