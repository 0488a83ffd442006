"""The one place that tells the time.

Every rule that depends on time asks :func:`now`; tests move it with :func:`advance` instead of sleeping.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

_offset = timedelta(0)


def now() -> datetime:
    """Return the current time in UTC, with microseconds."""
    return datetime.now(UTC) + _offset


def timestamp() -> int:
    """Return the current time in whole seconds since 1970, as JWT claims use it (RFC 7519 section 2)."""
    return int(time.time() + _offset.total_seconds())


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
    _offset += by if isinstance(by, timedelta) else timedelta(seconds=by)


def reset() -> None:
    """Return to the real time. For tests only."""
    global _offset
    _offset = timedelta(0)
