"""Encryption at rest: AES-256-GCM for stored values that must be read again (private keys, TOTP seeds).

Keys are derived from ``SSO_SECRET_KEY`` with HKDF. The first secret encrypts; all of them decrypt. A host can read what
another one encrypts only if it knows that secret: docs/how-to/operations.md says in which order a secret is replaced.
"""

from __future__ import annotations

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sso.errors import Refusal

NONCE_BYTES = 12
KEY_ID_BYTES = 4


class CannotDecrypt(Refusal):
    """Stored data cannot be decrypted: its secret is not in SSO_SECRET_KEY any more, or the data was altered."""


class SecretBox:
    """Encrypts and decrypts bytes, and derives keys for other purposes.

    Args:
        secrets: the secret keys, newest first.
    """

    def __init__(self, secrets: list[bytes]) -> None:
        if not secrets:
            raise ValueError("a secret box needs at least one secret")
        self._secrets = secrets
        keys = [_derive(secret, b"seal") for secret in secrets]
        self._ids = [hashlib.sha256(key).digest()[:KEY_ID_BYTES] for key in keys]
        self._ciphers = [AESGCM(key) for key in keys]
        self._derived: dict[str, list[bytes]] = {}

    def encrypt(self, data: bytes, purpose: str) -> bytes:
        """Encrypt ``data``. Decryption requires the same ``purpose``, so that encrypted values cannot be swapped."""
        nonce = os.urandom(NONCE_BYTES)
        return self._ids[0] + nonce + self._ciphers[0].encrypt(nonce, data, purpose.encode())

    def decrypt(self, encrypted: bytes, purpose: str) -> bytes:
        """Decrypt what :meth:`encrypt` returned.

        Raises:
            CannotDecrypt: for an unknown secret, another purpose or altered data.
        """
        key_id = encrypted[:KEY_ID_BYTES]
        nonce = encrypted[KEY_ID_BYTES : KEY_ID_BYTES + NONCE_BYTES]
        for known, cipher in zip(self._ids, self._ciphers, strict=True):
            if known == key_id:
                try:
                    return cipher.decrypt(nonce, encrypted[KEY_ID_BYTES + NONCE_BYTES :], purpose.encode())
                except (InvalidTag, ValueError):
                    break
        raise CannotDecrypt(_reason(purpose))

    def check(self, encrypted: bytes, purpose: str) -> None:
        """Check that the secret that encrypted something is known; decrypt nothing.

        Raises:
            CannotDecrypt: for an unknown secret.
        """
        if encrypted[:KEY_ID_BYTES] not in self._ids:
            raise CannotDecrypt(_reason(purpose))

    def is_current(self, encrypted: bytes) -> bool:
        """Tell whether ``encrypted`` was encrypted with the newest secret."""
        return encrypted[:KEY_ID_BYTES] == self._ids[0]

    def derived_keys(self, purpose: str) -> list[bytes]:
        """Return a 32-byte key for ``purpose`` from each secret, newest first. ``purpose`` is a constant of the code:
        its keys are derived once."""
        if purpose not in self._derived:
            self._derived[purpose] = [_derive(secret, purpose.encode()) for secret in self._secrets]
        return list(self._derived[purpose])


def _reason(purpose: str) -> str:
    return f"cannot decrypt {purpose}: is the secret that encrypted it still in SSO_SECRET_KEY?"


def _derive(secret: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=b"sso", info=info).derive(secret)
