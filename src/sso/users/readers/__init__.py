"""Readers of files of people, one for each kind of file.

A reader yields every record in bounded memory, and trusts no structure: what cannot be read is yielded with the reason.
A file that is not of its kind at all is refused before the first record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sso.errors import Refusal
from sso.users.readers.json_files import read_json_array, read_json_lines
from sso.users.readers.tabular import read_csv
from sso.users.readers.text import TextFile
from sso.users.records import Record

Reader = Callable[[Path, str | None], Iterator[Record]]

FORMATS: dict[str, Reader] = {
    "csv": read_csv,
    "jsonl": read_json_lines,
    "json": read_json_array,
}
"""Every kind of file, by its name on the command line."""


def read_records(path: Path, format: str = "auto", encoding: str | None = None) -> Iterator[Record]:
    """Yield the records of a file.

    Args:
        path: the file.
        format: a name of :data:`FORMATS`; ``auto``: CSV, JSON lines or a JSON array, whatever the file begins with.
        encoding: the character encoding; None: what the byte order mark says, or UTF-8.

    Raises:
        Refusal: when the file is not of that kind, or its encoding must be named.
    """
    name = guess_format(path, encoding) if format == "auto" else format
    if name not in FORMATS:
        raise Refusal(f"{format!r} is not a format: {', '.join(FORMATS)}")
    yield from FORMATS[name](path, encoding)


def guess_format(path: Path, encoding: str | None = None) -> str:
    """Return which of ``csv``, ``jsonl`` and ``json`` a file is, by its first characters.

    Raises:
        Refusal: when the encoding must be named.
    """
    with TextFile(path, encoding) as text:
        start = text.start().lstrip()
    if start.startswith("["):
        return "json"
    return "jsonl" if start.startswith("{") else "csv"
