"""Rate limits: an attempt reserves a place in each counter first, and gives the places back on success.

A limit that is checked before the work and counted after it lets many concurrent attempts through. Here an attempt
takes a place in all of its counters or in none, in one atomic step of the storage. A success gives the places back; a
failed or interrupted attempt stays counted.

Each kind of secret that can be guessed is a :class:`Purpose` with a :class:`Budget`. Attempts are counted for the
account (its id, for every identifier; for an unknown identifier, the identifier) and for the source (IP address, subnet
and, for IPv6, site). A known browser of the user has a separate counter, so that nobody else can use up its attempts.

Counters are fixed windows that begin with their first count. They are kept in memory, in the database or in Redis or
Valkey (``SSO_RATE_LIMIT_STORAGE``); those of second factors are always in the database, so that they hold for every
process and survive a restart. While a storage does not respond, a process counts in its memory (``counts.py``).

NIST SP 800-63B-4 section 3.2.2: at most 100 consecutive failures for each authenticator of an account.
"""

from __future__ import annotations

from sso.platform.security.rate_limits.attempts import (
    BUDGETS,
    FROM_EVERYWHERE,
    PER_DAY,
    Attempts,
    Budget,
    Purpose,
    ReservedHere,
)
from sso.platform.security.rate_limits.count_limit import CountLimit
from sso.platform.security.rate_limits.counts import Counts, Reservation, storage_for
from sso.platform.security.rate_limits.database import DatabaseStorage, delete_expired
from sso.platform.security.rate_limits.redis_storage import RedisStorage
from sso.platform.security.rate_limits.rules import (
    DAY,
    HOUR,
    PER_SUBNET,
    Rule,
    TooManyFailures,
    key_of,
    network_of,
    of_source,
)
from sso.platform.security.rate_limits.storage import MemoryStorage, Storage

__all__ = [
    "BUDGETS",
    "DAY",
    "FROM_EVERYWHERE",
    "HOUR",
    "PER_DAY",
    "PER_SUBNET",
    "Attempts",
    "Budget",
    "CountLimit",
    "Counts",
    "DatabaseStorage",
    "MemoryStorage",
    "Purpose",
    "RedisStorage",
    "Reservation",
    "ReservedHere",
    "Rule",
    "Storage",
    "TooManyFailures",
    "delete_expired",
    "key_of",
    "network_of",
    "of_source",
    "storage_for",
]
