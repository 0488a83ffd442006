"""Servers that hang: Redis, a mail server and applications that accept connections and never answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.conftest import settings_for
from tests.hostile.test_limits import is_refusal
from tests.measured import DEFAULT_LIMITS, Record
from tests.ports import free_ports
from tests.support import PASSWORD, City
from tests.waiting import until, wait_for

from sso import clock
from sso.http.common.mail_delivery import send_message
from sso.identity.notifications import send
from sso.platform.outbox import Worker, enqueue, smtp
from sso.platform.outbox import worker as worker_module
from sso.platform.outbox.models import Delivery
from sso.platform.outbox.places import SLOW_SECONDS, Place
from sso.platform.security.outbound_http import Outbound
from sso.platform.security.rate_limits import Counts, RedisStorage, storage_for
from sso.platform.security.rate_limits.rules import Rule, TooManyFailures
from sso.settings import Settings

RECEIVERS, DEAD = 122, 61
MANY_MAILS = 1500
MAX_DELAY_SECONDS = 2.0
MAILS = 150
"""More than the places of a kind and the slow deliveries that the mail server can hold."""
PATIENT = dict.fromkeys(("rate_limit_command_timeout", "rate_limit_connect_timeout"), timedelta(minutes=1))
MAIL_SERVER = """
import signal, sys
from aiosmtpd.controller import Controller
class Keep:
    async def handle_DATA(self, server, session, envelope):
        with open(sys.argv[2], "a") as file:
            file.write(envelope.rcpt_tos[0] + "\\n")
        return "250 kept"
Controller(Keep(), hostname="127.0.0.1", port=int(sys.argv[1]), ready_timeout=60).start()
print("started", flush=True)
signal.pause()
"""


@contextlib.contextmanager
def server(command: list[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server and stop it at the end, also when it is suspended."""
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=log.parent)
    try:
        wait_for(port, process, log)
        yield process
    finally:
        process.kill()
        process.wait(60)


class Applications:
    """Applications that hang, and applications that answer at once."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.servers: list[asyncio.Server] = []
        self.notified: set[int] = set()

    async def open(self, count: int, dead: int) -> list[str]:
        """Return their URLs: every second one hangs."""
        for _ in range(count):
            listening = socket.create_server(("127.0.0.1", 0), backlog=64)
            listening.setblocking(False)
            self.sockets.append(listening)
        self.dead = self.sockets[: dead * 2 : 2]
        for listening in self.sockets:
            if listening not in self.dead:
                await self.answer(listening)
        return [f"http://127.0.0.1:{listening.getsockname()[1]}/logout" for listening in self.sockets]

    async def answer(self, listening: socket.socket) -> None:
        """Accept connections from now on, also those that wait already."""
        port = listening.getsockname()[1]

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            self.notified.add(port)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        self.servers.append(await asyncio.start_server(handle, sock=listening))

    def close(self) -> None:
        for running in self.servers:
            running.close()
        for listening in self.sockets:
            listening.close()


@pytest.fixture
async def applications() -> AsyncIterator[Applications]:
    receivers = Applications()
    yield receivers
    receivers.close()


async def pending(city: City) -> int:
    async with city.provider.db.read() as session:
        waiting = select(func.count()).select_from(Delivery).where(Delivery.status == "pending")
        return int((await session.execute(waiting)).scalar_one())


async def test_dead_applications_and_a_dead_mail_server_delay_no_notice(
    city: City,
    applications: Applications,
    tmp_path: Path,
    record_property: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """61 of 122 applications and the mail server hang for longer than the test lasts: no time limit helps."""
    monkeypatch.setattr(smtp, "TIMEOUT_SECONDS", 600.0)  # a mail that is cut off after it was kept is sent twice
    port = free_ports(1)
    mails = tmp_path / "mails"
    options = {"smtp_url": f"smtp://127.0.0.1:{port}", "outbound_timeout": "60s", "issuer": "http://localhost:8000"}
    settings = settings_for(city.settings.database_url, tmp_path, **options)
    urls = await applications.open(RECEIVERS, DEAD)
    outbound = Outbound(settings)

    async def tell(payload: Mapping[str, Any]) -> None:
        assert await outbound.post_form(payload["url"], {"logout_token": "x"}) == 200

    services = type("Services", (), {"settings": settings, "box": city.provider.box, "db": city.provider.db})()
    services.outbound = outbound
    handlers = {"message": send_message(services), "backchannel_logout": tell}
    worker = Worker(city.provider.db, settings, handlers)
    command = [sys.executable, "-c", MAIL_SERVER, str(port), str(mails)]
    with server(command, port, tmp_path / "smtp.log") as mail_server:
        # It listens before it has started, and would give up if it were stopped in between.
        await until(lambda: "started" in (tmp_path / "smtp.log").read_text())
        mail_server.send_signal(signal.SIGSTOP)
        async with city.provider.db.write() as session:
            for number in range(MAILS):
                send(session, services, "email", f"u{number}@warga.example", "code_sign_up", "id", code="123456")
        async with city.provider.db.write() as session:
            for url in urls:
                enqueue(session, "backchannel_logout", {"url": url}, receiver=url.split("/")[2])
        running = asyncio.create_task(worker.run())
        await until(lambda: len(applications.notified) == RECEIVERS - DEAD)
        assert not mails.exists()
        assert worker.places.slow > 0
        back = time.monotonic()
        # The rest arrives as soon as their servers answer: nothing was lost, and nothing is sent twice.
        for listening in applications.dead:
            await applications.answer(listening)
        mail_server.send_signal(signal.SIGCONT)
        await until(lambda: len(applications.notified) == RECEIVERS)
        await until(lambda: pending_is_zero(city), 60)
        record_property("seconds", time.monotonic() - back)
        worker.stop()
        await running
    await outbound.close()
    sent = mails.read_text().split()
    assert sorted(sent) == sorted(f"u{number}@warga.example" for number in range(MAILS))


class Hanging(Worker):
    """A worker whose deliveries hang or end at once, and whose time passes where the test says so."""

    def __init__(self, city: City) -> None:
        super().__init__(city.provider.db, city.settings, {"message": self._hang, "backchannel_logout": self._tell})
        self.notified: set[str] = set()
        self.hanging = 0
        self.sending: dict[Place, None] = {}
        self._take, self._leave = self.places.take, self.places.leave
        self.places.take, self.places.leave = self._taken, self._left  # type: ignore[method-assign]

    async def settle(self) -> None:
        """Work until everything that may be sent was sent or hangs."""
        while await self._round():
            await until(lambda: len(self._sending) == self.hanging)

    def let_the_slow_leave(self) -> None:
        """What ``SLOW_SECONDS`` does."""
        for place in list(self.sending):
            self._is_slow(place)

    async def end(self) -> None:
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _taken(self, *arguments: Any) -> Place | None:
        place = self._take(*arguments)
        if place is not None:
            self.sending[place] = None
        return place

    def _left(self, place: Place, *arguments: Any, **named: Any) -> None:
        del self.sending[place]
        self._leave(place, *arguments, **named)

    async def _hang(self, _: Mapping[str, Any]) -> None:
        self.hanging += 1
        await asyncio.Event().wait()

    async def _tell(self, payload: Mapping[str, Any]) -> None:
        if payload["dead"]:
            await self._hang(payload)
        self.notified.add(payload["application"])


async def test_what_hangs_delays_the_healthy_applications_by_less_than_two_seconds(
    city: City, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """1,500 mails and 61 of 122 applications hang, and nothing is known of any receiver. A healthy application waits
    only for slow deliveries that leave their places, so the times that this takes are its whole delay."""
    monkeypatch.setattr(worker_module, "SLOW_SECONDS", 3600.0)  # no timer: the test lets that time pass
    async with city.provider.db.write() as session:
        for number in range(MANY_MAILS):
            enqueue(session, "message", {"n": number}, receiver="mail")
    async with city.provider.db.write() as session:
        for number in range(RECEIVERS):
            payload = {"application": f"app{number}", "dead": number % 2 == 0}
            enqueue(session, "backchannel_logout", payload, receiver=f"app{number}.example", client_id=f"app{number}")
    worker, times = Hanging(city), 0
    await worker.settle()
    while len(worker.notified) < RECEIVERS - DEAD:
        assert times * SLOW_SECONDS < MAX_DELAY_SECONDS
        worker.let_the_slow_leave()
        await worker.settle()
        times += 1
    record_property("seconds", times * SLOW_SECONDS)
    assert times * SLOW_SECONDS < MAX_DELAY_SECONDS
    assert worker.hanging < MANY_MAILS, "the mails wait behind the mail server, and not in places"
    await worker.end()


async def pending_is_zero(city: City) -> bool:
    return await pending(city) == 0


@pytest.mark.parametrize("database_kind", ["sqlite"])  # the counters are in Redis and in memory
async def test_a_redis_that_is_stopped_costs_no_later_request_anything(
    city: City, tmp_path: Path, record_property: Record
) -> None:
    """After the first time limit nobody waits: requests are counted in the process, and in Redis again once it is
    back."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.fail("no redis-server on this machine: run `make deps`, which installs it")
    port = free_ports(1)
    settings = Settings(_env_file=None, rate_limit_storage=f"redis://127.0.0.1:{port}/0")  # type: ignore[call-arg]
    if not DEFAULT_LIMITS:
        settings = settings.model_copy(update=PATIENT)
    storage = storage_for(settings)
    assert isinstance(storage, RedisStorage)
    counts = Counts(storage, settings.rate_limit_retry_interval)
    city.provider.attempts._counts = counts
    calls = 0
    take, settle = counts.storage.take, counts.storage.settle

    async def counted_take(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return await take(*arguments)

    async def counted_settle(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        await settle(*arguments)

    counts.storage.take, counts.storage.settle = counted_take, counted_settle  # type: ignore[method-assign]
    with server([program, "--port", str(port), "--save", ""], port, tmp_path / "redis.log") as process:
        async with city.browser() as browser:
            page = await browser.open("/login")
            assert (await browser.submit(page, username="siti", password="x")).status_code == 400
            assert calls == 1
            os.kill(process.pid, signal.SIGSTOP)
            patience = storage._seconds
            if not DEFAULT_LIMITS:
                storage._seconds = 0.5  # it answers nothing, however long that is
            waits: list[float] = []
            for _ in range(10):
                began = time.monotonic()
                assert (await browser.submit(page, username="siti", password="x")).status_code == 400
                waits.append(time.monotonic() - began)
            record_property("seconds", max(waits))
            assert counts.breaker.is_open
            assert calls == 2, "one request waited, for one time limit"
            assert is_refusal(await browser.submit(page, username="siti", password="x")), "the limit holds"
        async with city.browser() as other:
            page = await other.open("/login")
            answer = await other.submit(page, username="budi", password=PASSWORD)
            assert answer.status_code < 400, "another person signs in meanwhile"
            assert calls == 2
        async with city.browser() as third:
            os.kill(process.pid, signal.SIGCONT)
            storage._seconds = patience

            async def is_back() -> bool:
                clock.advance(settings.rate_limit_retry_interval)
                await counts.count("x")
                return not counts.breaker.is_open

            await until(is_back)
            page = await third.open("/login")
            await third.submit(page, username="ratna", password="x")
            assert calls == 3
        await counts.close()


REFUSING = {
    "READONLY": (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
    "OOM": (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
    "NOREPLICAS": (["CONFIG", "SET", "min-replicas-to-write", "1"], ["CONFIG", "SET", "min-replicas-to-write", "0"]),
    "NOPERM": (["ACL", "SETUSER", "limits", "-evalsha", "-eval"], ["ACL", "SETUSER", "limits", "+evalsha", "+eval"]),
}
"""Errors of Redis that answers PING: the command that causes each, and the one that ends it."""


async def test_a_redis_that_refuses_to_write_is_left_alone_until_it_writes(tmp_path: Path) -> None:
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.fail("no redis-server on this machine: run `make deps`, which installs it")
    from redis.asyncio import Redis

    port = free_ports(1)
    with server([program, "--port", str(port), "--save", ""], port, tmp_path / "redis.log"):
        async with Redis(port=port) as admin:
            await admin.execute_command("ACL", "SETUSER", "limits", "on", ">geheim", "~*", "+@all")
            for error, (refuse, accept) in REFUSING.items():
                await admin.execute_command(*refuse)
                settings = Settings(_env_file=None, rate_limit_storage=f"redis://limits:geheim@127.0.0.1:{port}/0")  # type: ignore[call-arg]
                settings = settings.model_copy(update=PATIENT)
                counts = Counts(storage_for(settings), settings.rate_limit_retry_interval)
                rules = [Rule(f"{error}:x", 2, 60)]
                for _ in range(2):
                    await counts.take(rules)
                assert counts.breaker.is_open, error
                with pytest.raises(TooManyFailures):
                    await counts.take(rules)
                assert not await counts.storage.check(), f"{error}: it must not be asked by a request again"
                await admin.execute_command(*accept)
                assert await counts.storage.check(), error
                await counts.close()


LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"


async def test_a_redis_that_is_loading_is_left_alone() -> None:
    commands = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while command := await reader.read(65_536):
            commands.append(command)
            writer.write(LOADING)
        writer.close()

    loading = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = loading.sockets[0].getsockname()[1]
    settings = Settings(_env_file=None, rate_limit_storage=f"redis://127.0.0.1:{port}/0")  # type: ignore[call-arg]
    counts = Counts(storage_for(settings.model_copy(update=PATIENT)))
    await counts.take([Rule("x", 2, 60)])
    assert counts.breaker.is_open
    before = len(commands)
    await counts.take([Rule("x", 2, 60)])
    assert len(commands) == before
    with pytest.raises(TooManyFailures):
        await counts.take([Rule("x", 2, 60)])
    assert not await counts.storage.check()
    await counts.close()
    loading.close()
