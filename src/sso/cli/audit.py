"""``sso audit``: what happened."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from sso.audit import AuditReport, export, seal, verify
from sso.cli.common import Json, group, print_json, run
from sso.oidc.provider import Provider

app = group("What happened.")


@app.command("verify")
def verify_command(json: Json = False) -> None:
    """Check the chain of events. Exit code 1, and the first broken entry, when one was altered or is missing."""

    async def work(provider: Provider) -> AuditReport:
        async with provider.db.write() as session:
            return await verify(session, provider.box)

    report = run(work)
    if json:
        print_json(report)
    elif report.broken_at is None:
        print(f"whole: {report.sealed} entries, {report.unsealed} waiting to be chained")
    else:
        print(f"BROKEN: {report.reason}; {report.sealed} entries before it are whole")
    if report.broken_at is not None:
        raise SystemExit(1)


@app.command("export")
def export_command(
    since: Annotated[datetime | None, typer.Option(help="Only events from this time on (UTC).")] = None,
) -> None:
    """Print every event as one line of JSON, in order."""
    begin = since.replace(tzinfo=UTC) if since else None

    async def work(provider: Provider) -> None:
        async with provider.db.write() as session:
            while await seal(session, provider.box):
                pass
        async with provider.db.read() as session:
            async for line in export(session, begin):
                sys.stdout.buffer.write(line)

    run(work)
    sys.stdout.buffer.flush()
