"""What the forward authentication gate costs, and how fast it closes:

    python -m bench.gate [--databases sqlite,postgresql] [--checks 3000] [--rounds 3] [--gates 122]

For each database: the processor time of a check with the one-second memory and without it; what nginx with
`auth_request` adds to a request; and how long after the end of a session the last of many gates still let a request
pass.
The session is ended by another process, as an administrator's command does it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

from bench.flows import Actor, arrive, expect
from bench.http import Connection
from bench.sides import Postgres, Side, cpu_seconds, free_port, product
from sqlalchemy import select

from sso.gate.keys import proxy_credential
from sso.gate.proxies.nginx import nginx_files
from sso.gate.proxies.plan import plan_for
from sso.identity.sessions.models import SsoSession
from sso.identity.sessions.reasons import EndReason
from sso.logout.end_sessions import end_sessions
from sso.oidc.provider import Provider
from sso.platform.db import Database
from sso.settings import Settings

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
HEADERS = "[sub, username, name, email, roles, acr, jwt]"
TAB_SECONDS = 0.02
"""How often an open page asks while the session ends."""
OWN_COOKIE = "__Host-sso-gate"


@dataclass
class Gate:
    """An application behind the gate, as its proxy and a browser use it."""

    client_id: str
    key: str
    connection: Connection
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The host of the application."""
        return f"{self.client_id}.gate.example"

    def about(self, uri: str, address: str = "203.0.113.7") -> dict[str, str]:
        """Return the headers of a proxy that asks about a request."""
        proxied = {"Host": self.host, "Proto": "https", "URI": uri, "Method": "GET"}
        headers = {f"X-{kind}-{name}": value for kind in ("Original", "Forwarded") for name, value in proxied.items()}
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {**headers, "X-Forwarded-For": address, "X-SSO-Gate-Key": self.key, "Cookie": cookies}

    async def sign_in(self, actor: Actor) -> None:
        """Sign the browser in at the application: with the password at the first one, without a question at others."""
        actor = replace(actor, target=replace(actor.target, redirect_uri=f"https://{self.host}/.sso/callback"))
        begun = await self._own("/.sso/start?to=/")
        origin = f"http://localhost:{actor.target.port}"
        back = await arrive(actor, begun.removeprefix(origin))
        parts = urlsplit(back)
        await self._own(f"{parts.path}?{parts.query}")
        assert OWN_COOKIE in self.cookies, self.cookies

    async def _own(self, path: str) -> str:
        reply = await self.connection.get(path, **self.about(path), **NAVIGATION)
        for line in reply.cookies:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        assert 300 <= reply.status < 400, f"{path}: {reply.status} {reply.body[:500]!r}"
        return reply.headers["location"]

    async def check(self, address: str = "203.0.113.7") -> int:
        """Ask about a request, and return the status."""
        return (await self.connection.get("/gate/check/nginx", **self.about("/surat", address))).status


def catalogue(gates: int) -> str:
    """Return a catalogue of applications behind the gate."""
    lines = ["catalogue: gates", "applications:"]
    for number in range(gates):
        lines += [f"  - client_id: gerbang{number}", "    type: gate", f"    client_name: Gerbang {number}",
                  "    first_party: true",
                  f"    gate: {{hosts: [gerbang{number}.gate.example], headers: {HEADERS}}}"]  # fmt: skip
    return "\n".join(lines) + "\n"


async def cost(side: Side, gate: Gate, checks: int) -> tuple[float, float, float]:
    """Return the processor time of the server in milliseconds: of a request for `/healthz`, of a check with the memory,
    and of one without it. Its database, if it is another process, is not counted."""

    async def measured(send: list[str]) -> float:
        before = cpu_seconds(side.pids())
        for address in send:
            assert await gate.check(address) == 200
        return 1000 * (cpu_seconds(side.pids()) - before) / len(send)

    await measured(["203.0.113.7"] * 300)
    before = cpu_seconds(side.pids())
    for _ in range(checks):
        expect(await gate.connection.get("/healthz"), 200)
    empty = 1000 * (cpu_seconds(side.pids()) - before) / checks
    with_memory = await measured(["203.0.113.7"] * checks)
    # A process remembers a cookie together with the address of the client.
    others = [f"10.{number >> 8}.{number & 255}.1" for number in range(checks)]
    await measured(others)
    await asyncio.sleep(1.1)
    return empty, with_memory, await measured(others)


APPLICATION = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; {user}
events {{}}
http {{
  access_log off; keepalive_requests 1000000; client_body_temp_path {folder};
  proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{application}; location / {{ return 200 "ok"; }} }}
  server {{ listen 127.0.0.1:{plain}; location / {{ proxy_pass http://127.0.0.1:{application}; }} }}
  include {folder}/gate.conf;
}}
"""


@contextmanager
def nginx(side: Side, provider: Provider, gate: Gate) -> Iterator[tuple[int, int]]:
    """Run nginx in front of an application: without the gate, and with it; yield both ports. TLS is left out, which
    would be the same in both."""
    client = provider.registry.get(gate.client_id)
    assert client is not None
    with tempfile.TemporaryDirectory(prefix="sso-bench-nginx-") as name:
        folder, application, plain, gated = Path(name), free_port(), free_port(), free_port()
        places = {"certificate": "", "certificate_key": "", "listen": gated}
        plan = plan_for(
            client,
            provider.box,
            provider=f"http://127.0.0.1:{side.target.port}",
            application=f"http://127.0.0.1:{application}",
            **places,  # type: ignore[arg-type]
        )
        text = nginx_files(plan)["sso-gate.conf"].replace(" ssl;", ";").replace("$scheme", "https")
        lines = [line for line in text.splitlines() if "ssl_certificate" not in line]
        (folder / "gate.conf").write_text("\n".join(lines))
        user = "user root;"
        ports = {"application": application, "plain": plain}
        (folder / "nginx.conf").write_text(APPLICATION.format(folder=folder, user=user, **ports))
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        process = subprocess.Popen([program, "-p", name, "-c", str(folder / "nginx.conf")])
        try:
            yield plain, gated
        finally:
            process.terminate()
            process.wait(20)


async def added(plain: int, gated: int, gate: Gate, requests: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return p50 and p99 of a request through nginx in milliseconds: without the gate, and with it, in turns."""
    cookie = f"{OWN_COOKIE}={gate.cookies[OWN_COOKIE]}"
    taken: dict[int, list[float]] = {plain: [], gated: []}
    connections = {port: Connection(port) for port in taken}
    for port, connection in connections.items():
        await until_open(port)
        connection._port = port
    for _ in range(requests):
        for port, connection in connections.items():
            began = time.perf_counter()
            reply = await connection.get("/surat", Cookie=cookie, Host=gate.host)
            taken[port].append(1000 * (time.perf_counter() - began))
            expect(reply, 200)
    return figures(taken[plain]), figures(taken[gated])


async def until_open(port: int) -> None:
    """Wait until something listens."""
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise SystemExit(f"nothing listens on port {port}")


def figures(values: list[float]) -> tuple[float, float]:
    """Return p50 and p99."""
    return median(values), quantiles(values, n=100)[98]


async def closing(provider: Provider, gates: list[Gate]) -> list[float]:
    """End the session as another process does, while each gate has an open page that asks again and again; return for
    each gate after how many milliseconds it refused for the first time, counted from before the transaction."""
    refused: dict[str, float] = {}

    async def tab(gate: Gate) -> None:
        while True:
            sent = time.perf_counter()
            if await gate.check() != 200:
                refused[gate.client_id] = sent
                return
            await asyncio.sleep(TAB_SECONDS)

    pages = [asyncio.ensure_future(tab(gate)) for gate in gates]
    await asyncio.sleep(1.2 + random.random())  # at any age of the answers in the memory
    assert not refused, refused
    began = time.perf_counter()
    async with provider.db.write() as session:
        ids = list((await session.execute(select(SsoSession.id).where(SsoSession.ended_at.is_(None)))).scalars())
        await end_sessions(session, provider, ids, EndReason.ADMINISTRATOR)
    await asyncio.gather(*pages)
    return [1000 * (moment - began) for moment in refused.values()]


async def run(side: Side, url: str, chosen: argparse.Namespace) -> None:
    """Measure one database, and print the figures."""
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, issuer=f"http://localhost:{side.target.port}", database_url=url, data_dir=side.directory
    )
    db = Database(settings)
    provider = Provider(settings, db)
    try:
        await provider.load()
        waits: list[float] = []
        for number in range(chosen.rounds):
            actor = Actor(side.target, 0, Connection(side.target.port))
            gates = [
                Gate(name, proxy_credential(provider.box, name), Connection(side.target.port))
                for name in (f"gerbang{number}" for number in range(chosen.gates))
            ]
            for gate in gates:
                await gate.sign_in(actor)
            if number == 0:
                await print_costs(side, provider, gates[0], chosen)
            waits += await closing(provider, gates)
            for gate in gates:
                gate.connection.close()
        p50, p99 = figures(waits)
        print(f"{side.name}: {chosen.gates} gates closed, {chosen.rounds} rounds: p50 {p50:.0f} ms, p99 {p99:.0f} ms, "
              f"last {max(waits):.0f} ms (aim: p99 below 1000 ms)", flush=True)  # fmt: skip
    finally:
        await provider.close()
        await db.close()


async def print_costs(side: Side, provider: Provider, gate: Gate, chosen: argparse.Namespace) -> None:
    """Print what a check costs."""
    empty, known, read = await cost(side, gate, chosen.checks)
    print(f"{side.name}: CPU of a check: {known:.3f} ms with the memory (aim 0.1), {read:.3f} ms without; "
          f"an empty request {empty:.3f} ms", flush=True)  # fmt: skip
    with nginx(side, provider, gate) as (plain, gated):
        before, after = await added(plain, gated, gate, chosen.checks)
    print(f"{side.name}: through nginx p50 {before[0]:.2f} ms and p99 {before[1]:.2f} ms without the gate; "
          f"with it p50 +{after[0] - before[0]:.2f} ms and p99 +{after[1] - before[1]:.2f} ms (aim 3)",
          flush=True)  # fmt: skip


def main() -> None:
    """Measure each database."""
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description=__doc__)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--checks", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gates", type=int, default=122)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sso-bench-gate-") as name:
        folder = Path(name)
        postgres = Postgres(folder) if "postgresql" in chosen.databases else None
        try:
            for database in chosen.databases.split(","):
                url = postgres.database() if postgres is not None and database == "postgresql" else None
                side = product(database, folder / database, url=url, actors=1)
                side.environment["SSO_TRUSTED_PROXIES"] = "127.0.0.1"
                (folder / "gates.yaml").write_text(catalogue(chosen.gates))
                apply = [side.command[0], "clients", "apply", str(folder / "gates.yaml")]
                subprocess.run(apply, env=side.environment, check=True, stdout=subprocess.DEVNULL)
                side.start()
                try:
                    address = url or f"sqlite:///{side.directory / 'sso.db'}"
                    asyncio.run(run(side, address, chosen))
                finally:
                    side.stop()
        finally:
            if postgres is not None:
                postgres.stop()


if __name__ == "__main__":
    main()
