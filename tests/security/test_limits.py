"""Limits on guessing: in memory, in the database, and in a real Redis, where they count together over every host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.support import City

from sso import clock
from sso.jobs import clear_up
from sso.platform.db import TransactionConflict
from sso.platform.security.models import RateCounter
from sso.platform.security.rate_limits import (
    FROM_EVERYWHERE,
    PER_DAY,
    PER_SUBNET,
    Attempts,
    CountLimit,
    Counts,
    Purpose,
    Storage,
    TooManyFailures,
    network_of,
    storage_for,
)
from sso.platform.security.rate_limits.database import DatabaseStorage
from sso.platform.security.rate_limits.rules import Rule, Windows
from sso.settings import Settings

MAXIMUM, MANY = 3, 1000


EACH_STORAGE = pytest.mark.parametrize(
    ("storage", "database_kind"),
    [
        ("memory", "sqlite"),
        ("database", "sqlite"),
        ("database", "postgresql"),
        ("redis", "sqlite"),
        ("valkey", "sqlite"),
    ],
    indirect=["storage"],
)
"""Each storage, and that in the database on both databases: nothing else asks a database."""


@pytest.fixture
async def storage(request: pytest.FixtureRequest, city: City) -> AsyncIterator[Storage]:
    url = request.param
    if url in ("redis", "valkey"):
        url = request.getfixturevalue("redis").replace("redis:", f"{url}:")
    settings = Settings(_env_file=None, rate_limit_storage=url)  # type: ignore[call-arg]
    backend = storage_for(settings, city.provider.db)
    await backend.reset()
    yield backend
    await backend.reset()
    await backend.close()


async def fails(limits: Attempts, times: int, account: str, address: str, device: str = "") -> None:
    for _ in range(times):
        await limits.reserve(Purpose.PASSWORD, account, address, device)


async def refused(limits: Attempts, account: str, address: str, device: str = "") -> int:
    with pytest.raises(TooManyFailures) as caught:
        await limits.reserve(Purpose.PASSWORD, account, address, device)
    return caught.value.retry_after


async def allowed(limits: Attempts, account: str, address: str) -> None:
    await (await limits.reserve(Purpose.PASSWORD, account, address)).give_back()


@EACH_STORAGE
async def test_guessing_one_account_from_one_network_is_stopped_there_only(storage: Storage) -> None:
    limits = Attempts(MAXIMUM, MANY, Counts(storage))
    await fails(limits, MAXIMUM, "siti", "203.0.113.7")
    assert 1 <= await refused(limits, "siti", "203.0.113.99") <= 15 * 60 + 1
    await allowed(limits, "siti", "198.51.100.1")
    await allowed(limits, "budi", "203.0.113.7")


@EACH_STORAGE
async def test_a_browser_that_the_person_used_before_feels_nothing_of_it(storage: Storage) -> None:
    limits = Attempts(MAXIMUM, MANY, Counts(storage))
    for network in range(FROM_EVERYWHERE):
        await fails(limits, MAXIMUM, "siti", f"198.51.{network}.1")
    await refused(limits, "siti", "192.0.2.1")
    await fails(limits, MAXIMUM, "siti", "192.0.2.1", "its cookie")
    await refused(limits, "siti", "192.0.2.1", "its cookie")


@EACH_STORAGE
async def test_one_address_and_one_subnet_cannot_try_many_accounts(storage: Storage) -> None:
    limits = Attempts(MANY, MAXIMUM, Counts(storage))
    for number in range(MAXIMUM):
        await fails(limits, 1, f"a{number}", "203.0.113.7")
    await refused(limits, "another", "203.0.113.7")
    for number in range(MAXIMUM * (PER_SUBNET - 1)):
        await fails(limits, 1, f"b{number}", f"203.0.113.{100 + number}")
    await refused(limits, "another", "203.0.113.250")
    await allowed(limits, "another", "203.0.114.1")


@EACH_STORAGE
async def test_a_right_password_forgets_the_failures(storage: Storage) -> None:
    limits = Attempts(MAXIMUM, MANY, Counts(storage))
    await fails(limits, MAXIMUM - 1, "siti", "203.0.113.7")
    await (await limits.reserve(Purpose.PASSWORD, "siti", "203.0.113.7")).succeeded()
    await fails(limits, MAXIMUM, "siti", "203.0.113.7")
    await refused(limits, "siti", "203.0.113.7")


@EACH_STORAGE
async def test_counting_alone(storage: Storage) -> None:
    limit = CountLimit(2, 60, Counts(storage), "things")
    await limit.take("k")
    await limit.take("k")
    with pytest.raises(TooManyFailures):
        await limit.take("k")
    assert await limit.is_full("k")
    assert not await CountLimit(2, 60, Counts(storage), "others").is_full("k")
    await CountLimit(2, 60, Counts(storage), "others").take("k")


async def test_one_conflict_does_not_move_counting_into_memory(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can provoke a conflict on a counter must not get a second budget."""
    storage = DatabaseStorage(city.provider.db)
    counts, take, conflicts = Counts(storage), storage.take, [TransactionConflict("deadlock detected")]

    async def take_with_conflict(rules: Sequence[Rule]) -> Windows:
        if conflicts:
            raise conflicts.pop()
        return await take(rules)

    monkeypatch.setattr(storage, "take", take_with_conflict)
    limit = CountLimit(1, 60, counts, "things")
    await limit.take("k")
    assert not counts.breaker.is_open
    with pytest.raises(TooManyFailures):
        await CountLimit(1, 60, Counts(DatabaseStorage(city.provider.db)), "things").take("k")


async def test_two_processes_count_together_in_the_database(city: City) -> None:
    settings = Settings(_env_file=None, rate_limit_storage="database")  # type: ignore[call-arg]
    first_process, second_process = (
        Attempts(MAXIMUM, MANY, Counts(storage_for(settings, city.provider.db))) for _ in range(2)
    )
    await fails(first_process, MAXIMUM, "siti", "203.0.113.7")
    await refused(second_process, "siti", "203.0.113.7")


async def test_two_hosts_count_together_in_redis(redis: str) -> None:
    settings = Settings(_env_file=None, rate_limit_storage=redis)  # type: ignore[call-arg]
    counts = [Counts(storage_for(settings)) for _ in range(2)]
    first_host, second_host = (Attempts(MAXIMUM, MANY, each) for each in counts)
    await fails(first_host, MAXIMUM, "tono", "203.0.113.7")
    await refused(second_host, "tono", "203.0.113.7")
    for each in counts:
        await each.close()


async def test_the_longer_one_guesses_the_longer_one_waits(city: City) -> None:
    settings = Settings(_env_file=None, rate_limit_storage="database")  # type: ignore[call-arg]
    limits = Attempts(MAXIMUM, MANY, Counts(storage_for(settings, city.provider.db)))
    waits = []
    for _ in range(PER_DAY):
        await fails(limits, MAXIMUM, "siti", "203.0.113.7")
        waits.append(await refused(limits, "siti", "203.0.113.7"))
        clock.advance(15 * 60 + 1)
    assert waits[0] <= 15 * 60 + 1
    assert await refused(limits, "siti", "203.0.113.7") > 3600 * 20
    clock.advance(86400)
    await allowed(limits, "siti", "203.0.113.7")
    await clear_up(city.provider)
    async with city.provider.db.read() as session:
        left = (await session.execute(select(func.count()).select_from(RateCounter))).scalar_one()
    assert left == 1, "consecutive failures are remembered until a success"


@pytest.mark.parametrize("overrides", [{"rate_limit_storage": "database", "sign_in_failures_per_account": 3}], ids=[""])
async def test_the_sign_in_page_counts_where_the_setting_says(city: City) -> None:
    party: Any = city.relying_party("warga")
    async with city.browser() as browser:
        for _ in range(3):
            assert (await browser.sign_in(party, password="wrong")).status_code == 400
        assert (await browser.sign_in(party)).status_code == 429
    async with city.browser(address="198.51.100.1") as browser:
        assert await browser.code(party)


async def test_a_citizens_own_browser_stays_able_while_somebody_guesses(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as own:
        await own.code(party)
        await own.submit(await own.open("/"))
        async with city.browser() as thief:
            for _ in range(10):
                await thief.sign_in(party, password="wrong")
            assert (await thief.sign_in(party)).status_code == 429
        await own.code(party)


@pytest.mark.parametrize(
    ("address", "network"), [("203.0.113.7", "203.0.113.0/24"), ("2001:db8::1", "2001:db8::/64"), ("x", "x")]
)
def test_networks(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    "overrides", [{"rate_limit_storage": "redis://127.0.0.1:9/0", "sign_in_failures_per_account": 3}], ids=[""]
)
async def test_while_redis_is_away_each_process_counts_alone(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        for _ in range(3):
            assert (await browser.sign_in(party, password="wrong")).status_code == 400
        assert (await browser.sign_in(party)).status_code == 429
    async with city.browser(address="198.51.100.1") as browser:
        assert await browser.code(party)


@EACH_STORAGE
async def test_wrong_passkeys_from_many_addresses_shut_nobody_out(storage: Storage) -> None:
    limits = Attempts(1, MANY, Counts(storage))
    for number in range(3 * FROM_EVERYWHERE):
        await fails(limits, 1, "", f"198.51.{number}.1")
    await allowed(limits, "", "203.0.113.7")


@EACH_STORAGE
async def test_who_recovered_the_account_is_not_shut_out_by_who_guessed(storage: Storage) -> None:
    limits = Attempts(MAXIMUM, MANY, Counts(storage))
    for network in range(FROM_EVERYWHERE):
        await fails(limits, MAXIMUM, "siti", f"198.51.{network}.1")
    await refused(limits, "siti", "203.0.113.7")
    await limits.clear("siti")
    await allowed(limits, "siti", "203.0.113.7")
