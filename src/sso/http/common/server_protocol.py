"""HTTP/1.1 on the wire: uvicorn's protocol, with bounds on the head of a request that it does not set itself.

Without them a client could send a head that never ends, in bytes or in time, and hold memory or a connection with it.

An offer to speak another protocol is ignored (RFC 9110 section 7.8): Java's HttpClient offers HTTP/2 with its first
request over plain http, and httptools would lose the body of that request.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 20.0


_FRAMING = (b"content-length", b"transfer-encoding")


class _Parser(httptools.HttpRequestParser):
    """A parser that tells its protocol of an offer to upgrade, instead of raising an error after it."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        super().__init__(protocol)
        self._protocol = protocol
        # As uvicorn sets it: what follows a request that closes the connection is not an error.
        self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: Any) -> None:
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._protocol.ignore_upgrade(data[offer.args[0] :])


class BoundedProtocol(HttpToolsProtocol):
    """One connection. ``sso serve`` names it to uvicorn."""

    _repeated = False
    _in_head = True
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def __init__(self, config: Config, *args: Any, **named: Any) -> None:
        super().__init__(config, *args, **named)
        self.parser = _Parser(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        if not self._repeated:
            self._begin_head()
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._repeated:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._repeated:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._repeated:
            self._end_head()
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        # After an offer to upgrade httptools calls the message complete without having read its body.
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def ignore_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 after a head that offers another protocol. The parser reads no body after such a head, so a
        new parser reads a head with the same framing, of which nothing is told, and then the body.

        Args:
            rest: what came after the head.
        """
        framing = [(name, value) for name, value in self.headers if name in _FRAMING]
        if self.scope["method"] == "CONNECT":  # what follows would be for the other end of a tunnel
            self.cycle.keep_alive, framing, rest = False, [], b""
        if not self.cycle.keep_alive:
            framing.append((b"connection", b"close"))
        self.parser, self._repeated = _Parser(self), True
        head = b"".join(name + b": " + value + b"\r\n" for name, value in framing)
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + head + b"\r\n")
        self._repeated = False
        if rest:
            self.parser.feed_data(rest)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The head of the request is too large.")

    def _begin_head(self) -> None:
        self._end_head()
        self._in_head, self._head_bytes = True, 0
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _end_head(self) -> None:
        self._in_head = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.send_400_response("The head of the request took too long.")
