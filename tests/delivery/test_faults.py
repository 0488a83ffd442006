"""What goes wrong between the end of a session and the last confirmation, and that nothing is lost by it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url
from tests.delivery.test_proof import Receiver, add, add_all, by_name, end, proof, session_with
from tests.support import City, environment_of

from sso import clock
from sso.accounts.administration import disable_user, enable_user
from sso.identity.users.service import find
from sso.logout.end_sessions import BACKCHANNEL_LOGOUT, backchannel_logout
from sso.platform.actor import Actor
from sso.platform.outbox import Worker

SSO = str(Path(sys.executable).with_name("sso"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    listener = Receiver()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"issuer": "http://localhost:8000", "outbound_networks": ["127.0.0.0/8"]}


async def test_a_receiver_that_is_down_is_told_once_it_is_up(city: City, receiver: Receiver) -> None:
    await add(city, "belakang", backchannel_logout_uri=f"{receiver.origin}/x")
    session_id = await session_with(city, "belakang")
    receiver.server.shutdown()
    receiver.server.socket.close()
    await end(city, session_id)
    for _ in range(3):
        await city.site.worker.drain()
        clock.advance(3600)
    application = by_name(await proof(city, session_id))["belakang"]
    assert (application.state, application.attempts) == ("waiting", 3)
    assert application.failure is not None
    back = Receiver(port=receiver.server.server_address[1])
    await city.site.worker.drain()
    application = by_name(await proof(city, session_id))["belakang"]
    assert (application.state, application.attempts, application.failure) == ("confirmed", 4, None)
    assert back.got == ["/x"]
    back.server.shutdown()
    back.server.server_close()


@pytest.mark.parametrize(
    "overrides",
    [{"issuer": "http://localhost:8000", "outbound_networks": ["127.0.0.0/8"], "outbound_timeout": "3s"}],
)
async def test_a_receiver_that_hangs_is_given_up_on_for_now_and_delays_nobody(city: City, receiver: Receiver) -> None:
    release = threading.Event()
    receiver.before_answer = lambda path: release.wait(60) if path == "/gantung" else None
    await add(city, "gantung", backchannel_logout_uri=f"{receiver.origin}/gantung")
    other = Receiver()
    await add(city, "cepat", backchannel_logout_uri=f"{other.origin}/cepat")
    session_id = await session_with(city, "gantung", "cepat")
    await end(city, session_id)
    await city.site.worker.drain()
    applications = by_name(await proof(city, session_id))
    assert (applications["cepat"].state, applications["gantung"].state) == ("confirmed", "waiting")
    assert "Timeout" in (applications["gantung"].failure or "")
    assert applications["cepat"].confirmed_at is not None
    release.set()
    clock.advance(10)
    await city.site.worker.drain()
    assert by_name(await proof(city, session_id))["gantung"].state == "confirmed"
    other.server.shutdown()
    other.server.server_close()


async def test_a_worker_that_is_killed_between_sending_and_recording_loses_nothing(
    city: City, receiver: Receiver, tmp_path: Path
) -> None:
    """The notice arrives a second time rather than never: a logout token that was used already is harmless."""
    await add(city, "belakang", backchannel_logout_uri=f"{receiver.origin}/x")
    session_id = await session_with(city, "belakang")
    await end(city, session_id)
    environment = environment_of(
        tmp_path,
        SSO_ISSUER=city.settings.issuer,
        SSO_DATABASE_URL=city.settings.database_url,
        SSO_OUTBOUND_NETWORKS="127.0.0.0/8",
    )
    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen([SSO, "worker"], env=environment, cwd=tmp_path, stdout=log, stderr=log)
    receiver.before_answer = lambda _: process.send_signal(signal.SIGKILL)
    try:
        assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL, (tmp_path / "worker.log").read_text()
    finally:
        process.kill()  # or it would work on the database of a later test
    receiver.before_answer = lambda _: None
    application = by_name(await proof(city, session_id))["belakang"]
    assert (application.state, application.attempts) == ("waiting", 1), "nobody claims what nobody knows"
    await city.site.worker.drain()
    assert receiver.got == ["/x"], "as long as the other may live it is left alone"
    clock.advance(60)
    await city.site.worker.drain()
    application = by_name(await proof(city, session_id))["belakang"]
    assert (application.state, application.attempts) == ("confirmed", 2)
    assert receiver.got == ["/x", "/x"]


async def test_two_workers_send_each_notice_once(city: City, receiver: Receiver) -> None:
    names = [f"app{number}" for number in range(40)]
    await add_all(city, {name: {"backchannel_logout_uri": f"{receiver.origin}/{name}"} for name in names})
    await end(city, await session_with(city, *names))
    handlers = {BACKCHANNEL_LOGOUT: backchannel_logout(city.provider)}
    workers = [Worker(city.provider.db, city.settings, handlers) for _ in range(2)]
    await asyncio.gather(*(worker.drain() for worker in workers))
    for _ in range(5):  # on a busy machine a connection can fail: it is tried again later
        if len(receiver.got) < len(names):
            clock.advance(3600)
            await asyncio.gather(*(worker.drain() for worker in workers))
    assert sorted(receiver.got) == sorted(f"/{name}" for name in names)


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_a_database_that_is_restarted_in_between(city: City, receiver: Receiver) -> None:
    """It goes away while a notice is on its way: the result cannot be kept, so it is sent again."""
    await add(city, "belakang", backchannel_logout_uri=f"{receiver.origin}/x")
    session_id = await session_with(city, "belakang")
    await end(city, session_id)
    url = make_url(city.settings.database_url)

    async def run(*statements: str) -> None:
        connection = await asyncpg.connect(user=url.username, database="postgres", host=str(url.query["host"]))
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    def restart(_: str) -> None:
        asyncio.run(
            run(
                f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS false',
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}'",
            )
        )

    receiver.before_answer = restart
    await city.site.worker._round()
    await asyncio.wait(city.site.worker._sending)
    receiver.before_answer = lambda _: None
    await run(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS true')
    assert by_name(await proof(city, session_id))["belakang"].state == "waiting"
    clock.advance(60)
    await city.site.worker.drain()
    assert by_name(await proof(city, session_id))["belakang"].state == "confirmed"
    assert receiver.got == ["/x", "/x"]


async def test_a_session_that_is_ended_twice_at_once_has_one_end(city: City, receiver: Receiver) -> None:
    await add(city, "belakang", backchannel_logout_uri=f"{receiver.origin}/x")
    session_id = await session_with(city, "belakang")
    await asyncio.gather(*(end(city, session_id) for _ in range(8)))
    await city.site.worker.drain()
    assert receiver.got == ["/x"]


async def test_a_person_who_is_disabled_in_the_middle_of_a_code_exchange_has_nothing(city: City) -> None:
    """Whichever comes first: afterwards no token of theirs works, and nothing new comes from what they got."""
    party = city.relying_party("sehat")

    async def disable() -> None:
        async with city.provider.db.write() as session:
            await disable_user(session, city.provider, await find(session, "siti"), actor=Actor("test"))

    for round_ in range(4):  # each order twice
        async with city.browser() as browser:
            code = await browser.code(party)
        if round_ % 2:
            tokens, _ = await asyncio.gather(party.exchange(code), disable())
        else:
            _, tokens = await asyncio.gather(disable(), party.exchange(code))
        if tokens.status == 200:
            assert (await party.introspect(tokens["access_token"])) == {"active": False}
            assert (await party.userinfo(tokens["access_token"])).status_code == 401
            assert (await party.refresh(tokens["refresh_token"])).status == 400
        else:
            assert (tokens.status, tokens.body["error"]) == (400, "invalid_grant")
        assert (await party.exchange(code)).status == 400
        async with city.provider.db.write() as session:
            await enable_user(session, city.provider, await find(session, "siti"), actor=Actor("test"))
        if tokens.status == 200:
            assert (await party.introspect(tokens["access_token"])) == {"active": False}, "enabled is not undone"
