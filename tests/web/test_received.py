"""The body of a request: read at once where it has come, waited for otherwise, bounded in time and size."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from sso.http.common.received import Received, TooLarge, TooSlow

pytestmark = pytest.mark.unit


AT_ONCE, LATER, NEVER = "", "later", "never"


class Body:
    """The ``receive`` of a server: parts of a body, each with when it comes."""

    def __init__(self, parts: Sequence[tuple[bytes, str]]) -> None:
        self._parts = list(parts)
        self.cancelled = False

    async def __call__(self) -> dict[str, Any]:
        body, when = self._parts.pop(0)
        try:
            if when:
                await asyncio.sleep(0)
            if when is NEVER:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return {"type": "http.request", "body": body, "more_body": bool(self._parts)}


async def test_parts_that_have_come_and_parts_that_come_later_are_one_body() -> None:
    received = Received(Body([(b"a", AT_ONCE), (b"b", LATER), (b"c", AT_ONCE), (b"d", LATER)]), 10, 5)
    assert await received.body() == b"abcd"


async def test_a_body_that_comes_too_late_is_given_up() -> None:
    with pytest.raises(TooSlow):
        await Received(Body([(b"a", AT_ONCE), (b"b", NEVER)]), 10, 0.05).body()


async def test_a_body_that_is_too_large_is_refused_in_each_way_it_comes() -> None:
    for when in (AT_ONCE, LATER):
        with pytest.raises(TooLarge):
            await Received(Body([(b"abc", AT_ONCE), (b"defg", when)]), 6, 5).body()


async def test_a_request_that_is_cancelled_stops_waiting_for_its_body() -> None:
    body = Body([(b"a", NEVER)])
    reading = asyncio.create_task(Received(body, 10, 60).body())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
