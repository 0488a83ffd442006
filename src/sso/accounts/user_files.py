"""Reading a CSV file of people to invite. Pure: every line is read, and every mistake is named with its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from sso.accounts.user_invitations import InvitedUser
from sso.errors import validation_field, validation_message
from sso.platform.security.text import TextRefused, check_line

COLUMNS = ("name", "email", "username", "roles", "locale")
REQUIRED = ("name", "email")
MAX_LINES = 500
MAX_BYTES = 1024 * 1024
MAX_CELL_CHARS = 500


class FileRefused(Exception):
    """The file cannot be read. ``code``: why; ``detail``: what it is about."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line of the file.

    Args:
        number: the number of the line; the header is line 1.
        values: what the line says, by column.
        person: who is invited; None: the line has a mistake.
        mistake: the mistake, in English, or a code of the page.
        field: the column of the mistake.
    """

    number: int
    values: dict[str, str]
    person: InvitedUser | None = None
    mistake: str = ""
    field: str = ""


def read_file(data: bytes) -> list[FileLine]:
    """Return the lines of a CSV file, in order.

    Raises:
        FileRefused: when it is too large, is no UTF-8, has no lines or too many, or lacks a column.
    """
    if len(data) > MAX_BYTES:
        raise FileRefused("too_large")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileRefused("not_utf8") from None
    if "\0" in text:
        raise FileRefused("not_utf8")
    first_line = text.partition("\n")[0]
    delimiter = ";" if first_line.count(";") > first_line.count(",") else ","
    try:
        rows = list(_numbered(text, delimiter))
    except csv.Error:
        raise FileRefused("not_csv") from None
    if len(rows) < 2:
        raise FileRefused("empty")
    if len(rows) - 1 > MAX_LINES:
        raise FileRefused("too_many", str(MAX_LINES))
    header = [cell.strip().lower() for cell in rows[0][1]]
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or len(set(header)) != len(header):
        raise FileRefused("unknown_column", (unknown or header)[0][:60])
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise FileRefused("no_column", missing[0])
    return _without_repetition([_line(number, header, row) for number, row in rows[1:]])


def _numbered(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with the number of the line of the file where it begins."""
    number, reader = 1, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for row in reader:
        if any(cell.strip() for cell in row):
            yield number, row
        number = reader.line_num + 1


def _line(number: int, header: Sequence[str], row: Sequence[str]) -> FileLine:
    values = {name: cell.strip()[:MAX_CELL_CHARS] for name, cell in zip(header, row, strict=False)}
    if len(row) != len(header):
        return FileLine(number, values, mistake="columns")
    given: dict[str, object] = {name: text for name, text in values.items() if text}
    if "roles" in given:
        given["roles"] = values["roles"].replace("|", " ").replace(",", " ").split()
    try:
        for text in values.values():
            check_line(text)
        return FileLine(number, values, InvitedUser.model_validate(given))
    except TextRefused as error:
        return FileLine(number, values, mistake=str(error))
    except ValidationError as error:
        problem = error.errors()[0]
        field = validation_field(problem)
        if problem["type"] == "missing":
            return FileLine(number, values, mistake="missing", field=field)
        if field == "roles":
            return FileLine(number, values, mistake="no_role", field=field)
        return FileLine(number, values, mistake=validation_message(problem), field=field)


def _without_repetition(lines: Sequence[FileLine]) -> list[FileLine]:
    """Return the lines; of those that name the same identifier, only the first is without a mistake."""
    seen: dict[str, int] = {}
    result = []
    for line in lines:
        lookups = line.person.lookups if line.person is not None else []
        earlier = next((seen[lookup] for lookup in lookups if lookup in seen), None)
        if earlier is not None:
            result.append(FileLine(line.number, line.values, mistake="repeated", field=str(earlier)))
        else:
            seen.update(dict.fromkeys(lookups, line.number))
            result.append(line)
    return result
