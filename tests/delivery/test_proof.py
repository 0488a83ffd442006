"""The proof of an end: each application of a session, how it is told, and whether it has confirmed, truthfully."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from tests.ports import free_ports
from tests.support import City

from sso import clock
from sso.clients import store as clients
from sso.clients.metadata import ClientMetadata
from sso.identity.sessions.models import SsoSession
from sso.logout.delivery_report import DeliveryReport, NotifiedApplication, delivery_report_of
from sso.logout.end_sessions import end_sessions
from sso.platform.actor import Actor
from sso.platform.db import bump_version
from sso.platform.outbox.worker import pause_after


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    """Of 5, the default, Linux drops connections of a worker that opens more at once: each is tried again after 1, 3
    and 7 seconds, and a request has 5."""
    daemon_threads = True


class Receiver:
    """An application's server: answers what it is told to."""

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.got: list[str] = []
        self.before_answer: Callable[[str], Any] = lambda _: None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.got.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.before_answer(self.path)
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        # Not one that the system gives to connections: a test closes the port and listens there again.
        self.server = Server(("127.0.0.1", port or free_ports(1)), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    listener = Receiver()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"issuer": "http://localhost:8000", "outbound_networks": ["127.0.0.0/8"]}


async def add(city: City, client_id: str, **fields: Any) -> None:
    """Register an application of the city."""
    await add_all(city, {client_id: fields})


async def add_all(city: City, applications: Mapping[str, Mapping[str, Any]]) -> None:
    """Register applications of the city: what each is called, and its metadata."""
    now = clock.now()
    async with city.provider.db.write() as session:
        common = {"catalogue": "tests", "status": "active", "version": await bump_version(session, "clients")}
        rows = [{"client_id": name, "metadata": _stored(name, fields)} for name, fields in applications.items()]
        await clients.insert_clients(session, [{**row, **common, "created_at": now, "updated_at": now} for row in rows])
    await city.provider.refresh()


def _stored(client_id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    document = {"type": "web", "client_name": client_id.title(), "first_party": True, **fields}
    document.setdefault("redirect_uris", [f"https://{client_id}.example/cb"])
    return ClientMetadata.model_validate(document, context={"allow_http_loopback": True}).stored()


async def session_with(city: City, *client_ids: str) -> UUID:
    """Let somebody be signed in with these applications taking part, and return the session."""
    from sso.identity.sessions import store
    from sso.identity.sessions.store import open_client_session
    from sso.platform.db import new_id

    now, session_id = clock.now(), new_id()
    async with city.provider.db.write() as session:
        values = {"token_hash": session_id.bytes * 2, "created_at": now, "last_seen_at": now, "auth_time": now}
        values |= {"expires_at": now + timedelta(days=365), "acr": "x", "amr": []}
        await store.insert(session, {"id": session_id, "user_id": city.users["siti"], **values})
        for client_id in client_ids:
            await session.run_sync(
                lambda sync, name=client_id: open_client_session(sync, session_id, name, now, now - city.provider.idle)
            )
    return session_id


async def end(city: City, session_id: UUID, **options: Any) -> None:
    async with city.provider.db.write() as session:
        await end_sessions(session, city.provider, [session_id], "administrator", actor=Actor("ratna"), **options)


async def proof(city: City, session_id: UUID) -> DeliveryReport:
    async with city.provider.db.read() as session:
        report = await delivery_report_of(session, city.provider.registry, session_id)
    assert report is not None
    return report


def by_name(report: DeliveryReport) -> dict[str, NotifiedApplication]:
    return {application.client_id: application for application in report.applications}


async def test_each_application_is_named_truthfully(city: City, receiver: Receiver) -> None:
    await add(city, "belakang", backchannel_logout_uri=f"{receiver.origin}/belakang")
    await add(city, "depan", frontchannel_logout_uri="https://depan.example/fcl")
    await add(city, "segar")
    await add(city, "buta", grant_types=["authorization_code"])
    session_id = await session_with(city, "belakang", "depan", "segar", "buta")
    async with city.provider.db.read() as session:
        assert await delivery_report_of(session, city.provider.registry, session_id) is None, "it has not ended"
    await end(city, session_id)
    report = await proof(city, session_id)
    assert (report.person, report.reason, report.open) == ("Siti Rahmawati", "administrator", 1)
    assert {name: (entry.how, entry.state) for name, entry in by_name(report).items()} == {
        "belakang": ("back_channel", "waiting"),
        "depan": ("token_lifetime", "unconfirmed"),
        "segar": ("token_lifetime", "unconfirmed"),
        "buta": ("not_at_all", "unconfirmed"),
    }
    await city.site.worker.drain()
    report = await proof(city, session_id)
    application = by_name(report)["belakang"]
    assert (application.state, application.attempts, application.failure, report.open) == ("confirmed", 1, None, 0)
    assert application.notified_at is not None
    assert application.confirmed_at is not None
    assert report.seconds_to_last_confirmation is not None
    assert receiver.got == ["/belakang"]


async def test_with_the_persons_browser_there_the_front_channel_is_used(city: City) -> None:
    await add(city, "depan", frontchannel_logout_uri="https://depan.example/fcl")
    session_id = await session_with(city, "depan")
    await end(city, session_id, in_browser=True)
    assert by_name(await proof(city, session_id))["depan"].how == "front_channel"


@pytest.mark.parametrize("status", [400, 500, 302])
async def test_a_receiver_that_refuses_is_said_to_until_it_confirms(
    city: City, receiver: Receiver, status: int
) -> None:
    await add(city, "belakang", backchannel_logout_uri=f"{receiver.origin}/x")
    session_id = await session_with(city, "belakang")
    receiver.status = status
    await end(city, session_id)
    await city.site.worker.drain()
    application = by_name(await proof(city, session_id))["belakang"]
    assert (application.state, application.attempts) == ("waiting", 1)
    assert str(status) in (application.failure or "")
    first = application.notified_at
    receiver.status = 204
    clock.advance(pause_after(1) + 1)
    await city.site.worker.drain()
    report = await proof(city, session_id)
    application = by_name(report)["belakang"]
    assert (application.state, application.attempts, application.failure) == ("confirmed", 2, None)
    assert application.notified_at == first
    assert (report.seconds_to_last_confirmation or 0) > pause_after(1)


async def test_a_receiver_that_stays_away_is_given_up_and_shown(city: City, receiver: Receiver) -> None:
    await add(city, "belakang", backchannel_logout_uri=f"{receiver.origin}/x")
    session_id = await session_with(city, "belakang")
    receiver.server.shutdown()
    receiver.server.server_close()
    await end(city, session_id)
    await city.site.worker.drain()
    clock.advance(city.settings.delivery_retry_period + timedelta(seconds=1))
    await city.site.worker.drain()
    report = await proof(city, session_id)
    assert (by_name(report)["belakang"].state, report.open) == ("given_up", 0)
    assert report.seconds_to_last_confirmation is None
    receiver.server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=receiver.server.serve_forever, daemon=True).start()


async def test_122_applications_confirm(city: City, receiver: Receiver) -> None:
    names = [f"app{number}" for number in range(122)]
    await add_all(city, {name: {"backchannel_logout_uri": f"{receiver.origin}/{name}"} for name in names})
    session_id = await session_with(city, *names)
    await end(city, session_id)
    await city.site.worker.drain()
    report = await proof(city, session_id)
    assert {application.state for application in report.applications} == {"confirmed"}
    assert sorted(receiver.got) == sorted(f"/{name}" for name in names)
    assert report.seconds_to_last_confirmation is not None


async def test_a_session_that_is_ended_twice_has_one_end(city: City, receiver: Receiver) -> None:
    await add(city, "belakang", backchannel_logout_uri=f"{receiver.origin}/x")
    session_id = await session_with(city, "belakang")
    await end(city, session_id)
    first = (await proof(city, session_id)).ended_at
    clock.advance(5)
    await end(city, session_id)
    await city.site.worker.drain()
    report = await proof(city, session_id)
    assert (report.ended_at, len(receiver.got)) == (first, 1)
    async with city.provider.db.read() as session:
        assert len((await session.execute(select(SsoSession))).scalars().all()) == 1
