"""Limits on guessing and on floods.

Failures are counted per account *and network*, so that somebody who guesses from elsewhere cannot lock a citizen out;
per account over all networks, which a browser that the person used before does not feel; per address; and per subnet,
so that neither one machine nor a rented network can try many accounts. Who goes on guessing waits longer: the second
limit of each kind is over a day. Counts are kept in memory, in the database or in Redis/Valkey (SSO_LIMITS_URL).
"""

from __future__ import annotations

import ipaddress
import logging
import time
from datetime import timedelta
from typing import Any

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, MovingWindowSupport, Storage
from limits.aio.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, RateLimiter
from sqlalchemy import bindparam, case, delete, select

from sso import clock
from sso.db import INSERTS, Database, table_of
from sso.security.models import RateCounter
from sso.settings import Settings

log = logging.getLogger(__name__)

WINDOW_MINUTES = 15
PER_DAY = 3
"""How many times as many failures within a day as within 15 minutes."""
FROM_EVERYWHERE = 10
"""How many times as many failures of one account from every network together as from one."""
PER_SUBNET = 5
"""How many times as many failures from one subnet as from one address."""
DATABASE, MEMORY = "database", "memory"
MAX_KEY_CHARS = 300


class TooManyFailures(Exception):
    """Too many failures; try again after ``retry_after`` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"try again in {retry_after} seconds")
        self.retry_after = retry_after

    @property
    def minutes(self) -> int:
        """The same in whole minutes, for people: rather a little too late than too early."""
        return -(-self.retry_after // 60)


class DatabaseStorage(Storage):
    """Counts in the provider's own database: for several processes without Redis or Valkey.

    Args:
        db: the database.
    """

    STORAGE_SCHEME = ["sso-database"]

    def __init__(self, db: Database) -> None:
        super().__init__()
        self._db = db

    @property
    def base_exceptions(self) -> type[Exception]:
        return Exception

    async def incr(self, key: str, expiry: float, amount: int = 1, **_: Any) -> int:
        now, table = clock.now(), table_of(RateCounter)
        over, until = table.c.expires_at <= now, now + timedelta(seconds=expiry)
        async with self._db.write() as session:
            insert = INSERTS[session.get_bind().dialect.name](table)
            made = insert.values(key=key[:MAX_KEY_CHARS], count=amount, expires_at=until)
            statement = made.on_conflict_do_update(
                index_elements=["key"],
                set_={
                    "count": case((over, amount), else_=table.c.count + amount),
                    "expires_at": case(
                        (over, bindparam("until", until, type_=table.c.expires_at.type)), else_=table.c.expires_at
                    ),
                },
            ).returning(table.c.count)
            return int((await session.execute(statement)).scalar_one())

    async def get(self, key: str) -> int:
        row = await self._row(key)
        return row[0] if row else 0

    async def get_expiry(self, key: str) -> float:
        row = await self._row(key)
        return row[1] if row else time.time()

    async def check(self) -> bool:
        return True

    async def reset(self) -> int | None:
        async with self._db.write() as session:
            await session.execute(delete(RateCounter))
        return None

    async def clear(self, key: str) -> None:
        async with self._db.write() as session:
            await session.execute(delete(RateCounter).where(RateCounter.key == key[:MAX_KEY_CHARS]))

    async def _row(self, key: str) -> tuple[int, float] | None:
        mine = select(RateCounter.count, RateCounter.expires_at)
        async with self._db.read() as session:
            found = (await session.execute(mine.where(RateCounter.key == key[:MAX_KEY_CHARS]))).first()
        now = clock.now()
        if found is None or found[1] <= now:
            return None
        return found[0], time.time() + (found[1] - now).total_seconds()


def storage_for(settings: Settings, db: Database | None = None) -> Storage:
    """Return where counts are kept, as ``SSO_LIMITS_URL`` says."""
    url = settings.limits_url.get_secret_value() if settings.limits_url else MEMORY
    if url == MEMORY:
        return MemoryStorage()
    if url == DATABASE:
        assert db is not None
        return DatabaseStorage(db)
    from limits.aio.storage import RedisStorage  # read only where it is used

    scheme, _, rest = url.partition("://")
    as_redis = "async+" + ("rediss" if scheme in ("rediss", "valkeys") else "redis")
    return RedisStorage(f"{as_redis}://{rest}", implementation="redispy", key_prefix="sso")


def _limiter(storage: Storage) -> RateLimiter:
    return (MovingWindowRateLimiter if isinstance(storage, MovingWindowSupport) else FixedWindowRateLimiter)(storage)


class _Counting:
    """Counts in a storage; while that is away, in the memory of this process: nobody is shut out, and nobody guesses
    without end."""

    def __init__(self, storage: Storage) -> None:
        self._main = _limiter(storage)
        self._spare = _limiter(MemoryStorage())

    async def test(self, item: RateLimitItem, *keys: str) -> bool:
        return bool(await self._do("test", item, *keys))

    async def hit(self, item: RateLimitItem, *keys: str) -> bool:
        return bool(await self._do("hit", item, *keys))

    async def clear(self, item: RateLimitItem, *keys: str) -> None:
        await self._do("clear", item, *keys)

    async def seconds_left(self, item: RateLimitItem, *keys: str) -> int:
        """Return how long until the window ends, in seconds, one at the least."""
        reset = (await self._do("get_window_stats", item, *keys)).reset_time
        return max(1, int(reset - time.time()) + 1)

    async def _do(self, what: str, item: RateLimitItem, *keys: str) -> Any:
        try:
            return await getattr(self._main, what)(item, *keys)
        except Exception as error:  # whatever the storage's library raises when it is away
            log.warning("failures are counted in this process: %s: %s", type(error).__name__, error)
            return await getattr(self._spare, what)(item, *keys)


class FailureLimits:
    """Counts failures and says when there were too many.

    Args:
        per_account: failures allowed for one account from one network within 15 minutes.
        per_address: failures allowed from one address within 15 minutes.
        storage: where counts are kept; in memory where none is given.
    """

    def __init__(self, per_account: int, per_address: int, storage: Storage | None = None) -> None:
        self._limiter = _Counting(storage or MemoryStorage())
        self._account = RateLimitItemPerMinute(per_account, WINDOW_MINUTES)
        self._account_day = RateLimitItemPerDay(per_account * PER_DAY)
        self._everywhere = RateLimitItemPerDay(per_account * FROM_EVERYWHERE)
        self._address = RateLimitItemPerMinute(per_address, WINDOW_MINUTES)
        self._address_day = RateLimitItemPerDay(per_address * PER_DAY)
        self._subnet = RateLimitItemPerMinute(per_address * PER_SUBNET, WINDOW_MINUTES)

    async def check(self, account: str, address: str, device: str = "") -> None:
        """Check that nobody has to wait.

        Args:
            account: what was typed; nothing where that is no account, or a passkey was shown.
            address: the network address.
            device: a browser that the person used before; it has a count of its own, and feels no others'.

        Raises:
            TooManyFailures: when somebody has to.
        """
        for item, keys in self._rules(account, address, device):
            if not await self._limiter.test(item, *keys):
                raise TooManyFailures(await self._limiter.seconds_left(item, *keys))

    async def forget(self, account: str) -> None:
        """Forget the failures of an account from every network: its owner has proven otherwise who they are."""
        await self._limiter.clear(self._everywhere, "everywhere", account)

    async def failed(self, account: str, address: str, device: str = "") -> None:
        """Count one failure."""
        for item, keys in self._rules(account, address, device):
            await self._limiter.hit(item, *keys)

    async def succeeded(self, account: str, address: str, device: str = "") -> None:
        """Forget the failures of ``account`` from here."""
        for item, keys in self._rules(account, address, device):
            if keys[0] in ("account", "device"):
                await self._limiter.clear(item, *keys)

    def _rules(self, account: str, address: str, device: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
        if device:
            return [(one, ("device", account, device)) for one in (self._account, self._account_day)]
        network = network_of(address)
        of_account: list[tuple[RateLimitItem, tuple[str, ...]]] = [
            (self._account, ("account", account, network)),
            (self._account_day, ("account", account, network)),
            (self._everywhere, ("everywhere", account)),
        ]
        return [
            *(of_account if account else []),
            (self._address, ("address", address)),
            (self._address_day, ("address", address)),
            (self._subnet, ("subnet", network)),
        ]


class CountLimit:
    """Counts something per key and says when there was too much of it.

    Args:
        most: how many within the window.
        minutes: the length of the window.
        storage: where counts are kept; in memory where none is given.
        name: what is counted.
    """

    def __init__(self, most: int, minutes: int, storage: Storage | None = None, name: str = "") -> None:
        self._limiter = _Counting(storage or MemoryStorage())
        self._item = RateLimitItemPerMinute(most, minutes)
        self._name = name

    async def check(self, key: str) -> None:
        """Raise :class:`TooManyFailures` where ``key`` must wait."""
        if not await self._limiter.test(self._item, self._name, key):
            raise TooManyFailures(await self._limiter.seconds_left(self._item, self._name, key))

    async def count(self, key: str) -> None:
        """Count one."""
        await self._limiter.hit(self._item, self._name, key)

    async def take(self, key: str) -> None:
        """Count one, or raise :class:`TooManyFailures` where there were too many."""
        if not await self._limiter.hit(self._item, self._name, key):
            await self.check(key)
            raise TooManyFailures(1)


async def forget_expired(session: Any, now: Any) -> None:
    """Delete counts of windows that are over."""
    await session.execute(delete(RateCounter).where(RateCounter.expires_at <= now))


def network_of(address: str) -> str:
    """Return the network of ``address``: /24 for IPv4, /64 for IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    prefix = 24 if parsed.version == 4 else 64
    return str(ipaddress.ip_network((parsed, prefix), strict=False))
