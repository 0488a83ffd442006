"""Ending very many sessions: some at a time, by any process, watched and stopped."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.support import City
from tests.waiting import until

from sso import clock
from sso.identity.sessions.models import SessionClient, SsoSession
from sso.identity.sessions.store import SessionFilter
from sso.jobs import run_jobs
from sso.logout import bulk
from sso.logout.bulk import PART, begin, endings, get_ending, stop_ending, work, work_once
from sso.oidc.models import BulkRevocation
from sso.platform.actor import Actor
from sso.platform.db import new_id, table_of
from sso.platform.outbox.models import Delivery


async def fill(city: City, count: int, client_id: str = "warga", who: str = "siti") -> None:
    """Let somebody be signed in at many browsers, with an application taking part in each."""
    now = clock.now()
    about: dict[str, Any] = {
        "created_at": now,
        "last_seen_at": now,
        "auth_time": now,
        "expires_at": now + timedelta(days=1),
    }
    rows: list[dict[str, Any]] = [
        {
            "id": (session_id := new_id()),
            "token_hash": session_id.bytes * 2,
            "user_id": city.users[who],
            "acr": "x",
            "amr": [],
            **about,
        }
        for _ in range(count)
    ]
    parts = [
        {
            "session_id": row["id"],
            "client_id": client_id,
            "sid": row["id"].hex,
            "first_used_at": now,
            "last_used_at": now,
        }
        for row in rows
    ]
    async with city.provider.db.write() as session:
        await session.execute(table_of(SsoSession).insert(), rows)
        await session.execute(table_of(SessionClient).insert(), parts)


async def active(city: City) -> int:
    async with city.provider.db.read() as session:
        statement = select(func.count()).select_from(SsoSession).where(SsoSession.ended_at.is_(None))
        return int((await session.execute(statement)).scalar_one())


async def notices(city: City) -> int:
    async with city.provider.db.read() as session:
        return int((await session.execute(select(func.count()).select_from(Delivery))).scalar_one())


async def started(city: City, session_filter: SessionFilter = SessionFilter()) -> BulkRevocation:
    async with city.provider.db.write() as session:
        return await begin(session, session_filter, "administrator", actor=Actor("ratna"))


async def test_all_are_ended_part_by_part_and_every_application_is_told_once(city: City) -> None:
    await fill(city, 250)
    begun = await started(city)
    assert (begun.total, begun.status) == (250, "running")
    seen = []
    while (now := await work_once(city.provider)) is not None:
        seen.append((now.ended, now.status))
        assert await active(city) == 250 - now.ended
    assert seen == [(PART, "running"), (2 * PART, "running"), (250, "done")]
    assert await notices(city) == 250


async def test_sessions_that_begin_later_go_on(city: City) -> None:
    await fill(city, 120)
    await started(city)
    clock.advance(1)
    await fill(city, 30)
    await work(city.provider, asyncio.Event())
    assert await active(city) == 30


async def test_only_those_that_are_meant_are_ended(city: City) -> None:
    await fill(city, 20, "warga", "siti")
    await fill(city, 30, "sehat", "budi")
    begun = await started(city, SessionFilter(client_id="sehat"))
    assert begun.total == 30
    await work(city.provider, asyncio.Event())
    assert await active(city) == 20
    await started(city, SessionFilter(user_id=city.users["siti"]))
    await work(city.provider, asyncio.Event())
    assert await active(city) == 0


async def test_two_processes_at_once_end_each_session_once(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PART", 20)
    await fill(city, 90)
    begun = await started(city)
    await asyncio.gather(*(work(city.provider, asyncio.Event()) for _ in range(4)))
    while await work_once(city.provider) is not None:
        pass
    async with city.provider.db.read() as session:
        ending = await get_ending(session, begun.id)
    assert ending is not None
    assert (ending.ended, ending.status) == (90, "done")
    assert await notices(city) == 90


async def test_it_is_stopped_and_what_is_over_stays_over(city: City) -> None:
    await fill(city, 300)
    begun = await started(city)
    await work_once(city.provider)
    async with city.provider.db.write() as session:
        assert await stop_ending(session, begun.id, actor=Actor("ratna"))
    async with city.provider.db.write() as session:
        assert not await stop_ending(session, begun.id, actor=Actor("ratna")), "it was stopped"
    assert await work_once(city.provider) is None
    assert await active(city) == 200
    async with city.provider.db.read() as session:
        assert [(ending.status, ending.ended) for ending in await endings(session, 10)] == [("stopped", PART)]


@pytest.mark.parametrize("overrides", [{"sessions_per_user": 0}])
async def test_people_sign_in_meanwhile_and_a_server_goes_on_with_what_was_begun(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PART", 20)
    await fill(city, 200)
    await started(city)
    stop, parts = asyncio.Event(), 0

    def after_part() -> None:
        nonlocal parts
        parts += 1

    house = asyncio.create_task(run_jobs(city.provider, stop, after_part))
    async with city.browser() as browser, asyncio.timeout(60):
        tokens = await browser.tokens(city.relying_party("warga"))

        async def is_done() -> bool:
            return await active(city) <= 1

        await until(is_done, 60)
        assert (await city.relying_party("warga").userinfo(tokens["access_token"])).status_code == 200
    stop.set()
    await house
    assert parts >= 10
