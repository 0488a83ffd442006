"""CSV and its relatives (semicolon, tab, bar), as strict as RFC 4180."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from sso.errors import Refusal
from sso.users.readers.text import TextFile, TextLine
from sso.users.records import MAX_RECORD_BYTES, Record

DELIMITERS = ",;\t|"
_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)


class _Open(Exception):
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
        for line in lines:
            if line.text is None:
                yield Record(line.number, None, line.reason, line.offset + line.size)
            elif line.text.strip("\x1a \t\r"):
                yield from _records(file, line, lines, delimiter, names)


def _records(
    file: TextFile, line: TextLine, lines: Iterator[TextLine], delimiter: str, names: Sequence[str]
) -> Iterator[Record]:
    """Yield the record that begins in ``line``: itself, or a refused record for each of its lines."""
    assert line.text is not None
    try:
        cells = split(line.text, delimiter)
    except _Open:
        yield from _long_record(file, line, lines, delimiter, names)
        return
    except ValueError as error:
        yield Record(line.number, None, str(error), line.offset + line.size)
        return
    if any(cell.strip() for cell in cells):
        yield _record(line.number, cells, names, line.offset + line.size)


def _long_record(
    file: TextFile, first: TextLine, lines: Iterator[TextLine], delimiter: str, names: Sequence[str]
) -> Iterator[Record]:
    """Yield the record that begins in ``first`` and has line breaks in quoted values.

    The file is looked at ahead before a line is taken: where the quoted value is not closed, or the record would not
    fit the columns, ``first`` alone is refused. So no quotation mark takes other rows away.
    """
    text, taken, end = _ahead(file, first, delimiter, len(names))
    if not taken:
        reason = "a quotation mark is opened and not closed"
        yield Record(first.number, None, reason, first.offset + first.size)
        return
    span = [first.number]
    read = first.offset + first.size
    while read < end:
        line = next(lines)
        span.append(line.number)
        read = line.offset + line.size
    if text is not None:
        yield _record(first.number, split(text, delimiter), names, read, len(span))
        return
    reason = f"stands between quotation marks that open in line {span[0]} and close in line {span[-1]}: too long"
    for number in span:
        yield Record(number, None, reason, read)


def _ahead(file: TextFile, first: TextLine, delimiter: str, width: int) -> tuple[str | None, bool, int]:
    """Return the text of the record that begins in ``first``, whether there is one, and where it ends. No text: the
    record is too long."""
    with file.path.open("rb") as again:
        end = first.offset + first.size
        while True:
            closed = file.quoted_until(end, delimiter)
            if closed is None:
                return None, False, 0
            again.seek(closed)
            rest = again.readline(MAX_RECORD_BYTES) if file.newline == b"\n" else _to_return(again)
            end = closed + len(rest)
            if end - first.offset > MAX_RECORD_BYTES:
                return None, True, end
            again.seek(first.offset)
            data = again.read(end - first.offset)
            try:
                text = data.decode(file.encoding).rstrip("\r\n")
                return (text, True, end) if len(split(text, delimiter)) == width else (None, False, 0)
            except _Open:
                continue
            except ValueError:  # of the encoding, or of the quotation marks
                return None, False, 0


def _to_return(file: IO[bytes]) -> bytes:
    """Return the rest of a line that ends with a carriage return alone."""
    data = file.read(MAX_RECORD_BYTES)
    end = data.find(b"\r")
    return data if end < 0 else data[: end + 1]


def _record(number: int, cells: Sequence[str], names: Sequence[str], read: int, lines: int = 1) -> Record:
    if len(cells) != len(names):
        return Record(number, None, f"has {len(cells)} values for {len(names)} columns", read, lines)
    row = dict(zip(names, cells, strict=True))
    if "" in names:
        for place, (name, cell) in enumerate(zip(names, cells, strict=True), start=1):
            if not name and cell.strip():
                return Record(number, None, f"has a value in column {place}, which has no name", read, lines)
        del row[""]
    return Record(number, row, "", read, lines)


def split(text: str, delimiter: str) -> list[str]:
    """Return the values of one record (RFC 4180 section 2).

    Raises:
        _Open: when a quoted value does not end.
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
                raise _Open
            cells.append(text[at + 1 : mark].replace('""', '"'))
            at = mark + 1
            if at < end and not text.startswith(delimiter, at):
                raise ValueError("has text after a closing quotation mark; within a value, marks are doubled")
        else:
            found = text.find(delimiter, at)
            found = end if found < 0 else found
            cell = text[at:found]
            if '"' in cell:
                raise ValueError("has a quotation mark in a value that does not begin with one")
            cells.append(cell)
            at = found
        if at == end:
            return cells
        at += 1


def _header(path: Path, lines: Iterator[TextLine]) -> tuple[str, list[str]]:
    """Return the delimiter and the column names."""
    said = ""
    for line in lines:
        if line.text is None:
            raise Refusal(f"{path}: the first line cannot be read: {line.reason}")
        text = line.text
        if not said and (found := _SEP.fullmatch(text.strip("\r\n "))) is not None:
            said = found[1]
            continue
        if text.strip():
            break
    else:
        raise Refusal(f"{path} is empty")
    best: tuple[str, list[str]] = ("", [])
    for delimiter in said or DELIMITERS:
        try:
            names = split(text, delimiter)
        except (_Open, ValueError):
            continue
        if len(names) > max(len(best[1]), 1):
            best = delimiter, names
    if not best[0]:
        raise Refusal(
            f"{path} is neither CSV with a first line of column names nor JSON lines nor a JSON array; "
            "name another kind with --format"
        )
    return best[0], _distinct([" ".join(name.split()) for name in best[1]], path)


def _distinct(names: Sequence[str], path: Path) -> list[str]:
    for name in names:
        if not name.isprintable():
            raise Refusal(f"{path}: the first line does not hold column names: {name[:40]!r}")
    counts = Counter(name for name in names if name)
    return [f"{name} (column {place})" if counts[name] > 1 else name for place, name in enumerate(names, start=1)]
