"""Counting in a storage, and in the memory of this process while the storage is unavailable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from sso import clock
from sso.platform.db import Database, TransactionConflict
from sso.platform.security.breaker import Breaker
from sso.platform.security.rate_limits.database import DatabaseStorage
from sso.platform.security.rate_limits.redis_storage import RedisStorage
from sso.platform.security.rate_limits.rules import Rule, TooManyFailures, Windows
from sso.platform.security.rate_limits.storage import MemoryStorage, Storage
from sso.settings import Settings

log = logging.getLogger("sso.platform.security.rate_limits")

DATABASE, MEMORY = "database", "memory"
RETRY_INTERVAL = timedelta(seconds=1)
LONGEST_RETRY_INTERVALS = 5
"""The longest pause between two checks of a storage that does not respond, as a multiple of the first."""

_T = TypeVar("_T")


def storage_for(settings: Settings, db: Database | None = None) -> Storage:
    """Return the storage that ``SSO_RATE_LIMIT_STORAGE`` selects."""
    url = settings.rate_limit_storage.get_secret_value() if settings.rate_limit_storage else MEMORY
    if url == MEMORY:
        return MemoryStorage()
    if url == DATABASE:
        assert db is not None
        return DatabaseStorage(db)
    scheme, _, rest = url.partition("://")
    return RedisStorage(
        ("rediss" if scheme in ("rediss", "valkeys") else "redis") + f"://{rest}",
        settings.rate_limit_connect_timeout.total_seconds(),
        settings.rate_limit_command_timeout.total_seconds(),
    )


class StorageAway(Exception):
    """The storage did not respond a moment ago and is not asked now."""


class GuardedStorage:
    """A storage behind a circuit breaker: after one failure, no request waits for the storage. A task of its own checks
    the storage, so the check delays no request either.

    Args:
        storage: the storage.
        breaker: the breaker.
    """

    def __init__(self, storage: Storage, breaker: Breaker) -> None:
        self._storage, self._breaker = storage, breaker
        self._checking: asyncio.Task[None] | None = None

    async def take(self, rules: Sequence[Rule]) -> Windows:
        """See :class:`Storage`."""
        self._refuse_while_away()
        return await self._watched(lambda: self._storage.take(rules))

    async def settle(self, windows: Windows, clear: Iterable[str] = ()) -> None:
        """See :class:`Storage`."""
        self._refuse_while_away()
        keys = tuple(clear)
        await self._watched(lambda: self._storage.settle(windows, keys))

    async def count(self, key: str) -> int:
        """See :class:`Storage`."""
        self._refuse_while_away()
        return await self._watched(lambda: self._storage.count(key))

    async def check(self) -> bool:
        """See :class:`Storage`."""
        return await self._storage.check()

    async def reset(self) -> None:
        """See :class:`Storage`."""
        await self._storage.reset()

    async def close(self) -> None:
        """See :class:`Storage`."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        await self._storage.close()

    def _refuse_while_away(self) -> None:
        if self._breaker.is_open:
            if self._checking is None and self._breaker.may_try(clock.now().timestamp()):
                self._checking = asyncio.create_task(self._look())
            raise StorageAway("the storage of the rate limits does not respond")

    async def _watched(self, work: Callable[[], Awaitable[_T]]) -> _T:
        try:
            try:
                return await work()
            except TransactionConflict:  # another request counted the same thing: it says nothing about the storage
                return await work()
        except TooManyFailures:
            raise
        except Exception as error:  # any error of the library
            if self._breaker.failed(clock.now().timestamp()):
                log.warning("attempts are counted in this process: %s: %s", type(error).__name__, error)
            raise

    async def _look(self) -> None:
        """Ask the storage whether it responds, and use it again if it does."""
        try:
            if not await self._storage.check():
                self._breaker.failed(clock.now().timestamp())
            elif self._breaker.succeeded():
                log.info("attempts are counted in the storage of the rate limits again")
        finally:
            self._checking = None


@dataclass(slots=True)
class Reservation:
    """The places of an attempt, which stay counted unless they are given back."""

    storage: Storage
    windows: Windows
    clears: Sequence[str] = ()

    async def give_back(self) -> None:
        """Give the places back, because nothing was tried or the attempt was right."""
        await self._settle(())

    async def succeeded(self) -> None:
        """Give the places back and delete the counters that a success resets. Daily counters are never reset, so that
        sign-ins of the user do not give an attacker more attempts."""
        await self._settle(self.clears)

    async def _settle(self, clear: Sequence[str]) -> None:
        windows, self.windows = self.windows, {}
        try:
            await self.storage.settle(windows, clear)
        except Exception as error:  # the place stays counted
            log.warning("a place could not be given back: %s: %s", type(error).__name__, error)


class Counts:
    """Counts in a storage, or in the memory of this process while the storage is unavailable: users can sign in, and
    limits hold. After one timeout or error the storage is not used until it responds again, so that it delays no
    request.

    Args:
        storage: the storage; memory by default.
        retry: the shortest time between two checks of a storage that does not respond.
    """

    def __init__(self, storage: Storage | None = None, retry: timedelta = RETRY_INTERVAL) -> None:
        self.storage = storage or MemoryStorage()
        pause = retry.total_seconds()
        self.breaker = Breaker(1, pause, pause * LONGEST_RETRY_INTERVALS)
        in_memory = isinstance(self.storage, MemoryStorage)
        self._guarded: Storage = self.storage if in_memory else GuardedStorage(self.storage, self.breaker)
        self._spare = MemoryStorage()

    async def take(self, rules: Sequence[Rule], clears: Sequence[str] = ()) -> Reservation:
        """Take a place in the counter of every rule, or in none.

        Args:
            rules: the counters and their limits.
            clears: the counters that a success deletes.

        Raises:
            TooManyFailures: when a counter is full.
        """
        try:
            return Reservation(self._guarded, await self._guarded.take(rules), clears)
        except TooManyFailures:
            raise
        except Exception:  # any error of the library, logged where it opens the breaker
            return Reservation(self._spare, self._spare.take_now(rules), clears)

    async def count(self, key: str) -> int:
        """Return how many are counted under ``key`` now."""
        try:
            return await self._guarded.count(key)
        except Exception:
            return await self._spare.count(key)

    async def clear(self, keys: Iterable[str]) -> None:
        """Delete counters."""
        keys = list(keys)
        self._spare.settle_now({}, keys)
        try:
            await self._guarded.settle({}, keys)
        except Exception as error:
            log.warning("counters could not be deleted: %s: %s", type(error).__name__, error)

    async def close(self) -> None:
        """Close connections."""
        await self._guarded.close()
