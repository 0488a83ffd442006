"""The public keys of applications: registered by value, or fetched from their ``jwks_uri``.

Fetched keys are kept in the memory of each process. A key id that is not among them makes them be fetched anew at
once, so that an application may change its keys whenever it likes; but not more often than every few seconds, so
that nobody can make us knock at an application's door all day.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, cast

from sso import clock
from sso.platform.security.json_documents import DocumentRefused, NotJson, read_json
from sso.platform.security.outbound_errors import OutboundFailed, OutboundRefused, public_reason
from sso.platform.security.public_keys import MAX_KEYS, check_public_key

if TYPE_CHECKING:
    from sso.platform.security.outbound_http import Outbound

log = logging.getLogger(__name__)

REFETCH_FLOOR_SECONDS = 5
MAX_CACHED = 2000


class JwkSet(TypedDict, total=False):
    """A JSON Web Key Set (RFC 7517 section 5)."""

    keys: list[dict[str, object]]


@dataclass(slots=True)
class _Fetched:
    keys: list[dict[str, object]]
    at: int
    refetched_at: int = 0


class KeysUnavailable(Exception):
    """The keys of an application cannot be had now; the message says why."""


class ClientKeys:
    """The fetched keys of one process.

    Args:
        outbound: fetches them.
        keep_seconds: how long fetched keys are used before they are fetched again.
    """

    def __init__(self, outbound: Outbound, keep_seconds: int) -> None:
        self._outbound = outbound
        self._keep = keep_seconds
        self._fetched: dict[str, _Fetched] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def known(self, jwks: dict[str, object] | None, jwks_uri: str | None) -> list[dict[str, object]]:
        """Return the keys that are known now, without fetching any."""
        if jwks is not None:
            return list(cast(JwkSet, jwks).get("keys", []))
        fetched = self._fetched.get(jwks_uri or "")
        return fetched.keys if fetched else []

    async def ready(self, jwks_uri: str | None, kid: str | None = None, *, signature: bool = False) -> None:
        """Fetch the keys at ``jwks_uri`` where they are not known, too old, or without the one that is needed.

        Args:
            jwks_uri: where they are; nothing is done where there is none.
            kid: the key id that is needed.
            signature: a signature without ``kid`` is to be checked: very new keys are wanted.

        Raises:
            KeysUnavailable: when they cannot be had, and none are known.
        """
        if jwks_uri is None or not self._must_fetch(jwks_uri, kid, signature):
            return
        async with self._locks.setdefault(jwks_uri, asyncio.Lock()):
            if self._must_fetch(jwks_uri, kid, signature):
                await self._fetch(jwks_uri)

    def _must_fetch(self, jwks_uri: str, kid: str | None, signature: bool) -> bool:
        fetched, now = self._fetched.get(jwks_uri), clock.timestamp()
        if fetched is None or now - fetched.at >= self._keep:
            return fetched is None or now - fetched.refetched_at >= REFETCH_FLOOR_SECONDS
        unknown = kid is not None and all(key.get("kid") != kid for key in fetched.keys)
        return (unknown or (signature and kid is None)) and now - fetched.refetched_at >= REFETCH_FLOOR_SECONDS

    async def _fetch(self, jwks_uri: str) -> None:
        now, known = clock.timestamp(), self._fetched.get(jwks_uri)
        if known is not None:
            known.refetched_at = now
        try:
            keys = _read(await self._outbound.get(jwks_uri, accept="application/jwk-set+json, application/json"))
        except (OutboundRefused, OutboundFailed, ValueError) as error:
            log.warning("keys at %s cannot be had: %s", jwks_uri, error)
            if known is None:
                why = str(error) if isinstance(error, ValueError) else public_reason(jwks_uri, error)
                raise KeysUnavailable(f"needs the keys at {jwks_uri}, which cannot be had: {why}") from None
            return
        if len(self._fetched) >= MAX_CACHED:
            self._fetched.clear()
            self._locks = {jwks_uri: self._locks[jwks_uri]}
        self._fetched[jwks_uri] = _Fetched(keys, now, now if known is not None else 0)


def _read(body: bytes) -> list[dict[str, object]]:
    """Return the keys of a key set that we can use; others in it are no mistake (RFC 7517 section 5)."""
    try:
        document = read_json(body)
    except NotJson:
        raise ValueError("it is not JSON") from None
    except DocumentRefused as error:
        raise ValueError(f"it {error}") from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("it has no keys")
    usable: list[dict[str, object]] = []
    for key in keys[:MAX_KEYS]:
        try:
            check_public_key(key)
        except ValueError as error:
            log.warning("a key of an application is not used: the set %s", error)
            continue
        usable.append(key)
    return usable
