"""Drives servers in turns: one flow, then for each round every server for some seconds, forwards and backwards."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.flows import Actor, Flow, read_endpoints
from bench.http import Connection
from bench.sides import Side, cpu_seconds, tree

WARM_SECONDS = 0.2
"""Before each turn the server is driven for this long: connections are opened, and code is warm."""


@dataclass(frozen=True)
class Turn:
    """What one flow cost in one turn. Times are milliseconds; `cpu`, `database` and `driver` are for each flow."""

    per_second: float
    p50: float
    p99: float
    cpu: float
    database: float
    driver: float


@dataclass(frozen=True)
class Spread:
    """The median of some figures, and the quarter below and above which a quarter of them lie."""

    median: float
    low: float
    high: float

    def text(self, digits: int) -> str:
        """Return the figures as a table has them."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


def spread(figures: Sequence[float]) -> Spread:
    """Return the median and the quartiles of at least one figure."""
    if len(figures) < 2:
        return Spread(figures[0], figures[0], figures[0])
    low, _, high = statistics.quantiles(figures, n=4, method="inclusive")
    return Spread(statistics.median(figures), low, high)


Turns = dict[str, dict[str, list[Turn]]]
"""Turns by flow and by the name of the side, one for each round."""


async def measure(
    sides: Sequence[Side],
    flows: Sequence[Flow],
    *,
    rounds: int,
    seconds: float,
    actors: int,
    report: Callable[[str], object] = str,
) -> Turns:
    """Measure flows on servers that run.

    Args:
        sides: the servers.
        flows: the flows, one after the other.
        rounds: turns of each server for each flow.
        seconds: the length of a turn.
        actors: how many use a server at the same time, each over one connection.
        report: receives the name of each flow when it is measured.
    """
    crowds = {}
    for side in sides:
        target = replace(side.target, endpoints=await read_endpoints(side.target.port))
        crowds[side.name] = [Actor(target, number, Connection(target.port)) for number in range(actors)]
    measured: Turns = {}
    for flow in flows:
        turns: dict[str, list[Turn]] = {side.name: [] for side in sides}
        for side in sides:
            for actor in crowds[side.name]:
                await flow.prepare(actor)
                actor.connection.close()
            # Not counted: V8 compiles what runs often, and caches fill. Without it a peer on Node.js looks slow.
            await take_turn(side, crowds[side.name], flow, 2 * seconds)
        for number in range(rounds):
            for side in sides if number % 2 == 0 else reversed(sides):
                crowd = crowds[side.name][: max(1, round(actors * flow.share))]
                turns[side.name].append(await take_turn(side, crowd, flow, seconds))
        measured[flow.name] = turns
        report(flow.name)
    return measured


async def take_turn(side: Side, crowd: list[Actor], flow: Flow, seconds: float) -> Turn:
    """Drive one server with one flow and return what it cost."""
    try:
        await _drive(crowd, flow, min(WARM_SECONDS, seconds))
        own, database = side.pids(), tree(side.database_pid) if side.database_pid else []
        cpu, database_cpu, driver_cpu = cpu_seconds(own), cpu_seconds(database), time.process_time()
        began = time.perf_counter()
        times = sorted(await _drive(crowd, flow, seconds))
        elapsed = time.perf_counter() - began
        used = cpu_seconds(own) - cpu, cpu_seconds(database) - database_cpu, time.process_time() - driver_cpu
    finally:
        for actor in crowd:
            actor.connection.close()
    each = [1000 * value / len(times) for value in used]
    p99 = times[int(len(times) * 0.99)]
    return Turn(len(times) / elapsed, statistics.median(times) * 1000, p99 * 1000, each[0], each[1], each[2])


async def _drive(crowd: list[Actor], flow: Flow, seconds: float) -> list[float]:
    """Let actors repeat a flow, each at least once, and return how long each flow took, in seconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def act(actor: Actor) -> None:
        while True:
            start = time.perf_counter()
            await flow.run(actor)
            now = time.perf_counter()
            times.append(now - start)
            if now >= end:
                return

    await asyncio.gather(*(act(actor) for actor in crowd))
    return times


def ratios(turns: dict[str, list[Turn]], side: str, other: str) -> Spread:
    """Return the processor time of one side by that of another, round by round."""
    return spread([first.cpu / second.cpu for first, second in zip(turns[side], turns[other], strict=True)])
