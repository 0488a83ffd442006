"""Waiting for what another process or another task does: the only place in the tests that lets time pass.

A test that waits for time itself moves the clock (``clock.advance``) and does not wait. ``tests/docs/test_habits.py``
finds every other sleep; ``asyncio.sleep(0)``, which only lets other tasks run, is none.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from sso import clock
from sso.oidc.provider import Provider
from sso.platform.db import Database

LOOK_SECONDS = 0.02
"""The time between two looks."""
WAIT_SECONDS = 60.0
START_SECONDS = 90.0
BROWSER_MILLISECONDS = 60_000


async def until(condition: Callable[[], object | Awaitable[object]], seconds: float = WAIT_SECONDS) -> None:
    """Wait until a condition holds.

    Args:
        condition: a function, or one that returns an awaitable; it holds where the result is true.
        seconds: how long it may take.

    Raises:
        TimeoutError: when it does not hold in time.
    """
    async with asyncio.timeout(seconds):
        while True:
            result = condition()
            if inspect.isawaitable(result):
                result = await result
            if result:
                return
            await asyncio.sleep(LOOK_SECONDS)


WAITS_FOR_LOCK = text("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


async def until_it_waits(db: Database, task: asyncio.Task[Any]) -> None:
    """Wait until a task waits for the transaction that this one has open: in PostgreSQL for a lock, in SQLite for the
    only connection that writes. It must not have ended."""

    async def waits() -> bool:
        if task.done() or db.is_sqlite:
            return task.done() or db.engine.sync_engine.pool._waiting > 0  # type: ignore[attr-defined]
        async with db.read() as session:
            return (await session.execute(WAITS_FOR_LOCK)).first() is not None

    await until(waits)
    assert not task.done(), task


@contextmanager
def turns_of_others() -> Iterator[Callable[[], int]]:
    """Yield how often another task of the event loop has had its turn since then."""
    turns = 0

    async def take() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.get_running_loop().create_task(take())
    try:
        yield lambda: turns
    finally:
        task.cancel()


def wait_until(
    condition: Callable[[], object], seconds: float = WAIT_SECONDS, look_seconds: float = LOOK_SECONDS
) -> None:
    """Wait until a condition holds, in a test without an event loop.

    Args:
        condition: a function; it holds where the result is true.
        seconds: how long it may take.
        look_seconds: the time between two looks, for a condition that takes the processor from what it waits for.

    Raises:
        TimeoutError: when it does not hold in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not happen within {seconds} seconds")
        time.sleep(look_seconds)


def stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time of the program move with ``clock.advance`` alone, for tests of what is remembered for a second."""
    began = clock.now() - timedelta(seconds=clock._offset)
    monkeypatch.setattr(clock, "now", lambda: began + timedelta(seconds=clock._offset))
    monkeypatch.setattr(clock, "timestamp", lambda: int(clock.now().timestamp()))


def follow_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a provider that starts later read no changes by itself, so that it reads them where the test says so."""

    async def follow(_: Provider, stop: asyncio.Event) -> None:
        await stop.wait()

    monkeypatch.setattr(Provider, "follow", follow)


def sleeps(pid: int) -> bool:
    """Tell whether a process waits for something, such as input."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def listens(place: int | Path, host: str = "127.0.0.1") -> bool:
    """Tell whether something on this machine listens.

    Args:
        place: a port, or the file of a socket: that is there a moment before something listens, and is left over by a
            process that was killed.
        host: the address that a port belongs to.
    """
    if isinstance(place, Path):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(place)) == 0
    with socket.socket() as probe:
        return probe.connect_ex((host, place)) == 0


def wait_for(
    place: int | Path,
    process: subprocess.Popen[Any],
    log: Path,
    seconds: float = START_SECONDS,
    host: str = "127.0.0.1",
) -> None:
    """Wait until a process listens.

    Args:
        place: a port, or the file of a socket.
        process: the process, which was started for this.
        log: what it writes.
        seconds: how long it may take.
        host: the address that a port belongs to.

    Raises:
        RuntimeError: with its log, when it ends or takes too long.
    """

    def does_not_start() -> RuntimeError:
        text = log.read_text(errors="replace") if log.exists() else "it has written nothing"
        return RuntimeError(f"it does not start:\n{text}")

    def started() -> bool:
        if process.poll() is not None:
            raise does_not_start()
        return listens(place, host)

    try:
        wait_until(started, seconds)
    except TimeoutError:
        raise does_not_start() from None
