"""Limits on guessing passwords.

Failures are counted per account *and network*, so that somebody who guesses from elsewhere cannot lock a citizen
out, and per address, so that one machine cannot try many accounts. Counts are kept in the memory of each process.
"""

from __future__ import annotations

import ipaddress
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

WINDOW_MINUTES = 15


class TooManyFailures(Exception):
    """Too many failures; try again after ``retry_after`` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"try again in {retry_after} seconds")
        self.retry_after = retry_after


class FailureLimits:
    """Counts failures and says when there were too many.

    Args:
        per_account: failures allowed for one account from one network within 15 minutes.
        per_address: failures allowed from one address within 15 minutes.
    """

    def __init__(self, per_account: int, per_address: int) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._account = RateLimitItemPerMinute(per_account, WINDOW_MINUTES)
        self._address = RateLimitItemPerMinute(per_address, WINDOW_MINUTES)

    def check(self, account: str, address: str) -> None:
        """Raise :class:`TooManyFailures` where ``account`` from ``address`` must wait."""
        for item, keys in self._rules(account, address):
            if not self._limiter.test(item, *keys):
                reset = self._limiter.get_window_stats(item, *keys).reset_time
                raise TooManyFailures(max(1, int(reset - time.time()) + 1))

    def failed(self, account: str, address: str) -> None:
        """Count one failure."""
        for item, keys in self._rules(account, address):
            self._limiter.hit(item, *keys)

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of ``account`` from the network of ``address``."""
        self._limiter.clear(self._account, "account", account, network_of(address))

    def _rules(self, account: str, address: str) -> list[tuple[RateLimitItemPerMinute, tuple[str, ...]]]:
        return [
            (self._account, ("account", account, network_of(address))),
            (self._address, ("address", address)),
        ]


class CountLimit:
    """Counts something per key and says when there was too much of it.

    Args:
        most: how many within the window.
        minutes: the length of the window.
    """

    def __init__(self, most: int, minutes: int) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._item = RateLimitItemPerMinute(most, minutes)

    def check(self, key: str) -> None:
        """Raise :class:`TooManyFailures` where ``key`` must wait."""
        if not self._limiter.test(self._item, key):
            reset = self._limiter.get_window_stats(self._item, key).reset_time
            raise TooManyFailures(max(1, int(reset - time.time()) + 1))

    def count(self, key: str) -> None:
        """Count one."""
        self._limiter.hit(self._item, key)


def network_of(address: str) -> str:
    """Return the network of ``address``: /24 for IPv4, /64 for IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    prefix = 24 if parsed.version == 4 else 64
    return str(ipaddress.ip_network((parsed, prefix), strict=False))
