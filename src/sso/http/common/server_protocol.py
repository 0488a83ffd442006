"""HTTP/1.1 on the wire: uvicorn's protocol, with bounds on the head of a request that it does not set itself.

Without them a client could send a head that never ends, in bytes or in time, and hold memory or a connection with it.

An offer to speak another protocol is ignored (RFC 9110 section 7.8): Java's HttpClient offers HTTP/2 with its first
request over plain http, and httptools would lose the body of that request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 20.0
INVALID = "Invalid HTTP request received."
WHOLE: Final = "sso.whole_response"
"""Our extension of ASGI (ASGI specification, "Extensions"): a function that takes the status, the headers and the body
of a whole response and sends it at once. It returns False where it has sent nothing, because the response or the
connection needs the usual messages."""

Headers = Sequence[tuple[bytes, bytes]]
_NAME, _VALUE = itemgetter(0), itemgetter(1)
_FRAMING = (b"content-length", b"transfer-encoding")
_OF_CONNECTION = frozenset({b"connection", b"transfer-encoding"})


class _SecondHead:
    """What a parser tells whose first head repeats one that was told already: from the body on, what any parser tells.

    Args:
        protocol: what is told.
    """

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol, self._repeated = protocol, True
        self.on_body, self.on_message_complete = protocol.on_body, protocol.on_message_complete

    def on_message_begin(self) -> None:
        if not self._repeated:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._repeated:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._repeated:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._repeated:
            self._protocol.on_headers_complete()
        self._repeated = False


def _parser(protocol: BoundedProtocol | _SecondHead) -> httptools.HttpRequestParser:
    """Return a parser as uvicorn sets it: what follows a request that closes the connection is not an error."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


class BoundedProtocol(HttpToolsProtocol):
    """One connection. ``sso serve`` names it to uvicorn.

    Once the process was asked to stop, each answer closes its connection (RFC 9112 section 9.6). So a proxy keeps none
    on which it would send a request while the server closes it.
    """

    stopping = False  # of the class: one process has one server
    _in_head = True
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        if self._deadline is not None:
            self._end_head()
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()
        if self.stopping:
            self.cycle.keep_alive = False
        self.scope["extensions"] = {WHOLE: partial(self._send_whole, self.cycle)}  # type: ignore[dict-item]  # a function

    def on_message_complete(self) -> None:
        # After an offer to upgrade httptools calls the message complete without having read its body.
        if not (self.parser.should_upgrade() or self.cycle.response_complete):
            self.cycle.more_body = False
            self.cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.logger.warning(INVALID)
            self.send_400_response(INVALID)
            return
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The head of the request is too large.")
            elif self._deadline is None:  # most heads come whole, and need none
                self._wait_for_head()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self.ignore_upgrade(data[offer.args[0] :])

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
        self.parser = _parser(_SecondHead(self))
        head = b"".join(name + b": " + value + b"\r\n" for name, value in framing)
        self._feed(b"POST / HTTP/1.1\r\n" + head + b"\r\n")
        if rest:
            self._feed(rest)

    def _send_whole(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> bool:
        """Send a whole response at once; see :data:`WHOLE`. uvicorn's way makes two tasks' worth of calls, and looks at
        each name and each value by itself."""
        if cycle.flow.write_paused or cycle.disconnected or cycle.response_started or cycle.access_log:
            return False
        headers = [*cycle.default_headers, *headers]
        names = set(map(_NAME, headers))
        framed = (b"content-length", b"%d" % len(body)) in headers and names.isdisjoint(_OF_CONNECTION)
        if not framed or cycle.scope["method"] == "HEAD":
            return False
        if HEADER_RE.search(b"".join(names)) or HEADER_VALUE_RE.search(b"".join(map(_VALUE, headers))):
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        lines = [b"%b: %b\r\n" % header for header in headers]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def _wait_for_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _end_head(self) -> None:
        self._in_head = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        """End a connection whose head does not come. Without a byte of it the client may have connected in advance, as
        browsers do: it would take an answer for that of its first request. It opens another connection instead."""
        if self._head_bytes and not self.transport.is_closing():
            self.send_400_response("The head of the request took too long.")
        self.transport.close()
