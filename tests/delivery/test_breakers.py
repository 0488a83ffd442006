"""Receivers that do not answer: what waits for them is sent later, given up in the end, or sent elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from tests.support import City
from tests.waiting import stand_still, until

from sso import clock
from sso.identity.notifications import notify
from sso.identity.users.models import User
from sso.platform.audit.models import AuditEvent
from sso.platform.db import DatabaseUnavailable
from sso.platform.outbox import MAIL, SMS, OtherReceiver, ReceiverAnswered, Worker, enqueue, store, worker
from sso.platform.outbox.models import Delivery
from sso.platform.outbox.places import FAILURES


async def put(city: City, count: int, receiver: str | None = "app.example", client_id: str = "warga") -> None:
    async with city.provider.db.write() as session:
        for number in range(count):
            enqueue(session, "x", {"n": number, "client_id": client_id}, client_id=client_id, receiver=receiver)


async def all_deliveries(city: City) -> list[Delivery]:
    async with city.provider.db.read() as session:
        return list((await session.execute(select(Delivery).order_by(Delivery.id))).scalars())


async def test_a_receiver_that_does_not_answer_is_tried_once_after_each_pause_and_loses_nothing(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_still(monkeypatch)  # the first pause is a second
    tried: list[int] = []
    away = True

    async def handle(payload: Mapping[str, Any]) -> None:
        tried.append(payload["n"])
        if away:
            raise TimeoutError

    await put(city, 20)
    worker = Worker(city.provider.db, city.settings, {"x": handle})
    await worker.drain()
    assert tried == list(range(8)), "as many as one host gets at the same time"
    await worker.drain()
    assert len(tried) == 8
    clock.advance(1)
    await worker.drain()
    assert tried[8:] == [8], "the oldest that was not tried"
    away = False
    clock.advance(120)
    await worker.drain()
    assert sorted(set(tried)) == list(range(20))
    assert {delivery.status for delivery in await all_deliveries(city)} == {"done"}
    assert not worker.places.open_breakers()


async def test_an_application_that_refuses_one_notice_gets_the_others_at_once(city: City) -> None:
    """It answers, so no breaker opens: what waits behind a notice that it cannot read is not delayed."""
    accepted: list[int] = []

    async def handle(payload: Mapping[str, Any]) -> None:
        if payload["n"] < 10:
            raise ReceiverAnswered("it answered 500", 500)
        accepted.append(payload["n"])

    await put(city, 20)
    worker = Worker(city.provider.db, city.settings, {"x": handle})
    await worker.drain()
    assert accepted == list(range(10, 20))


async def test_what_waits_too_long_behind_an_open_breaker_is_given_up_with_an_event(city: City) -> None:
    async def handle(_: Mapping[str, Any]) -> None:
        raise ReceiverAnswered("it answered 503", 503)

    await put(city, 12)
    worker = Worker(city.provider.db, city.settings, {"x": handle})
    await worker.drain()
    clock.advance(city.settings.delivery_retry_period)
    await put(city, 1)
    await worker.drain()
    statuses = [delivery.status for delivery in await all_deliveries(city)]
    assert statuses == ["given_up"] * 12 + ["pending"], "one attempt was enough to give up all of them"
    async with city.provider.db.read() as session:
        events = (await session.execute(select(AuditEvent).where(AuditEvent.type == "delivery.given_up"))).scalars()
        assert len(list(events)) == 12


async def test_an_application_that_fails_delays_no_other_at_the_same_host(city: City) -> None:
    """Nor are the others' notices given up with its own."""
    accepted: list[int] = []

    async def handle(payload: Mapping[str, Any]) -> None:
        if payload["client_id"] != "warga":
            raise ReceiverAnswered("it answered 503", 503)
        accepted.append(payload["n"])

    await put(city, 30, client_id="pajak")
    worker = Worker(city.provider.db, city.settings, {"x": handle})
    await worker.drain()
    assert worker.places.open_breakers() == {"x": 1}
    await put(city, 20)
    await worker.drain()
    assert sorted(accepted) == list(range(20)), "in one round, although the breaker of the first one is open"
    clock.advance(city.settings.delivery_retry_period)
    await put(city, 1)
    await worker.drain()
    given_up = [delivery for delivery in await all_deliveries(city) if delivery.status == "given_up"]
    assert {delivery.client_id for delivery in given_up} == {"pajak"}


async def test_a_database_that_is_away_opens_no_breaker(city: City) -> None:
    async def handle(_: Mapping[str, Any]) -> None:
        raise DatabaseUnavailable("it is stopping")

    await put(city, FAILURES + 1)
    worker = Worker(city.provider.db, city.settings, {"x": handle})
    await worker.drain()
    assert not worker.places.open_breakers()


async def test_a_receiver_that_cannot_be_stored_leaves_the_delivery_to_its_lease(
    city: City, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def change_receiver(*_: object) -> None:
        raise DatabaseUnavailable("it is stopping")

    async def handle(_: Mapping[str, Any]) -> None:
        raise OtherReceiver("other.example")

    monkeypatch.setattr("sso.platform.outbox.store.change_receiver", change_receiver)
    await put(city, 1)
    worker = Worker(city.provider.db, city.settings, {"x": handle})
    await worker.drain()
    assert "the receiver of a delivery could not be changed" in caplog.text
    (delivery,) = await all_deliveries(city)
    assert (delivery.status, worker.places.used) == ("pending", 0)


async def test_a_notice_that_goes_by_sms_does_not_wait_for_the_mail_server(city: City) -> None:
    tried: list[str] = []

    async def handle(payload: Mapping[str, Any]) -> None:
        tried.append(payload["receiver"])
        if payload["receiver"] == MAIL:
            raise OtherReceiver(SMS)

    settings = city.settings.model_copy(update={"development_outbox": True})
    async with city.provider.db.write() as session:
        user = await session.get(User, city.users["siti"])
        assert user is not None
        services = type("Services", (), {"settings": settings, "box": city.provider.box})()
        notify(session, services, user, "password_changed")
    await Worker(city.provider.db, settings, {"notice": handle}).drain()
    (delivery,) = await all_deliveries(city)
    assert (tried, delivery.receiver, delivery.status, delivery.attempts) == ([MAIL, SMS], SMS, "done", 1)


async def test_a_delivery_whose_receiver_changes_again_and_again_is_a_failure(city: City) -> None:
    """As while two releases run that disagree: it must not go round without a pause and without an end."""
    tried: list[str] = []

    async def handle(payload: Mapping[str, Any]) -> None:
        tried.append(payload.get("receiver", ""))
        raise OtherReceiver("b.example" if payload.get("receiver") == "a.example" else "a.example")

    await put(city, 1)
    await Worker(city.provider.db, city.settings, {"x": handle}).drain()
    (delivery,) = await all_deliveries(city)
    assert (delivery.status, delivery.attempts) == ("pending", 1)
    assert delivery.next_attempt_at > clock.now()
    assert delivery.last_error == "its receiver changed 3 times"
    assert len(tried) == 4


async def test_what_becomes_due_while_a_round_ends_is_sent(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    look = store.is_any_due

    async def handle(payload: Mapping[str, Any]) -> None:
        tried.append(payload["receiver"])
        if payload["receiver"] == MAIL:
            raise OtherReceiver(SMS)

    async def look_slowly(session: AsyncSession, full: store.Full) -> bool:
        due = await look(session, full)
        sending = [task for task in asyncio.all_tasks() if "_send_at" in repr(task.get_coro())]
        if sending:
            await asyncio.wait(sending)
        return due

    monkeypatch.setattr(store, "is_any_due", look_slowly)
    await put(city, 1, receiver=MAIL)
    await Worker(city.provider.db, city.settings, {"x": handle}).drain()
    assert tried == [MAIL, SMS]


async def test_the_webhooks_of_busy_teams_delay_no_other_team(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four teams have more events than a claim looks at, and take every place; the receiver of a fifth is dead."""
    monkeypatch.setattr(store, "MAX_CANDIDATES", 20)
    monkeypatch.setattr(worker, "SLOW_SECONDS", 600)
    stand_still(monkeypatch)
    begun: list[str] = []
    gate = asyncio.Semaphore(0)

    async def send(payload: Mapping[str, object]) -> None:
        begun.append(str(payload["team"]))
        if payload["team"] == "mati":
            raise ConnectionError("no answer")
        await gate.acquire()

    async def add(team: str, count: int) -> None:
        async with city.provider.db.write() as session:
            for _ in range(count):
                payload = {"team": team}
                enqueue(session, "application_webhook", payload, client_id=team, receiver=f"{team}.example")

    await add("mati", 25)
    for team in ("satu", "dua", "tiga", "empat"):
        await add(team, 30)
    sends = Worker(city.provider.db, city.settings, {"application_webhook": send})
    running = asyncio.create_task(sends.run())
    await until(lambda: sends.places.used == 32)
    assert sends.places.open_breakers() == {"application_webhook": 1}, "each team has a breaker of its own"
    assert begun.count("mati") < 10
    await add("lima", 3)
    for _ in range(3):
        before = len(begun)
        gate.release()
        await until(lambda: len(begun) > before)  # noqa: B023
    assert begun.count("lima") >= 1, "a place that is freed goes to a team that has none, though 90 wait before it"
    for _ in range(150):
        gate.release()
    await until(lambda: begun.count("lima") == 3)
    sends.stop()
    await running
