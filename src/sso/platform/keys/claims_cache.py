"""Claims of tokens of ours whose signature was right, in memory until they expire."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

MAX_TOKENS = 10_000
MAX_BYTES = 16 * 1024 * 1024
"""Of all payloads together."""
MAX_PAYLOAD_BYTES = 4096
"""Of one payload. Larger ones are verified each time."""

Name = tuple[bytes, str, str]


@dataclass(frozen=True, slots=True)
class CachedClaims:
    """What was read from a token: the JSON of its claims, as it was signed, and with which key."""

    kid: str
    payload: bytes
    exp: float


class ClaimsCache:
    """A bounded memory. What was not used for the longest time goes first.

    Nothing is kept of a token whose signature is wrong, so that only those can fill the memory who have tokens of ours.
    """

    def __init__(self, max_tokens: int = MAX_TOKENS, max_bytes: int = MAX_BYTES) -> None:
        self._entries: OrderedDict[Name, CachedClaims] = OrderedDict()
        self._bytes = 0
        self._max_tokens = max_tokens
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._entries)

    @staticmethod
    def name(token: str, typ: str, issuer: str) -> Name:
        """Return the name under which the claims of a token are kept: a hash of the whole token, signature included,
        and what it was verified to be."""
        return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest(), typ, issuer

    def find(self, name: Name, now: float) -> CachedClaims | None:
        """Return what is kept of a token that has not expired."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        if entry.exp <= now:
            self._drop(name)
            return None
        self._entries.move_to_end(name)
        return entry

    def keep(self, name: Name, entry: CachedClaims) -> None:
        """Keep the claims of a token."""
        if len(entry.payload) > MAX_PAYLOAD_BYTES or name in self._entries:
            return
        self._entries[name] = entry
        self._bytes += len(entry.payload)
        while len(self._entries) > self._max_tokens or self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()
        self._bytes = 0

    def _drop(self, name: Name) -> None:
        self._bytes -= len(self._entries.pop(name).payload)
