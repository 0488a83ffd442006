"""``sso audit``: what happened."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sso.cli.common import Json, first_of, group, print_json, print_rows, run
from sso.platform.messages import _

if TYPE_CHECKING:
    from sso.platform.audit import AuditReport
    from sso.platform.services import Storage

app = group()


@app.command("verify")
def verify_command(
    archive: Annotated[Path | None, typer.Option(help="Check this exported file of events that were deleted.")] = None,
    json: Json = False,
) -> None:
    """Verify the audit log. Exit code 1 and the number of the first broken entry: an entry was changed or is
    missing.
    """
    from sso.platform.audit import verify, verify_archive

    async def work(storage: Storage) -> AuditReport:
        async with storage.db.write() as session:
            if archive is None:
                return await verify(session, storage.box)
            with archive.open("rb") as lines:
                return await verify_archive(session, storage.box, lines)

    report = run(work)
    if json:
        print_json(report)
    elif report.broken_at is None:
        values = {"count": report.chained, "waiting": report.not_chained, "checkpoint": report.checkpoint}
        after = _("intact: %(count)s entries after checkpoint %(checkpoint)s, %(waiting)s not chained yet")
        print((after if report.checkpoint else _("intact: %(count)s entries, %(waiting)s not chained yet")) % values)
    else:
        broken = {"reason": report.reason, "count": report.chained}
        print(_("BROKEN: %(reason)s; the %(count)s entries before it are intact") % broken)
    if report.broken_at is not None:
        raise SystemExit(1)


@app.command("export")
def export_command(
    since: Annotated[datetime | None, typer.Option(help="Only events from this time on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only events before this time (UTC).")] = None,
) -> None:
    """Print every audit event as one line of JSON, the oldest first."""
    from sso.platform.audit import export, record
    from sso.portal.audit_chain import chain_audit_events

    begin = since.replace(tzinfo=UTC) if since else None
    end = until.replace(tzinfo=UTC) if until else None

    async def work(storage: Storage) -> None:
        async with storage.db.write() as session:
            period = {"since": begin.isoformat() if begin else None, "until": end.isoformat() if end else None}
            record(session, "audit.exported", actor="cli", data=period)
        await chain_audit_events(storage.db, storage.box)
        async with storage.db.read() as session:
            async for line in export(session, begin, end):
                sys.stdout.buffer.write(line)

    run(work)
    sys.stdout.buffer.flush()


@app.command("list")
def list_command(
    type_: Annotated[
        str | None, typer.Option("--type", help="Only events of this type, such as session.ended.")
    ] = None,
    actor: Annotated[
        str | None, typer.Option(help="Only events of this actor: a user ID, a client_id, cli or system.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Only events about this user ID or session ID.")] = None,
    client: Annotated[str | None, typer.Option("--client", help="Only events about this application.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number.", min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List audit events, the newest first."""
    from sso.platform.audit.service import AuditFilter, content, page_of_events

    async def work(storage: Storage) -> list[dict[str, object]]:
        async with storage.db.read() as session:
            chosen = AuditFilter(type=type_, actor=actor, subject=subject, client_id=client)
            events = await page_of_events(session, chosen, None, limit + 1)
            return [{**content(event), "at": event.at, "seq": event.seq} for event in events]

    rows = first_of(run(work), limit, _("For more, use a higher --limit; the whole log: sso audit export"))
    titles = ("at", "type", "outcome", "actor", "subject", "client_id")
    print_rows(titles, rows, json=json)


@app.command("prune")
def prune_command(
    before: Annotated[datetime, typer.Option(help="Delete events before this time (UTC).")],
) -> None:
    """Delete old audit events. A checkpoint keeps the rest of the log verifiable.

    Export the events first with "sso audit export --until 2026-01-01 > archive.jsonl", and check the file with "sso
    audit verify --archive archive.jsonl".
    """
    from sso.platform.audit import prune
    from sso.portal.audit_chain import chain_audit_events

    end = before.replace(tzinfo=UTC)

    async def work(storage: Storage) -> int:
        count, gone = 0, -1
        await chain_audit_events(storage.db, storage.box)
        while gone:
            async with storage.db.write() as session:
                gone = await prune(session, storage.box, end, actor="cli")
            count += gone
        return count

    print(_("%(count)s events were deleted") % {"count": run(work)})
