"""Readers of files of people, one for each kind of file.

A reader yields every record in bounded memory, and trusts no structure: what cannot be read is yielded with the reason.
A file that is not of its kind at all is refused before the first record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sso.errors import Refusal
from sso.identity.users.readers.auth0 import read_auth0
from sso.identity.users.readers.django import read_django
from sso.identity.users.readers.firebase import read_firebase
from sso.identity.users.readers.json_files import read_json_array, read_json_lines
from sso.identity.users.readers.keycloak import read_keycloak
from sso.identity.users.readers.laravel import read_laravel
from sso.identity.users.readers.ldif import read_ldif
from sso.identity.users.readers.moodle import read_moodle
from sso.identity.users.readers.sql import looks_like_dump, read_sql, table_named
from sso.identity.users.readers.tabular import read_csv
from sso.identity.users.readers.text import TextFile
from sso.identity.users.readers.wordpress import read_wordpress
from sso.identity.users.records import Record

Reader = Callable[[Path, str | None], Iterator[Record]]

FORMATS: dict[str, Reader] = {
    "csv": read_csv,
    "jsonl": read_json_lines,
    "json": read_json_array,
    "keycloak": read_keycloak,
    "auth0": read_auth0,
    "firebase": read_firebase,
    "django": read_django,
    "ldif": read_ldif,
    "wordpress": read_wordpress,
    "moodle": read_moodle,
    "laravel": read_laravel,
}
"""Every kind of file, by its name on the command line."""
SQL = "sql"
"""An SQL dump; the table is named too: ``sql:users``."""


def sql_format(table: str) -> str:
    """Return the name of the format that reads a table of an SQL dump."""
    return f"{SQL}:{table}"


def read_records(path: Path, format: str = "auto", encoding: str | None = None) -> Iterator[Record]:
    """Yield the records of a file.

    Args:
        path: the file.
        format: a name of :data:`FORMATS`; ``sql:TABLE``: a table of an SQL dump; ``auto``: CSV,
            JSON lines or a JSON array, whatever the file begins with.
        encoding: the character encoding; None: what the byte order mark says, or UTF-8.

    Raises:
        Refusal: when the file is not of that kind, or its encoding must be named.
    """
    name = guess_format(path, encoding) if format == "auto" else format
    if name.startswith(f"{SQL}:"):
        table = name.partition(":")[2]
        yield from read_sql(path, encoding, table_named(table), f"table {table}")
        return
    if name == SQL:
        raise Refusal("--format sql: name the table with --table")
    if name not in FORMATS:
        raise Refusal(f"{format!r} is not a format: {', '.join((*FORMATS, SQL))}")
    yield from FORMATS[name](path, encoding)


def guess_format(path: Path, encoding: str | None = None) -> str:
    """Return which of ``csv``, ``jsonl`` and ``json`` a file is, by its first characters.

    Raises:
        Refusal: when the encoding must be named.
    """
    with TextFile(path, encoding) as text:
        start = text.start().lstrip()
    if looks_like_dump(start):
        raise Refusal(
            f"{path} is an SQL dump: name its kind with --format (wordpress, moodle, laravel), or the table with "
            "--format sql --table users"
        )
    if start.startswith("["):
        return "json"
    return "jsonl" if start.startswith("{") else "csv"
