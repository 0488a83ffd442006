"""Random tokens, and the hashes under which they are stored.

Tokens have 256 random bits, so a plain SHA-256 is enough: there is nothing to guess and nothing to slow down.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets

TOKEN_BYTES = 32
_TO_URL_ALPHABET = bytes.maketrans(b"+/", b"-_")


def random_token() -> str:
    """Return 256 random bits in base64url: 43 characters."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> bytes:
    """Return the 32 bytes under which ``token`` is stored and found."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def equal(left: str | bytes, right: str | bytes) -> bool:
    """Compare two secrets in a time that does not depend on where they differ."""
    return hmac.compare_digest(_bytes(left), _bytes(right))


def keyed_token(key: bytes, *parts: str) -> str:
    """Return a token of 256 bits derived from ``parts``: the same for the same parts, unguessable without ``key``."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    message = b"".join([len(data).to_bytes(4, "big") + data for data in encoded])
    return base64url(hmac.digest(key, message, "sha256"))


def base64url(data: bytes) -> str:
    """Return ``data`` in base64url without padding (RFC 7515 section 2)."""
    return base64url_bytes(data).decode("ascii")


def base64url_bytes(data: bytes) -> bytes:
    """Return the same as bytes."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL_ALPHABET)


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
