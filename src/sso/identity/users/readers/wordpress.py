"""Users of WordPress: its table ``wp_users`` in an SQL dump, the same table as CSV, or the CSV of ``wp user list``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sso.errors import Refusal
from sso.identity.users.readers.people import NotTaken, Row, first, full_name, left_out, people
from sso.identity.users.readers.sql import is_dump, read_sql
from sso.identity.users.readers.tables import read_table, text_of
from sso.identity.users.records import Record

MAX_RIGHTS = 200_000
_COMMON_ROLES = frozenset({"subscriber", "customer", ""})
_ROLE = re.compile(r's:[0-9]+:"([^"]{1,60})";b:1')


def read_wordpress(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """Yield the users. In a dump their roles are in another table, which is read first.

    Raises:
        Refusal: when there is no table of users.
    """
    rights = _rights(path, encoding) if is_dump(path, encoding) else {}
    records = read_table(path, encoding, _is_users, "table of WordPress users (with user_login and user_pass)")
    return people(records, lambda row, notes: wordpress_row(row, notes, rights))


def _is_users(table: str, columns: Sequence[str]) -> bool:
    return table.endswith("users") and {"user_login", "user_pass"} <= {column.casefold() for column in columns}


def _is_metadata(table: str, columns: Sequence[str]) -> bool:
    return table.endswith("usermeta") and {"user_id", "meta_key", "meta_value"} <= set(columns)


def _rights(path: Path, encoding: str | None) -> dict[str, str]:
    """Return the roles of users who have more than every reader has, by their id."""
    rights: dict[str, str] = {}
    try:
        for record in read_sql(path, encoding, _is_metadata, "table of user metadata"):
            if record.row is None or not str(record.row.get("meta_key", "")).endswith("capabilities"):
                continue
            roles = [role for role in _ROLE.findall(str(record.row.get("meta_value"))) if role not in _COMMON_ROLES]
            if roles and len(rights) < MAX_RIGHTS:
                rights[str(record.row.get("user_id"))] = ", ".join(roles)
    except Refusal:
        return {}  # the dump has the table of users alone
    return rights


def wordpress_row(user: Mapping[str, object], notes: list[str], rights: Mapping[str, str]) -> Row:
    """Return the row of a user of WordPress.

    Raises:
        NotTaken: of an account that is marked as spam or deleted (multisite), or without a user name.
    """
    for name in ("spam", "deleted"):
        if text_of(user, name) not in ("", "0"):
            raise NotTaken(f"the account is disabled there ({name} is set); an imported account could be used at once")
    local = text_of(user, "ID", "source_user_id", "user_id")
    roles = text_of(user, "roles", "role", "wp_capabilities") or rights.get(local, "")
    left_out(notes, "roles", [role for role in re.split(r"\s*[,|]\s*", roles) if role not in _COMMON_ROLES])
    url = text_of(user, "user_url")
    row: Row = {
        "local_user_id": local,
        "username": text_of(user, "user_login", "username"),
        "email": text_of(user, "user_email", "email"),
        "name": text_of(user, "display_name") or full_name(first(user, "first_name"), first(user, "last_name")),
        "given_name": text_of(user, "first_name"),
        "family_name": text_of(user, "last_name"),
        "nickname": text_of(user, "nickname"),
        "website": url,
        "password_hash": text_of(user, "user_pass", "password"),
    }
    if row["password_hash"]:
        row["password_scheme"] = "wordpress"
    return row
