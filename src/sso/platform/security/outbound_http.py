"""Requests to addresses that others chose: applications' logout addresses and the like.

Against server-side request forgery: https only, every address that the name resolves to is checked, the connection
goes to the address that was checked (no second look-up), no redirects, no proxies from the environment, and small
limits on size and time. On a loopback issuer, where everything is on one machine, loopback and http are allowed;
``SSO_OUTBOUND_NETWORKS`` names private networks that may be reached.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from sso.settings import Settings

log = logging.getLogger("sso.outbound")

MAX_ANSWER_BYTES = 64 * 1024
PLAIN = ("", "identity")
"""The content encodings that are read. Nothing is ever decompressed: a thousand bytes can become a gigabyte."""

_UNUSABLE = (httpx.InvalidURL, UnicodeError)
"""What addresses raise that cannot be asked for, such as one with a label that only looks like an IDN."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class OutboundRefused(Exception):
    """The request was not sent, because its address is not one that we send to."""


class OutboundFailed(Exception):
    """No usable answer came: no connection, another status than 200, too large, too slow. The message says which."""


class AnsweredOtherwise(OutboundFailed):
    """The application answered, but not with what is wanted. The message tells nothing of our network."""


UNREACHABLE = "it cannot be reached: the address must be public, and answer with https and a valid certificate"
"""What developers are told of every request that got no answer. Whether the name is unknown, leads to an address
inside, the port is closed, or the certificate is wrong is for the log and for administrators: together these would draw
a map of our network."""


def public_reason(url: str, error: Exception) -> str:
    """Return what developers are told of a request that failed, and write the details into the log.

    Args:
        url: the address, which whoever is told has registered.
        error: what was raised: by :class:`Outbound`, or by httpx.
    """
    log.warning("%s: %s: %s", url, type(error).__name__, error)
    return str(error) if isinstance(error, AnsweredOtherwise) else UNREACHABLE


@dataclass(frozen=True, slots=True)
class Visited:
    """What a page answered: status, where it leads, the cookies it sets, and its body."""

    status: int
    location: str
    cookies: list[str]
    body: bytes


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects only to public addresses, and to the very address that was checked."""

    def __init__(self, allow_loopback: bool, networks: list[Network]) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._allow_loopback = allow_loopback
        self._networks = networks

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        address = await self._checked_address(host, port)
        return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise OutboundRefused("unix sockets are not reached")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    async def _checked_address(self, host: str, port: int) -> str:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # a label of more than 63 characters cannot even be asked for
            raise httpcore.ConnectError(f"{host} is not known") from error
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if not is_allowed_address(address, self._allow_loopback, self._networks):
                log.warning("%s is at %s", host, address)
                raise OutboundRefused(f"{host} is at what is not a public address")
        if not addresses:
            raise httpcore.ConnectError(f"{host} has no address")
        return addresses[0]


def is_allowed_address(address: str, allow_loopback: bool, networks: Sequence[Network] = ()) -> bool:
    """Tell whether we may connect to the literal ``address``: public ones, those of ``networks``, and loopback where
    allowed."""
    parsed = ipaddress.ip_address(address.split("%", 1)[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is not None:
            parsed = inner
        elif parsed in ipaddress.ip_network("64:ff9b::/96"):
            parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
    if any(parsed in network for network in networks):
        return True
    if parsed.is_loopback:
        return allow_loopback
    return parsed.is_global and not parsed.is_multicast


@cache
def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the public authorities, those of the machine (a city may have one of its own there)
    and those of ``ca_file``. Reading them takes 50 ms, so it is done once for each file."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


class Outbound:
    """Sends small requests to applications. Create it once, :meth:`close` it at the end."""

    def __init__(self, settings: Settings) -> None:
        self._allow_loopback = settings.loopback
        self._seconds = settings.outbound_timeout.total_seconds()
        context = _tls_context(settings.outbound_ca_file)
        networks = [ipaddress.ip_network(one, strict=False) for one in settings.outbound_networks]
        transport = httpx.AsyncHTTPTransport(verify=context, retries=0, trust_env=False)
        transport._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=256,
            max_keepalive_connections=0,
            network_backend=_GuardedBackend(self._allow_loopback, networks),
        )
        self._client = httpx.AsyncClient(
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            timeout=self._seconds,
            headers={"User-Agent": "sso", "Accept-Encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # keeps none: nobody is recognised by us
        )

    async def post_form(self, url: str, form: dict[str, str]) -> int:
        """POST ``form`` to ``url`` and return the status of the answer.

        Raises:
            OutboundRefused: when the address is not one that we send to.
            httpx.HTTPError: when no answer came.
        """
        return (await self._post(url, data=form))[0]

    async def _post(self, url: str, **sent: Any) -> tuple[int, bytes]:
        self._check_scheme(url)
        try:
            async with (
                asyncio.timeout(self._seconds * 2),
                self._client.stream("POST", url, **sent) as answer,
            ):
                return answer.status_code, await _read(answer, MAX_ANSWER_BYTES)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the answer took too long") from error
        except _UNUSABLE as error:
            raise httpx.UnsupportedProtocol("the address cannot be used") from error

    async def post(self, url: str, content: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """POST ``content`` to ``url`` and return status and body of the answer, of which at most 64 KiB are read, as
        they came: a body with a content encoding is not decoded.

        Raises:
            OutboundRefused: when the address is not one that we send to.
            httpx.HTTPError: when no answer came.
        """
        return await self._post(url, content=content, headers=headers)

    async def get(self, url: str, *, accept: str = "application/json", limit: int = MAX_ANSWER_BYTES) -> bytes:
        """Return what is at ``url``.

        Args:
            url: the address.
            accept: the media types that are asked for.
            limit: the most bytes that are read.

        Raises:
            OutboundRefused: when the address is not one that we send to.
            OutboundFailed: when no usable answer came.
        """
        self._check_scheme(url)
        try:
            async with (
                asyncio.timeout(self._seconds * 2),
                self._client.stream("GET", url, headers={"Accept": accept}) as answer,
            ):
                if answer.status_code != 200:
                    raise AnsweredOtherwise(f"it answered {answer.status_code}")
                _check_encoding(answer)
                read = await _read(answer, limit + 1)
                if len(read) > limit:
                    raise AnsweredOtherwise(f"its answer has more than {limit} bytes")
                return read
        except TimeoutError:
            raise OutboundFailed("its answer took too long") from None
        except (httpx.HTTPError, *_UNUSABLE) as error:
            raise OutboundFailed(f"it cannot be reached ({type(error).__name__})") from error

    async def visit(self, url: str, cookie: str = "") -> Visited:
        """Open ``url`` as a browser would, without following where it leads.

        Args:
            url: the address.
            cookie: what the browser sends as Cookie.

        Raises:
            OutboundRefused: when the address is not one that we send to.
            OutboundFailed: when no usable answer came.
        """
        self._check_scheme(url)
        headers = {"Accept": "text/html,*/*", **({"Cookie": cookie} if cookie else {})}
        try:
            async with (
                asyncio.timeout(self._seconds * 2),
                self._client.stream("GET", url, headers=headers) as answer,
            ):
                _check_encoding(answer)
                read = await _read(answer, MAX_ANSWER_BYTES)
                location = answer.headers.get("location", "")
                cookies = answer.headers.get_list("set-cookie")
                return Visited(answer.status_code, location, cookies, read)
        except TimeoutError:
            raise OutboundFailed("its answer took too long") from None
        except (httpx.HTTPError, *_UNUSABLE) as error:
            raise OutboundFailed(f"it cannot be reached ({type(error).__name__})") from error

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    def _check_scheme(self, url: str) -> None:
        try:
            scheme = urlsplit(url).scheme
        except ValueError:
            raise OutboundRefused("it is not an address") from None
        if scheme != "https" and not (scheme == "http" and self._allow_loopback):
            raise OutboundRefused("only https addresses are reached")


def _check_encoding(answer: httpx.Response) -> None:
    """Refuse a body with a content encoding, however it is written (RFC 9110 section 8.4): we asked for none."""
    named = answer.headers.get_list("content-encoding", split_commas=True)
    if any(one.strip().lower() not in PLAIN for one in named):
        raise AnsweredOtherwise("its answer has a Content-Encoding, although Accept-Encoding was identity")


async def _read(answer: httpx.Response, limit: int) -> bytes:
    """Return at most ``limit`` bytes of a body, as they came over the network."""
    read = bytearray()
    async for chunk in answer.aiter_raw():
        read += chunk
        if len(read) >= limit:
            break
    return bytes(read[:limit])
