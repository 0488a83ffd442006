"""Faults of the database and of the way to it: hosts that answer nothing or vanish, PgBouncer in transaction mode, no
connection left. Nothing that was answered is lost, and the service is back within its limits.

One PgBouncer and the PostgreSQL of all tests serve this file. Limits are a second: a new connection to a healthy server
may take some tenths while other tests run, and the times that are measured may be several times as long.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import literal_column, select, text
from tests.conftest import settings_for
from tests.databases import Databases, share_compiled_statements
from tests.measured import DEFAULT_LIMITS, Record
from tests.pgbouncer import PgBouncer
from tests.support import City, Tokens
from tests.waiting import until
from tests.web.test_developer import signed_in

from sso.app import create_app
from sso.platform.db import Database, DatabaseUnavailable, TransactionLost, Work, postgres
from sso.platform.db.migrate import current_revision, downgrade, head_revision, upgrade
from sso.platform.db.postgres import ANSWER_SECONDS, CLOSE_SECONDS, Limits
from sso.settings import Settings

pytestmark = [pytest.mark.own_connections, pytest.mark.group("database-faults")]
"""A group: one worker waits for hosts that do not answer, and the others use the cores meanwhile."""

PID: Any = select(literal_column("pg_backend_pid()"))
SLEEP: Any = select(literal_column("pg_sleep(5)"))
QUICK: dict[str, Any] = {
    "database_connect_timeout": "3s",
    "database_statement_timeout": "1s",
    "database_pool_timeout": "30s",
    "database_tcp_user_timeout": "500ms",
}
if DEFAULT_LIMITS:
    QUICK = {}
MOST_SECONDS = 20
"""A statement, its answer, the closing of its connection, and a connection to another host; and a busy machine."""
POOLED: dict[str, Any] = {"database_pooler": "pgbouncer", "registry_poll_interval": "50ms"}


@pytest.fixture(scope="module")
def server(postgres: str) -> str:
    """The directory of PostgreSQL's socket."""
    return postgres.rpartition("host=")[2]


@pytest.fixture(scope="module")
def pgbouncer(server: str) -> Iterator[PgBouncer]:
    running = PgBouncer(server)
    yield running
    running.close()


@pytest.fixture
def database_kind() -> str:
    return "postgresql"


@pytest.fixture
async def filled(postgres_databases: tuple[Databases, dict[str, Any]]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The name of a filled database, and what is in it."""
    databases, contents = postgres_databases
    name = await databases.lend()
    yield name, contents
    await databases.take_back(name)


@pytest.fixture
def database(filled: tuple[str, dict[str, Any]], pgbouncer: PgBouncer) -> tuple[str, dict[str, Any]]:
    """The address of the database behind PgBouncer."""
    return pgbouncer.url(filled[0]), filled[1]


@contextmanager
def silent_host(*, accepts: bool) -> Iterator[int]:
    """The port of a host that answers nothing: as one that hangs (it accepts connections), or one behind a firewall
    that drops packets (the queue of connections is full, so that the system drops the packets of more)."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100 if accepts else 0)
        waiting = []
        if not accepts:
            for _ in range(4):
                waiting.append(socket.socket())
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex(listening.getsockname())
        try:
            yield listening.getsockname()[1]
        finally:
            for connection in waiting:
                connection.close()


@asynccontextmanager
async def opened(url: str, tmp_path: Path, **overrides: Any) -> AsyncIterator[Database]:
    """A database with quick limits."""
    db = Database(settings_for(url, tmp_path, **{**QUICK, **overrides}))
    try:
        yield db
    finally:
        await db.close()


def pid_of(work: Work) -> int:
    return int(work.execute(PID, {}).all()[0][0])


# Hosts that answer nothing


@pytest.mark.parametrize("accepts", [True, False])
async def test_the_second_host_is_tried_when_the_first_answers_nothing(
    filled: tuple[str, dict[str, Any]],
    server: str,
    tmp_path: Path,
    accepts: bool,
    record_property: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    second = server.replace("/", "%2F")
    with silent_host(accepts=accepts) as port:
        url = f"postgresql://postgres@127.0.0.1:{port},{second}/{filled[0]}?target_session_attrs=read-write"
        async with opened(url, tmp_path, database_connect_timeout="3s") as db:
            started = time.monotonic()
            pids = await asyncio.gather(*(db.run_read(pid_of) for _ in range(4)))
            assert len(set(pids)) == 4
            record_property("seconds", time.monotonic() - started)
            assert time.monotonic() - started < MOST_SECONDS
            await db.engine.dispose()
            tried, connect = [], asyncpg.connect
            monkeypatch.setattr(asyncpg, "connect", lambda **given: tried.append(given.get("port")) or connect(**given))
            await db.run_read(pid_of)
            assert port not in tried, "the silent host is tried last for a while"


async def test_where_no_host_can_be_used_the_reason_of_each_is_said(
    filled: tuple[str, dict[str, Any]], server: str, tmp_path: Path
) -> None:
    second = server.replace("/", "%2F")
    with silent_host(accepts=True) as port:
        url = f"postgresql://postgres:geheim@127.0.0.1:{port},127.0.0.1:9,{second}/{filled[0]}"
        async with opened(f"{url}?target_session_attrs=standby", tmp_path) as db:
            with pytest.raises(DatabaseUnavailable) as caught:
                await db.run_read(pid_of)
    for reason in (f"127.0.0.1:{port}: no answer within 3 seconds", "127.0.0.1:9: ", f"{server}: not a standby host"):
        assert reason in str(caught.value)
    assert "geheim" not in str(caught.value)


async def test_a_standby_is_preferred_and_the_primary_serves_where_there_is_none(
    filled: tuple[str, dict[str, Any]], server: str, tmp_path: Path
) -> None:
    url = f"postgresql://postgres@127.0.0.1:9,{server.replace('/', '%2F')}/{filled[0]}"
    async with opened(f"{url}?target_session_attrs=prefer-standby", tmp_path) as db:
        assert await db.run_read(pid_of)


async def test_connections_have_limits_and_notice_a_lost_host(
    filled: tuple[str, dict[str, Any]], server: str, pgbouncer: PgBouncer, tmp_path: Path
) -> None:
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "jit")
    show = select(*(literal_column(f"current_setting('{name}')") for name in limits))
    url = f"postgresql://postgres@/{filled[0]}?host={server}"
    async with opened(f"{url}&options=-clock_timeout%3D77", tmp_path) as db:
        (row,) = await db.run_read(lambda work: work.execute(show, {}).all())
        assert tuple(row) == ("1s", "77ms", "30s", "off")
    async with opened(pgbouncer.url(filled[0]), tmp_path, **POOLED) as db:
        (row,) = await db.run_write(lambda work: work.execute(show, {}).all())
        assert tuple(row) == ("1s", "5s", "30s", "off"), "each transaction begins with its limits"
        async with db.write() as session:
            assert tuple((await session.execute(show)).one()) == tuple(row)
        (row,) = await db.run_read(lambda work: work.execute(show, {}).all())
        assert row[0] == "0", "they ended with the transaction"
        transport: Any = await db.run_read(lambda work: (pid_of(work), work._driver._transport)[1])
        opened_socket = transport.get_extra_info("socket")
        for name, value in (("TCP_USER_TIMEOUT", 500), ("TCP_KEEPIDLE", 3), ("TCP_KEEPINTVL", 1)):
            assert opened_socket.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value
        assert opened_socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_a_statement_that_takes_too_long_is_503_and_its_connection_stays(
    filled: tuple[str, dict[str, Any]], server: str, tmp_path: Path
) -> None:
    async with opened(f"postgresql://postgres@/{filled[0]}?host={server}", tmp_path, database_pool_size=1) as db:
        before = await db.run_read(pid_of)
        with pytest.raises(DatabaseUnavailable):
            await db.run_write(lambda work: work.execute(SLEEP, {}))
        assert await db.run_read(pid_of) == before


async def test_a_database_that_hangs_costs_its_limit(
    filled: tuple[str, dict[str, Any]], server: str, tmp_path: Path, record_property: Record
) -> None:
    """SIGSTOP of PostgreSQL's processes of this database: the system keeps the connections, and nothing answers."""
    async with opened(f"postgresql://postgres@/{filled[0]}?host={server}", tmp_path) as db:
        pids = set(await asyncio.gather(*(db.run_read(pid_of) for _ in range(4))))
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            answers = await asyncio.gather(*(db.run_write(pid_of) for _ in range(4)), return_exceptions=True)
            assert {type(answer) for answer in answers} <= {DatabaseUnavailable, int}
            assert await db.run_write(pid_of) not in pids
            record_property("seconds", time.monotonic() - started)
            assert time.monotonic() - started < MOST_SECONDS
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


async def test_nothing_is_repeated_where_the_commit_may_have_arrived(
    filled: tuple[str, dict[str, Any]], server: str, tmp_path: Path
) -> None:
    async with opened(f"postgresql://postgres@/{filled[0]}?host={server}", tmp_path) as db:
        bump = text("INSERT INTO versions (name, value) VALUES ('x', 1) ON CONFLICT (name) DO UPDATE SET value = 2")

        async def end(pid: int) -> None:
            async with db.write() as session:
                await session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

        with pytest.raises(TransactionLost):
            async with db.write() as session:
                pid = (await session.execute(PID)).scalar_one()
                await end(pid)
                await session.execute(bump)
        with pytest.raises(DatabaseUnavailable) as caught:
            async with db.write() as session:
                await session.execute(bump)
                await end((await session.execute(PID)).scalar_one())
        assert not isinstance(caught.value, TransactionLost)
        async with db.read() as session:
            assert (await session.execute(text("SELECT value FROM versions WHERE name = 'x'"))).all() == []


class Relay:
    """A host before PostgreSQL's socket that can fall silent: it keeps its connections and accepts new ones, and
    nothing is answered any more."""

    def __init__(self, server: str) -> None:
        self._path = f"{server}/.s.PGSQL.5432"
        self._passing: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.port, self.accepted = 0, 0
        self.silent = False

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self.fall_silent()
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    def fall_silent(self) -> None:
        self.silent = True
        for task in self._passing:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.append(writer)
        if self.silent:
            return
        back, forth = await asyncio.open_unix_connection(self._path)
        self._writers.append(forth)
        self._passing += [asyncio.create_task(self._pass(reader, forth)), asyncio.create_task(self._pass(back, writer))]

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65_536):
                writer.write(data)


@pytest.mark.parametrize("requests", [2, 8], ids=["the pool's connections", "more requests than that"])
async def test_a_host_that_falls_silent_costs_its_limits_on_a_direct_connection(
    filled: tuple[str, dict[str, Any]], server: str, tmp_path: Path, requests: int
) -> None:
    relay, second = Relay(server), server.replace("/", "%2F")
    await relay.open()
    url = f"postgresql://postgres@127.0.0.1:{relay.port},{second}/{filled[0]}?sslmode=disable"
    async with opened(url, tmp_path, database_pool_size=2) as db:
        before = set(await asyncio.gather(*(db.run_read(pid_of) for _ in range(2))))
        assert relay.accepted == len(before) == 2, "the pool is full of connections to the first host"
        relay.fall_silent()
        started = time.monotonic()
        answers = await asyncio.gather(*(db.run_write(pid_of) for _ in range(requests)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 2 + [int] * (requests - 2)
        assert await db.run_write(pid_of) not in before
        # The statement, its answer, the connection to the silent host and the one to the other.
        assert time.monotonic() - started < 20
        assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await relay.close()


async def pid_by_session(db: Database, *, writes: bool) -> int:
    async with db.write() if writes else db.read() as session:
        return int((await session.execute(PID)).scalar_one())


WAYS: tuple[Callable[[Database], Awaitable[int]], ...] = (
    lambda db: db.run_read(pid_of),
    lambda db: db.run_write(pid_of),
    lambda db: pid_by_session(db, writes=False),
    lambda db: pid_by_session(db, writes=True),
)


async def test_a_host_that_falls_silent_costs_one_of_the_requests_that_come_one_after_the_other(
    filled: tuple[str, dict[str, Any]], server: str, tmp_path: Path, record_property: Record
) -> None:
    """The other connections of the pool lead to the silent host too: nobody gets one, and nobody tries that host."""
    relay, second = Relay(server), server.replace("/", "%2F")
    await relay.open()
    url = f"postgresql://postgres@127.0.0.1:{relay.port},{second}/{filled[0]}?sslmode=disable"

    slow = {"database_pool_size": 3, "database_connect_timeout": "20s", "database_statement_timeout": "1s"}
    if DEFAULT_LIMITS:
        slow = {"database_pool_size": 3}

    async def one_after_the_other(way: Callable[[Database], Awaitable[int]]) -> None:
        async with opened(url, tmp_path, **slow) as db:
            await asyncio.gather(*(db.run_read(pid_of) for _ in range(3)))
            filled_pools.release()
            await silent.wait()
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailable):
                await way(db)
            tried = relay.accepted
            before = time.monotonic()
            for _ in range(4):
                await way(db)
                served.append(time.monotonic() - began)
            await asyncio.gather(*(way(db) for _ in range(3)))
            assert time.monotonic() - before < 15, "nobody waits for the silent host"
            assert relay.accepted - tried <= len(WAYS), "the drivers' requests to cancel"

    served: list[float] = []
    filled_pools, silent = asyncio.Semaphore(0), asyncio.Event()
    tasks = [asyncio.create_task(one_after_the_other(way)) for way in WAYS]
    try:
        async with asyncio.timeout(60):
            for _ in tasks:
                await filled_pools.acquire()
            assert relay.accepted == 3 * len(WAYS)
            relay.fall_silent()
            silent.set()
            await asyncio.gather(*tasks)
        record_property("seconds", min(served))
    finally:
        for task in tasks:
            task.cancel()
        await relay.close()


async def test_a_clock_that_is_set_back_after_a_fault_costs_no_connection(
    filled: tuple[str, dict[str, Any]], server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(f"postgresql://postgres@/{filled[0]}?host={server}", tmp_path, database_pool_size=1) as db:
        with pytest.raises(DatabaseUnavailable):
            async with db.write() as session:
                await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        hour_ago = time.time() - 3600
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda: hour_ago)
            pids = [await pid_by_session(db, writes=writes) for writes in (False, True, False)]
        assert len(set(pids)) == 1


def test_the_limits_for_a_host_that_vanishes_are_less_than_ten_seconds() -> None:
    """Its packets are dropped (the limit of TCP), or its system still acknowledges them (the limit of a statement)."""
    limits = Limits.of(Settings(_env_file=None))  # type: ignore[call-arg]
    until_lost = limits.statement + ANSWER_SECONDS + CLOSE_SECONDS
    assert until_lost < 10
    assert limits.user_timeout + CLOSE_SECONDS + limits.connect < 10, "lost, and the other host serves"
    assert limits.connect * 2 < 10, "nothing is known of two hosts, and both are silent"


@contextmanager
def network() -> Iterator[tuple[str, tuple[str, ...]]]:
    """A second network: the address of its host, and what runs a program there. Only root may make one."""
    name, here, there = f"sso{os.getpid()}", f"sa{os.getpid()}"[:15], f"sb{os.getpid()}"[:15]
    inside = ("ip", "netns", "exec", name)
    block = f"10.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}"
    commands: tuple[tuple[str, ...], ...] = (
        ("ip", "netns", "add", name),
        ("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", name),
        ("ip", "addr", "add", f"{block}.1/30", "dev", here),
        ("ip", "link", "set", here, "up"),
        (*inside, "ip", "addr", "add", f"{block}.2/30", "dev", there),
        (*inside, "ip", "link", "set", there, "up"),
    )
    try:
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no network can be made here: {done.stderr}")
        yield f"{block}.2", (*inside,)
    finally:
        subprocess.run(("ip", "netns", "del", name), capture_output=True)
        subprocess.run(("ip", "link", "del", here), capture_output=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make a network")
async def test_a_host_that_vanishes_costs_seconds_and_the_other_host_serves(
    filled: tuple[str, dict[str, Any]], server: str, pgbouncer: PgBouncer, tmp_path: Path, record_property: Record
) -> None:
    with network() as (address, inside):
        away = PgBouncer(server, host=address, prefix=inside)
        try:
            url = f"postgresql://postgres@{address}:{away.port},127.0.0.1:{pgbouncer.port}/{filled[0]}?sslmode=disable"
            options = {**POOLED, "database_statement_timeout": "30s", "database_connect_timeout": "2s"}
            async with opened(url, tmp_path, **options) as db:
                await asyncio.gather(*(db.run_read(pid_of) for _ in range(4)))
                assert await db.run_read(address_of) == address
                device = f"sb{os.getpid()}"[:15]
                waits = asyncio.create_task(db.run_read(lambda work: work.execute(SLEEP, {})))
                await until(lambda: db.engine.pool.checkedout() == 1)  # type: ignore[attr-defined]
                await until(lambda: sleeps(server, filled[0]))
                subprocess.run((*inside, "ip", "link", "set", device, "down"), check=True)
                started = time.monotonic()
                answers = await asyncio.gather(*(db.run_write(pid_of) for _ in range(3)), return_exceptions=True)
                assert {type(answer) for answer in answers} == {TransactionLost}
                lost = time.monotonic() - started
                assert await db.run_write(pid_of)
                back = time.monotonic() - started
                with pytest.raises(TransactionLost):
                    await waits
                noticed = time.monotonic() - started
            record_property("seconds", back)
            assert max(lost, back, noticed) < MOST_SECONDS
        finally:
            away.close()


async def sleeps(server: str, name: str) -> bool:
    """Tell whether the statement that waits is executed in a database: other tests use the server too."""
    connection = await asyncpg.connect(host=server, user="postgres", database="postgres")
    try:
        active = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event = 'PgSleep'"
        return bool(await connection.fetchval(active, name))
    finally:
        await connection.close()


def address_of(work: Work) -> str:
    """Return the address to which the connection of a piece of work leads."""
    pid_of(work)
    return str(work._driver._addr[0])


# PgBouncer in transaction mode


async def whole_flow(city: City) -> Tokens:
    """Sign in, exchange the code, refresh, and read userinfo and introspection."""
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
        tokens = await party.refresh(tokens["refresh_token"])
        assert tokens.status == 200, tokens.body
        assert (await party.userinfo(tokens["access_token"])).status_code == 200
        assert (await party.introspect(tokens["access_token"]))["active"]
        assert (await browser.open("/account")).status_code == 200
        assert (await browser.submit(await browser.open("/logout"))).status_code < 400
        assert (await party.userinfo(tokens["access_token"])).status_code == 401
    return tokens


@pytest.mark.parametrize("overrides", [{**POOLED, "run_worker": True, "database_pool_size": 8}])
async def test_every_flow_works_behind_pgbouncer_in_transaction_mode(city: City, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    url = str(city.settings.database_url)
    settings = settings_for(url, tmp_path / "other", **POOLED, run_worker=False, database_pool_size=8)
    app = create_app(settings)
    share_compiled_statements(app.state.site.provider.db)
    async with app.router.lifespan_context(app):  # two hosts share PgBouncer's four connections
        hosts = [city, City(app, settings, city.secrets, city.users)]
        await asyncio.gather(*(whole_flow(hosts[number % 2]) for number in range(4)))
        browser = await signed_in(city, "ratna")
        for page in ("/admin", "/admin/people?q=siti", "/admin/sessions", "/admin/applications", "/admin/deliveries",
                     "/admin/audit", "/admin/keys", "/admin/system"):  # fmt: skip
            answer = await browser.open(page)
            assert answer.status_code == 200, f"{page}: {answer.status_code}"
        await browser.http.aclose()
    async with city.provider.db.read() as session:
        prepared = (await session.execute(text("SELECT count(*) FROM pg_prepared_statements"))).scalar_one()
    assert prepared == 0, "PgBouncer lends a connection of PostgreSQL to others: nothing may stay in it"


def cipher_of(work: Work) -> Any:
    """Return the cipher of the connection of a piece of work; None: it is not encrypted."""
    pid_of(work)
    return work._driver._transport.get_extra_info("cipher")


async def test_a_connection_is_encrypted_and_the_host_verified(
    filled: tuple[str, dict[str, Any]], server: str, tmp_path: Path
) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", "key.pem", "-out", "ca.pem"]
    subprocess.run([*command, *name, *files], check=True, capture_output=True, cwd=tmp_path)
    pem = {name: (tmp_path / f"{name}.pem").read_text() for name in ("key", "ca")}
    lines = (
        "client_tls_sslmode = require\nclient_tls_key_file = {directory}/key\nclient_tls_cert_file = {directory}/ca\n"
    )
    encrypted = PgBouncer(server, files=pem, extra=lines)
    base = f"postgresql://postgres@localhost:{encrypted.port}/{filled[0]}?sslmode="
    try:
        for query in (
            "require",
            f"verify-ca&sslrootcert={tmp_path}/ca.pem",
            f"verify-full&sslrootcert={tmp_path}/ca.pem",
        ):
            async with opened(base + query, tmp_path, **POOLED, database_connect_timeout="20s") as db:
                assert await db.run_read(
                    lambda work: (pid_of(work), work._driver._transport.get_extra_info("cipher"))[1]
                )
        wrong = base.replace("localhost", "127.0.0.1") + f"verify-full&sslrootcert={tmp_path}/ca.pem"
        for url, reason in ((wrong, "certificate verify failed"), (base + "disable", "SSL required")):
            async with opened(url, tmp_path, **POOLED, database_connect_timeout="20s") as db:
                with pytest.raises(DatabaseUnavailable, match=reason):
                    await db.run_read(pid_of)
    finally:
        encrypted.close()


@pytest.mark.parametrize("overrides", [POOLED])
async def test_a_restart_of_pgbouncer_is_noticed_by_nobody(
    city: City, pgbouncer: PgBouncer, record_property: Record
) -> None:
    await whole_flow(city)
    began = time.monotonic()
    pgbouncer.kill()
    pgbouncer.start()
    async with city.client() as http:

        async def is_ready() -> bool:
            return (await http.get("/readyz")).status_code == 200

        await until(is_ready)
    record_property("seconds", time.monotonic() - began)
    await whole_flow(city)


@pytest.mark.parametrize("overrides", [{**QUICK, **POOLED}])
async def test_pgbouncer_that_hangs_is_503_within_the_limit_and_everything_is_there_afterwards(
    city: City, pgbouncer: PgBouncer, record_property: Record
) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        code = await browser.code(party)
        started = time.monotonic()
        with pgbouncer.stopped():
            answer = await party.exchange(code)
            assert answer.status == 503
            record_property("seconds", time.monotonic() - started)
            assert time.monotonic() - started < MOST_SECONDS
        assert (await party.exchange(code)).status == 200, "the code was not used"


async def test_without_the_setting_pgbouncers_refusal_says_what_to_set(
    filled: tuple[str, dict[str, Any]], pgbouncer: PgBouncer, tmp_path: Path
) -> None:
    async with opened(pgbouncer.url(filled[0]), tmp_path) as db:
        with pytest.raises(DatabaseUnavailable, match="set SSO_DATABASE_POOLER=pgbouncer"):
            await db.run_read(pid_of)


IGNORED = "jit,statement_timeout,lock_timeout,idle_in_transaction_session_timeout,tcp_keepalives_idle"
IGNORING = f"ignore_startup_parameters = {IGNORED},tcp_keepalives_interval,tcp_user_timeout\n"
RESETTING = "server_reset_query = DISCARD ALL\nserver_reset_query_always = 1\n"


async def test_pgbouncers_that_are_set_up_otherwise(
    filled: tuple[str, dict[str, Any]], server: str, tmp_path: Path
) -> None:
    """One resets every connection after each transaction. One ignores what it would refuse: connections would change
    between two statements. One keeps no prepared statements."""
    wide: dict[str, Any] = {"database_statement_timeout": "8s", "database_connect_timeout": "20s"}
    pgbouncer = PgBouncer(server, size=2, extra=RESETTING + IGNORING)
    try:
        async with opened(pgbouncer.url(filled[0]), tmp_path, **POOLED, **wide) as db:
            for _ in range(3):
                await asyncio.gather(*(way(db) for way in WAYS * 2))
        async with opened(pgbouncer.url(filled[0]), tmp_path, **wide) as db:
            with pytest.raises(DatabaseUnavailable, match="ignored on the way; set SSO_DATABASE_POOLER=pgbouncer"):
                await db.run_read(pid_of)
        unkept = {**POOLED, **wide, "database_prepared_statements": "on"}
        async with opened(pgbouncer.url(filled[0]), tmp_path, **unkept) as db:
            with pytest.raises(DatabaseUnavailable, match=r"set SSO_DATABASE_POOLER=pgbouncer and .*=auto"):
                for _ in range(3):
                    await db.run_read(pid_of)
    finally:
        pgbouncer.close()


async def test_the_schema_is_upgraded_through_pgbouncer(
    empty_database: str, pgbouncer: PgBouncer, tmp_path: Path
) -> None:
    name = empty_database.rpartition("?")[0].rpartition("/")[2]
    async with opened(pgbouncer.url(name), tmp_path, **POOLED) as db:
        await upgrade(db)
        await downgrade(db, "0014")
        await upgrade(db)
        assert await current_revision(db) == head_revision()


# No connection left


async def uses_two(db: Database) -> bool:
    """Tell whether a database has both connections that its role may have. Connections that are tried at once count
    each other and may all be refused, and those that were closed a moment ago still count."""
    pids = await asyncio.gather(*(db.run_read(pid_of) for _ in range(20)))
    assert len(set(pids)) <= 2
    return len(set(pids)) == 2


async def test_a_database_without_connections_is_waited_for(
    filled: tuple[str, dict[str, Any]], server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLSTATE 53300: a role with a limit of two connections, and eight that want one."""
    refused, is_full = asyncio.Event(), postgres._is_full

    def noted(error: BaseException) -> bool:
        if is_full(error):
            refused.set()
        return is_full(error)

    monkeypatch.setattr(postgres, "_is_full", noted)
    role = f"sempit_{filled[0]}"
    async with opened(f"postgresql://postgres@/{filled[0]}?host={server}", tmp_path) as admin:
        async with admin.write() as session:
            await session.execute(text(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 2"))
        try:
            url, quick = f"postgresql://{role}@/{filled[0]}?host={server}", {"database_statement_timeout": "8s"}
            async with opened(url, tmp_path, **quick, database_pool_size=8) as db, opened(url, tmp_path) as other:
                await until(lambda: uses_two(db))
                refused.clear()
                waits = asyncio.create_task(other.run_read(pid_of))
                await asyncio.wait_for(refused.wait(), 60)
                assert not waits.done()
                await db.close()  # another host gives its connections back
                assert await waits
            async with opened(url, tmp_path) as db, opened(url, tmp_path, database_pool_timeout="100ms") as late:
                await until(lambda: uses_two(db))
                with pytest.raises(DatabaseUnavailable):
                    await late.run_read(pid_of)
        finally:
            async with admin.write() as session:
                await session.execute(text(f"DROP ROLE {role}"))
