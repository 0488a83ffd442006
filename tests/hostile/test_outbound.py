"""Server-side request forgery (SECURITY 11): addresses that others chose never lead inside."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import threading
from pathlib import Path
from typing import Any

import httpcore2 as httpcore
import httpx2 as httpx
import pytest
from tests.conftest import settings_for

from sso.platform.security import outbound_http
from sso.platform.security.outbound_errors import OutboundFailed, OutboundRefused
from sso.platform.security.outbound_http import Outbound, is_allowed_address

INSIDE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1",
    "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "ff02::1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_are_refused(address: str) -> None:
    assert not is_allowed_address(address, allow_loopback=False)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed_address(address, allow_loopback=False)


def test_loopback_is_allowed_only_where_everything_is_on_one_machine() -> None:
    assert is_allowed_address("127.0.0.1", allow_loopback=True)
    assert not is_allowed_address("10.0.0.1", allow_loopback=True)


class NoNetwork(httpcore.AsyncNetworkBackend):
    """Records which addresses would be connected to."""

    def __init__(self) -> None:
        self.connected: list[str] = []

    async def connect_tcp(self, host: str, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        self.connected.append(host)
        raise httpcore.ConnectError("stop here")


@pytest.fixture
def no_network() -> NoNetwork:
    return NoNetwork()


@pytest.fixture
def strict(tmp_path: Path, no_network: NoNetwork) -> Outbound:
    return Outbound(settings_for("sqlite:///x", tmp_path, outbound_timeout="60s"), no_network)


@pytest.fixture
def loopback(tmp_path: Path) -> Outbound:
    return loopback_within("60s", tmp_path)


def loopback_within(limit: str, tmp_path: Path) -> Outbound:
    return Outbound(settings_for("sqlite:///x", tmp_path, issuer="http://localhost:8000", outbound_timeout=limit))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "http://8.8.8.8/",
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
    ],
)
async def test_no_request_leaves_for_such_an_address(strict: Outbound, no_network: NoNetwork, url: str) -> None:
    with pytest.raises((OutboundRefused, httpx.HTTPError, httpx.InvalidURL)):
        await strict.post_form(url, {})
    assert not no_network.connected
    await strict.close()


async def test_a_name_is_looked_up_once_and_the_checked_address_is_used(
    strict: Outbound, no_network: NoNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: a second look-up would give another address."""
    looked_up: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["8.8.8.8" if len(looked_up) == 1 else "127.0.0.1"]

    monkeypatch.setattr(outbound_http, "resolve", resolve)
    with pytest.raises(httpx.ConnectError, match="stop here"):
        await strict.post_form("https://rebind.example/x", {})
    assert (looked_up, no_network.connected) == (["rebind.example"], ["8.8.8.8"])
    await strict.close()


async def test_one_bad_address_among_good_ones_is_enough(strict: Outbound, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    monkeypatch.setattr(outbound_http, "resolve", resolve)
    with pytest.raises(OutboundRefused, match="not a public address"):
        await strict.post_form("https://mixed.example/x", {})
    await strict.close()


async def test_a_name_server_that_does_not_answer_costs_the_time_limit_and_delays_no_other_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, over = threading.Barrier(outbound_http.MAX_LOOK_UPS // 2 + 1), threading.Event()

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        if host.startswith("hangs"):
            hanging.wait(60)
            over.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    outbound = Outbound(settings_for("sqlite:///x.db", tmp_path, outbound_timeout="3s"))
    waiting = [
        asyncio.create_task(outbound.get(f"https://hangs{number}.example/jwks"))
        for number in range(hanging.parties - 1)
    ]
    try:
        await asyncio.to_thread(hanging.wait, 60)
        with pytest.raises(OutboundRefused, match="not a public address"):  # looked up meanwhile
            await outbound.get("https://quick.example/jwks")
        for failed in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(failed, OutboundFailed)
            assert "ConnectTimeout" in str(failed)
    finally:
        over.set()
        await outbound.close()


async def _server(answer: bytes, stops: bool = False) -> tuple[asyncio.Server, int, list[bytes]]:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            for part in (answer[i : i + 65536] for i in range(0, len(answer), 65536)):
                writer.write(part)
                await writer.drain()
                if stops:
                    await reader.read()  # until the other side goes
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1], seen


async def test_a_body_that_breaks_off_is_an_error_of_httpx(loopback: Outbound) -> None:
    server, port, _ = await _server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    with pytest.raises(httpx.RemoteProtocolError):
        await loopback.post_form(f"http://127.0.0.1:{port}/", {})
    with pytest.raises(OutboundFailed, match="RemoteProtocolError"):
        await loopback.get(f"http://127.0.0.1:{port}/")
    server.close()
    await loopback.close()


def test_httpx_has_an_error_for_every_error_of_its_pool() -> None:
    errors = [value for value in vars(httpcore).values() if isinstance(value, type) and issubclass(value, Exception)]
    for error in errors:
        if error is not httpcore.ConnectionNotAvailable:  # the pool retries it itself
            assert issubclass(getattr(httpx, error.__name__), httpx.TransportError)


async def test_redirects_are_not_followed(loopback: Outbound) -> None:
    server, port, seen = await _server(
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    )
    assert await loopback.post_form(f"http://127.0.0.1:{port}/", {"a": "b"}) == 302
    assert len(seen) == 1
    server.close()
    await loopback.close()


async def test_a_huge_answer_is_not_read_to_its_end(loopback: Outbound) -> None:
    server, port, _ = await _server(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 10_000_000)
    assert await loopback.post_form(f"http://127.0.0.1:{port}/", {}) == 200
    server.close()
    await loopback.close()


async def test_a_slow_answer_is_given_up(tmp_path: Path) -> None:
    loopback = loopback_within("500ms", tmp_path)
    drip = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 5_000_000
    server, port, _ = await _server(drip[:200], stops=True)
    with pytest.raises(httpx.HTTPError):
        await loopback.post_form(f"http://127.0.0.1:{port}/", {})
    server.close()
    await loopback.close()


BOMB = gzip.compress(gzip.compress(b"\0" * 50_000_000))
ENCODINGS = (
    "gzip, gzip", "gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "identity, gzip", " , gzip", "unknown", "gzip;q=1"
)  # fmt: skip


async def test_no_answer_is_decompressed(loopback: Outbound) -> None:
    """1,143 bytes with ``Content-Encoding: gzip, gzip`` became 1.2 GB."""
    for named in ENCODINGS:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {named}\r\nContent-Length: {len(BOMB)}\r\n\r\n"
        for read in (loopback.get, loopback.visit):
            server, port, seen = await _server(head.encode() + BOMB)
            with pytest.raises(OutboundFailed, match="Content-Encoding"):
                await read(f"http://127.0.0.1:{port}/")
            assert b"accept-encoding: identity" in seen[0].lower()
            server.close()
        server, port, _ = await _server(head.encode() + BOMB)
        status, body = await loopback.post(f"http://127.0.0.1:{port}/", b"x", {})
        assert (status, body) == (200, BOMB[:65536])
        server.close()
    two = b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi"
    server, port, _ = await _server(two)
    with pytest.raises(OutboundFailed):
        await loopback.get(f"http://127.0.0.1:{port}/")
    server.close()
    server, port, _ = await _server(two.replace(b"gzip", b"Identity"))
    assert await loopback.get(f"http://127.0.0.1:{port}/") == b"hi"
    server.close()
    await loopback.close()


async def test_an_address_that_nobody_can_look_up_is_no_failure_of_ours(tmp_path: Path) -> None:
    impatient = Outbound(settings_for("sqlite:///x", tmp_path, outbound_timeout="500ms"), NoNetwork())
    long = f"https://{'a' * 70}.example/"
    for url in (long, "https://a..example/", "https://[::1/", "https://xn--a-.example/", "https://a:b"):
        for read in (impatient.get, impatient.visit):
            with pytest.raises((OutboundFailed, OutboundRefused)):
                await read(url)
        with pytest.raises((OutboundRefused, httpx.HTTPError)):
            await impatient.post(url, b"", {})
    await impatient.close()
