"""The file of a backup: a header, then chunks of 64 KiB, each encrypted with AES-256-GCM (the STREAM construction).

The nonce of a chunk is its number and whether it is the last one, so that chunks cannot be swapped, repeated, left out
or cut off. The key is used for one file only: it is derived from a random salt, with the whole header as context.
Writing and reading keep two chunks in memory, however large the database is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sso.errors import Refusal
from sso.settings import Settings

MAGIC = b"sso backup 1\n"
SALT_BYTES = 32
CHUNK_BYTES = 64 * 1024
TAG_BYTES = 16
KEY_BYTES = 32
ARGON2 = {"time_cost": 3, "memory_cost": 64 * 1024, "parallelism": 4}
"""RFC 9106 section 4, second recommended option. Fixed: a file cannot demand more memory or time of its reader."""

Kind = Literal["pass phrase", "key file"]
_MARKS: dict[Kind, bytes] = {"pass phrase": b"p", "key file": b"k"}


class UnreadableBackup(Refusal):
    """The file is no backup, is damaged or incomplete, or the key is not the one that encrypted it."""


@dataclass(frozen=True, slots=True)
class BackupKey:
    """What the key of each file is derived from. ``material`` is a pass phrase, or the content of a key file."""

    kind: Kind
    material: bytes

    @classmethod
    def of(cls, settings: Settings) -> BackupKey:
        """Return the key of ``SSO_BACKUP_PASSPHRASE`` or ``SSO_BACKUP_KEY_FILE``.

        Raises:
            Refusal: when neither is set, or the file cannot be used.
        """
        if settings.backup_key_file is not None:
            return cls("key file", _read_key_file(settings.backup_key_file))
        if settings.backup_passphrase is not None:
            return cls("pass phrase", settings.backup_passphrase.get_secret_value().encode())
        raise Refusal("backups are encrypted: set SSO_BACKUP_KEY_FILE or SSO_BACKUP_PASSPHRASE")

    def derive(self, header: bytes, salt: bytes) -> bytes:
        """Return the key of the file with this header."""
        secret = self.material
        if self.kind == "pass phrase":
            secret = hash_secret_raw(secret, salt, hash_len=KEY_BYTES, type=Type.ID, **ARGON2)
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=header).derive(secret)


def _read_key_file(path: Path) -> bytes:
    try:
        material = path.read_bytes().strip()
    except OSError as error:
        raise Refusal(f"SSO_BACKUP_KEY_FILE cannot be read: {error}") from None
    if len(material) < KEY_BYTES:
        raise Refusal(f"SSO_BACKUP_KEY_FILE has less than {KEY_BYTES} bytes; create it: openssl rand -base64 48")
    return material


class Writer:
    """Encrypts what is written to ``file``. :meth:`close` writes the last chunk; without it the file is incomplete."""

    def __init__(self, file: BinaryIO, key: BackupKey) -> None:
        salt = os.urandom(SALT_BYTES)
        header = MAGIC + _MARKS[key.kind] + salt
        self._file, self._cipher = file, AESGCM(key.derive(header, salt))
        self._pending, self._number = bytearray(), 0
        file.write(header)

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        self._pending += data
        while len(self._pending) > CHUNK_BYTES:
            self._encrypt(bytes(self._pending[:CHUNK_BYTES]), last=False)
            del self._pending[:CHUNK_BYTES]

    def close(self) -> None:
        """Write the last chunk."""
        self._encrypt(bytes(self._pending), last=True)

    def _encrypt(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), chunk, None))
        self._number += 1


class Reader:
    """Decrypts a file. A chunk is handed out after it was authenticated, and the last one only as the last one.

    Raises:
        UnreadableBackup: here, or while reading.
    """

    def __init__(self, file: BinaryIO, key: BackupKey) -> None:
        header = file.read(len(MAGIC) + 1 + SALT_BYTES)
        mark, salt = header[len(MAGIC) : len(MAGIC) + 1], header[len(MAGIC) + 1 :]
        kind = next((kind for kind, known in _MARKS.items() if known == mark), None)
        if not header.startswith(MAGIC) or kind is None or len(salt) != SALT_BYTES:
            raise UnreadableBackup("the file is not a backup made by: sso backup")
        if kind != key.kind:
            name = {"pass phrase": "SSO_BACKUP_PASSPHRASE", "key file": "SSO_BACKUP_KEY_FILE"}[kind]
            raise UnreadableBackup(f"the backup was encrypted with a {kind}: set {name} alone")
        self._cipher = AESGCM(key.derive(header, salt))
        self._kind: Kind = kind
        self._file, self._number = file, 0
        self._chunks = self._decrypted()
        self._pending = bytearray()

    def read(self, count: int) -> bytes:
        """Return the next ``count`` bytes.

        Raises:
            UnreadableBackup: when there are fewer.
        """
        while len(self._pending) < count:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise UnreadableBackup("the backup is incomplete")
            self._pending += chunk
        taken = bytes(self._pending[:count])
        del self._pending[:count]
        return taken

    def rest(self) -> Iterator[bytes]:
        """Yield everything that was not read, in pieces."""
        if self._pending:
            yield bytes(self._pending)
            self._pending.clear()
        yield from self._chunks

    def _decrypted(self) -> Iterator[bytes]:
        chunk = self._file.read(CHUNK_BYTES + TAG_BYTES)
        while True:
            following = self._file.read(CHUNK_BYTES + TAG_BYTES)
            try:
                yield self._cipher.decrypt(_nonce(self._number, last=not following), chunk, None)
            except InvalidTag:
                raise UnreadableBackup(self._reason()) from None
            if not following:
                return
            chunk, self._number = following, self._number + 1

    def _reason(self) -> str:
        if self._number == 0:
            return f"the {self._kind} is not the one that encrypted the backup, or the file was altered"
        return f"the backup is damaged or incomplete after {self._number * CHUNK_BYTES} bytes"


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
