"""CSV and its relatives (semicolon, tab, bar), as strict as RFC 4180."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sso.errors import Refusal
from sso.identity.users.readers.text import TextFile, TextLine
from sso.identity.users.records import MAX_RECORD_BYTES, Record

DELIMITERS = ",;\t|"
_NO_CSV = (
    "is neither CSV with a first line of column names nor JSON lines nor a JSON array; name another kind with --format"
)
_ONE_NAME = re.compile(r'(")?[^\W\d_][\w .\-]{0,63}(?(1)")')
_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)


class Opening(Exception):
    """A quoted value does not end with the text."""


def read_csv(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """Yield the records of a CSV file whose first line holds the column names.

    A quoted value may have line breaks. Where the quotation mark is not closed as RFC 4180 section 2 demands, or the
    record would not have as many values as there are columns, the line is refused and reading goes on at the next line.
    A column name that stands twice becomes ``name (column N)`` each time. Values under an empty column name are
    refused.

    Raises:
        Refusal: when the first line holds no column names.
    """
    with TextFile(path, encoding) as file:
        lines = file.lines()
        delimiter, names = _header(path, lines)
        none = True
        for line in lines:
            if line.text is None or line.text.strip("\x1a \t\r"):
                none = False
                yield from _records(file, line, lines, delimiter, names)
        if none and len(names) == 1:
            raise Refusal(f"{path} {_NO_CSV}")


def _records(
    file: TextFile, line: TextLine, lines: Iterator[TextLine], delimiter: str, names: Sequence[str]
) -> Iterator[Record]:
    """Yield the record that begins in ``line``: itself, or a refused record for each of its lines.

    Where a quoted value is open at the end of the line, the file is looked at ahead before another line is taken: where
    the value is not closed, or the record would not fit the columns, ``line`` alone is refused, so that no quotation
    mark takes other rows away. What is inside a quoted value is never read as a row.
    """
    read = line.offset + line.size
    try:
        cells = _cells(file, line, delimiter)
    except Opening:
        ahead = _ahead(file, line, delimiter, len(names))
        if ahead is None:
            yield Record(line.number, None, line.reason or "a quotation mark is opened and not closed", read)
            return
        last = line.number
        while read < ahead.end:
            after = next(lines)
            last, read = after.number, after.offset + after.size
        if ahead.cells is not None:
            yield _record(line.number, ahead.cells, names, read, last - line.number + 1)
            return
        for number in range(line.number, last + 1):
            place = f"stands between quotation marks that open in line {line.number} and close in line {last}"
            yield Record(number, None, f"{place}: {ahead.reason}", read)
        return
    except ValueError as error:
        yield Record(line.number, None, line.reason or str(error), read)
        return
    if line.text is None:
        yield Record(line.number, None, line.reason, read)
    elif any(cell.strip() for cell in cells):
        yield _record(line.number, cells, names, read)


def _cells(file: TextFile, line: TextLine, delimiter: str) -> list[str]:
    """Return the values of a line. Of one that is too long nothing is returned; whether a value is open at its end is
    told by the number of its quotation marks.

    Raises:
        Opening: when a quoted value does not end with the line.
        ValueError: when a quotation mark stands where none may.
    """
    if line.loose is not None:
        return split(line.loose, delimiter)
    if file.count_marks(line.offset, line.offset + line.size) % 2:
        raise Opening
    return []


@dataclass(frozen=True, slots=True)
class _LongRecord:
    """A record over several lines: where it ends, and its values. None: it is refused for ``reason``."""

    end: int
    cells: list[str] | None
    reason: str = ""


def _ahead(file: TextFile, first: TextLine, delimiter: str, width: int) -> _LongRecord | None:
    """Return the record that begins in ``first`` and has line breaks in quoted values; None: there is none."""
    end = first.offset + first.size
    while (closed := file.quoted_until(end, delimiter)) is not None:
        end = file.line_end(closed)
        if end - first.offset > MAX_RECORD_BYTES:
            if file.count_marks(first.offset, end) % 2 == 0:
                return _LongRecord(end, None, f"more than {MAX_RECORD_BYTES // 1024} KB")
            continue
        text, reason = file.decoded(file.bytes_between(first.offset, end))
        try:
            cells = split(text.rstrip("\r\n"), delimiter)
        except Opening:
            continue
        except ValueError:
            return None
        if len(cells) != width:
            return None
        return _LongRecord(end, None if reason else cells, reason)
    return None


def _record(number: int, cells: Sequence[str], names: Sequence[str], read: int, lines: int = 1) -> Record:
    if len(cells) != len(names):
        return Record(number, None, f"has {len(cells)} values for {len(names)} columns", read, lines)
    row: dict[str, object] = dict(zip(names, cells, strict=True))
    if "" in names:
        for place, (name, cell) in enumerate(zip(names, cells, strict=True), start=1):
            if not name and cell.strip():
                return Record(number, None, f"has a value in column {place}, which has no name", read, lines)
        del row[""]
    return Record(number, row, "", read, lines)


def split(text: str, delimiter: str) -> list[str]:
    """Return the values of one record (RFC 4180 section 2).

    Raises:
        Opening: when a quoted value does not end.
        ValueError: when a quotation mark stands where none may.
    """
    if '"' not in text:
        return text.split(delimiter)
    cells, at, end = [], 0, len(text)
    while True:
        if text.startswith('"', at):
            mark = text.find('"', at + 1)
            while mark >= 0 and text.startswith('"', mark + 1):
                mark = text.find('"', mark + 2)
            if mark < 0:
                raise Opening
            cells.append(text[at + 1 : mark].replace('""', '"'))
            at = mark + 1
            if at < end and not text.startswith(delimiter, at):
                raise ValueError("has text after a closing quotation mark; within a value, marks are doubled")
        else:
            position = text.find(delimiter, at)
            position = end if position < 0 else position
            cell = text[at:position]
            if '"' in cell:
                raise ValueError("has a quotation mark in a value that does not begin with one")
            cells.append(cell)
            at = position
        if at == end:
            return cells
        at += 1


def _header(path: Path, lines: Iterator[TextLine]) -> tuple[str, list[str]]:
    """Return the delimiter and the column names."""
    declared = ""
    for line in lines:
        if line.text is None:
            raise Refusal(f"{path}: the first line cannot be read: {line.reason}")
        text = line.text
        if not declared and (match := _SEP.fullmatch(text.strip("\r\n "))) is not None:
            declared = match[1]
            continue
        if text.strip():
            break
    else:
        raise Refusal(f"{path} is empty")
    best: tuple[str, list[str]] = ("", [])
    for delimiter in declared or DELIMITERS:
        try:
            names = split(text, delimiter)
        except (Opening, ValueError):
            continue
        if len(names) > max(len(best[1]), 1):
            best = delimiter, names
    if not best[0] and _ONE_NAME.fullmatch(text.strip()):
        best = declared or ",", split(text.strip(), ",")  # one column
    if not best[0]:
        raise Refusal(f"{path} {_NO_CSV}")
    return best[0], _distinct([" ".join(name.split()) for name in best[1]], path)


def _distinct(names: Sequence[str], path: Path) -> list[str]:
    for name in names:
        if not name.isprintable():
            raise Refusal(f"{path}: the first line does not hold column names: {name[:40]!r}")
    counts = Counter(name for name in names if name)
    return [f"{name} (column {place})" if counts[name] > 1 else name for place, name in enumerate(names, start=1)]
