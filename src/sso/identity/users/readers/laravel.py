"""Users of Laravel: its table ``users`` in an SQL dump, or the same table as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sso.identity.users.readers.people import NotTaken, Row, first, flag, full_name, left_out, people, refuse_disabled
from sso.identity.users.readers.tables import has_time, read_table, text_of
from sso.identity.users.records import Record

_OURS = {
    "username": ("username", "user_name", "login", "nip"),
    "email": ("email",),
    "phone_number": ("phone_number", "phone", "mobile", "no_hp", "no_telp", "telepon"),
    "nik": ("nik",),
    "given_name": ("first_name", "firstname"),
    "family_name": ("last_name", "lastname"),
    "gender": ("gender",),
    "birthdate": ("birthdate", "birth_date", "date_of_birth", "tanggal_lahir"),
    "locale": ("locale",),
    "password_hash": ("password",),
}
_VERIFIED = {
    "email_verified": ("email_verified_at", "email_verified"),
    "phone_number_verified": ("phone_verified_at", "phone_number_verified_at", "phone_verified"),
}
_OFF = frozenset({"inactive", "disabled", "banned", "blocked", "suspended", "pending", "nonaktif", "tidak aktif"})


def read_laravel(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """Yield the users. A time in ``email_verified_at`` means that the address is verified.

    Raises:
        Refusal: when there is no table of users.
    """
    return people(
        read_table(path, encoding, _is_users, "table users of Laravel (with email and password)"), laravel_row
    )


def _is_users(table: str, columns: Sequence[str]) -> bool:
    return table.endswith("users") and {"email", "password"} <= {column.casefold() for column in columns}


def laravel_row(user: Mapping[str, object], notes: list[str]) -> Row:
    """Return the row of a user of Laravel.

    Raises:
        NotTaken: of an account that is deleted (``deleted_at``), banned or not active.
    """
    if has_time(user, "deleted_at"):
        raise NotTaken("the account is deleted there (deleted_at is set)")
    refuse_disabled(has_time(user, "banned_at", "blocked_at", "suspended_at", "disabled_at"), "it is banned")
    refuse_disabled(flag(user, "is_active", "active", "enabled", "is_enabled") is False, "it is not active")
    refuse_disabled(flag(user, "is_banned", "banned", "blocked", "is_blocked", "disabled"), "it is banned")
    status = text_of(user, "status").casefold()
    refuse_disabled(status in _OFF or status == "0", f"status is {status}")
    row: Row = {ours: text_of(user, *names) for ours, names in _OURS.items()}
    for ours, names in _VERIFIED.items():
        if any(name in user for name in names):
            row[ours] = text_of(user, *names) or "no"
    row["name"] = text_of(user, "name", "full_name", "nama", "nama_lengkap")
    row["name"] = row["name"] or full_name(row["given_name"], row["family_name"])
    row["local_user_id"] = text_of(user, "id", "uuid")
    if row["password_hash"]:
        row["password_scheme"] = "laravel"
    left_out(notes, "roles", [first(user, name) for name in ("role", "roles", "role_id", "is_admin", "level")])
    left_out(
        notes, "second factor", ["TOTP"] if text_of(user, "two_factor_secret") else [], "has to be set up again here"
    )
    return row
