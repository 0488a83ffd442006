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
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urlsplit

import certifi
import httpcore2 as httpcore
import httpx2 as httpx

from sso.platform.security.outbound_errors import AnsweredOtherwise, OutboundFailed, OutboundRefused
from sso.settings import Settings

log = logging.getLogger("sso.outbound")

MAX_ANSWER_BYTES = 64 * 1024
MAX_LOOK_UPS = 64
"""How many names are looked up at the same time: more than the receivers that may be slow at once by default."""
PLAIN = ("", "identity")
"""The content encodings that are read. Nothing is ever decompressed: a thousand bytes can become a gigabyte."""

_UNUSABLE = (httpx.InvalidURL, UnicodeError)
"""What addresses raise that cannot be asked for, such as one with a label that only looks like an IDN."""

_HTTPCORE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


_LOOK_UPS = ThreadPoolExecutor(MAX_LOOK_UPS, thread_name_prefix="look-up")


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name.

    A name server that does not answer holds a thread for as long as the system waits for it, which cannot be stopped.
    These threads are not those of other work, so that such names delay nothing else.

    Raises:
        OSError, UnicodeError: when there is none.
    """
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    entries = await asyncio.get_running_loop().run_in_executor(_LOOK_UPS, look_up)
    return [str(entry[4][0]) for entry in entries]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of an API: status, ``Retry-After`` in seconds (0: not stated), and at most 64 KiB of the body."""

    status: int
    retry_after: float
    body: bytes


@dataclass(frozen=True, slots=True)
class Visited:
    """What a page answered: status, where it leads, the cookies it sets, and its body."""

    status: int
    location: str
    cookies: list[str]
    body: bytes


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects only to allowed addresses, and to the very address that was checked.

    Args:
        network: opens the connection to the checked address.
        allow_loopback: whether loopback addresses are allowed.
        networks: private networks that are allowed.
    """

    def __init__(self, network: httpcore.AsyncNetworkBackend, allow_loopback: bool, networks: list[Network]) -> None:
        self._network = network
        self._allow_loopback = allow_loopback
        self._networks = networks

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                address = await self._checked_address(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"the address of {host} was not found in time") from None
        return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise OutboundRefused("unix sockets are not reached")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)

    async def _checked_address(self, host: str, port: int) -> str:
        try:
            addresses = await resolve(host, port)
        except (OSError, UnicodeError) as error:  # a label of more than 63 characters cannot even be asked for
            raise httpcore.ConnectError(f"{host} is not known") from error
        for address in addresses:
            if not is_allowed_address(address, self._allow_loopback, self._networks):
                log.warning("%s is at %s", host, address)
                raise OutboundRefused(f"{host} is at what is not a public address")
        if not addresses:
            raise httpcore.ConnectError(f"{host} has no address")
        return addresses[0]


@contextmanager
def _as_httpx_errors() -> Iterator[None]:
    """Raise httpx's error of the same name for an error of httpcore."""
    try:
        yield
    except _HTTPCORE_ERRORS as error:
        same_error: type[httpx.TransportError] = getattr(httpx, type(error).__name__)
        raise same_error(str(error)) from error


class _PoolStream(httpx.AsyncByteStream):
    """The body of a response that comes from httpcore's pool."""

    def __init__(self, chunks: AsyncIterable[bytes], response: httpcore.Response) -> None:
        self._chunks = chunks
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx_errors():
            async for chunk in self._chunks:
                yield chunk

    async def aclose(self) -> None:
        with _as_httpx_errors():
            await self._response.aclose()


class _GuardedTransport(httpx.AsyncBaseTransport):
    """Sends httpx's requests over a pool of httpcore whose connections a guard opens.

    ``httpx.AsyncHTTPTransport`` takes no network backend, so the pool is made here.
    """

    def __init__(self, guard: httpcore.AsyncNetworkBackend, tls: ssl.SSLContext) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls, max_connections=256, max_keepalive_connections=0, network_backend=guard
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        sent = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx_errors():
            response = await self._pool.handle_async_request(sent)
        assert isinstance(response.stream, AsyncIterable)
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_PoolStream(response.stream, response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


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
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


class Outbound:
    """Sends small requests to applications. Create it once, :meth:`close` it at the end.

    Args:
        settings: the time limit, and which addresses may be reached.
        network: opens the connections to addresses that were checked; by default, the network of this host.
    """

    def __init__(self, settings: Settings, network: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._allow_loopback = settings.loopback
        self._seconds = settings.outbound_timeout.total_seconds()
        networks = [ipaddress.ip_network(allowed, strict=False) for allowed in settings.outbound_networks]
        guard = _GuardedBackend(network or httpcore.AnyIOBackend(), self._allow_loopback, networks)
        self._client = httpx.AsyncClient(
            transport=_GuardedTransport(guard, _tls_context(settings.outbound_ca_file)),
            follow_redirects=False,
            trust_env=False,
            timeout=self._seconds,
            headers={"User-Agent": "sso", "Accept-Encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # keeps none: nobody is recognised by us
        )

    def on_request(self, add_headers: Callable[[MutableMapping[str, str]], None]) -> None:
        """Let ``add_headers`` add to the headers of each request from now on."""

        async def add(request: httpx.Request) -> None:
            add_headers(request.headers)

        self._client.event_hooks = {"request": [add]}

    async def post_form(self, url: str, form: dict[str, str]) -> int:
        """POST ``form`` to ``url`` and return the status of the answer.

        Raises:
            OutboundRefused: when the address is not one that we send to.
            httpx.HTTPError: when no answer came.
        """
        return (await self._post(url, form=form))[0]

    async def _post(
        self,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        self._check_scheme(url)
        try:
            async with (
                asyncio.timeout(self._seconds * 2),
                self._client.stream("POST", url, data=form, content=content, headers=headers) as answer,
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

    async def call(self, method: str, url: str, headers: dict[str, str], content: bytes | None = None) -> Answer:
        """Send a request to an API and return the answer, whatever its status is.

        Args:
            method: GET or POST.
            url: the address.
            headers: the headers.
            content: the body.

        Raises:
            OutboundRefused: when the address is not one that we send to.
            OutboundFailed: when no answer came.
        """
        self._check_scheme(url)
        try:
            async with (
                asyncio.timeout(self._seconds * 2),
                self._client.stream(method, url, headers=headers, content=content) as answer,
            ):
                stated = answer.headers.get("retry-after", "")
                seconds = float(stated) if stated.isascii() and stated.isdigit() and len(stated) < 8 else 0.0
                return Answer(answer.status_code, seconds, await _read(answer, MAX_ANSWER_BYTES))
        except TimeoutError:
            raise OutboundFailed("its answer took too long") from None
        except (httpx.HTTPError, *_UNUSABLE) as error:
            raise OutboundFailed(f"it cannot be reached ({type(error).__name__})") from error

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
    if any(coding.strip().lower() not in PLAIN for coding in named):
        raise AnsweredOtherwise("its answer has a Content-Encoding, although Accept-Encoding was identity")


async def _read(answer: httpx.Response, limit: int) -> bytes:
    """Return at most ``limit`` bytes of a body, as they came over the network."""
    read = bytearray()
    async for chunk in answer.aiter_raw():
        read += chunk
        if len(read) >= limit:
            break
    return bytes(read[:limit])
