"""Users of Auth0: the bulk export (JSON lines or an array), and the export with password hashes that support makes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from sso.identity.users.readers.documents import read_lines_or_elements
from sso.identity.users.readers.people import NotTaken, Row, flag, left_out, people, refuse_disabled
from sso.identity.users.records import Record

_PLAIN = ("username", "email", "phone_number", "given_name", "family_name", "nickname", "picture")
_USED = frozenset({"phone_number", "birthdate", "gender", "nik", "locale", "zoneinfo", "given_name", "family_name"})


def read_auth0(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """Yield the users of an export.

    Raises:
        Refusal: when the file is neither JSON lines nor a JSON array.
    """
    return people(read_lines_or_elements(path, encoding, "users"), auth0_row)


def auth0_row(user: Mapping[str, object], notes: list[str]) -> Row:
    """Return the row of a user of Auth0.

    Raises:
        NotTaken: of a blocked user, or one whose values have another type.
    """
    refuse_disabled(flag(user, "blocked"), "blocked is true")
    metadata = user.get("user_metadata") or {}
    application = user.get("app_metadata") or {}
    if not isinstance(metadata, Mapping) or not isinstance(application, Mapping):
        raise NotTaken("user_metadata or app_metadata: is not an object")
    row: Row = {name: metadata[name] for name in _USED if isinstance(metadata.get(name), str)}
    row |= {name: user[name] for name in _PLAIN if user.get(name) not in (None, "")}
    left_out(notes, "user_metadata", [name for name in metadata if name not in row], "has no place here")
    left_out(notes, "app_metadata", {name: json.dumps(value) for name, value in application.items()})
    left_out(notes, "second factor", user.get("mfa_factors"), "has to be set up again here")
    name = user.get("name")
    if name in (user.get("email"), user.get("username"), user.get("phone_number")) and row.get("given_name"):
        name = None  # Auth0 writes the e-mail address where it knows no name
    return {
        **row,
        "name": name,
        "local_user_id": _id(user),
        "email_verified": flag(user, "email_verified"),
        "phone_number_verified": flag(user, "phone_verified", "phone_number_verified"),
        **_password(user, notes),
    }


def _id(user: Mapping[str, object]) -> object:
    if user.get("user_id"):
        return user["user_id"]
    inner = user.get("_id")
    value = inner.get("$oid") if isinstance(inner, Mapping) else inner
    return f"auth0|{value}" if isinstance(value, str) else None


def _password(user: Mapping[str, object], notes: list[str]) -> Row:
    custom = user.get("custom_password_hash")
    if isinstance(custom, Mapping):
        return {"password_hash": json.dumps(custom, separators=(",", ":")), "password_scheme": "auth0"}
    hashed = user.get("passwordHash") or user.get("password_hash")
    if hashed:
        return {"password_hash": hashed, "password_scheme": "auth0"}
    identities = user.get("identities")
    if isinstance(identities, list):
        others = [
            identity.get("connection")
            for identity in identities
            if isinstance(identity, Mapping) and identity.get("isSocial")
        ]
        left_out(notes, "sign-in by", others, "is not taken over")
    return {}
