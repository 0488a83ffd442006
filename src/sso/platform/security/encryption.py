"""The secret box: AES-256-GCM for what must be stored and read again (private keys, seeds).

Keys come from ``SSO_SECRET_KEY`` by HKDF. The first seals; all of them open, so that a key can be replaced:
put the new one in front, run ``sso keys reseal``, then take the old one away.
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
    """Sealed data could not be opened: the key that encrypted it is not among SSO_SECRET_KEY, or it was altered."""


class SecretBox:
    """Seals and opens bytes, and derives keys for other uses.

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

    def encrypt(self, data: bytes, purpose: str) -> bytes:
        """Encrypt ``data``; ``purpose`` must be given again to open it, so encrypted values cannot be swapped."""
        nonce = os.urandom(NONCE_BYTES)
        return self._ids[0] + nonce + self._ciphers[0].encrypt(nonce, data, purpose.encode())

    def decrypt(self, encrypted: bytes, purpose: str) -> bytes:
        """Decrypt what :meth:`seal` returned.

        Raises:
            CannotDecrypt: for an unknown key, another purpose or altered data.
        """
        key_id = encrypted[:KEY_ID_BYTES]
        nonce = encrypted[KEY_ID_BYTES : KEY_ID_BYTES + NONCE_BYTES]
        for known, cipher in zip(self._ids, self._ciphers, strict=True):
            if known == key_id:
                try:
                    return cipher.decrypt(nonce, encrypted[KEY_ID_BYTES + NONCE_BYTES :], purpose.encode())
                except (InvalidTag, ValueError):
                    break
        raise CannotDecrypt(
            f"cannot decrypt the stored {purpose}: is the secret that encrypted it still in SSO_SECRET_KEY?"
        )

    def is_current(self, encrypted: bytes) -> bool:
        """Tell whether ``encrypted`` was encrypted with the newest key."""
        return encrypted[:KEY_ID_BYTES] == self._ids[0]

    def derived_keys(self, purpose: str) -> list[bytes]:
        """Return a 32-byte key for ``purpose`` from each secret, newest first."""
        return [_derive(secret, purpose.encode()) for secret in self._secrets]


def _derive(secret: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=b"sso", info=info).derive(secret)
