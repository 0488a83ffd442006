"""Users of Firebase Authentication: ``firebase auth:export``, JSON or CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from sso.identity.users.readers.documents import read_elements
from sso.identity.users.readers.people import NotTaken, Row, flag, left_out, people, refuse_disabled
from sso.identity.users.readers.tabular import Opening, split
from sso.identity.users.readers.text import TextFile
from sso.identity.users.records import Record

CSV_FIELDS = {
    0: "localId", 1: "email", 2: "emailVerified", 3: "passwordHash", 4: "salt", 5: "displayName", 6: "photoUrl",
    25: "phoneNumber", 26: "disabled", 27: "customAttributes",
}  # fmt: skip
"""What stands where in a CSV export, which has no line of names. 7 to 22 are the accounts at Google and others."""
PROVIDERS = {7: "google.com", 11: "facebook.com", 15: "twitter.com", 19: "github.com"}
MIN_CELLS = 26


def read_firebase(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """Yield the users of an export.

    Raises:
        Refusal: when the file is broken JSON.
    """
    with TextFile(path, encoding) as file:
        is_json = file.start().lstrip().startswith(("{", "["))
    return people(read_elements(path, encoding, "users") if is_json else _csv(path, encoding), firebase_row)


def _csv(path: Path, encoding: str | None) -> Iterator[Record]:
    with TextFile(path, encoding) as file:
        for line in file.lines():
            read = line.offset + line.size
            if line.text is None or not line.text.strip():
                if line.text is None:
                    yield Record(line.number, None, line.reason, read)
                continue
            try:
                cells = split(line.text, ",")
            except (ValueError, Opening) as error:
                yield Record(line.number, None, str(error) or "a quotation mark is opened and not closed", read)
                continue
            if len(cells) < MIN_CELLS:
                yield Record(line.number, None, f"has {len(cells)} values; an export has {MIN_CELLS} or more", read)
                continue
            row: Row = {name: cells[at] for at, name in CSV_FIELDS.items() if at < len(cells) and cells[at] != ""}
            row["providerUserInfo"] = [{"providerId": name} for at, name in PROVIDERS.items() if cells[at]]
            yield Record(line.number, row, "", read)


def firebase_row(user: Mapping[str, object], notes: list[str]) -> Row:
    """Return the row of a user of Firebase. A telephone number may have been written by an administrator: it counts as
    verified only with ``--verified phone``.

    Raises:
        NotTaken: of a disabled user, or one whose values have another type.
    """
    refuse_disabled(flag(user, "disabled"), "disabled is true")
    providers = user.get("providerUserInfo") or []
    if not isinstance(providers, list):
        raise NotTaken("providerUserInfo: is not a list")
    names = [provider.get("providerId") for provider in providers if isinstance(provider, Mapping)]
    left_out(
        notes,
        "sign-in by",
        [provider for provider in names if provider not in ("password", "phone")],
        "is not taken over",
    )
    left_out(notes, "custom claims", _claims(user.get("customAttributes")))
    left_out(notes, "second factor", ["MFA"] if user.get("mfaInfo") else [], "has to be set up again here")
    row: Row = {
        "local_user_id": user.get("localId"),
        "email": user.get("email"),
        "email_verified": flag(user, "emailVerified"),
        "phone_number": user.get("phoneNumber"),
        "name": user.get("displayName") or (None if user.get("email") else user.get("phoneNumber")),
        "picture": user.get("photoUrl"),
    }
    if user.get("passwordHash"):
        row |= {
            "password_hash": user["passwordHash"],
            "password_salt": user.get("salt"),
            "password_scheme": "firebase-scrypt",
        }
    return row


def _claims(text: object) -> object:
    try:
        claims = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text
    return claims or None
