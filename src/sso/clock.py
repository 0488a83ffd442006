"""The one place that tells the time.

Every rule that depends on time asks :func:`now`; tests move it with :func:`advance` instead of sleeping.

With PostgreSQL the time is that of the database, so that every host judges codes, tokens and sessions by the same
clock, whatever its own clock says. ``sso.platform.db.database_clock`` reads the time of the database now and then and
calls :func:`follow`; between two readings a clock counts that nobody can set. Without a database, and with SQLite, the
time is that of the host (docs/decisions/0059-one-clock-and-ends-that-last.md).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

MAX_DIFFERENCE_SECONDS = 5.0
"""How much the clock of a host may differ from that of the database. A host beyond it is not ready, and runs no job."""

_offset = 0.0
"""By how many seconds a test has moved the clock."""
_base: float | None = None
"""The time of the database, in seconds since 1970, when :func:`steady` was 0; None: the clock of the host is used."""


def _steady() -> Callable[[], float]:
    boot = getattr(time, "CLOCK_BOOTTIME", None)  # counts while the machine sleeps, too; only Linux has it
    return time.monotonic if boot is None else partial(time.clock_gettime, boot)


steady = _steady()
"""Seconds that nobody can set: they only go forward."""


def now() -> datetime:
    """Return the current time in UTC, with microseconds."""
    return datetime.fromtimestamp((time.time() if _base is None else _base + steady()) + _offset, UTC)


def timestamp() -> int:
    """Return the current time in whole seconds since 1970, as JWT claims use it (RFC 7519 section 2)."""
    return int((time.time() if _base is None else _base + steady()) + _offset)


def follow(seconds: float, at: float) -> None:
    """Use the time of the database from now on.

    Args:
        seconds: the time of the database, in seconds since 1970.
        at: what :func:`steady` said at that moment.
    """
    global _base
    _base = seconds - at


def difference() -> float | None:
    """Return by how many seconds the clock of the host is ahead of the database, also where the host's clock was set
    after the last reading; None where the clock of the host is used."""
    return None if _base is None else time.time() - _base - steady()


def is_wrong() -> bool:
    """Tell whether the clock of the host differs too much from the clock of the database."""
    return abs(difference() or 0.0) > MAX_DIFFERENCE_SECONDS


async def pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for ``seconds`` of real time, or until ``stop`` is set; tell whether it is set.

    Work that goes on for as long as a process lives pauses with this, so that a stop finds it between two pieces of
    work and never in the middle of a statement.
    """
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


def advance(by: timedelta | float) -> None:
    """Move the clock forwards, or back, by a duration or a number of seconds. For tests only."""
    global _offset
    _offset += by.total_seconds() if isinstance(by, timedelta) else by


def reset() -> None:
    """Return to the real time, that of the host. For tests only."""
    global _offset, _base
    _offset, _base = 0.0, None
