"""The users of a realm export of Keycloak: ``kc.sh export --realm city --users realm_file``, or its files of users."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from sso.identity.users.readers.documents import read_elements
from sso.identity.users.readers.people import NotTaken, Row, first, full_name, left_out, people, refuse_disabled
from sso.identity.users.records import Record
from sso.platform.security.json_documents import several

_ATTRIBUTES = {
    "phone_number": ("phoneNumber", "phone_number", "phone", "mobile", "telephone", "telp", "no_hp"),
    "phone_number_verified": ("phoneNumberVerified", "phone_number_verified"),
    "nik": ("nik",),
    "birthdate": ("birthdate", "birth_date", "tanggal_lahir"),
    "gender": ("gender",),
    "nickname": ("nickname",),
    "locale": ("locale",),
    "zoneinfo": ("zoneinfo",),
    "website": ("website",),
    "picture": ("picture",),
    "middle_name": ("middleName", "middle_name"),
}
_DEFAULT_ROLES = ("offline_access", "uma_authorization")
_CREDENTIALS = ("secretData", "credentialData", "hashedSaltedValue", "salt", "hashIterations", "algorithm")


def read_keycloak(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """Yield the users of a realm.

    Raises:
        Refusal: when the file is no realm export, or holds no users.
    """
    return people(read_elements(path, encoding, "users"), keycloak_row)


def keycloak_row(user: Mapping[str, object], notes: list[str]) -> Row:
    """Return the row of a user of Keycloak.

    Raises:
        NotTaken: of a disabled user, a service account, or one whose values have another type.
    """
    if "realm" in user and isinstance(user.get("users"), list):
        raise NotTaken(f"is the realm {str(user['realm'])[:40]!r}, not a user: export one realm, or take it out of the "
                       "file: jq '.[] | select(.realm == \"kota\")'")  # fmt: skip
    if user.get("serviceAccountClientId"):
        raise NotTaken("is the service account of a client, not a person")
    refuse_disabled(user.get("enabled") is not True, "enabled is not true")
    attributes = user.get("attributes") or {}
    if not isinstance(attributes, Mapping):
        raise NotTaken("attributes: is not an object")
    row = {ours: _first_value(first(attributes, *names)) for ours, names in _ATTRIBUTES.items()}
    used = {name.casefold() for names in _ATTRIBUTES.values() for name in names}
    left_out(notes, "attributes", [name for name in attributes if name.casefold() not in used], "have no place here")
    left_out(notes, "roles", [item for item in several(user.get("realmRoles")) if not _is_default(item)])
    client_roles = user.get("clientRoles") or {}
    if isinstance(client_roles, Mapping):
        left_out(
            notes, "roles", [f"{client}/{role}" for client, roles in client_roles.items() for role in several(roles)]
        )
    left_out(notes, "groups", user.get("groups"))
    left_out(notes, "required actions", user.get("requiredActions"), "are not asked for here")
    left_out(
        notes, "sign-in by", [_provider(item) for item in several(user.get("federatedIdentities"))], "is not taken over"
    )
    return {
        **row,
        "local_user_id": user.get("id"),
        "username": user.get("username"),
        "email": user.get("email"),
        "email_verified": user.get("emailVerified") is True,
        "name": full_name(user.get("firstName"), user.get("lastName")),
        "given_name": user.get("firstName"),
        "family_name": user.get("lastName"),
        **_password(user.get("credentials") or (), notes),
    }


def _first_value(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value or None


def _is_default(role: object) -> bool:
    return role in _DEFAULT_ROLES or str(role).startswith("default-roles-")


def _provider(identity: object) -> str:
    return str(identity.get("identityProvider", "")) if isinstance(identity, Mapping) else ""


def _password(credentials: object, notes: list[str]) -> Row:
    """Return the hash of the first password; second factors are said, and have to be set up again."""
    row: Row = {}
    for credential in credentials if isinstance(credentials, list) else ():
        if not isinstance(credential, Mapping):
            continue
        if credential.get("type") == "password" and not row:
            password = {name: credential[name] for name in _CREDENTIALS if credential.get(name) is not None}
            row = {"password_hash": json.dumps(password, separators=(",", ":")), "password_scheme": "keycloak"}
            if credential.get("temporary") is True:
                notes.append("password_hash: is temporary there (must be changed at the next sign-in); it is taken")
        elif credential.get("type") != "password":
            left_out(notes, "second factor", credential.get("type"), "has to be set up again here")
    return row
