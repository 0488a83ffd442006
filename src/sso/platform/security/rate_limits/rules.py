"""Rules: how many events of one key are allowed within a time, and the keys of accounts and sources."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sso.errors import Refusal

WINDOW_MINUTES = 15
MINUTE, HOUR, DAY = 60, 3600, 86400
PER_SUBNET = 5
"""Attempts from one subnet, as a multiple of those from one address; from one IPv6 site (/48), of those from one
subnet."""


class TooManyFailures(Refusal):
    """Too many attempts; try again after ``retry_after`` seconds."""

    status = 429
    code = "too_many"
    retry_after: int

    def __init__(self, retry_after: float) -> None:
        self.retry_after = max(1, int(retry_after) + 1)
        super().__init__(f"try again in {self.retry_after} seconds")

    @property
    def explanation(self) -> str:
        """Nothing: the text of the page says it."""
        return ""

    @property
    def values(self) -> dict[str, int]:
        """The minutes, for the page."""
        return {"minutes": self.minutes}

    @property
    def minutes(self) -> int:
        """The wait in whole minutes, rounded up."""
        return -(-self.retry_after // 60)


@dataclass(frozen=True, slots=True)
class Rule:
    """At most ``maximum`` events of ``key`` within ``seconds``."""

    key: str
    maximum: int
    seconds: int


Windows = Mapping[str, float | str]
"""The window of each counter in which a place was taken, for :meth:`Storage.settle`."""


def of_source(name: str, source: str, maximum: int, seconds: int) -> list[Rule]:
    """Return the rules for one source: the IP address, its subnet (/24 or /64) and, for IPv6, its site (/48), because
    one attacker can control a whole site."""
    rules = [Rule(key_of(name, "address", source), maximum, seconds)]
    subnet, site = _networks_of(source)
    if subnet:
        rules.append(Rule(key_of(name, "subnet", subnet), maximum * PER_SUBNET, seconds))
    if site:
        rules.append(Rule(key_of(name, "site", site), maximum * PER_SUBNET * PER_SUBNET, seconds))
    return rules


MAX_KEPT_CHARS = 45
"""The length of the longest IP address without a zone, whose length has no limit."""


@lru_cache(maxsize=1024)
def kept_rules_of_source(name: str, address: str, maximum: int, seconds: int) -> Sequence[Rule]:
    """Return the rules of :func:`of_source` for the IP address of a program, which asks again and again."""
    return of_source(name, address, maximum, seconds)


def key_of(*parts: str) -> str:
    """Return the key of a counter: a hash, so that the stored counters reveal no user and no IP address."""
    hashed = hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{parts[0][:40]}:{hashed[:40]}"


def network_of(address: str) -> str:
    """Return the network of an IP address: /24 for IPv4, /64 for IPv6; ``address`` itself if it is no IP address."""
    return _networks_of(address)[0] or address


@lru_cache(maxsize=4096)
def _networks_of(address: str) -> tuple[str, str]:
    """Return the subnet (/24 or /64) and, for IPv6, the site (/48) of an IP address; an IPv4-mapped address counts as
    IPv4. Both are empty if ``address`` is no IP address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "", ""
    parsed = (parsed.ipv4_mapped or parsed) if parsed.version == 6 else parsed
    if parsed.version == 4:
        return _network(parsed, 24), ""
    return _network(parsed, 64), _network(parsed, 48)


def _network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: int) -> str:
    return str(ipaddress.ip_network((address, prefix), strict=False))
