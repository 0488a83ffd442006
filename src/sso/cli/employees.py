"""``sso employees``: import employees from a personnel system, show and end employments."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sso.cli.common import complain, group, print_json, print_table, progress_bar, refuse, run_loaded
from sso.platform.security.text import csv_cell, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from sso.accounts.employee_import import LineResult, Outcome, Result
    from sso.accounts.employees import ShownEmployment
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
    int, typer.Option(min=0, max=100, help="With --complete: how many percent of the employments may end.")
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
        refuse(f"{file}: there is no such file")
    if not reason.strip():
        refuse("--reason is empty")
    listed = report or file.with_name(f"{file.name}.{'dry-run' if dry_run else 'result'}.csv")
    if listed.resolve() == file.resolve():
        refuse(f"--report {listed}: this is the file that is imported")
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
        shown = {"rows": outcome.rows, **counts, "ended": outcome.ended, "not_ended": outcome.not_ended}
        print_json({**shown, "columns_not_read": unread, "report": str(listed)})
        return
    if unread:
        complain(f"columns that are not read: {', '.join(map(one_line, unread[:50]))}")
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
        ("made", "new accounts"),
        ("linked", "linked to accounts of citizens"),
        ("changed", "changed"),
        ("unchanged", "unchanged"),
        ("proposed", "waiting for a decision: sso users proposals list"),
        ("rejected", "rejected"),
    )
    print(f"{outcome.rows} rows{', nothing was changed' if dry_run else ''}")
    for name, text in texts:
        if outcome.counts[name]:
            print(f"  {outcome.counts[name]} {text}")
    if outcome.ended:
        print(f"  {outcome.ended} employments {'would end' if dry_run else 'ended'}: not in the file")
    if outcome.not_ended:
        complain(f"{outcome.not_ended} employments could not be ended: see the log, then import the file again")
    print(f"The result of each line is in {listed}")


@app.command("show")
def show(user: Who, json: Json = False) -> None:
    """Show the employments of a user."""
    from sso.accounts.employees import employments_of
    from sso.identity.users.service import find

    async def work(services: AccountActions) -> list[ShownEmployment]:
        async with services.db.read() as session:
            found = await find(session, user, services.box)
            return await employments_of(session, found.id)

    shown = run_loaded(work)
    if json:
        print_json([_as_json(one) for one in shown])
        return
    rows = [
        (
            one.employment.nip or "-",
            one.employment.status,
            one.state,
            one.unit_code or "-",
            one.position or "-",
            one.employment.valid_from or "-",
            one.employment.valid_until or "-",
        )
        for one in shown
    ]
    print_table(("nip", "status", "state", "unit", "position", "from", "until"), rows)


def _as_json(shown: ShownEmployment) -> dict[str, object]:
    row = shown.employment
    return {
        "nip": row.nip,
        "employment_status": row.status,
        "state": shown.state,
        "grade": row.grade,
        "unit_code": shown.unit_code or None,
        "position": shown.position or None,
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
            found = await store.lock_user(session, (await find(session, user, services.box)).id)
            if found is None:
                refuse("the user was deleted")
            await end_employment(session, services, found, at=at, actor=CLI, reason=reason)

    run_loaded(work)
    print("ended" if not until else f"ends after {until}")
