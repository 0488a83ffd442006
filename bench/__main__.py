"""`make bench`: start servers, drive them, and print what each flow costs.

CPU time for each flow is the figure to compare: the driver shares the cores, so flows/s say what was left for the
server. Without --peer and --against, every flow is measured once on each database.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import uvloop
from bench.flows import FLOWS, Flow, inspect_tokens, read_endpoints
from bench.report import PeerRun, against_table, aims, peer_table, plain_table, renewed_page, renewed_readme
from bench.sides import ROOT, Postgres, Side, command_seconds, install_peer, peer, product, python_build
from bench.turns import Turns, measure, spread

PLAIN_SECONDS = 5.0
TURN_SECONDS = 2.0
STARTS = 5
"""Starts of each server, in turns, for the time to ready."""


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--peer", choices=["node"], help="compare with node-oidc-provider, in turns, and print the aims")
    mode.add_argument("--against", type=Path, metavar="CHECKOUT", help="compare with another checkout, in turns")
    mode.add_argument("--roles", action="store_true", help="compare with roles and groups in tokens, in turns")
    parser.add_argument("--write", action="store_true", help="with --peer: renew the figures in docs and README.md")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each server for each flow (default 9)")
    parser.add_argument("--seconds", type=float, help="length of a turn (default 2; without turns 5)")
    parser.add_argument("--actors", type=int, default=8, help="connections at the same time (default 8)")
    parser.add_argument("--only", default="", help="flows whose name contains this")
    parser.add_argument("--databases", default="sqlite,postgresql", help="not with --peer")
    parser.add_argument("--workers", help="processes that serve (default 1,2; with --against 1)")
    parser.add_argument("--alg", default="ES256", help="what tokens are signed with")
    chosen = parser.parse_args(words)
    if chosen.write and (not chosen.peer or chosen.only):
        parser.error("--write needs --peer and all flows")
    if chosen.peer and (chosen.alg != "ES256" or chosen.workers):
        parser.error("--peer measures one process and ES256")
    if chosen.against and not (chosen.against / "src/sso").is_dir():
        parser.error(f"{chosen.against} is no checkout of this product")
    if chosen.rounds < 1 or chosen.actors < 1 or not chosen_flows(chosen):
        parser.error("nothing to measure")
    if chosen.seconds is None:
        chosen.seconds = TURN_SECONDS if chosen.peer or chosen.against or chosen.roles else PLAIN_SECONDS
    return chosen


def chosen_flows(chosen: argparse.Namespace) -> list[Flow]:
    """Return the flows to measure."""
    return [flow for flow in FLOWS if chosen.only in flow.name]


def main() -> None:
    """Measure and print."""
    chosen = parse()
    uvloop.install()
    with tempfile.TemporaryDirectory(prefix="sso-bench-") as name, ExitStack() as stack:
        if chosen.peer:
            against_peer(chosen, Path(name), stack)
        elif chosen.against:
            against_checkout(chosen, Path(name), stack)
        elif chosen.roles:
            with_roles(chosen, Path(name), stack)
        else:
            plain(chosen, Path(name), stack)


def plain(chosen: argparse.Namespace, directory: Path, stack: ExitStack) -> None:
    """Measure every flow once on each database and each number of processes."""
    postgres = database_server(directory, stack) if "postgresql" in chosen.databases else None
    print(f"{machine()}; {python_build()}; {chosen.alg}; {chosen.actors} connections; {chosen.seconds:g} s a flow\n")
    for database in chosen.databases.split(","):
        for workers in map(int, (chosen.workers or "1,2").split(",")):
            name = f"{database}, {workers} worker{'s' * (workers > 1)}"
            side = checkout_side(chosen, name, directory / name, database, postgres, workers=workers)
            stack.callback(side.stop)
            ready = side.start()
            turns = turn(chosen, [side], rounds=1)
            print(f"## {name} (ready after {ready:.2f} s, {side.memory():.0f} MB after the run)\n")
            print(plain_table(turns, name), flush=True)
            print()
            side.stop()


def against_checkout(chosen: argparse.Namespace, directory: Path, stack: ExitStack) -> None:
    """Compare this checkout with another one, in turns."""
    other = chosen.against.resolve()
    names = {f"this ({commit(ROOT)})": ROOT, f"other ({commit(other)})": other}
    postgres = database_server(directory, stack) if "postgresql" in chosen.databases else None
    builds = {python_build(checkout) for checkout in names.values()}
    print(f"{machine()}; {' and '.join(sorted(builds))}; {how(chosen)}\n", flush=True)
    workers = int(chosen.workers or "1")
    for number, database in enumerate(chosen.databases.split(",")):
        sides = [
            checkout_side(chosen, name, directory / f"{number}-{place}", database, postgres, checkout, workers)
            for place, (name, checkout) in enumerate(names.items())
        ]
        ready = started(sides, stack)
        turns = turn(chosen, sides, rounds=chosen.rounds)
        print(f"## {database}\n\n{against_table(turns, *names)}\n")
        for side in sides:
            print(
                f"{side.name}: {side.memory():.0f} MB after the run, ready after {spread(ready[side.name]).text(2)} s"
            )
            side.stop()
        print(flush=True)


def with_roles(chosen: argparse.Namespace, directory: Path, stack: ExitStack) -> None:
    """Compare an application that is told roles and groups with one that is not, in turns."""
    postgres = database_server(directory, stack) if "postgresql" in chosen.databases else None
    print(f"{machine()}; {python_build()}; {how(chosen)}\n", flush=True)
    for number, database in enumerate(chosen.databases.split(",")):
        sides = [
            checkout_side(chosen, name, directory / f"{number}-{place}", database, postgres, roles=bool(place))
            for place, name in enumerate(("without roles", "with roles"))
        ]
        for side in sides:
            stack.callback(side.stop)
            side.start()
        turns = turn(chosen, sides, rounds=chosen.rounds)
        print(f"## {database}\n\n{against_table(turns, 'with roles', 'without roles')}\n", flush=True)
        for side in sides:
            side.stop()


def against_peer(chosen: argparse.Namespace, directory: Path, stack: ExitStack) -> None:
    """Compare this product with node-oidc-provider, in turns; print the aims; write the figures if that is asked."""
    node, versions = install_peer()
    postgres = database_server(directory, stack)
    ours = checkout_side(chosen, "sso", directory / "ours", "postgresql", postgres)
    theirs = peer(node, directory / "peer", postgres.database(), postgres.pid)
    sqlite = checkout_side(chosen, "sso on SQLite", directory / "sqlite", "sqlite", None)
    sides = [ours, theirs, sqlite]
    today = datetime.datetime.now(datetime.UTC).date()
    conditions = (
        f"Measured on {today} at commit {commit(ROOT)}: {machine()}; {python_build()}; "
        f"node-oidc-provider {versions['node-oidc-provider']} on Node.js {versions['Node.js']}; "
        f"PostgreSQL {postgres.version()} with its default settings, 10 connections for each server; {how(chosen)}."
    )
    print(conditions, flush=True)
    ready = started(sides, stack)
    for side in sides:
        print(f"{side.name}: {tokens_of(side, chosen.alg)}", flush=True)
    command = spread(command_seconds(ours, STARTS))
    turns = turn(chosen, sides, rounds=chosen.rounds)
    memory = {side.name: side.memory() for side in sides}
    run = PeerRun(conditions, turns, memory, {name: spread(times) for name, times in ready.items()}, command)
    print(f"\n{peer_table(run)}\n\n{aims(run)}")
    if chosen.write:
        page, readme = ROOT / "docs/reference/performance.md", ROOT / "README.md"
        page.write_text(renewed_page(page.read_text(), run))
        readme.write_text(renewed_readme(readme.read_text(), page.read_text()))
        print("docs/reference/performance.md and README.md have these figures now")


def database_server(directory: Path, stack: ExitStack) -> Postgres:
    """Start PostgreSQL, and stop it at the end."""
    postgres = Postgres(directory)
    stack.callback(postgres.stop)
    return postgres


def checkout_side(
    chosen: argparse.Namespace,
    name: str,
    directory: Path,
    database: str,
    postgres: Postgres | None,
    checkout: Path = ROOT,
    workers: int = 1,
    roles: bool = False,
) -> Side:
    """Return this product from a checkout on one of the databases."""
    on_postgres = postgres is not None and database == "postgresql"
    return product(
        name, directory, url=postgres.database() if postgres and on_postgres else None, checkout=checkout,
        algorithm=chosen.alg, workers=workers, actors=chosen.actors,
        database_pid=postgres.pid if postgres and on_postgres else None, roles=roles,
    )  # fmt: skip


def started(sides: Sequence[Side], stack: ExitStack) -> dict[str, list[float]]:
    """Start servers several times in turns, leave them running, and return the seconds to ready."""
    ready: dict[str, list[float]] = {side.name: [] for side in sides}
    for side in sides:
        stack.callback(side.stop)
        side.start()  # The first start makes keys and writes compiled files.
        side.stop()
    for number in range(STARTS):
        for side in sides:
            ready[side.name].append(side.start())
            if number < STARTS - 1:
                side.stop()
    return ready


def turn(chosen: argparse.Namespace, sides: Sequence[Side], *, rounds: int) -> Turns:
    """Measure the chosen flows."""
    return asyncio.run(
        measure(
            sides,
            chosen_flows(chosen),
            rounds=rounds,
            seconds=chosen.seconds,
            actors=chosen.actors,
            report=lambda flow: print(f"measured: {flow}", flush=True),
        )
    )


def tokens_of(side: Side, algorithm: str) -> str:
    """Look at the tokens of a server."""

    async def look() -> str:
        target = replace(side.target, endpoints=await read_endpoints(side.target.port))
        return await inspect_tokens(target, algorithm)

    return asyncio.run(look())


def how(chosen: argparse.Namespace) -> str:
    """Return how turns are taken."""
    return (
        f"{chosen.alg}, {chosen.actors} connections, {chosen.rounds} rounds in turns of {chosen.seconds:g} s; "
        "median, in brackets the middle half of the rounds"
    )


def machine() -> str:
    """Return what the machine is."""
    return f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores"


def commit(checkout: Path) -> str:
    """Return the commit of a checkout, and whether it has changes besides."""
    git = ["git", "-C", str(checkout)]
    done = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run([*git, "status", "--porcelain", "--", "src"], capture_output=True, text=True).stdout
    return (done.stdout.strip() or "unknown") + " with changes" * bool(changed)


if __name__ == "__main__":
    main()
