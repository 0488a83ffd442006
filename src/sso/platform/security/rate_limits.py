"""Rate limits: an attempt reserves a place in each counter first, and gives the places back on success.

A limit that is checked before the work and counted after it lets many concurrent attempts through. Here an attempt
takes a place in all of its counters or in none, in one atomic step of the storage. A success gives the places back; a
failed or interrupted attempt stays counted.

Each kind of secret that can be guessed is a :class:`Purpose` with a :class:`Budget`. Attempts are counted for the
account (its id, for every identifier; for an unknown identifier, the identifier) and for the source (IP address, subnet
and, for IPv6, site). A known browser of the user has a separate counter, so that nobody else can use up its attempts.

Counters are fixed windows that begin with their first count. They are kept in memory, in the database or in Redis or
Valkey (``SSO_RATE_LIMIT_STORAGE``); those of second factors are always in the database, so that they hold for every
process and survive a restart. NIST SP 800-63B-4 section 3.2.2: at most 100 consecutive failures for each authenticator
of an account.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

from sqlalchemy import and_, case, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.errors import Refusal
from sso.platform.db import INSERTS, Database, delete_batch, table_of
from sso.platform.security.models import RateCounter
from sso.settings import Settings

log = logging.getLogger(__name__)

WINDOW_MINUTES = 15
PER_DAY = 3
"""Failures allowed within a day, as a multiple of those within 15 minutes."""
FROM_EVERYWHERE = 10
"""Failures of one account from all networks together, as a multiple of those from one network."""
PER_SUBNET = 5
"""Attempts from one subnet, as a multiple of those from one address; from one IPv6 site (/48), of those from one
subnet."""
SPARE = 3
"""Events of one address that a full total does not refuse."""
LASTING_DAYS = 400
"""How long consecutive failures stay counted."""
STORAGE_SECONDS = 0.5
"""Timeout of the storage; after it, this process counts in its memory."""
RETRY_STORAGE_SECONDS = 5.0
"""How long a storage is not used after a timeout or an error."""
MAX_IN_MEMORY = 500_000
SWEEP_EVERY = 4096
DATABASE, MEMORY = "database", "memory"
MINUTE, HOUR, DAY = 60, 3600, 86400


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


Windows = Mapping[str, Any]
"""The window of each counter in which a place was taken, for :meth:`Storage.settle`."""


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


class DatabaseStorage:
    """Counters in the database of the provider, for several processes without Redis or Valkey.

    Never call this within a transaction: SQLite has one writer, and the counters need it.

    Args:
        db: the database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, rules: Sequence[Rule]) -> Windows:
        now, table = clock.now(), table_of(RateCounter)
        # Always in the same order, so that two attempts never wait for each other in a circle.
        ordered = sorted(rules, key=lambda rule: rule.key)
        rows = [{"key": rule.key, "count": 1, "expires_at": now + timedelta(seconds=rule.seconds)} for rule in ordered]
        is_expired = table.c.expires_at <= now
        async with self._db.write() as session:
            insert = INSERTS[session.get_bind().dialect.name](table).values(rows)
            statement = insert.on_conflict_do_update(
                index_elements=["key"],
                set_={
                    "count": case((is_expired, 1), else_=table.c.count + 1),
                    "expires_at": case((is_expired, insert.excluded.expires_at), else_=table.c.expires_at),
                },
            ).returning(table.c.key, table.c.count, table.c.expires_at)
            counters = {key: (count, until) for key, count, until in (await session.execute(statement)).all()}
            full = [counters[rule.key][1] for rule in ordered if counters[rule.key][0] > rule.maximum]
            if full:  # the exception rolls back every count
                raise TooManyFailures((max(full) - now).total_seconds())
        return {key: until for key, (_, until) in counters.items()}

    async def settle(self, windows: Windows, clear: Iterable[str] = ()) -> None:
        table, cleared = table_of(RateCounter), list(clear)
        keys = sorted({*windows, *cleared})
        if not keys:
            return
        async with self._db.write() as session:
            # In the same order as in take(), whatever the collation of the database.
            order = table.c.key.collate("C" if session.get_bind().dialect.name == "postgresql" else "BINARY")
            locked = select(table.c.key).where(table.c.key.in_(keys)).order_by(order).with_for_update()
            present = set((await session.execute(locked)).scalars())
            windows_left = [
                and_(table.c.key == key, table.c.expires_at == until)
                for key, until in windows.items()
                if key in present and key not in cleared
            ]
            if windows_left:
                fewer = update(table).where(table.c.count > 0, or_(*windows_left))
                # Nobody has a place in an empty counter: its window ends now, so that the jobs delete it.
                until = case((table.c.count == 1, clock.now()), else_=table.c.expires_at)
                fewer = fewer.values(count=table.c.count - 1, expires_at=until)
                await session.execute(fewer)
            if cleared:
                await session.execute(delete(table).where(table.c.key.in_(cleared)))

    async def count(self, key: str) -> int:
        mine = select(RateCounter.count).where(RateCounter.key == key, RateCounter.expires_at > clock.now())
        async with self._db.read() as session:
            return int((await session.execute(mine)).scalar_one_or_none() or 0)

    async def check(self) -> bool:
        return True

    async def reset(self) -> None:
        async with self._db.write() as session:
            await session.execute(delete(RateCounter))

    async def close(self) -> None:
        return None


_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found, wait = {}, 0
for i, key in ipairs(KEYS) do
  local row = redis.call('HMGET', key, 'count', 'until')
  local count, ends = tonumber(row[1]) or 0, tonumber(row[2]) or 0
  if ends <= now then count, ends = 0, now + ARGV[2 * i] * 1000 end
  if count >= tonumber(ARGV[2 * i - 1]) then wait = math.max(wait, ends - now) end
  found[i] = {count, ends}
end
if wait > 0 then return {wait} end
local answer = {0}
for i, key in ipairs(KEYS) do
  local ends = string.format('%.0f', found[i][2])
  redis.call('HSET', key, 'count', found[i][1] + 1, 'until', ends)
  redis.call('PEXPIREAT', key, ends)
  answer[i + 1] = ends
end
return answer
"""
_SETTLE = """
for i, key in ipairs(KEYS) do
  if ARGV[i] == '' then
    redis.call('DEL', key)
  elseif redis.call('HGET', key, 'until') == ARGV[i] and tonumber(redis.call('HGET', key, 'count')) > 0 then
    redis.call('HINCRBY', key, 'count', -1)
  end
end
"""
_PREFIX = "sso:limit:"


class RedisStorage:
    """Counters in Redis or Valkey, for several hosts. Each step is a script, which the server runs atomically.

    Args:
        url: ``redis://`` or ``rediss://``.
    """

    def __init__(self, url: str) -> None:
        from redis.asyncio import Redis  # optional
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._redis: Any = Redis.from_url(
            url,
            socket_timeout=STORAGE_SECONDS,
            socket_connect_timeout=STORAGE_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._take = self._redis.register_script(_TAKE)
        self._settle = self._redis.register_script(_SETTLE)

    async def take(self, rules: Sequence[Rule]) -> Windows:
        limits = [value for rule in rules for value in (rule.maximum, rule.seconds)]
        async with asyncio.timeout(STORAGE_SECONDS):
            wait, *ends = await self._take(keys=[_PREFIX + rule.key for rule in rules], args=limits)
        if int(wait) > 0:
            raise TooManyFailures(int(wait) / 1000)
        return dict(zip((rule.key for rule in rules), ends, strict=True))

    async def settle(self, windows: Windows, clear: Iterable[str] = ()) -> None:
        values = {**windows, **dict.fromkeys(clear, "")}
        if values:
            async with asyncio.timeout(STORAGE_SECONDS):
                await self._settle(keys=[_PREFIX + key for key in values], args=list(values.values()))

    async def count(self, key: str) -> int:
        async with asyncio.timeout(STORAGE_SECONDS):
            return int(await self._redis.hget(_PREFIX + key, "count") or 0)  # deleted when its window ends

    async def check(self) -> bool:
        try:
            async with asyncio.timeout(STORAGE_SECONDS):
                return bool(await self._redis.ping())
        except Exception:  # whatever the library raises
            return False

    async def reset(self) -> None:
        async for key in self._redis.scan_iter(match=_PREFIX + "*", count=1000):
            await self._redis.delete(key)

    async def close(self) -> None:
        await self._redis.aclose()


def storage_for(settings: Settings, db: Database | None = None) -> Storage:
    """Return the storage that ``SSO_RATE_LIMIT_STORAGE`` selects."""
    url = settings.rate_limit_storage.get_secret_value() if settings.rate_limit_storage else MEMORY
    if url == MEMORY:
        return MemoryStorage()
    if url == DATABASE:
        assert db is not None
        return DatabaseStorage(db)
    scheme, _, rest = url.partition("://")
    return RedisStorage(("rediss" if scheme in ("rediss", "valkeys") else "redis") + f"://{rest}")


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
    limits hold. After a timeout the storage is not used for a few seconds, so that it delays no request.

    Args:
        storage: the storage; memory by default.
    """

    def __init__(self, storage: Storage | None = None) -> None:
        self.storage = storage or MemoryStorage()
        self._spare = MemoryStorage()
        self._away_until = 0.0

    async def take(self, rules: Sequence[Rule], clears: Sequence[str] = ()) -> Reservation:
        """Take a place in the counter of every rule, or in none.

        Args:
            rules: the counters and their limits.
            clears: the counters that a success deletes.

        Raises:
            TooManyFailures: when a counter is full.
        """
        if time.monotonic() >= self._away_until:
            try:
                return Reservation(self.storage, await self.storage.take(rules), clears)
            except TooManyFailures:
                raise
            except Exception as error:  # any error of the library
                self._away(error)
        return Reservation(self._spare, self._spare.take_now(rules), clears)

    async def count(self, key: str) -> int:
        """Return how many are counted under ``key`` now."""
        try:
            return await self.storage.count(key)
        except Exception as error:
            self._away(error)
        return await self._spare.count(key)

    async def clear(self, keys: Iterable[str]) -> None:
        """Delete counters."""
        keys = list(keys)
        self._spare.settle_now({}, keys)
        try:
            await self.storage.settle({}, keys)
        except Exception as error:
            self._away(error)

    async def close(self) -> None:
        """Close connections."""
        await self.storage.close()

    def _away(self, error: Exception) -> None:
        log.warning("attempts are counted in this process: %s: %s", type(error).__name__, error)
        self._away_until = time.monotonic() + RETRY_STORAGE_SECONDS


class Purpose(StrEnum):
    """A kind of secret that can be guessed. ``tests/hostile/test_limits.py`` checks that every route that verifies a
    secret uses one."""

    PASSWORD = "password"
    PRESENT_PASSWORD = "present_password"
    PASSKEY = "passkey"
    TOTP = "totp"
    RECOVERY_CODE = "recovery_code"
    MESSAGE_CODE = "message_code"
    STEP_PASSKEY = "step_passkey"
    NEW_TOTP = "new_totp"
    CONTACT_CODE = "contact_code"
    SIGN_UP_CODE = "sign_up_code"
    RECOVERY_MESSAGE = "recovery_message"
    USER_CODE = "user_code"
    LINK = "link"
    CLIENT_SECRET = "client_secret"
    REGISTRATION_TOKEN = "registration_token"


@dataclass(frozen=True, slots=True)
class Budget:
    """How many failures a purpose allows for each account.

    Args:
        window: within 15 minutes, from one network if ``spread``, otherwise from all networks together. 0: failures are
            counted for the source only, because no account is named, or the secret is random and long.
        spread: each network has a separate budget, within :data:`FROM_EVERYWHERE` times as many in a day. Without it
            the first factor was verified already, and another network gives no new budget.
        lasting: consecutive failures until the user signs in with another factor or recovers the account; known
            browsers together have the same number in addition.
        durable: counted in the database, for every value of ``SSO_RATE_LIMIT_STORAGE``.
    """

    window: int = 0
    spread: bool = False
    lasting: int = 0
    durable: bool = False


_FACTOR = Budget(window=5, lasting=50, durable=True)
BUDGETS: dict[Purpose, Budget] = {
    Purpose.PASSWORD: Budget(window=10, spread=True, lasting=100),
    Purpose.PRESENT_PASSWORD: Budget(window=10, lasting=50, durable=True),
    Purpose.PASSKEY: Budget(),
    Purpose.TOTP: _FACTOR,
    Purpose.RECOVERY_CODE: _FACTOR,
    Purpose.MESSAGE_CODE: _FACTOR,
    Purpose.STEP_PASSKEY: _FACTOR,
    Purpose.NEW_TOTP: Budget(window=10),
    Purpose.CONTACT_CODE: Budget(window=10),
    Purpose.SIGN_UP_CODE: Budget(window=10, spread=True),
    Purpose.RECOVERY_MESSAGE: Budget(window=10, spread=True),
    Purpose.USER_CODE: Budget(),
    Purpose.LINK: Budget(),
    Purpose.CLIENT_SECRET: Budget(),
    Purpose.REGISTRATION_TOKEN: Budget(),
}
"""The budget of each purpose. ``SSO_SIGN_IN_FAILURES_PER_ACCOUNT`` sets the window of passwords."""


class Attempts:
    """Counts attempts to guess, by purpose, account and source.

    Args:
        per_account: wrong passwords allowed for one account from one network within 15 minutes.
        per_address: failures allowed from one IP address within 15 minutes.
        counts: the storage of the counters; memory by default.
        durable: the storage for second factors; ``counts`` by default.
    """

    def __init__(
        self, per_account: int, per_address: int, counts: Counts | None = None, durable: Counts | None = None
    ) -> None:
        self._per_account = per_account
        self._per_address = per_address
        self._counts = counts or Counts()
        self._durable = durable or self._counts
        self._here = MemoryStorage()

    async def reserve(
        self, purpose: Purpose, account: str, address: str, device: str = "", *, with_source: bool = True
    ) -> Reservation:
        """Reserve one attempt. Call this before the secret is verified, and outside any transaction.

        Args:
            purpose: the kind of secret.
            account: the id of the account, or the typed identifier if there is no account.
            address: the IP address.
            device: a known browser of the user, which has separate counters.
            with_source: count for the source too; false if another reservation of the same attempt did.

        Raises:
            TooManyFailures: when the limit is reached.
        """
        budget = self._budget(purpose)
        rules, clears = self._of_device(purpose, budget, account, device) if device else ([], [])
        if not device:
            if account and budget.window:
                rules, clears = self._of_account(purpose, budget, account, address)
            if with_source:
                rules += of_source("failures", address, self._per_address, WINDOW_MINUTES * MINUTE)
                rules += of_source("failures-day", address, self._per_address * PER_DAY, DAY)
        return await (self._durable if budget.durable else self._counts).take(rules, clears)

    def reserve_here(self, purpose: Purpose, account: str, address: str) -> ReservedHere:
        """Reserve one attempt in the memory of this process: for secrets of 256 random bits, which synchronous code
        verifies within a transaction.

        Raises:
            TooManyFailures: when the limit is reached.
        """
        rules = [Rule(key_of(purpose, account, address), self._per_address, WINDOW_MINUTES * MINUTE)]
        rules_of = _kept_rules_of_source if len(address) <= MAX_KEPT_CHARS else of_source
        rules += rules_of(purpose, address, self._per_address * PER_SUBNET, WINDOW_MINUTES * MINUTE)
        return ReservedHere(self._here, self._here.take_now(rules))

    async def clear(self, account: str) -> None:
        """Delete the failures of an account from every network, because the user authenticated in another way."""
        for counts, durable in ((self._counts, False), (self._durable, True)):
            purposes = [purpose for purpose, budget in BUDGETS.items() if budget.durable is durable]
            names = ("everywhere", "everywhere-window", "lasting", "lasting-known")
            await counts.clear([key_of(name, purpose, account) for purpose in purposes for name in names])

    async def proven(self, account: str) -> None:
        """Delete the consecutive failures of an account, because the user signed in with another factor. Daily counters
        stay."""
        for counts, durable in ((self._counts, False), (self._durable, True)):
            purposes = [purpose for purpose, budget in BUDGETS.items() if budget.durable is durable and budget.lasting]
            names = ("lasting", "lasting-known")
            await counts.clear([key_of(name, purpose, account) for purpose in purposes for name in names])

    def _budget(self, purpose: Purpose) -> Budget:
        budget = BUDGETS[purpose]
        if purpose is Purpose.PASSWORD:
            return Budget(self._per_account, budget.spread, budget.lasting, budget.durable)
        return budget

    def _of_device(self, purpose: Purpose, budget: Budget, account: str, device: str) -> tuple[list[Rule], list[str]]:
        maximum = budget.window or self._per_account
        rules = [
            Rule(key_of("device", purpose, account, device), maximum, WINDOW_MINUTES * MINUTE),
            Rule(key_of("device-day", purpose, account, device), maximum * PER_DAY, DAY),
        ]
        if budget.lasting:
            rules.append(Rule(key_of("lasting-known", purpose, account), budget.lasting, LASTING_DAYS * DAY))
        return rules, [rule.key for rule in rules] + [key_of("lasting", purpose, account)]

    @staticmethod
    def _of_account(purpose: Purpose, budget: Budget, account: str, address: str) -> tuple[list[Rule], list[str]]:
        window, day = WINDOW_MINUTES * MINUTE, budget.window * PER_DAY
        if budget.spread:
            network = network_of(address)
            rules = [
                Rule(key_of("account", purpose, account, network), budget.window, window),
                Rule(key_of("account-day", purpose, account, network), day, DAY),
                Rule(key_of("everywhere", purpose, account), budget.window * FROM_EVERYWHERE, DAY),
            ]
        else:
            rules = [
                Rule(key_of("everywhere-window", purpose, account), budget.window, window),
                Rule(key_of("everywhere", purpose, account), day, DAY),
            ]
        clears = [rules[0].key]
        if budget.lasting:
            rules.append(Rule(key_of("lasting", purpose, account), budget.lasting, LASTING_DAYS * DAY))
            clears += [rules[-1].key, key_of("lasting-known", purpose, account)]
        return rules, clears


@dataclass(slots=True)
class ReservedHere:
    """Places of an attempt in the memory of this process."""

    storage: MemoryStorage
    windows: Windows

    def succeeded(self) -> None:
        """Give the places back."""
        self.storage.settle_now(self.windows)


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
def _kept_rules_of_source(name: str, address: str, maximum: int, seconds: int) -> Sequence[Rule]:
    """Return the rules of :func:`of_source` for the IP address of a program, which asks again and again."""
    return of_source(name, address, maximum, seconds)


def key_of(*parts: str) -> str:
    """Return the key of a counter: a hash, so that the stored counters reveal no user and no IP address."""
    hashed = hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{parts[0][:40]}:{hashed[:40]}"


async def delete_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete counters whose window has ended, at most ``limit``; return how many. The window of a counter ends when
    every place was given back."""
    return await delete_batch(session, RateCounter, RateCounter.expires_at, limit, RateCounter.expires_at <= now)


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
