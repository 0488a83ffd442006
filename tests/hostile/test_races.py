"""Things that happen at once to one session: nothing breaks, and what was ended is over."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.util.concurrency import await_
from tests.api.conftest import program
from tests.conftest import settings_for
from tests.races import (
    ACTS,
    APPLICATION,
    OFFLINE,
    PAIRS,
    REQUESTS,
    REVOKE,
    SCOPE,
    SESSION,
    Act,
    World,
    application,
    come_back,
    new_world,
    prepare,
    race,
    send,
    what_lives,
)
from tests.support import City

from sso.app import create_app
from sso.oidc.store import store

ROUNDS = int(os.environ.get("RACES", "1"))
"""How often each pair is raced: ``make races`` sets it."""
SETTINGS: dict[str, Any] = {
    "client_registration": "open",
    "client_registrations_per_ip_address": 100,
    "sign_in_failures_per_account": 10_000,
    "sign_in_failures_per_ip_address": 10_000,
    "database_pool_size": 12,
    "device_polling_interval": "1s",
    "device_codes_per_ip_address": 100_000,
    "pending_requests_per_ip_address": 100_000,
    "pending_requests_total": 1_000_000,
    "registry_poll_interval": "200ms",
    "database_lock_timeout": "1m",
    "database_statement_timeout": "1m",
    "database_pool_timeout": "1m",
}


@asynccontextmanager
async def hosts_of(city: City, tmp_path: Path, database_kind: str) -> AsyncIterator[list[City]]:
    """The provider on two hosts, where the database is a server."""
    if database_kind == "sqlite":
        yield [city]
        return
    (tmp_path / "other").mkdir()
    settings = settings_for(str(city.settings.database_url), tmp_path / "other", **SETTINGS)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield [city, City(app, settings, city.secrets, city.users)]


async def deadlocks(city: City) -> int:
    """Return how many deadlocks PostgreSQL has resolved in this database."""
    if city.provider.db.is_sqlite:
        return 0
    statement = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    async with city.provider.db.read() as session:
        return int((await session.execute(statement)).scalar_one())


class Interposed:
    """Lets something happen in the middle of a request: after it has looked, and before its first transaction, or
    before the one statement of a refresh or an exchange that stores."""

    def __init__(self, city: City, monkeypatch: pytest.MonkeyPatch) -> None:
        db = city.provider.db
        self._write, self._run_write = db.write, db.run_write
        self._act: Callable[[], Awaitable[None]] | None = None
        self._task: asyncio.Task[Any] | None = None
        monkeypatch.setattr(db, "write", self.write)
        monkeypatch.setattr(db, "run_write", self.run_write)
        for name in ("renew_refresh_token", "exchange_code"):
            monkeypatch.setattr(store, name, self._late(getattr(store, name)))

    def _late(self, statement: Callable[..., bool]) -> Callable[..., bool]:
        def late(*values: Any) -> bool:
            await_(self._act_now())
            return statement(*values)

        return late

    def arm(self, act: Callable[[], Awaitable[None]]) -> None:
        """Let ``act`` happen before the next transaction of this task: others write in the background."""
        self._act, self._task = act, asyncio.current_task()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Any]:
        await self._act_now()
        async with self._write() as session:
            yield session

    async def run_write(self, *work: Any, **options: Any) -> Any:
        await self._act_now()
        return await self._run_write(*work, **options)

    async def _act_now(self) -> None:
        act = self._act if asyncio.current_task() is self._task else None
        if act is not None:
            self._act = None
            await act()


@pytest.mark.parametrize("database_kind", ["postgresql"])  # one writer at a time has no middle
@pytest.mark.parametrize("overrides", [SETTINGS])
async def test_an_end_in_the_middle_of_every_other_act(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    token, wrong = (await program(city)).token, []
    party, middle = await application(city), Interposed(city, monkeypatch)
    for first, second in itertools.product(ACTS, [act for act in ACTS if act.ends]):
        scope = OFFLINE if SESSION not in second.ends else SCOPE
        world = await new_world([city], token, party, scope)
        await prepare(world, first, 1)
        if second is not first:
            await prepare(world, second, 1)
        statuses: list[int] = []

        async def end(world: World = world, second: Act = second, statuses: list[int] = statuses) -> None:
            statuses.append(await send(world, second, 0))

        middle.arm(end)
        statuses.append(await send(world, first, 0))
        if APPLICATION in world.ended or first.name == "disable" or second.name == "disable":
            await come_back(world, {first.name, second.name})
        lives = await what_lives(world, {first.name, second.name})
        if max(statuses) >= 500 or len(statuses) != 2 or lives:
            wrong.append((first.name, second.name, statuses, lives))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("overrides", [SETTINGS])
async def test_every_pair_of_acts_at_once(city: City, tmp_path: Path, database_kind: str) -> None:
    token, wrong, seen = (await program(city)).token, [], Counter[str]()
    party = await application(city)
    async with hosts_of(city, tmp_path, database_kind) as hosts:
        for first, second in PAIRS * ROUNDS:
            names = {first.name, second.name}
            ending = first.ends | second.ends
            world = await new_world(hosts, token, party, OFFLINE if SESSION not in ending else SCOPE)
            answers = await race(world, first, second, REQUESTS[database_kind])
            seen.update(name for name, status in answers if status in (200, 303))
            broken = Counter((name, status) for name, status in answers if status >= 500)
            if APPLICATION in ending or "disable" in names:
                await come_back(world, names)
            lives = await what_lives(world, names)
            if broken or lives:
                wrong.append((first.name, second.name, dict(broken), lives))
        assert not wrong, "\n".join(map(str, wrong))
        assert set(seen) == {act.name for pair in PAIRS for act in pair}, "an act never succeeded"
        assert await deadlocks(city) == 0


@pytest.mark.parametrize("database_kind", ["postgresql"])
@pytest.mark.parametrize("overrides", [SETTINGS])
async def test_exchange_refresh_revocation_and_sign_out_at_once_never_deadlock(city: City, tmp_path: Path) -> None:
    token, party = (await program(city)).token, await application(city)
    by_name = {act.name: act for act in ACTS}
    acts = [by_name["refresh"], by_name["exchange"], REVOKE, by_name["sign out"], by_name["end by the API"]]
    async with hosts_of(city, tmp_path, "postgresql") as hosts:
        for _ in range(2 * ROUNDS):
            world = await new_world(hosts, token, party, OFFLINE)
            plan = [(act, number) for act in acts for number in range(min(act.maximum, 6))]
            for act in acts:
                await prepare(world, act, 6)
            random.shuffle(plan)
            statuses = await asyncio.gather(*(send(world, act, number) for act, number in plan))
            assert max(statuses) < 500, sorted(zip(statuses, (act.name for act, _ in plan), strict=True))[-5:]
        assert await deadlocks(city) == 0
