"""The body of a request: bounded in bytes and in time, and kept, so that the request can be carried out again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import cast

from starlette.types import Message, Receive

from sso.errors import Refusal


class RequestRefused(Refusal):
    """A request that cannot be read."""

    status = 400
    code = "unreadable"


class TooLarge(RequestRefused):
    """A request has more than SSO_MAX_BODY_SIZE."""

    status = 413
    code = "too_large"


class TooSlow(RequestRefused):
    """A request took too long to arrive."""

    status = 408
    code = "too_slow"


class Received:
    """What is received of a request: the ``receive`` that every route gets.

    Args:
        receive: the ``receive`` of the server.
        maximum: how many bytes the body may have; None: as many as the server passes on.
        seconds: how long the body may take to arrive.
    """

    def __init__(self, receive: Receive, maximum: int | None = None, seconds: float = 0.0) -> None:
        self.form: list[tuple[str, str]] | None = None
        """The parameters of the body, where that is a form: read once, by the gate (``request_checks.py``)."""
        self.query: list[tuple[str, str]] | None = None
        """The parameters of the query, read once, by the gate too."""
        self._receive = receive
        self._maximum = maximum
        self._until = time.monotonic() + seconds
        self._bytes = 0
        self._kept: list[Message] = []
        self._next = 0

    async def __call__(self) -> Message:
        if self._next == len(self._kept):
            self._kept.append(await self._message())
        self._next += 1
        return self._kept[self._next - 1]

    async def body(self) -> bytes | None:
        """Return the whole body before any route has received it; None: the client went away."""
        parts = []
        while True:
            message = await self._message()
            if message["type"] != "http.request":
                self._kept = [message]
                return None
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        self._kept = [{"type": "http.request", "body": whole, "more_body": False}]
        return whole

    @property
    def complete(self) -> bool:
        """Whether the whole body was received, so that reading it again does not wait."""
        last = self._kept[-1] if self._kept else {"type": ""}
        return last["type"] == "http.request" and not last.get("more_body", False)

    def rewind(self) -> None:
        """Begin with the first message again."""
        self._next = 0

    async def _message(self) -> Message:
        if self._maximum is None:
            return await self._receive()
        if self._maximum < 0:
            raise TooLarge
        receiving = cast(Coroutine[object, None, Message], self._receive())
        try:
            waits_for = receiving.send(None)
        except StopIteration as there:  # it has come already: most bodies come with the head
            message: Message = there.value
        else:
            try:
                async with asyncio.timeout(self._until - time.monotonic()):
                    message = await _rest(receiving, waits_for)
            except TimeoutError:
                raise TooSlow from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._maximum:
            raise TooLarge
        return message


@coroutine
def _rest(started: Coroutine[object, None, Message], waits_for: object) -> Generator[object, None, Message]:
    """Await a coroutine that was started by ``send(None)``.

    Args:
        started: the coroutine.
        waits_for: what it returned: what it waits for.
    """
    try:
        yield waits_for
    except BaseException:
        started.close()
        raise
    return (yield from started.__await__())
