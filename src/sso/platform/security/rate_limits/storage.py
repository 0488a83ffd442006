"""The storage of counters: the interface, and counters in the memory of a process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol

from sso import clock
from sso.platform.security.rate_limits.rules import Rule, TooManyFailures, Windows

MAX_IN_MEMORY = 500_000
SWEEP_EVERY = 4096


class Storage(Protocol):
    """Stores counters."""

    async def take(self, rules: Sequence[Rule]) -> Windows:
        """Count one event in the counter of every rule, atomically, or in none.

        Raises:
            TooManyFailures: when a counter is full.
        """

    async def settle(self, windows: Windows, clear: Iterable[str] = ()) -> None:
        """Give places back, each to the window from which it was taken, and delete the counters ``clear``."""

    async def count(self, key: str) -> int:
        """Return the current count of ``key``."""

    async def check(self) -> bool:
        """Tell whether the storage responds."""

    async def reset(self) -> None:
        """Delete every counter."""

    async def close(self) -> None:
        """Close connections."""


class MemoryStorage:
    """Counters in the memory of one process."""

    def __init__(self) -> None:
        self._counters: dict[str, tuple[int, float]] = {}
        self._until_sweep = SWEEP_EVERY

    async def take(self, rules: Sequence[Rule]) -> Windows:
        return self.take_now(rules)

    def take_now(self, rules: Sequence[Rule]) -> Windows:
        """:meth:`take` for synchronous code."""
        now = clock.now().timestamp()
        self._sweep(now)
        counters = {rule.key: self._read(rule, now) for rule in rules}
        full = [counters[rule.key][1] - now for rule in rules if counters[rule.key][0] >= rule.maximum]
        if full:
            raise TooManyFailures(max(full))
        for key, (count, until) in counters.items():
            self._counters[key] = (count + 1, until)
        return {key: until for key, (_, until) in counters.items()}

    def _read(self, rule: Rule, now: float) -> tuple[int, float]:
        count, until = self._counters.get(rule.key, (0, 0.0))
        return (count, until) if until > now else (0, now + rule.seconds)

    def _sweep(self, now: float) -> None:
        self._until_sweep -= 1
        if self._until_sweep > 0:
            return
        self._until_sweep = SWEEP_EVERY
        self._counters = {key: counter for key, counter in self._counters.items() if counter[1] > now}
        for key in list(islice(self._counters, max(0, len(self._counters) - MAX_IN_MEMORY))):
            del self._counters[key]

    async def settle(self, windows: Windows, clear: Iterable[str] = ()) -> None:
        self.settle_now(windows, clear)

    def settle_now(self, windows: Windows, clear: Iterable[str] = ()) -> None:
        """:meth:`settle` for synchronous code."""
        for key, until in windows.items():
            count, present = self._counters.get(key, (0, 0.0))
            if present == until and count > 0:
                self._counters[key] = (count - 1, until)
        for key in clear:
            self._counters.pop(key, None)

    async def count(self, key: str) -> int:
        count, until = self._counters.get(key, (0, 0.0))
        return count if until > clock.now().timestamp() else 0

    async def check(self) -> bool:
        return True

    async def reset(self) -> None:
        self._counters.clear()

    async def close(self) -> None:
        return None
