"""Users of Moodle: its table ``mdl_user`` in an SQL dump, the same table as CSV, or the CSV of its bulk download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sso.identity.users.readers.people import NotTaken, Row, flag, full_name, left_out, people, refuse_disabled
from sso.identity.users.readers.tables import read_table, text_of
from sso.identity.users.records import Record

_LOCAL = frozenset({"", "manual", "email", "none"})


def read_moodle(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """Yield the users.

    Raises:
        Refusal: when there is no table of users.
    """
    return people(read_table(path, encoding, _is_users, "table of Moodle users (mdl_user)"), moodle_row)


def _is_users(table: str, columns: Sequence[str]) -> bool:
    return table.endswith("user") and {"mnethostid", "username", "suspended"} <= {
        column.casefold() for column in columns
    }


def moodle_row(user: Mapping[str, object], notes: list[str]) -> Row:
    """Return the row of a user of Moodle.

    Raises:
        NotTaken: of a guest, of an account that is suspended, deleted or not confirmed, or signs in by nothing.
    """
    for name in ("suspended", "deleted"):
        refuse_disabled(flag(user, name), f"{name} is set")
    if flag(user, "confirmed") is False:
        raise NotTaken("the account was never confirmed there (confirmed is 0)")
    auth = text_of(user, "auth").casefold()
    if auth == "nologin":
        raise NotTaken("the account is disabled there (auth is nologin); an imported account could be used at once")
    username = text_of(user, "username")
    if username == "guest":
        raise NotTaken("is the guest account of Moodle, not a person")
    if auth not in _LOCAL:
        left_out(notes, "sign-in by", auth, "is not taken over")
    given, family = text_of(user, "firstname"), text_of(user, "lastname")
    row: Row = {
        "local_user_id": text_of(user, "id"),
        "username": username,
        "email": text_of(user, "email"),
        "phone_number": text_of(user, "phone2", "phone1"),
        "name": full_name(given, text_of(user, "middlename"), family),
        "given_name": given,
        "middle_name": text_of(user, "middlename"),
        "family_name": family,
        "locale": text_of(user, "lang"),
        "zoneinfo": "" if text_of(user, "timezone") == "99" else text_of(user, "timezone"),
        "password_hash": text_of(user, "password"),
    }
    if row["password_hash"]:
        row["password_scheme"] = "moodle"
    left_out(notes, "idnumber", text_of(user, "idnumber"), "has no place here")
    return row
