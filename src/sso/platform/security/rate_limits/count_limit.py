"""Limits on how often something happens."""

from __future__ import annotations

from sso.platform.security.rate_limits.counts import Counts, Reservation
from sso.platform.security.rate_limits.rules import DAY, MINUTE, Rule, TooManyFailures, key_of, of_source

SPARE = 3
"""Events of one address that a full total does not refuse."""


class CountLimit:
    """Counts events by key and refuses more than a limit. If the key is an IP address, its subnet and site are counted
    too.

    A total bounds what is stored. So that nobody can use it up for everybody else, each key keeps :data:`SPARE` events
    when the total is full.

    Args:
        maximum: how many within the window.
        minutes: the length of the window.
        counts: the storage of the counters; memory by default.
        name: the event.
        per_day: the limit within a day; 0: none.
        in_total: the limit within the window for all keys together; 0: none.
    """

    def __init__(
        self,
        maximum: int,
        minutes: int,
        counts: Counts | None = None,
        name: str = "",
        *,
        per_day: int = 0,
        in_total: int = 0,
    ) -> None:
        self._counts = counts or Counts()
        self._maximum, self._seconds, self._name = maximum, minutes * MINUTE, name
        self._per_day, self._in_total = per_day, in_total

    def limit(self, maximum: int, in_total: int | None = None) -> None:
        """Set how many within the window from now on, and for all keys together; None: as before."""
        self._maximum = maximum
        self._in_total = self._in_total if in_total is None else in_total

    async def take(self, key: str, within: str = "") -> Reservation:
        """Count one event.

        Args:
            key: for whom or what the event is counted.
            within: a group that may use a tenth of the total, for all keys together.

        Raises:
            TooManyFailures: when a limit is reached.
        """
        own = of_source(self._name, key, self._maximum, self._seconds)
        if self._per_day:
            own.append(Rule(key_of(self._name, "day", key), self._per_day, DAY))
        if not self._in_total:
            return await self._counts.take(own)
        total = [Rule(key_of(self._name, "total"), self._in_total, self._seconds)]
        if within:
            total.append(Rule(key_of(self._name, "within", within), max(1, self._in_total // 10), self._seconds))
        try:
            return await self._counts.take(own + total)
        except TooManyFailures:
            spare = of_source(f"{self._name}-spare", key, min(SPARE, self._maximum), self._seconds)
            return await self._counts.take(own + spare)

    async def is_full(self, key: str) -> bool:
        """Tell whether the limit is reached, for display: other requests count at the same time."""
        return await self._counts.count(key_of(self._name, "address", key)) >= self._maximum
