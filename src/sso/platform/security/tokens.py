"""Random tokens, and the hashes under which they are stored.

Tokens have 256 random bits, so a plain SHA-256 is enough: there is nothing to guess and nothing to slow down.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

TOKEN_BYTES = 32


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
    return urlsafe_b64encode(data).decode("ascii")


def from_base64url(text: str | bytes) -> bytes:
    """Return what ``text`` encodes in base64url without padding.

    Raises:
        ValueError: when it is not the one text that :func:`base64url` gives: other characters, padding, bits that are
            left over.
    """
    try:
        return urlsafe_b64decode(text.encode("ascii") if isinstance(text, str) else text)
    except ValueError:
        raise ValueError("is not base64url (RFC 7515 section 2)") from None


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
