"""Users of Django: ``manage.py dumpdata`` (JSON, or JSON lines), with the user model of Django or one of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sso.identity.users.readers.documents import read_lines_or_elements
from sso.identity.users.readers.people import (
    NotAPerson,
    NotTaken,
    Row,
    first,
    flag,
    full_name,
    left_out,
    people,
    refuse_disabled,
)
from sso.identity.users.records import Record

MAX_GROUPS = 10_000
_OURS = {
    "username": ("username", "user_name", "login"),
    "email": ("email", "email_address", "mail"),
    "phone_number": ("phone_number", "phone", "mobile", "telephone", "no_hp", "no_telp"),
    "nik": ("nik",),
    "birthdate": ("birthdate", "birth_date", "date_of_birth", "tanggal_lahir"),
    "gender": ("gender",),
    "given_name": ("first_name", "given_name"),
    "family_name": ("last_name", "family_name"),
    "name": ("name", "full_name", "fullname", "display_name", "nama"),
    "locale": ("locale", "language"),
}
_VERIFIED = {
    "email_verified": ("email_verified", "is_email_verified", "email_confirmed"),
    "phone_number_verified": ("phone_verified", "phone_number_verified", "is_phone_verified"),
}
_PASSED = ("last_login", "date_joined", "created_at", "updated_at", "password", "is_active", "is_staff", "is_superuser")


def read_django(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """Yield the users of a dump. Objects of other models are passed over; the names of groups are remembered.

    Raises:
        Refusal: when the file is no dump.
    """
    groups: dict[str, str] = {}
    return people(
        read_lines_or_elements(path, encoding, "users"), lambda record, notes: django_row(record, notes, groups)
    )


def django_row(entry: Mapping[str, object], notes: list[str], groups: dict[str, str]) -> Row:
    """Return the row of an object that is a user: of a model with ``password`` and ``last_login``.

    Raises:
        NotAPerson: of an object of another model.
        NotTaken: of an account that is not active, or whose values have another type.
    """
    model, fields = str(entry.get("model", "")).casefold(), entry.get("fields")
    if not isinstance(fields, Mapping) or not model:
        raise NotTaken("is no object of a dump: it has no model and fields")
    if model == "auth.group" and len(groups) < MAX_GROUPS:
        groups[str(entry.get("pk"))] = str(fields.get("name", ""))
    if "password" not in fields or "last_login" not in fields:
        raise NotAPerson
    refuse_disabled(flag(fields, "is_active") is False, "is_active is false")
    row: Row = {ours: first(fields, *names) for ours, names in _OURS.items()}
    row |= {ours: first(fields, *names) for ours, names in _VERIFIED.items()}
    row["name"] = row["name"] or full_name(row["given_name"], row["family_name"])
    row |= {"local_user_id": entry.get("pk"), "password_hash": fields.get("password"), "password_scheme": "django"}
    rights = [name for name in ("is_superuser", "is_staff") if fields.get(name)]
    left_out(notes, "roles", rights)
    left_out(notes, "groups", [_group(item, groups) for item in fields.get("groups") or ()])
    left_out(notes, "permissions", [_group(item, {}) for item in fields.get("user_permissions") or ()])
    used = {name for names in (*_OURS.values(), *_VERIFIED.values()) for name in names}
    others = [
        name
        for name, value in fields.items()
        if name not in (*used, *_PASSED, "groups", "user_permissions") and value not in (None, "", [], {})
    ]
    left_out(notes, "fields", others, "have no place here")
    return row


def _group(given: object, groups: Mapping[str, str]) -> str:
    """Return the name of a group: by its key, or as it is with ``--natural-foreign``."""
    if isinstance(given, list):
        return ".".join(map(str, given))
    return groups.get(str(given)) or f"number {given}"
