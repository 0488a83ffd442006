"""The outbox: sent once it is due, retried with growing pauses, given up in the end, never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt
import pytest
from sqlalchemy import select
from tests.support import ISSUER, City

from sso import clock
from sso.identity.sessions.models import SsoSession
from sso.jobs import clear_up
from sso.logout.end_sessions import LOGOUT_EVENT, logout_token
from sso.platform.outbox import Abandon, Worker, enqueue
from sso.platform.outbox import store as deliveries
from sso.platform.outbox import worker as worker_module
from sso.platform.outbox.models import Delivery
from sso.platform.outbox.worker import pause_after


async def put(city: City, *kinds: str) -> None:
    async with city.provider.db.write() as session:
        for number, kind in enumerate(kinds):
            enqueue(session, kind, {"n": number}, client_id="warga")


async def statuses(city: City) -> list[tuple[str, int]]:
    async with city.provider.db.read() as session:
        rows = (await session.execute(select(Delivery).order_by(Delivery.id))).scalars()
        return [(delivery.status, delivery.attempts) for delivery in rows]


async def test_what_is_due_is_sent_once(city: City) -> None:
    sent: list[Any] = []

    async def handle(payload: Mapping[str, Any]) -> None:
        sent.append(payload["n"])

    await put(city, "x", "x", "x")
    workers = [Worker(city.provider.db, city.settings, {"x": handle}) for _ in range(4)]
    await asyncio.gather(*(worker.drain() for worker in workers))
    assert sorted(sent) == [0, 1, 2]
    assert await statuses(city) == [("done", 1)] * 3


async def test_a_failure_is_tried_again_later_and_given_up_in_the_end(city: City) -> None:
    tries: list[float] = []

    async def handle(_: Mapping[str, Any]) -> None:
        tries.append(clock.now().timestamp())
        raise RuntimeError("no answer")

    await put(city, "x")
    worker = Worker(city.provider.db, city.settings, {"x": handle})
    await worker.drain()
    await worker.drain()
    assert await statuses(city) == [("pending", 1)]
    for expected in (2, 3, 4):
        clock.advance(pause_after(expected - 1) + 1)
        await worker.drain()
        assert await statuses(city) == [("pending", expected)]
    clock.advance(city.settings.delivery_retry_period)
    await worker.drain()
    assert await statuses(city) == [("given_up", 5)]
    async with city.provider.db.read() as session:
        assert await deliveries.counts(session) == {"given_up": 1}


async def test_what_cannot_help_is_not_tried_again(city: City) -> None:
    async def handle(_: Mapping[str, Any]) -> None:
        raise Abandon("gone")

    await put(city, "x", "unknown kind")
    await Worker(city.provider.db, city.settings, {"x": handle}).drain()
    assert await statuses(city) == [("given_up", 1)] * 2


async def test_a_process_that_dies_loses_nothing(city: City) -> None:
    await put(city, "x")
    async with city.provider.db.write() as session:
        assert len(await deliveries.claim(session, 10, lease_seconds=40)) == 1
    sent: list[int] = []

    async def handle(payload: Mapping[str, Any]) -> None:
        sent.append(1)

    worker = Worker(city.provider.db, city.settings, {"x": handle})
    await worker.drain()
    assert sent == [], "another process may be at it"
    clock.advance(41)
    await worker.drain()
    assert sent == [1]


async def test_a_slow_receiver_delays_nobody(city: City) -> None:
    release = asyncio.Event()
    sent: list[int] = []

    async def slow(_: Mapping[str, Any]) -> None:
        await release.wait()

    async def fast(payload: Mapping[str, Any]) -> None:
        sent.append(payload["n"])
        if len(sent) == 3:
            release.set()

    await put(city, "slow", "fast", "fast", "fast")
    worker = Worker(city.provider.db, city.settings, {"slow": slow, "fast": fast})
    async with asyncio.timeout(60):
        await worker.drain()
    assert await statuses(city) == [("done", 1)] * 4


@pytest.mark.parametrize("client_id", ["warga", "mitra"])
async def test_a_logout_token_has_the_form_of_the_specification(city: City, client_id: str) -> None:
    token = logout_token(city.provider, client_id, "the-sid", city.users["siti"])
    assert jwt.get_unverified_header(token)["typ"] == "logout+jwt"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["iss"] == ISSUER
    assert claims["aud"] == client_id
    assert claims["sid"] == "the-sid"
    assert claims["events"] == {LOGOUT_EVENT: {}}
    assert claims["exp"] - claims["iat"] <= 120
    assert claims["jti"]
    assert "nonce" not in claims
    client = city.provider.registry.get(client_id)
    assert client is not None
    assert claims["sub"] == city.provider.subject(client, city.users["siti"])


async def test_a_session_whose_time_is_over_is_ended_and_its_applications_are_told(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
    clock.advance(city.settings.session_lifetime + timedelta(seconds=1))
    await clear_up(city.provider)
    async with city.provider.db.read() as session:
        ended = (await session.execute(select(SsoSession))).scalar_one()
        assert ended.end_reason == "expired"
        assert (await session.execute(select(Delivery.client_id))).scalars().all() == ["warga"]


async def test_clearing_up_keeps_what_is_alive(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid offline_access")
        clock.advance(3 * 86400)
        await clear_up(city.provider)
        tokens = await party.refresh(tokens["refresh_token"])
        assert tokens.status == 200
        clock.advance(city.settings.refresh_token_lifetime + timedelta(days=1))
        await clear_up(city.provider)
    async with city.provider.db.read() as session:
        from sqlalchemy import func

        from sso.oidc.store.models import Grant, RefreshToken

        assert (await session.execute(select(func.count()).select_from(Grant))).scalar_one() == 0
        assert (await session.execute(select(func.count()).select_from(RefreshToken))).scalar_one() == 0


async def test_one_receiver_gets_so_many_at_once_and_no_more(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much waits for a host that hangs, the others are told at once."""
    monkeypatch.setattr(worker_module, "SLOW_SECONDS", 60.0)  # on a busy machine the host would be in doubt before
    hanging, release = 0, asyncio.Event()
    maximum, notified = 0, []

    async def handle(payload: Mapping[str, Any]) -> None:
        nonlocal hanging, maximum
        if payload["to"] != "slow.example":
            notified.append(payload["to"])
            return
        hanging += 1
        maximum = max(maximum, hanging)
        if maximum == city.settings.delivery_concurrency_per_host:
            assert len(notified) == 30
            release.set()
        await release.wait()
        hanging -= 1

    async with city.provider.db.write() as session:
        for number in range(40):  # more than are sent at once
            enqueue(session, "x", {"to": "slow.example", "n": number}, receiver="slow.example")
        for number in range(30):
            enqueue(session, "x", {"to": f"app{number}.example"}, receiver=f"app{number}.example")
    worker = Worker(city.provider.db, city.settings, {"x": handle})
    async with asyncio.timeout(60):
        await worker.drain()
    assert (len(notified), maximum) == (30, city.settings.delivery_concurrency_per_host)
    assert {status for status, _ in await statuses(city)} == {"done"}


async def test_what_failed_together_does_not_come_back_together(city: City) -> None:
    async def handle(_: Mapping[str, Any]) -> None:
        raise RuntimeError("no answer")

    await put(city, *["x"] * 20)
    await Worker(city.provider.db, city.settings, {"x": handle}).drain()
    async with city.provider.db.read() as session:
        times = (await session.execute(select(Delivery.next_attempt_at))).scalars().all()
    assert len({time.replace(microsecond=time.microsecond // 1000 * 1000) for time in times}) > 10
    assert max(times) <= clock.now() + timedelta(seconds=pause_after(1))
