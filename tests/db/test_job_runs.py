"""One process at a time runs the jobs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update
from tests.support import City

from sso import clock, jobs
from sso.identity.users.models import User
from sso.platform.db import batches, count_roughly, new_id
from sso.platform.db.job_runs import LEASE, extend_lease, give_up_lease, is_due, runs, take_lease

pytestmark = pytest.mark.locks_freely
EVERY = timedelta(minutes=5)


async def test_a_lease_is_held_by_one_process_and_ends_when_the_process_dies(city: City) -> None:
    db, first, second = city.provider.db, new_id(), new_id()

    async def take(holder: object) -> bool:
        async with db.write() as session:
            return await take_lease(session, "x", holder, clock.now(), EVERY)  # type: ignore[arg-type]

    assert sorted(await asyncio.gather(take(first), take(second))) == [False, True]
    async with db.read() as session:
        held_by = {run.name: run.holder for run in await runs(session)}["x"]
        assert not await is_due(session, "x", clock.now(), EVERY)
    holder, other = (first, second) if held_by == first else (second, first)
    clock.advance(EVERY.total_seconds() - 30)
    async with db.write() as session:
        assert await extend_lease(session, "x", holder, clock.now())
        assert not await extend_lease(session, "x", other, clock.now())
    clock.advance(31)
    assert not await take(other), "it was extended"
    clock.advance(LEASE.total_seconds())
    assert await take(other), "the process that held it has died"
    async with db.write() as session:
        assert not await extend_lease(session, "x", holder, clock.now())
        await give_up_lease(session, "x", holder, clock.now())
    assert not await take(holder), "who lost it gives nothing back"
    async with db.write() as session:
        await give_up_lease(session, "x", other, clock.now())
    assert not await take(holder), "the work was done a moment ago"
    clock.advance(EVERY.total_seconds())
    assert await take(holder)


@pytest.mark.parametrize("ended", [True, False], ids=["given up", "the process died"])
async def test_a_clock_that_was_wrong_keeps_no_process_from_the_jobs(city: City, ended: bool) -> None:
    db, first, second = city.provider.db, new_id(), new_id()
    clock.advance(timedelta(days=365))
    async with db.write() as session:
        assert await take_lease(session, "x", first, clock.now(), EVERY)
        if ended:
            await give_up_lease(session, "x", first, clock.now())
    clock.advance(-timedelta(days=365))
    async with db.write() as session:
        assert await is_due(session, "x", clock.now(), EVERY)
        assert await take_lease(session, "x", second, clock.now(), EVERY)
        assert not await extend_lease(session, "x", first, clock.now())
    clock.advance(timedelta(days=365))  # extended by a wrong clock, and the process died
    async with db.write() as session:
        assert await extend_lease(session, "x", second, clock.now())
    clock.advance(-timedelta(days=365) + EVERY + LEASE)
    async with db.write() as session:
        assert await is_due(session, "x", clock.now(), EVERY)
        assert await take_lease(session, "x", first, clock.now(), EVERY)
    clock.advance(-timedelta(minutes=2))  # as much as two hosts may differ
    async with db.write() as session:
        assert not await take_lease(session, "x", second, clock.now(), EVERY)


async def test_the_jobs_run_once_in_five_minutes_whoever_asks(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    async def work(run: jobs.Run) -> int:
        ran.append(run.provider)
        await asyncio.sleep(0)
        return 3

    monkeypatch.setattr(jobs, "JOBS", (jobs.Job("work", work),))
    stop = asyncio.Event()
    started = await asyncio.gather(*(jobs.run_due_jobs(city.provider, stop) for _ in range(4)))
    assert (sorted(started), len(ran)) == ([False, False, False, True], 1)
    assert not await jobs.run_due_jobs(city.provider, stop)
    clock.advance(EVERY.total_seconds() + 1)
    assert await jobs.run_due_jobs(city.provider, stop)
    async with city.provider.db.read() as session:
        last = {run.name: run for run in await runs(session)}
    assert last["work"].rows == 3
    assert (last[jobs.LEASE].holder, last[jobs.LEASE].finished_at is not None) == (None, True)


async def test_a_process_that_lost_the_lease_stops(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    later = []

    async def slow(run: jobs.Run) -> int:
        clock.advance(EVERY.total_seconds() + LEASE.total_seconds())
        async with city.provider.db.write() as session:
            assert await take_lease(session, jobs.LEASE, new_id(), clock.now(), EVERY)
        return 0

    async def after(run: jobs.Run) -> int:
        later.append(run)
        return 0

    monkeypatch.setattr(jobs, "EXTEND_SECONDS", 0.0)
    monkeypatch.setattr(jobs, "JOBS", (jobs.Job("slow", slow), jobs.Job("after", after)))
    assert await jobs.run_due_jobs(city.provider, asyncio.Event())
    assert later == []
    async with city.provider.db.read() as session:
        held_by = {run.name: run.holder for run in await runs(session)}[jobs.LEASE]
    assert held_by not in (None, city.provider.process_id), "the other process still has it"


async def test_deletions_of_accounts_stop_and_extend_the_lease(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    async with city.provider.db.write() as session:
        names = (city.users["siti"], city.users["budi"])
        await session.execute(update(User).where(User.id.in_(names)).values(delete_at=clock.now()))
    deletions = next(job for job in jobs.JOBS if job.name == "delayed_requests")
    stop, delete = asyncio.Event(), jobs.delete_if_due

    async def delete_and_stop(*args: Any) -> None:
        await delete(*args)
        stop.set()

    monkeypatch.setattr(jobs, "delete_if_due", delete_and_stop)
    assert await deletions.work(jobs.Run(city.provider, stop)) == 1, "the run ends after the account"
    assert await deletions.work(jobs.Run(city.provider, stop)) == 0, "a run that is to stop begins no other one"
    async with city.provider.db.read() as session:
        left = (await session.execute(select(User.id).where(User.delete_at.is_not(None)))).scalars().all()
    assert len(left) == 1
    monkeypatch.setattr(jobs, "EXTEND_SECONDS", 0.0)
    with pytest.raises(jobs.LeaseLost):
        await deletions.work(jobs.Run(city.provider, leased=True))


async def test_a_large_number_is_estimated(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    people = select(User.id).where(User.deleted_at.is_(None))
    async with city.provider.db.read() as session:
        assert await count_roughly(session, people.order_by(User.id), people) == len(city.users)
        if not city.provider.db.is_sqlite:
            await session.execute(text("ANALYZE users"))
        monkeypatch.setattr(batches, "COUNT_EXACTLY", 2)
        assert await count_roughly(session, people.order_by(User.id), people) == len(city.users)
