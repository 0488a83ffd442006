"""What a row of a file of the personnel system says: pure functions, without a database.

A value that decides who somebody is, or for how long, rejects the row when it is wrong: NIP, NIK, unit, dates, kind of
employment. A contact that is wrong costs the contact alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from sso.errors import Refusal
from sso.identity.employees.rules import (
    MAX_GRADE_CHARS,
    MAX_POSITION_CHARS,
    WITHOUT_NIP,
    Status,
    read_day,
    read_last_day,
    read_status,
)
from sso.identity.users.identifiers import Kind, is_nothing, normalise_as
from sso.identity.users.nip import normal_old_nip
from sso.identity.users.readers import guess_format, read_records
from sso.identity.users.rows import Note
from sso.identity.users.schemas import NAME
from sso.platform.security.text import TextRefused, check_line, one_line

Value = TypeVar("Value")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "nip": ("nip", "nipbaru", "nomorindukpegawai"),
    "old_nip": ("oldnip", "niplama"),
    "name": ("name", "nama", "namalengkap", "namapegawai"),
    "nik": ("nik", "nomorindukkependudukan"),
    "email": ("email", "emaildinas", "surel"),
    "phone": ("phone", "phonenumber", "telepon", "nomortelepon", "nohp", "hp"),
    "unit_code": ("unitcode", "kodeunit", "kodeopd", "unit"),
    "position": ("position", "jabatan", "namajabatan"),
    "grade": ("grade", "golongan", "golruang", "pangkatgolongan"),
    "employment_status": ("employmentstatus", "statuspegawai", "statuskepegawaian", "jenispegawai"),
    "from": ("from", "mulai", "tmt", "tanggalmulai"),
    "until": ("until", "sampai", "berakhir", "tanggalberakhir"),
}
"""Our columns, and how files name them: without capital letters, blanks, hyphens and underscores."""
CONTACTS: tuple[tuple[str, Kind], ...] = (("email", "email"), ("phone", "phone"))
VERIFIABLE = frozenset({"nik", "email", "phone"})
MAX_COLUMNS = 200


class RowWrong(Exception):
    """A row cannot be taken over; the message says why, and begins with the column."""


@dataclass(frozen=True, slots=True)
class EmployeeFile:
    """How a file is read.

    Args:
        path: the file.
        columns: the names of its columns, by ours, where they differ.
        verified: what the personnel office has verified besides the NIP: ``nik``, ``email``, ``phone``.
        format: a format of the import of users.
        encoding: the character encoding; None: what the byte order mark says, or UTF-8.
        time_zone: in which days begin.
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    verified: frozenset[str] = frozenset()
    format: str = "auto"
    encoding: str | None = None
    time_zone: str = "Asia/Jakarta"


@dataclass(frozen=True, slots=True)
class EmployeeRow:
    """An employee of a file, normalised. ``line``: the number of the line; the header is line 1."""

    line: int
    name: str
    status: Status
    nip: str | None
    old_nip: str | None = None
    nik: str | None = None
    email: str | None = None
    phone: str | None = None
    unit_code: str | None = None
    position: str | None = None
    grade: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    notes: tuple[Note, ...] = ()

    @property
    def key(self) -> str:
        """By what the employee is found in the next file: the NIP, or else the NIK."""
        return self.nip or f"nik {self.nik}"


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line of a file: an employee, or why it is none. ``read``: how many bytes of the file were read."""

    line: int
    row: EmployeeRow | None = None
    wrong: str = ""
    key: str = ""
    read: int = 0


def check_columns(file: EmployeeFile) -> tuple[EmployeeFile, list[str]]:
    """Return the file with its columns by ours, and the columns that are not read.

    Raises:
        Refusal: when a column is missing, stands twice, or the file holds no row.
    """
    chosen = file.format if file.format != "auto" else guess_format(file.path, file.encoding)
    file = replace(file, format=chosen)
    unknown = sorted((set(file.columns) - set(COLUMNS)) | (file.verified - VERIFIABLE))
    if unknown:
        raise Refusal(f"{unknown[0]!r} is none of our columns: {', '.join(COLUMNS)}")
    names = next((list(entry.row) for entry in read_records(file.path, chosen, file.encoding) if entry.row), None)
    if names is None:
        raise Refusal(f"{file.path} holds no row that can be read")
    columns = _columns_of(names[:MAX_COLUMNS], file.columns)
    missing = [name for name in ("name", "employment_status") if name not in columns]
    if missing or not {"nip", "nik"} & set(columns):
        lacking = missing[0] if missing else "nip"
        raise Refusal(f"the file has no column {lacking}: name it with --column {lacking}=...")
    return replace(file, columns=columns), sorted(set(names) - set(columns.values()))


def _columns_of(names: Collection[str], given: Mapping[str, str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for ours, known in COLUMNS.items():
        if ours in given:
            if given[ours] not in names:
                raise Refusal(f"--column {ours}={given[ours]}: the file has no column {given[ours]!r}")
            columns[ours] = given[ours]
            continue
        same = [name for name in names if _bare(name) in known and name not in given.values()]
        if len(same) > 1:
            raise Refusal(f"the file has several columns for {ours}: choose with --column {ours}=..., one of {same}")
        if same:
            columns[ours] = same[0]
    return columns


def _bare(name: str) -> str:
    return re.sub(r"[\s_\-./]+", "", name.casefold())


def read_lines(file: EmployeeFile) -> Iterator[ReadLine]:
    """Yield the lines of a file whose columns were checked, in bounded memory.

    Of lines with the same NIP the first counts; the others are refused with its number.
    """
    seen: dict[str, int] = {}
    for entry in read_records(file.path, file.format, file.encoding):
        if entry.row is None:
            yield ReadLine(entry.line, wrong=f"cannot be read: {entry.reason}", read=entry.read)
            continue
        given = {ours: _text(entry.row.get(theirs)) for ours, theirs in file.columns.items()}
        key = _key_of(given)
        try:
            row = read_row(entry.line, given, file.time_zone)
            if row.key in seen:
                raise RowWrong(f"nip: stands in line {seen[row.key]} too")
        except RowWrong as error:
            yield ReadLine(entry.line, wrong=str(error), key=key, read=entry.read)
            continue
        seen[row.key] = entry.line
        yield ReadLine(entry.line, row, key=row.key, read=entry.read)


def _text(value: object) -> str:
    """Return a value as text; a number with a fraction is none that could be a NIP."""
    text = value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    return "" if is_nothing(text) else text.strip()


def _key_of(given: Mapping[str, str]) -> str:
    """Return by what an employee is found, also where something else of the row is wrong; empty: it cannot be read."""
    for name in ("nip", "nik"):
        try:
            value = normalise_as("nip" if name == "nip" else "nik", given.get(name, "")).value
        except ValueError:
            if given.get(name):
                return ""
            continue
        return value if name == "nip" else f"nik {value}"
    return ""


def read_row(line: int, given: Mapping[str, str], time_zone: str) -> EmployeeRow:
    """Return the employee of a row.

    Args:
        line: the number of the line.
        given: the text by our columns; empty or missing: nothing.
        time_zone: in which days begin.

    Raises:
        RowWrong: naming the column that is wrong.
    """
    for name, text in given.items():
        _checked(name, text, check_line)
    name = " ".join(given.get("name", "").split())
    if NAME.fullmatch(name) is None or name != one_line(name):
        raise RowWrong("name: must have 1 to 200 characters, without <, > and invisible characters")
    status = _read(given, "employment_status", read_status)
    if status is None:
        raise RowWrong("employment_status: is missing")
    nip = _read(given, "nip", lambda text: normalise_as("nip", text).value)
    nik = _read(given, "nik", lambda text: normalise_as("nik", text).value)
    if nip is None and (status not in WITHOUT_NIP or nik is None):
        problem = "is missing" if status not in WITHOUT_NIP else "is missing, and there is no NIK in its place"
        raise RowWrong(f"nip: {problem}")
    starts = _read(given, "from", lambda text: read_day(text, time_zone))
    ends = _read(given, "until", lambda text: read_last_day(text, time_zone))
    if starts and ends and starts >= ends:
        raise RowWrong("until: the employment ends before it begins")
    contacts, notes = _contacts(given)
    return EmployeeRow(
        line,
        name,
        status,
        nip,
        _read(given, "old_nip", normal_old_nip),
        nik,
        contacts.get("email"),
        contacts.get("phone"),
        given.get("unit_code") or None,
        _short(given, "position", MAX_POSITION_CHARS) if given.get("unit_code") else None,
        _short(given, "grade", MAX_GRADE_CHARS),
        starts,
        ends,
        tuple(notes),
    )


def _contacts(given: Mapping[str, str]) -> tuple[dict[str, str], list[Note]]:
    contacts: dict[str, str] = {}
    notes: list[Note] = []
    for column, kind in CONTACTS:
        try:
            if given.get(column):
                normal = normalise_as(kind, given[column])
                contacts[column] = normal.value
                notes += [Note("warning", f"{column}: {text}") for text in normal.warnings]
        except ValueError as error:
            notes.append(Note("left out", f"{column}: {error}"))
    if given.get("position") and not given.get("unit_code"):
        notes.append(Note("left out", "position: there is no unit_code"))
    return contacts, notes


def _short(given: Mapping[str, str], name: str, maximum: int) -> str | None:
    text = " ".join(given.get(name, "").split())
    if len(text) > maximum:
        raise RowWrong(f"{name}: has more than {maximum} characters")
    return text or None


def _read(given: Mapping[str, str], name: str, read: Callable[[str], Value]) -> Value | None:
    text = given.get(name, "")
    return _checked(name, text, read) if text else None


def _checked(name: str, text: str, read: Callable[[str], Value]) -> Value:
    try:
        return read(text)
    except (TextRefused, ValueError) as error:
        raise RowWrong(f"{name}: {error}") from None
