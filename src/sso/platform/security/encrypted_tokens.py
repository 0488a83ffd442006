"""Tokens that carry data instead of naming a row: encrypted, authenticated, and bound to a purpose and a context.

The keys are derived from ``SSO_SECRET_KEY`` for each purpose, so that every process reads what another one wrote. The
first secret encrypts; all of them decrypt.

Anybody can cause tokens to be made, and more of them than a random 96-bit nonce allows for one AES-GCM key (NIST SP
800-38D section 8.3). Each token therefore has a key of its own, derived from half of 192 random bits; the other half is
the nonce. The keys of data at rest encrypt no token.
"""

from __future__ import annotations

import hmac
import os
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sso.platform.security.encryption import SecretBox
from sso.platform.security.tokens import base64url, from_base64url

SALT_BYTES = 12
NONCE_BYTES = 12
_RAW = -15
"""Deflate without a header (RFC 1951)."""


def encrypt_token(box: SecretBox, purpose: str, context: bytes, data: bytes) -> str:
    """Return ``data`` as a token in base64url: compressed, then encrypted.

    ``data`` must not hold a secret beside text that an attacker chooses: the length of the token would tell when the
    two agree. What the token is bound to is no part of it, and does not change its length.

    Args:
        box: derives the keys.
        purpose: what the token is for.
        context: to whom or what the token belongs: it can be opened with the same context only.
        data: what the token carries.
    """
    random = os.urandom(SALT_BYTES + NONCE_BYTES)
    packer = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zlib.DEFLATED, _RAW)
    packed = packer.compress(data) + packer.flush()
    cipher = _cipher(box.derived_keys(purpose)[0], random[:SALT_BYTES])
    return base64url(random + cipher.encrypt(random[SALT_BYTES:], packed, context))


def decrypt_token(box: SecretBox, purpose: str, context: bytes, token: str) -> bytes | None:
    """Return the data of a token; None where it is not ours, was altered, or belongs to another purpose or context."""
    try:
        encrypted = from_base64url(token)
    except ValueError:
        return None
    salt, nonce = encrypted[:SALT_BYTES], encrypted[SALT_BYTES : SALT_BYTES + NONCE_BYTES]
    for key in box.derived_keys(purpose):
        try:
            packed = _cipher(key, salt).decrypt(nonce, encrypted[SALT_BYTES + NONCE_BYTES :], context)
        except (InvalidTag, ValueError):
            continue
        return zlib.decompress(packed, _RAW)
    return None


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(hmac.digest(key, salt, "sha256"))
