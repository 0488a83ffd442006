"""A circuit breaker: after several failures in a row, a service is left alone for a pause, then tried once."""

from __future__ import annotations

from enum import StrEnum


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"


class Breaker:
    """The breaker of one service. It knows no clock: callers pass the time in seconds.

    While the breaker is open, the caller makes at most one attempt at a time, and only when :meth:`may_try` says so.
    Each attempt that fails doubles the pause; the first that succeeds closes the breaker.

    Args:
        failures: how many failures in a row open the breaker.
        pause: the first pause, in seconds.
        longest: the longest pause, in seconds.
    """

    __slots__ = ("_count", "_failures", "_longest", "_pause", "_until", "state")

    def __init__(self, failures: int, pause: float, longest: float) -> None:
        self._failures, self._pause, self._longest = failures, pause, longest
        self._count = 0
        self._until = 0.0
        self.state = BreakerState.CLOSED

    @property
    def is_open(self) -> bool:
        """Whether the service is left alone."""
        return self.state is BreakerState.OPEN

    def may_try(self, now: float) -> bool:
        """Tell whether an attempt may be made: the breaker is closed, or its pause is over. A pause that lies further
        in the future than the longest one was set by a clock that was wrong since, and is over too."""
        return self.state is BreakerState.CLOSED or not now < self._until <= now + self._longest

    def succeeded(self) -> bool:
        """Record a success; tell whether it closed the breaker."""
        was_open, self.state, self._count = self.is_open, BreakerState.CLOSED, 0
        return was_open

    def failed(self, now: float) -> bool:
        """Record a failure; tell whether it opened the breaker. The failures of attempts that were under way when the
        breaker opened do not lengthen the pause."""
        if not self.may_try(now):
            return False
        self._count += 1
        if self._count < self._failures:
            return False
        doublings = min(self._count - self._failures, 20)
        self._until = now + min(self._pause * 2.0**doublings, self._longest)
        opened, self.state = not self.is_open, BreakerState.OPEN
        return opened
