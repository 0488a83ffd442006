"""``sso employees``: import employees from a personnel system, show and end employments."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sso.cli.common import complain, group, print_json, print_table, progress_bar, refuse, run_loaded
from sso.platform.messages import N_, _
from sso.platform.security.text import csv_cell, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from sso.accounts.employee_import import LineResult, Outcome, Result
    from sso.accounts.employees import EmploymentView
    from sso.accounts.services import AccountActions
    from sso.identity.employees.rows import EmployeeFile

app = group()
TITLES = ("line", "nip", "name", "result", "reason")
SHOWN = 20

ImportedFile = Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file of the personnel system.")]
Reason = Annotated[str, typer.Option(help="The reason. It is recorded in the audit log.")]
Verified = Annotated[
    list[str] | None,
    typer.Option(help="What the personnel office verified besides the NIP: nik, email, phone. Can be repeated."),
]
ColumnNames = Annotated[
    list[str] | None, typer.Option(help="OURS=THEIRS: the name of a column in the file. Can be repeated.")
]
Format = Annotated[str, typer.Option(help="Format of the file: auto, csv, jsonl, json.")]
Encoding = Annotated[str | None, typer.Option(help="Character encoding, such as windows-1252. Default: UTF-8.")]
Complete = Annotated[
    bool, typer.Option("--complete", help="The file names every employee: the employments of all others end.")
]
MaxEnded = Annotated[
    int, typer.Option(min=0, max=100, help="With --complete: the largest percentage of employments that may end.")
]
Yes = Annotated[bool, typer.Option("--yes", help="With --complete: end more employments than --max-ended.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what the import would do, without a change.")]
ReportFile = Annotated[
    Path | None, typer.Option(help="File for the result of each line. Default: FILE.result.csv or FILE.dry-run.csv.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Who = Annotated[str, typer.Argument(metavar="USER", help="NIP, another identifier or user ID of the user.")]


@app.command("import")
def import_command(
    file: ImportedFile,
    reason: Reason,
    verified: Verified = None,
    column: ColumnNames = None,
    format: Format = "auto",
    encoding: Encoding = None,
    complete: Complete = False,
    max_ended: MaxEnded = 5,
    yes: Yes = False,
    dry_run: DryRun = False,
    report: ReportFile = None,
    json: Json = False,
) -> None:
    """Import employees from a personnel system. Import the same file again to continue an interrupted import."""
    from sso.accounts.employee_import import ImportRequest, import_employees
    from sso.cli.imports import read_columns
    from sso.identity.employees.rows import EmployeeFile, check_columns
    from sso.platform.actor import CLI

    if not file.is_file():
        refuse(_("%(file)s: there is no such file") % {"file": file})
    if not reason.strip():
        refuse(_("--reason is empty"))
    listed = report or file.with_name(f"{file.name}.{'dry-run' if dry_run else 'result'}.csv")
    if listed.resolve() == file.resolve():
        refuse(_("--report %(file)s: this is the file that is imported") % {"file": listed})
    given = EmployeeFile(file, read_columns(column or ()), frozenset(verified or ()), format, encoding)
    checked, unread = check_columns(given)

    async def work(services: AccountActions) -> Outcome:
        request = ImportRequest(
            _in_zone(checked, services), reason, CLI, complete, max_ended, confirmed=yes, dry_run=dry_run
        )
        with _report_to(listed) as written, progress_bar(file.stat().st_size) as moved:
            return await import_employees(services, request, report=written, moved=moved)

    outcome = run_loaded(work, begins=not dry_run)
    if json:
        counts: dict[str, object] = dict(outcome.counts.items())
        result = {"rows": outcome.rows, **counts, "ended": outcome.ended, "not_ended": outcome.not_ended}
        print_json({**result, "columns_not_read": unread, "report": str(listed)})
        return
    if unread:
        names = ", ".join(map(one_line, unread[:50]))
        complain(_("columns that are not read: %(names)s") % {"names": names})
    _print_outcome(outcome, listed, dry_run=dry_run)


def _in_zone(file: EmployeeFile, services: AccountActions) -> EmployeeFile:
    from dataclasses import replace

    return replace(file, time_zone=services.settings.time_zone)


@contextmanager
def _report_to(path: Path) -> Iterator[Callable[[LineResult], None]]:
    """Yield what writes the result of each line into a CSV file that a spreadsheet opens safely."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(TITLES)

        def write(result: LineResult) -> None:
            if result.result != "unchanged" or result.text:
                key = "" if result.key.startswith("nik ") else result.key
                cells = (
                    csv_cell(f"'{key}" if key else ""),
                    csv_cell(result.name),
                    result.result,
                    csv_cell(result.text),
                )
                writer.writerow((result.line, *cells))

        yield write


def _print_outcome(outcome: Outcome, listed: Path, *, dry_run: bool) -> None:
    texts: tuple[tuple[Result, str], ...] = (
        ("created", N_("%(count)d new accounts")),
        ("linked", N_("%(count)d linked to accounts of citizens")),
        ("changed", N_("%(count)d changed")),
        ("unchanged", N_("%(count)d unchanged")),
        ("proposed", N_("%(count)d waiting for a decision: sso users proposals list")),
        ("rejected", N_("%(count)d rejected")),
    )
    rows = _("%(count)d rows, nothing was changed") if dry_run else _("%(count)d rows")
    print(rows % {"count": outcome.rows})
    for name, text in texts:
        if outcome.counts[name]:
            print("  " + _(text) % {"count": outcome.counts[name]})
    if outcome.ended:
        ends = _("%(count)d employments would end: not in the file")
        ended = _("%(count)d employments ended: not in the file")
        print("  " + (ends if dry_run else ended) % {"count": outcome.ended})
    if outcome.not_ended:
        complain(
            _("%(count)d employments could not be ended: see the log, then import the file again")
            % {"count": outcome.not_ended}
        )
    print(_("The result of each line is in %(file)s") % {"file": listed})


@app.command("show")
def show(user: Who, json: Json = False) -> None:
    """Show the employments of a user."""
    from sso.accounts.employees import employments_of
    from sso.identity.users.service import find

    async def work(services: AccountActions) -> list[EmploymentView]:
        async with services.db.read() as session:
            person = await find(session, user, services.box)
            return await employments_of(session, person.id)

    employments = run_loaded(work)
    if json:
        print_json([_as_json(row) for row in employments])
        return
    rows = [
        (
            row.employment.nip or "-",
            row.employment.status,
            row.state,
            row.unit_code or "-",
            row.position or "-",
            row.employment.valid_from or "-",
            row.employment.valid_until or "-",
        )
        for row in employments
    ]
    print_table(("nip", "status", "state", "unit", "position", "from", "until"), rows)


def _as_json(entry: EmploymentView) -> dict[str, object]:
    row = entry.employment
    return {
        "nip": row.nip,
        "employment_status": row.status,
        "state": entry.state,
        "grade": row.grade,
        "unit_code": entry.unit_code or None,
        "position": entry.position or None,
        "from": row.valid_from,
        "until": row.valid_until,
        "source": row.source,
    }


@app.command("end")
def end(
    user: Who,
    reason: Reason,
    until: Annotated[
        str, typer.Option(help="The last day, such as 2026-12-31. Default: the employment ends now.")
    ] = "",
) -> None:
    """End the employment of a user. The account of the citizen stays."""
    from sso.accounts.employees import end_employment
    from sso.identity.employees.rules import read_last_day
    from sso.identity.users import store
    from sso.identity.users.service import find
    from sso.platform.actor import CLI

    async def work(services: AccountActions) -> None:
        try:
            at = read_last_day(until, services.settings.time_zone) if until else None
        except ValueError as error:
            refuse(f"--until: {error}")
        async with services.db.write() as session:
            person = await store.lock_user(session, (await find(session, user, services.box)).id)
            if person is None:
                refuse(_("the user was deleted"))
            await end_employment(session, services, person, at=at, actor=CLI, reason=reason)

    run_loaded(work)
    print(_("The employment ends after %(day)s.") % {"day": until} if until else _("The employment has ended."))
