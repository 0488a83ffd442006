"""Refresh tokens that name their family, so that a used one is recognised after its row was deleted.

A token is ``rt-`` and 64 bytes in base64url: the id of the grant (16 bytes), a secret (32) and a tag (16). The tag is
an HMAC over the rest and the client, with a key that only this installation has. Nobody else can write a token that
names a family, so a token with a right tag that is not stored was issued here and used before (docs/decisions/0051).
"""

from __future__ import annotations

import hmac
import os
from uuid import UUID

from sso.platform.security.tokens import base64url, from_base64url

REFRESH_PREFIX = "rt-"
FORMAT = 1
"""The format of these tokens, stored with each. Tokens of earlier releases have none."""
FAMILY_BYTES, SECRET_BYTES, TAG_BYTES = 16, 32, 16
TOKEN_CHARS = len(REFRESH_PREFIX) + 86


def new_refresh_token(family_key: bytes, grant_id: UUID, client_id: str) -> str:
    """Return the first refresh token of a family."""
    return _token(family_key, grant_id, os.urandom(SECRET_BYTES), client_id)


def successor_of(refresh_key: bytes, family_key: bytes, refresh_token: str, grant_id: UUID, client_id: str) -> str:
    """Return the token that follows ``refresh_token``: the same each time, unguessable without ``refresh_key``."""
    secret = hmac.digest(refresh_key, refresh_token.encode("utf-8", "surrogatepass"), "sha256")
    return _token(family_key, grant_id, secret, client_id)


def names_family(refresh_token: str) -> bool:
    """Tell whether a token has the length of a token that names its family."""
    return len(refresh_token) == TOKEN_CHARS


def family_of(family_key: bytes, refresh_token: str, client_id: str) -> UUID | None:
    """Return the grant that a token of ``client_id`` names; None where the token was not issued here."""
    text = refresh_token.removeprefix(REFRESH_PREFIX)
    try:
        data = from_base64url(text)
    except ValueError:
        return None
    if len(data) != FAMILY_BYTES + SECRET_BYTES + TAG_BYTES:
        return None
    body, tag = data[:-TAG_BYTES], data[-TAG_BYTES:]
    return UUID(bytes=body[:FAMILY_BYTES]) if hmac.compare_digest(tag, _tag(family_key, body, client_id)) else None


def _token(family_key: bytes, grant_id: UUID, secret: bytes, client_id: str) -> str:
    body = grant_id.bytes + secret
    return REFRESH_PREFIX + base64url(body + _tag(family_key, body, client_id))


def _tag(family_key: bytes, body: bytes, client_id: str) -> bytes:
    return hmac.digest(family_key, body + client_id.encode(), "sha256")[:TAG_BYTES]
