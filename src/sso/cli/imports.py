"""What ``sso users import`` shows: the report file, the sample of a trial, the counts, the check of a password."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypedDict

from sso.cli.common import complain, refuse, run
from sso.identity.attributes.definitions import Attribute
from sso.identity.users.identifiers import masked
from sso.identity.users.importing import Progress, Report
from sso.identity.users.readers import SQL, sql_format
from sso.identity.users.rows import Note, Row
from sso.platform.messages import _
from sso.platform.security.text import csv_cell, one_line

if TYPE_CHECKING:
    from sso.platform.services import Storage

SAMPLE = 3
MAX_PARAMETERS = 10_000
FIREBASE = ("base64_signer_key", "base64_salt_separator", "rounds", "mem_cost")
TITLES = ("line", "local_user_id", "reason", "kind", "row")


class CsvReport(Report):
    """Writes what is not taken over into a CSV file that a spreadsheet opens safely."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None
        self._writer: Any = None
        self._row = 0

    def at(self, row: int) -> None:
        """Take the number of the row that the next calls are about."""
        self._row = row

    def begin(self, line: int | None) -> None:
        """Begin a new file, or go on with that of a run that was stopped: what comes again is taken out."""
        earlier_rows = list(self._before(line)) if line is not None and self.path.exists() else []
        beside = self.path.with_name(f"{self.path.name}.part")
        self._file = beside.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerow(TITLES)
        self._writer.writerows(earlier_rows)
        self.flush()
        beside.replace(self.path)

    def rejected(self, line: int, local_user_id: str, reason: str) -> None:
        """Write a row that is not taken over."""
        self._writer.writerow((line, csv_cell(local_user_id), csv_cell(reason), "rejected", self._row))

    def noted(self, line: int, local_user_id: str, note: Note) -> None:
        """Write a value that is left out, unusual or kept."""
        self._writer.writerow((line, csv_cell(local_user_id), csv_cell(note.text), note.kind, self._row))

    def flush(self) -> None:
        """Bring everything to the disk."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            self._file.close()

    def _before(self, line: int) -> Iterator[Sequence[str]]:
        """Yield what was reported about the rows before this one. Earlier releases did not write the number of the row;
        there the line says it."""
        with self.path.open(newline="", encoding="utf-8") as file:
            for cells in csv.reader(file):
                if len(cells) >= len(TITLES) and cells[-1].isdigit():
                    if int(cells[-1]) < self._row:
                        yield cells
                elif cells and cells[0].isdigit() and int(cells[0]) < line:
                    yield [*cells, "rejected"] if len(cells) < len(TITLES) - 1 else cells


@contextmanager
def report_to(path: Path) -> Iterator[CsvReport]:
    """Yield a report that is written to a file."""
    report = CsvReport(path)
    try:
        yield report
    finally:
        report.close()


def report_file(file: Path, report: Path | None, *, dry_run: bool) -> Path:
    """Return the file for rejected rows: the one that was named, or one beside the imported file."""
    listed = report or file.with_name(f"{file.name}.{'dry-run' if dry_run else 'rejected'}.csv")
    if listed.resolve() == file.resolve():
        refuse(_("--report %(file)s: this is the file that is imported") % {"file": listed})
    return listed


def read_columns(given: Sequence[str]) -> dict[str, str]:
    """Return what was given as ``--column OURS=THEIRS``."""
    columns: dict[str, str] = {}
    for option in given:
        ours, sign, theirs = option.partition("=")
        if not sign or not ours.strip():
            refuse(_("--column %(value)s: write OURS=THEIRS, for example --column email=mail") % {"value": option})
        if ours.strip() in columns:
            refuse(_("--column %(value)s is given twice") % {"value": ours.strip()})
        columns[ours.strip()] = theirs.strip()
    return columns


def chosen_format(format: str, table: str | None) -> str:
    """Return the name of the reader for ``--format`` and ``--table``."""
    if table is None:
        if format == SQL:
            refuse(_("--format sql: name the table with --table, for example --table users"))
        return format
    if format not in (SQL, "auto"):
        refuse(_("--table is for --format sql, not for --format %(value)s") % {"value": format})
    return sql_format(table)


def hash_parameters(path: Path | None, format: str) -> dict[str, object]:
    """Return what all the password hashes of an export have in common, from a file: as Firebase shows it, or JSON."""
    if path is None:
        if format == "firebase":
            text = _(
                "--format firebase: name the file with the password hash parameters of the project with "
                "--hash-parameters (Firebase console, Authentication, Users, menu at the top right); "
                "--hash-parameters none imports the users without their passwords"
            )
            refuse(text)
        return {}
    if str(path) == "none":
        return {}
    text = path.read_text(encoding="utf-8")[:MAX_PARAMETERS]
    parameters = dict(re.findall(r'"?(\w+)"?\s*[:=]\s*"?([A-Za-z0-9+/=_-]+)"?', text))
    if missing := [name for name in FIREBASE if name not in parameters]:
        text = _("--hash-parameters %(file)s: these parameters are missing: %(names)s")
        refuse(text % {"file": path, "names": ", ".join(missing)})
    if not parameters["rounds"].isdigit() or not parameters["mem_cost"].isdigit():
        refuse(_("--hash-parameters %(file)s: rounds and mem_cost must be numbers") % {"file": path})
    return {name: parameters[name] for name in FIREBASE}


def importable_attributes() -> dict[str, Attribute]:
    """Return the attributes that the city declared and an import may write; none where there is no database yet."""
    from sso.clients.attributes import city_attributes_of
    from sso.platform.db.database import NoDatabase

    async def work(storage: Storage) -> dict[str, Attribute]:
        async with storage.db.read() as session:
            declared = (await city_attributes_of(session)).declaration.attributes
        return {name: each for name, each in declared.items() if "import" in each.write}

    try:
        return run(work)
    except NoDatabase:
        return {}


class IdentifierView(TypedDict):
    """An identifier of a row."""

    kind: str
    value: str
    verified: bool


class RowView(TypedDict):
    """A row as it would be stored."""

    line: int
    name: str
    identifiers: list[IdentifierView]
    locale: str | None
    profile: dict[str, object]
    attributes: list[str]
    password: str | None
    local_user_id: str | None
    notes: list[str]


def show_row(row: Row) -> RowView:
    """Return a row as it would be stored, the NIK masked and of the password its kind alone."""
    identifiers: list[IdentifierView] = [
        {"kind": kind, "value": masked(kind, value) if kind == "nik" else value, "verified": verified}
        for kind, value, verified in row.identifiers
    ]
    return {
        "line": row.number,
        "name": row.name,
        "identifiers": identifiers,
        "locale": row.locale,
        "profile": row.profile,
        "attributes": sorted(row.attributes),
        "password": kind_of_hash(row.password),
        "local_user_id": row.local_user_id or None,
        "notes": [f"{note.kind}: {note.text}" for note in row.notes],
    }


def kind_of_hash(stored: str) -> str | None:
    """Return by what a stored hash is recognised, without anything of the digest itself."""
    if not stored:
        return None
    if stored.startswith("{"):
        return f"{stored.partition('}')[0]}}}"
    if "$" in stored:
        return "$".join(stored.split("$")[:2]) + "$"
    return _("a hash of %(count)s characters") % {"count": len(stored)}


def print_sample(rows: Sequence[Row]) -> None:
    """Print rows as they would be stored."""
    for document in map(show_row, rows):
        print(_("line %(line)s, as it would be stored:") % {"line": document["line"]})
        _print_field("name", document["name"])
        for identifier in document["identifiers"]:
            unverified = "" if identifier["verified"] else " " + _("(not verified)")
            print(f"  {identifier['kind']}: {identifier['value']}{unverified}")
        for name, value in document["profile"].items():
            _print_field(name, str(value))
        for name, shown_text in (
            ("locale", document["locale"]),
            ("password", document["password"]),
            ("local_user_id", document["local_user_id"]),
            ("attributes", ", ".join(document["attributes"]) or None),
        ):
            _print_field(name, shown_text or _("none"))
        for note in document["notes"]:
            print(f"  {one_line(note)}")


def _print_field(name: str, value: str) -> None:
    print(f"  {name}: {one_line(value)}")


def as_json(done: Progress, unread: Sequence[str], listed: Path, sample: Sequence[Row]) -> dict[str, object]:
    """Return what came of an import, for scripts."""
    sample_part = {"sample": [show_row(row) for row in sample]} if sample else {}
    return {
        "rows": done.rows,
        "made": done.made,
        "proposed": done.proposed,
        "rejected": done.rejected,
        "updated": done.updated,
        "unchanged": done.unchanged,
        "left_out": dict(done.left_out),
        "read_as": dict(done.read_as),
        "columns_not_read": list(unread),
        "report": str(listed),
        "finished_before": done.before,
        **sample_part,
    }


def print_outcome(done: Progress, unread: Sequence[str], listed: Path, *, update: bool, dry_run: bool) -> None:
    """Print what came of an import: every row that was read is in one of the counts."""
    if unread:
        complain(_("Columns that are not read: %(columns)s") % {"columns": ", ".join(map(one_line, unread[:50]))})
    if done.before is not None:
        when = f"{done.before:%Y-%m-%d %H:%M} UTC"
        print(_("This file was imported with these options on %(when)s. Nothing was changed now.") % {"when": when})
    created = _("%(rows)s rows: %(count)s users were created")
    would = _("%(rows)s rows: %(count)s users would be created")
    print((would if dry_run else created) % {"rows": done.rows, "count": done.made})
    if update:
        values = {"count": done.updated, "unchanged": done.unchanged}
        print(_("%(count)s users were updated, %(unchanged)s were up to date") % values)
    if done.proposed:
        proposed = _("%(count)s rows may belong to users who have an account; see: sso users proposals list")
        would = _("%(count)s rows may belong to users who have an account; the import would propose to merge them")
        print((would if dry_run else proposed) % {"count": done.proposed})
    if done.rejected:
        rejected = {"count": done.rejected, "file": str(listed)}
        print(_("%(count)s rows were rejected; the reasons are in %(file)s") % rejected)
    if done.left_out:
        columns = ", ".join(f"{column} {count}" for column, count in sorted(done.left_out.items()))
        left_out = {"count": sum(done.left_out.values()), "columns": columns, "file": str(listed)}
        print(_("%(count)s values were left out (%(columns)s); the reasons are in %(file)s") % left_out)
    for message, count in sorted(done.read_as.items()):
        print(_("%(message)s (%(count)s rows)") % {"message": message, "count": count})
    print(_("%(count)s rows read") % {"count": done.rows} + f" = {balance(done, update=update)}")


def balance(done: Progress, *, update: bool) -> str:
    """Return the counts whose sum is the number of rows."""
    parts = [
        _("%(count)s created") % {"count": done.made},
        _("%(count)s proposed for merging") % {"count": done.proposed},
        _("%(count)s rejected") % {"count": done.rejected},
    ]
    if update:
        parts.append(_("%(count)s updated") % {"count": done.updated})
        parts.append(_("%(count)s unchanged") % {"count": done.unchanged})
    return " + ".join(parts)
