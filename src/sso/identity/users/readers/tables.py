"""A table of people, as CSV or in an SQL dump: which of the two a file is, and the yes/no and time columns of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sso.identity.users.readers.people import NotTaken, first
from sso.identity.users.readers.sql import TableFilter, is_dump, read_sql
from sso.identity.users.readers.tabular import read_csv
from sso.identity.users.records import Record

_NO_TIME = frozenset({"", "0", "null", "-", "\\n"})


def read_table(path: Path, encoding: str | None, reads_table: TableFilter, what: str) -> Iterator[Record]:
    """Yield the rows of a table, from CSV with a first line of names or from an SQL dump.

    Raises:
        Refusal: when there is no such table.
    """
    return read_sql(path, encoding, reads_table, what) if is_dump(path, encoding) else read_csv(path, encoding)


def has_time(row: Mapping[str, object], *names: str) -> bool:
    """Tell whether one of some columns holds a time: not nothing, and not the zero time of MySQL."""
    value = first(row, *names)
    text = "" if value is None else str(value).strip().casefold()
    return text not in _NO_TIME and not text.startswith("0000-00-00")


def text_of(row: Mapping[str, object], *names: str) -> str:
    """Return a value as text.

    Raises:
        NotTaken: when it is an object or a list.
    """
    value = first(row, *names)
    if isinstance(value, dict | list):
        raise NotTaken(f"{names[0]}: is not text")
    return "" if value is None else str(value).strip()
