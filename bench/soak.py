"""Whether a server that works for a long time grows: `make soak`, or

    python -m bench.soak [--seconds 900] [--actors 8] [--workers 1]

The server runs on PostgreSQL. Actors sign in, exchange codes, refresh, ask userinfo and sign out, again and again.
Memory, open files, connections and tables are looked at after a warm-up of a third of the time, and at the end; the
jobs run before each look, so that a short run sees what a long one does. The command fails if something has grown
beyond the bounds below.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import psutil
from bench.postgres import temporary_database
from sqlalchemy import text

from sso.jobs import SKEW, clear_up
from sso.oidc.provider import Provider
from sso.platform.db import Database
from sso.settings import Settings

SSO = str(Path(sys.executable).with_name("sso"))
CLIENT, CALLBACK = "soak-web", "http://localhost:7001/cb"
CATALOGUE = f"""
catalogue: soak
applications:
  - client_id: {CLIENT}
    type: web
    client_name: Soak
    first_party: true
    redirect_uris: [{CALLBACK}]
    scope: openid profile email
"""
REFRESHES = 20
"""How often an actor refreshes before the sign-out."""
EXCHANGES = 3
"""How many codes an actor exchanges in one session."""
MEMORY_BOUND_MB, MEMORY_BOUND_SHARE = 16, 0.10
"""How much the memory of the server may grow after the warm-up: this, or a tenth, whichever is more."""
FILES_BOUND = 20
SLACK = 100
"""Rows that a table may have beyond its bound: what is under way, and what other requests leave."""
RECORDS = {"sessions": 1, "session_clients": 1, "deliveries": 2, "audit_events": 6, "ends": 2, "replay": 1}
"""Tables that keep a record: how many rows they may grow by for each sign-in; docs/reference/retention.md."""
BYTES_FOR_EACH_SIGN_IN = 12_000
"""How much the tables and indexes may grow for each sign-in after the warm-up: the record of it."""


@dataclass
class Done:
    """What the actors have done: sign-ins, and the moments of refreshes."""

    sign_ins: int = 0
    refreshes: list[float] = field(default_factory=list)

    def lately(self, seconds: float) -> int:
        """Return how many refreshes there were in the last ``seconds``."""
        since = time.monotonic() - seconds
        return sum(moment >= since for moment in self.refreshes)


@dataclass(frozen=True)
class Look:
    """What the server and the database hold at one moment."""

    sign_ins: int
    refreshed_lately: int
    memory_mb: float
    files: int
    connections: int
    rows: Mapping[str, int]
    sizes: Mapping[str, int]


def _client(base: str, auth: tuple[str, str] | None = None) -> httpx.AsyncClient:
    """Return a client that gives an idle connection up before the server does, after 5 seconds: a request that is sent
    at that moment is lost, and httpx repeats none."""
    return httpx.AsyncClient(base_url=base, auth=auth, timeout=60, limits=httpx.Limits(keepalive_expiry=2.0))


class Actor:
    """A user with a browser and the server of an application."""

    def __init__(self, port: int, username: str, password: str, secret: str, done: Done) -> None:
        self._base, self._done = f"http://localhost:{port}", done
        self._username, self._password = username, password
        self._program = _client(self._base, auth=(CLIENT, secret))

    async def act(self, until: float) -> None:
        """Work until a moment."""
        async with self._program:
            while time.monotonic() < until:
                async with _client(self._base) as browser:
                    await self._session(browser, until)

    async def _session(self, browser: httpx.AsyncClient, until: float) -> None:
        tokens = await self._sign_in(browser)
        for number in range(REFRESHES):
            if time.monotonic() >= until:
                break
            await self._userinfo(tokens["access_token"])
            tokens = await self._token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
            self._done.refreshes.append(time.monotonic())
            if number % (REFRESHES // (EXCHANGES - 1)) == 1:
                tokens = await self._authorize(browser)
        await self._sign_out(browser)

    async def _sign_in(self, browser: httpx.AsyncClient) -> dict[str, str]:
        verifier, page = await self._ask(browser)
        form = dict(re.findall(r'name="(csrf_token|i)" value="([^"]*)"', page.text))
        answer = await browser.post("/login", data={**form, "username": self._username, "password": self._password})
        self._done.sign_ins += 1
        return await self._exchange(answer, verifier)

    async def _authorize(self, browser: httpx.AsyncClient) -> dict[str, str]:
        verifier, answer = await self._ask(browser)
        return await self._exchange(answer, verifier)

    async def _ask(self, browser: httpx.AsyncClient) -> tuple[str, httpx.Response]:
        verifier = secrets.token_urlsafe(32)
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        parameters = {"response_type": "code", "client_id": CLIENT, "redirect_uri": CALLBACK, "scope": "openid profile"}
        parameters |= {"state": "s", "nonce": "n", "code_challenge": challenge, "code_challenge_method": "S256"}
        return verifier, await browser.get("/authorize", params=parameters)

    async def _exchange(self, answer: httpx.Response, verifier: str) -> dict[str, str]:
        if answer.status_code != 303:
            raise SystemExit(f"no code: {answer.status_code} {answer.text[:300]}")
        code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        return await self._token(
            grant_type="authorization_code", code=code, redirect_uri=CALLBACK, code_verifier=verifier
        )

    async def _token(self, **form: str) -> dict[str, str]:
        answer = await self._program.post("/token", data=form)
        if answer.status_code != 200:
            raise SystemExit(f"{form['grant_type']}: {answer.status_code} {answer.text[:300]}")
        tokens: dict[str, str] = answer.json()
        return tokens

    async def _userinfo(self, access_token: str) -> None:
        answer = await self._program.get("/userinfo", headers={"Authorization": f"Bearer {access_token}"}, auth=None)
        if answer.status_code != 200:
            raise SystemExit(f"userinfo: {answer.status_code} {answer.text[:300]}")

    async def _sign_out(self, browser: httpx.AsyncClient) -> None:
        page = (await browser.get("/logout")).text
        form = dict(re.findall(r'name="(csrf_token)" value="([^"]*)"', page))
        answer = await browser.post("/logout", data=form)
        if answer.status_code >= 400:
            raise SystemExit(f"sign-out: {answer.status_code} {answer.text[:300]}")


class Watch:
    """Looks at the server and the database.

    Args:
        server: the process of the server.
        provider: for the jobs and for reading the tables.
        done: what the actors have done.
    """

    def __init__(self, server: psutil.Process, provider: Provider, done: Done) -> None:
        self._server, self._provider, self._done = server, provider, done

    async def look(self) -> Look:
        """Run the jobs, and return what there is."""
        settings = self._provider.settings
        lately = self._done.lately((settings.refresh_token_grace_period + SKEW).total_seconds() + 5)
        await clear_up(self._provider)
        processes = [self._server, *self._server.children(recursive=True)]
        rows, sizes, connections = await self._tables()
        return Look(
            sign_ins=self._done.sign_ins,
            refreshed_lately=lately,
            memory_mb=sum(process.memory_info().rss for process in processes) / 1e6,
            files=sum(process.num_fds() for process in processes),
            connections=connections,
            rows=rows,
            sizes=sizes,
        )

    async def _tables(self) -> tuple[dict[str, int], dict[str, int], int]:
        sizes = "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relnamespace = "
        others = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sso' AND datname = current_database()"
        async with self._provider.db.read() as session:
            sizes_of_tables = (await session.execute(text(sizes + "'public'::regnamespace ORDER BY relname"))).all()
            rows = {}
            for name, _ in sizes_of_tables:
                rows[name] = (await session.execute(text(f"SELECT count(*) FROM {name}"))).scalar_one()
            connections = (await session.execute(text(others))).scalar_one()
        return rows, dict(sizes_of_tables), connections - self._own_connections()

    def _own_connections(self) -> int:
        pool: Any = self._provider.db.engine.sync_engine.pool
        return int(pool.checkedin() + pool.checkedout())


def grown(before: Look, after: Look, actors: int, pool: int) -> list[str]:
    """Return what has grown beyond its bound."""
    sign_ins = after.sign_ins - before.sign_ins
    allowed = before.memory_mb + max(MEMORY_BOUND_MB, before.memory_mb * MEMORY_BOUND_SHARE)
    bounds: list[tuple[str, float, float]] = [
        ("memory, MB", after.memory_mb, allowed),
        ("open files", after.files, before.files + FILES_BOUND),
        ("connections", after.connections, pool),
        ("bytes of all tables", sum(after.sizes.values()), sum(before.sizes.values()) + _room(before, sign_ins)),
    ]
    for name, count in after.rows.items():
        if name in RECORDS:
            most = before.rows[name] + (sign_ins + actors) * RECORDS[name]
        elif name == "grants":
            most = actors * EXCHANGES
        elif name == "refresh_tokens":
            most = actors * EXCHANGES + after.refreshed_lately
        else:
            most = before.rows[name]
        bounds.append((f"rows of {name}", count, most + SLACK))
    return [f"{name}: {value:.0f}, bound {bound:.0f}" for name, value, bound in bounds if value > bound]


def _room(before: Look, sign_ins: int) -> float:
    """Return by how many bytes the tables may grow: the records, and the space that PostgreSQL uses again later."""
    return sign_ins * BYTES_FOR_EACH_SIGN_IN + max(16e6, sum(before.sizes.values()) * 0.5)


def report(before: Look, after: Look) -> str:
    """Return both looks side by side."""
    lines = [f"{'':28} {'after warm-up':>14} {'at the end':>14}"]

    def row(name: str, left: float, right: float) -> None:
        lines.append(f"{name:28} {left:14,.0f} {right:14,.0f}")

    for name in ("sign_ins", "refreshed_lately", "memory_mb", "files", "connections"):
        row(name.replace("_", " "), getattr(before, name), getattr(after, name))
    for name, size in after.sizes.items():
        if after.rows[name] or before.rows[name]:
            row(f"{name}, rows", before.rows[name], after.rows[name])
            row(f"{name}, kB", before.sizes[name] / 1000, size / 1000)
    return "\n".join(lines)


def start_server(folder: Path, url: str, workers: int, users: int) -> tuple[subprocess.Popen[bytes], int, str, str]:
    """Make schema, application and users, and start the server; return the process, its port, and the secret of the
    application and the password of the users."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SSO_")}
    environment |= {
        "SSO_ISSUER": f"http://localhost:{port}",
        "SSO_DATABASE_URL": url,
        "SSO_DATA_DIR": str(folder),
        "SSO_SIGNING_ALG": "ES256",
        "SSO_LOG_LEVEL": "WARNING",
        # Everything comes from one address, and hashing is not what is looked at.
        "SSO_PENDING_REQUESTS_PER_IP_ADDRESS": "100000000",
        "SSO_PENDING_REQUESTS_TOTAL": "100000000",
        "SSO_ARGON2_MEMORY": "8MiB",
        "SSO_ARGON2_ITERATIONS": "1",
    }

    def sso(*words: str, stdin: str = "") -> str:
        done = subprocess.run([SSO, *words], env=environment, input=stdin, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    sso("db", "upgrade")
    (folder / "soak.yaml").write_text(CATALOGUE)
    sso("clients", "apply", str(folder / "soak.yaml"))
    secret, password = sso("clients", "secret", CLIENT), secrets.token_urlsafe(20)
    for number in range(users):
        sso("users", "create", f"warga{number}", "--name", "Warga", "--password-stdin", stdin=password)
    server = subprocess.Popen([SSO, "serve", "--port", str(port), "--workers", str(workers)], env=environment)
    return server, port, secret, password


async def until_ready(port: int) -> None:
    """Wait until the server is ready."""
    async with httpx.AsyncClient(base_url=f"http://localhost:{port}") as client:
        for _ in range(600):
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
    raise SystemExit("the server does not start")


async def soak(folder: Path, url: str, chosen: argparse.Namespace) -> list[str]:
    """Run it and return what has grown."""
    server, port, secret, password = start_server(folder, url, chosen.workers, chosen.actors)
    settings = Settings(_env_file=None, issuer=f"http://localhost:{port}", database_url=url, data_dir=folder)  # type: ignore[call-arg]
    db, done = Database(settings), Done()
    try:
        await until_ready(port)
        provider = Provider(settings, db)
        await provider.load()
        watch = Watch(psutil.Process(server.pid), provider, done)
        until = time.monotonic() + chosen.seconds
        actors = [Actor(port, f"warga{number}", password, secret, done) for number in range(chosen.actors)]
        working = asyncio.gather(*(actor.act(until) for actor in actors))
        warm_up = asyncio.ensure_future(asyncio.sleep(chosen.seconds / 3))
        await asyncio.wait([working, warm_up], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working  # with its error
        before = await watch.look()
        await working
        after = await watch.look()
        await provider.close()
    finally:
        await db.close()
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    print(report(before, after))
    pool = settings.database_pool_size * chosen.workers
    return grown(before, after, chosen.actors, pool)


def main() -> None:
    """Run it; exit with 1 if something has grown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--actors", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    with temporary_database("soak") as (directory, url):
        grown = asyncio.run(soak(directory, url, chosen))
    if grown:
        raise SystemExit("grew beyond the bound:\n" + "\n".join(grown))
    print("nothing grew beyond its bound")


if __name__ == "__main__":
    main()
