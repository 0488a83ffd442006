"""Requests as bytes: an offer to upgrade to another protocol is ignored, and the request is read whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from tests.ports import free_ports
from tests.waiting import until

from sso.http.common import server_protocol as wire

# What the HttpClient of Java sends with its first request over plain http (Spring Security 7 and others).
OFFER = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n"
WEBSOCKET = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
FORM = "grant_type=client_credentials&scope=read"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the method, the path, the number of headers and the body."""
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    echoed = json.dumps([scope["method"], scope["path"], len(scope["headers"]), body.decode()]).encode()
    headers = [(b"content-length", str(len(echoed)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": echoed})


class Counting(wire.BoundedProtocol):
    """The protocol, and how many bytes came."""

    received = 0

    def data_received(self, data: bytes) -> None:
        Counting.received += len(data)
        super().data_received(data)


@asynccontextmanager
async def serving(app: Any = echo) -> AsyncIterator[int]:
    """Serve an application, and give its port."""
    port = free_ports(1)
    config = uvicorn.Config(app, port=port, http=Counting, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    yield port
    server.should_exit = True
    await task


async def answers(port: int, parts: list[bytes], count: int) -> list[Any]:
    """Send parts of a stream one by one on one connection, and return what is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    bodies, sent = [], Counting.received
    async with asyncio.timeout(60):
        for part in parts:
            writer.write(part)
            await writer.drain()
            sent += len(part)
            await until(lambda total=sent: Counting.received >= total)  # so that it comes as a segment of its own
        for _ in range(count):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            bodies.append(json.loads(await reader.readexactly(length)))
    writer.close()
    return bodies


@pytest.mark.parametrize("offer", [OFFER, WEBSOCKET], ids=["h2c", "websocket"])
async def test_the_body_of_a_request_that_offers_an_upgrade_is_read(offer: str) -> None:
    lines = offer.count("\r\n")
    whole = f"POST /token HTTP/1.1\r\nHost: x\r\n{offer}Content-Length: {len(FORM)}\r\n\r\n{FORM}".encode()
    chunked = f"POST /token HTTP/1.1\r\nHost: x\r\n{offer}Transfer-Encoding: chunked\r\n\r\n"
    chunked += f"{len(FORM):x}\r\n{FORM}\r\n0\r\n\r\n"
    bodiless = f"GET /jwks HTTP/1.1\r\nHost: x\r\n{offer}\r\n".encode()
    after = b"GET /userinfo HTTP/1.1\r\nHost: x\r\n\r\n"
    posted, got = ["POST", "/token", 2 + lines, FORM], ["GET", "/jwks", 1 + lines, ""]
    next_one = ["GET", "/userinfo", 1, ""]
    head = whole.index(b"\r\n\r\n") + 4
    async with serving() as port:
        for at in (0, 30, head - 2, head, head + 7):
            assert await answers(port, [whole[:at], whole[at:]], 1) == [posted]
        for sent, expected in ((whole, posted), (chunked.encode(), posted), (bodiless, got)):
            assert await answers(port, [sent, after], 2) == [expected, next_one]
            assert await answers(port, [sent + sent + after], 3) == [expected, expected, next_one]


async def test_framing_stays_strict_after_an_offer_to_upgrade() -> None:
    smuggled = b"0\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
    async with serving() as port:
        for framing in (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Content-Length: -1\r\n",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"POST /token HTTP/1.1\r\nHost: x\r\n{OFFER}{framing}\r\n".encode() + smuggled)
            async with asyncio.timeout(60):
                answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 400"), framing
            assert b"/admin" not in answer, framing
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(60):
            answer = await reader.read()
        assert b"/admin" not in answer
        writer.close()


async def whole(scope: Any, receive: Any, send: Any) -> None:
    """Answer as the shell does: at once where the connection permits it, otherwise in messages."""
    path, body = scope["path"], b'["whole"]'
    length = b"%d" % (len(body) + (path == "/short"))
    headers = [(b"content-length", length), (b"x-value", b"a\nb" if path == "/split" else b"a")]
    if scope["extensions"][wire.WHOLE](200, headers, body):
        return
    headers = [(b"content-length", b"%d" % len(body)), (b"x-in-messages", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(
    ("request_line", "more", "in_messages"),
    [
        ("GET / HTTP/1.1", "", False),
        ("GET / HTTP/1.1", "Connection: close\r\n", False),
        ("GET / HTTP/1.0", "", False),
        ("HEAD / HTTP/1.1", "", True),
        ("GET /short HTTP/1.1", "", True),
        ("GET /split HTTP/1.1", "", True),
    ],
)
async def test_a_response_is_sent_whole_where_that_is_the_same(request_line: str, more: str, in_messages: bool) -> None:
    request = f"{request_line}\r\nHost: x\r\n{more}\r\n".encode()
    end = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with serving(whole) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request + end)
        async with asyncio.timeout(60):
            answers = await reader.read()
        writer.close()
    head, _, rest = answers.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (b"x-in-messages" in head) == in_messages
    assert b"\r\nb" not in head
    assert b"content-length: 9" in head
    closes = "close" in more or request_line.endswith("1.0")
    assert (b"connection: close" in head) == closes
    first = b"" if request_line.startswith("HEAD") else b'["whole"]'
    assert rest.startswith(first)
    # A connection that is kept answers the next request, after the first.
    assert rest.removeprefix(first).startswith(b"" if closes else b"HTTP/1.1 200 OK\r\n")
    assert answers.count(b"HTTP/1.1 200") == (1 if closes else 2)
