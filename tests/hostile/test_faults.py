"""Faults lose nothing: kill -9, a stop in the middle, two hosts on one database, a database that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from tests.commands import run_command
from tests.conftest import run_apart, settings_for
from tests.databases import Databases
from tests.interop.conftest import SSO
from tests.measured import Record
from tests.ports import free_ports
from tests.support import PASSWORD, QUICK_HASHES, City, environment_of, form_of, query_of
from tests.waiting import listens, until, wait_for

from sso import clock
from sso.app import create_app
from sso.platform.db import bump_version
from sso.platform.keys import rotate


@asynccontextmanager
async def another_host(city: City, tmp_path: Path) -> AsyncIterator[City]:
    """A second process's application on the same database."""
    (tmp_path / "other").mkdir()
    url = str(city.settings.database_url)
    settings = settings_for(url, tmp_path / "other", registry_poll_interval="100ms")
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield City(app, settings, city.secrets, city.users)


async def test_what_one_host_gives_the_other_accepts_and_ends(city: City, tmp_path: Path) -> None:
    async with another_host(city, tmp_path) as other, city.browser() as browser:
        here, there = city.relying_party("warga"), other.relying_party("warga")
        there.verifier, there.state, there.nonce = here.verifier, here.state, here.nonce
        tokens = await there.exchange(await browser.code(here))
        assert tokens.status == 200
        newer = await here.refresh(tokens["refresh_token"])
        retried = await there.refresh(tokens["refresh_token"])
        assert retried["refresh_token"] == newer["refresh_token"]
        assert (await there.userinfo(newer["access_token"])).status_code == 200
        await browser.submit(await browser.open("/logout"))
        assert (await there.userinfo(newer["access_token"])).status_code == 401
        assert (await there.refresh(newer["refresh_token"])).status == 400


async def test_one_code_on_two_hosts_at_once_is_used_once(city: City, tmp_path: Path) -> None:
    async with another_host(city, tmp_path) as other, city.browser() as browser:
        here, there = city.relying_party("warga"), other.relying_party("warga")
        there.verifier = here.verifier
        for _ in range(3):
            code = await browser.code(here)
            answers = await asyncio.gather(*(party.exchange(code) for party in (here, there) * 5))
            assert sorted(answer.status for answer in answers) == [200] + [400] * 9
            won = next(answer for answer in answers if answer.status == 200)
            assert (await here.userinfo(won["access_token"])).status_code == 401


async def test_changes_of_clients_and_keys_reach_every_host(city: City, tmp_path: Path) -> None:
    from sso.clients import store

    async with another_host(city, tmp_path) as other:
        async with city.provider.db.write() as session:
            await store.lock_client(session, "padam")
            version = await bump_version(session, "clients")
            await store.update_client(session, "padam", version, clock.now(), status="suspended")
            await rotate(session, city.provider.box, force=True)
        await until(lambda: other.provider.registry.enabled("padam") is None)
        await until(lambda: {"next", "retired"} <= {key.status for key in other.provider.keys._by_kid.values()})
        async with other.browser() as browser:
            assert (await browser.tokens(other.relying_party("warga"))).status == 200


@pytest.mark.parametrize("database_kind", ["postgresql"])  # an embedded database does not go away by itself
async def test_a_database_that_goes_away_and_comes_back(city: City) -> None:
    party = city.relying_party("warga")
    name = city.provider.db.url.database
    admin = city.provider.db.url.set(database="postgres")
    import asyncpg

    async def run(statement: str) -> None:
        connection = await asyncpg.connect(user=admin.username, database="postgres", host=str(admin.query["host"]))
        await connection.execute(statement)
        await connection.close()

    async with city.browser() as browser, city.client() as http:
        tokens = await browser.tokens(party)
        await run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        assert (await http.get("/readyz")).status_code == 503
        answer = await party.refresh(tokens["refresh_token"])
        assert (answer.status, answer.body["error"]) == (503, "temporarily_unavailable")
        page = await browser.open(party.url())
        assert page.status_code == 503
        assert (await http.get("/jwks")).status_code == 200
        await run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert (await http.get("/readyz")).status_code == 200
        assert (await party.refresh(tokens["refresh_token"])).status == 200
        assert (await browser.open(party.url())).is_redirect, "nobody is signed out by it"


@pytest.fixture(autouse=True)
async def _close_phones() -> AsyncIterator[None]:
    yield
    while Phone.clients:
        await Phone.clients.pop().aclose()


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and wait until it is closed."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


class Process:
    """`sso serve` in a process of its own, on this test's database."""

    def __init__(self, url: str, directory: Path, port: int, **environment: str) -> None:
        self.port, self.log = port, directory / "serve.log"
        own = {"SSO_DATABASE_URL": url, "SSO_SIGNING_ALG": "ES256", **QUICK_HASHES}
        own["SSO_REFRESH_TOKEN_GRACE_PERIOD"] = "1m"  # a start takes seconds while other tests run
        self.environment = environment_of(directory, **own | environment)
        self.directory = directory
        self.start()

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [SSO, "serve", "--port", str(self.port)],
                env=self.environment,
                cwd=self.directory,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self.port, self.process, self.log)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)


class Served:
    """A filled database, and the process that serves it for the tests of this file, one after the other."""

    def __init__(self, url: str, contents: dict[str, Any], directory: Path) -> None:
        self.url, self.contents, self.directory = url, contents, directory
        self.process: Process | None = None

    def running(self) -> Process:
        """Return the process, and start it where the test before has ended it: each start takes 2 s."""
        if self.process is None:
            self.process = Process(self.url, self.directory, free_ports(1))
        elif self.process.process.poll() is not None:
            self.process.start()
        return self.process


@pytest.fixture(scope="module")
def served_sqlite(
    sqlite_template: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    template, contents = sqlite_template
    directory = tmp_path_factory.mktemp("served")
    shutil.copy(template, directory / "sso.db")
    served = Served(f"sqlite:///{directory / 'sso.db'}", contents, directory)
    yield served
    if served.process:
        served.process.kill()


@pytest.fixture(scope="module")
def served_postgresql(
    postgres_databases: tuple[Databases, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    databases, contents = postgres_databases
    name = run_apart(databases.lend())
    served = Served(databases.url(name), contents, tmp_path_factory.mktemp("served"))
    yield served
    if served.process:
        served.process.kill()
    run_apart(databases.take_back(name))


SERVED = [pytest.param(kind, marks=pytest.mark.group(f"served-{kind}")) for kind in ("sqlite", "postgresql")]
on_a_served_database = pytest.mark.parametrize("database_kind", SERVED)
"""For tests of ``serve``: those of one database run one after the other, so that they share its process."""


@pytest.fixture
def serve(request: pytest.FixtureRequest, database_kind: str) -> tuple[Process, dict[str, Any]]:
    served: Served = request.getfixturevalue(f"served_{database_kind}")
    return served.running(), served.contents


ASKED = {
    "response_type": "code",
    "client_id": "lama",
    "redirect_uri": "https://lama.example/cb",
    "scope": "openid",
}


class Phone:
    """A person's browser and application at once, over real connections, with cookies kept by hand."""

    clients: list[httpx.AsyncClient] = []
    """Those of every phone, which are closed after each test."""

    def __init__(self, port: int, secret: str) -> None:
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self.clients.append(self.http)
        self.secret = secret
        self.cookies: dict[str, str] = {}

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        self.http.cookies.clear()
        answer = await self.http.request(method, path, headers=headers, **options)
        for cookie in answer.headers.get_list("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    async def code(self) -> str:
        answer = await self.send("GET", "/authorize", params=ASKED)
        if answer.status_code == 200:
            form = form_of(answer)
            data = {**form.fields, "username": "siti", "password": PASSWORD}
            answer = await self.send("POST", form.action, data=data)
        return query_of(answer.headers["location"])["code"]

    async def token(self, **form: str) -> dict[str, Any]:
        answer = await self.http.post("/token", data=form, auth=("lama", self.secret))
        body: dict[str, Any] = answer.json()
        return body

    async def exchange(self, code: str) -> dict[str, Any]:
        return await self.token(grant_type="authorization_code", code=code, redirect_uri="https://lama.example/cb")

    async def refresh(self, token: str) -> dict[str, Any]:
        return await self.token(grant_type="refresh_token", refresh_token=token)


@dataclass
class Acknowledged:
    """What one phone was answered before its server was killed."""

    refresh_token: str = ""
    codes: list[str] = field(default_factory=list)
    used: list[dict[str, Any]] = field(default_factory=list)
    """The answers to the first codes of ``codes``, in their order."""
    count: int = 0

    async def refresh(self, phone: Phone) -> None:
        """Refresh once."""
        self.refresh_token = (await phone.refresh(self.refresh_token))["refresh_token"]
        self.count += 1

    async def exchange(self, phone: Phone) -> None:
        """Use the next code."""
        self.used.append(await phone.exchange(self.codes[len(self.used)]))
        self.count += 1


CODES = 10
"""The codes of each phone that exchanges codes: more than it exchanges before the server is killed."""


@on_a_served_database
async def test_kill_9_in_the_middle_of_exchanges_and_refreshes_leaves_each_whole_or_undone(
    serve: tuple[Process, dict[str, Any]], record_property: Record
) -> None:
    """Some phones refresh and others exchange codes when the server is killed: nothing that was answered is lost,
    nothing is used twice, and what was not answered is whole or undone."""
    process, contents = serve
    phones = [Phone(process.port, contents["secrets"]["lama"]) for _ in range(16)]
    seen = [Acknowledged() for _ in phones]
    refreshing, exchanging = range(8), range(8, 16)
    for number in refreshing:
        seen[number].refresh_token = (await phones[number].exchange(await phones[number].code()))["refresh_token"]
    for number in exchanging:
        seen[number].codes = [await phones[number].code() for _ in range(CODES)]
    killed = asyncio.Event()

    async def keep_working(phone: Phone, mine: Acknowledged) -> None:
        while not killed.is_set() and len(mine.used) < CODES:
            try:
                await (mine.exchange if mine.codes else mine.refresh)(phone)
            except (httpx.HTTPError, json.JSONDecodeError):
                return

    busy = [asyncio.create_task(keep_working(phone, mine)) for phone, mine in zip(phones, seen, strict=True)]
    await until(lambda: min(mine.count for mine in seen) >= 2)
    process.kill()
    killed.set()
    await asyncio.gather(*busy)
    started = time.monotonic()
    process.start()
    record_property("seconds", time.monotonic() - started)
    phones = [Phone(process.port, contents["secrets"]["lama"]) for _ in phones]
    for number in refreshing:
        answer = await phones[number].refresh(seen[number].refresh_token)
        assert "refresh_token" in answer, "the answer was lost, not the family: the grace gives the same successor"
        assert "refresh_token" in await phones[number].refresh(answer["refresh_token"])
    for number in exchanging:
        phone, mine = phones[number], seen[number]
        assert all("refresh_token" in answer for answer in mine.used)
        for answer in mine.used[1:]:
            assert "refresh_token" in await phone.refresh(answer["refresh_token"]), "what was answered is there"
        open_code = await phone.exchange(mine.codes[len(mine.used)]) if len(mine.used) < CODES else {}
        assert open_code.get("error", "invalid_grant") == "invalid_grant", "whole or undone"
        assert (await phone.exchange(mine.codes[0]))["error"] == "invalid_grant", "used once"


SMUGGLED = {
    "length and chunks": "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "two lengths": "Content-Length: 5\r\nContent-Length: 6",
    "odd length": "Content-Length: +5",
    "odd encoding": "Transfer-Encoding: xchunked",
    "space before colon": "Content-Length : 5",
}


@on_a_served_database
async def test_shapes_of_request_smuggling_are_refused(serve: tuple[Process, dict[str, Any]]) -> None:
    process, _ = serve
    for name, headers in SMUGGLED.items():
        reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
        writer.write(
            f"POST /token HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\nGET /login HTTP/1.1\r\n\r\n".encode()
        )
        await writer.drain()
        async with asyncio.timeout(60):
            status = (await reader.readline()).split()[1]
        assert status == b"400", name
        await close(writer)


@on_a_served_database
async def test_a_head_that_never_ends_is_cut_off(serve: tuple[Process, dict[str, Any]]) -> None:
    process, _ = serve
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    writer.write(b"GET /login HTTP/1.1\r\nHost: x\r\n")
    sent = 0
    try:
        while sent < 50_000_000 and not reader.at_eof():
            writer.write(b"X-Filler: " + b"a" * 8000 + b"\r\n")
            await writer.drain()
            sent += 8000
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    assert sent < 20_000_000
    await close(writer)
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    writer.write(b"GET /" + b"a" * 5_000_000)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
        async with asyncio.timeout(60):
            assert (await reader.readline()).split()[1:2] in ([b"400"], [])
    await close(writer)
    phone = Phone(process.port, "x")
    assert (await phone.send("GET", "/jwks")).status_code == 200


@on_a_served_database
async def test_a_stop_lets_what_is_under_way_finish_and_signs_nobody_out(serve: tuple[Process, dict[str, Any]]) -> None:
    process, contents = serve
    phone = Phone(process.port, contents["secrets"]["lama"])
    tokens = await phone.exchange(await phone.code())
    code = await phone.code()
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    body = f"grant_type=authorization_code&code={code}&redirect_uri=https%3A%2F%2Flama.example%2Fcb"
    credentials = b64encode(f"lama:{contents['secrets']['lama']}".encode()).decode()
    writer.write(
        f"POST /token HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        f"Expect: 100-continue\r\n\r\n{body[:20]}".encode()
    )
    await writer.drain()
    # It is being read when the stop comes (RFC 9110 section 10.1.1), and the rest comes after the stop.
    assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == b"100"
    process.process.send_signal(signal.SIGTERM)
    await until(lambda: not listens(process.port))
    writer.write(body[20:].encode())
    await writer.drain()
    assert (await reader.readline()).split()[1] == b"200"
    await close(writer)
    assert process.process.wait(60) == 0, process.log.read_text()
    # Whoever serves the database next knows them all. That a process starts again is tried above, after a kill.
    async with next_process(process, contents) as city:
        cookies = {name: value for name, value in phone.cookies.items() if "browser" not in name}
        async with city.client(cookies=cookies) as http:
            answer = await http.get("/authorize", params=ASKED)
        assert "code" in query_of(answer.headers["location"]), "signed in still"
        assert (await city.relying_party("lama").refresh(tokens["refresh_token"])).status == 200


@asynccontextmanager
async def next_process(process: Process, contents: dict[str, Any]) -> AsyncIterator[City]:
    """A provider that starts on the database and the data of a process that has stopped."""
    settings = settings_for(process.environment["SSO_DATABASE_URL"], process.directory)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield City(app, settings, contents["secrets"], contents["users"])


async def test_a_head_that_takes_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn

    from sso.http.common import server_protocol as wire

    monkeypatch.setattr(wire, "HEAD_SECONDS", 1.0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    port = free_ports(1)
    config = uvicorn.Config(app, port=port, http=wire.BoundedProtocol, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    for beginning in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHo"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(beginning)
        async with asyncio.timeout(60):
            answer = await reader.read()
        # A browser that has connected in advance would take an answer for that of its first request.
        assert (b"took too long" in answer) is bool(beginning)
        assert answer.count(b"204") == beginning.count(b"\r\n\r\n")
        await close(writer)
    server.should_exit = True
    await serving


def test_a_schema_or_a_secret_that_does_not_fit_stops_the_start_with_one_line(
    database: tuple[str, dict[str, Any]], empty_database: str, tmp_path: Path
) -> None:
    base = environment_of(tmp_path)
    for changes, expected in (
        ({"SSO_DATABASE_URL": empty_database}, "run: sso db upgrade"),
        (
            {"SSO_DATABASE_URL": database[0], "SSO_SECRET_KEY": "another secret of more than 32 characters"},
            "SSO_SECRET_KEY",
        ),
    ):
        done = run_command({**base, **changes}, tmp_path, "serve", "--port", "1")
        assert done.returncode == 1
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") == 1
