"""The outermost layer, plain ASGI: a reference for each request, limits on its body, headers that every answer carries,
one log line, and an answer in the right form when something fails.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sso.accounts.group_files import MAX_BYTES as MAX_UNIT_FILE_BYTES
from sso.accounts.user_files import MAX_BYTES as MAX_USER_FILE_BYTES
from sso.http.common.counting import log_request
from sso.http.common.direct import DirectRoutes
from sso.http.common.errors import refusal_response
from sso.http.common.forms import sent_fields
from sso.http.common.pages import failure
from sso.http.common.received import Received, RequestRefused
from sso.http.common.request_checks import check_body, check_head
from sso.http.common.responses import OPEN_PATHS, ReadyResponse
from sso.http.common.server_protocol import WHOLE
from sso.http.common.state import client_address, networks_of, request_id_of_proxy
from sso.identity.employees.rules import MAX_FILE_BYTES, MAX_LIST_BYTES
from sso.logs import begin_context
from sso.platform.db import DatabaseUnavailable, TransactionConflict
from sso.platform.metrics.labels import flow_of
from sso.platform.security.ip_privacy import AddressPrivacy, kept_address
from sso.settings import Settings

log = logging.getLogger("sso.access")
errors = logging.getLogger("sso.errors")


BODY_SECONDS = 20.0
"""How long a request may take to arrive."""

TRIES = 4
"""How often a request is carried out, where another transaction is in the way of its own each time."""
PAUSE_SECONDS = 0.05
"""The longest pause before the second try; it grows with each."""
RETRY_SECONDS = 5.0
"""A request that has taken this long is not carried out again."""

_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"WWW-Authenticate, Retry-After"),
)
_ALWAYS = ("/healthz", "/readyz", "/metrics", "/static/")

MAX_RECEIPTS_BYTES = 256 * 1024
"""The body of a request with delivery receipts: Meta sends up to a thousand at a time."""

WHOLE_KINDS = (Response, ReadyResponse)
"""Kinds of responses that have their whole body."""


class Reply:
    """What is sent of one response: the ``send`` that every route gets.

    Args:
        send: the ``send`` of the server.
        headers: what every response carries.
    """

    __slots__ = ("_headers", "_send", "status")

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self._send, self._headers = send, headers
        self.status = 0
        """The status of the response; 0: nothing was sent."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._headers]
        await self._send(message)

    def sends_whole(self, scope: Scope, response: Response) -> bool:
        """Send a response at once, where the server can do that (``server_protocol.WHOLE``); tell whether it was
        sent."""
        whole = scope["extensions"].get(WHOLE) if "extensions" in scope else None
        if whole is None or type(response) not in WHOLE_KINDS or response.background is not None:
            return False
        if not whole(response.status_code, [*response.raw_headers, *self._headers], response.body):
            return False
        self.status = response.status_code
        return True


class Shell:
    """Wraps the application.

    A request whose transaction another one was in the way of (``TransactionConflict``: a deadlock, a serialization
    failure) is carried out again, as long as nothing was answered: for every route, present and future. What it does
    outside of its transaction, such as counting towards a limit, is done again; what is sent goes through the outbox
    and was rolled back with the transaction.

    Args:
        app: what is wrapped.
        settings: limits and trusted proxies.
        direct: the routes that are called without the router of ``app``.
        pause: waits for some seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        direct: DirectRoutes | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._app = app
        self._direct = direct or DirectRoutes((), {})
        self._pause = pause
        self._max_body = settings.max_body_size
        self._larger = {
            "/account/picture": settings.max_picture_size + settings.max_body_size,
            "/receipts/whatsapp": MAX_RECEIPTS_BYTES,
            "/admin/invitations/file": MAX_USER_FILE_BYTES + settings.max_body_size,
            "/admin/groups/import": MAX_UNIT_FILE_BYTES + settings.max_body_size,
            "/admin/employees": MAX_FILE_BYTES + settings.max_body_size,
            "/api/v1/employees/import": MAX_LIST_BYTES,
        }
        self._privacy = settings.ip_address_privacy
        self._trusted = networks_of(tuple(settings.trusted_proxies))
        self._headers = [(b"x-content-type-options", b"nosniff")]
        if settings.secure_cookies:
            self._headers.append((b"strict-transport-security", b"max-age=31536000; includeSubDomains"))
        self._open_headers = [*self._headers, *_CORS]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        reference = os.urandom(8).hex()
        if self._trusted:
            reference = request_id_of_proxy(scope, self._trusted) or reference
        begin_context(reference)
        if scope["method"] == "HEAD":  # as GET; the server leaves the body out (RFC 9110 section 9.3.2)
            scope = {**scope, "method": "GET"}
        scope["request_id"] = reference
        scope["client_address"] = client_address(scope, self._trusted)
        headers = self._open_headers if scope["path"] in OPEN_PATHS else self._headers
        reply = Reply(send, [*headers, (b"x-request-id", reference.encode())])
        received: Received | None = None
        try:
            if not scope["app"].site.provider.health.loaded and not scope["path"].startswith(_ALWAYS):
                raise DatabaseUnavailable("nothing is loaded yet")
            route = self._direct.find(scope)
            query = check_head(scope, known_path=route is not None)
            received = self._received(scope, receive)
            received.query = query
            if scope["method"] != "GET":
                await check_body(scope, received)
            await self._carry_out(route, scope, received, reply)
        except Exception as error:
            if reply.status:
                raise
            fields = await _fields_of(scope, received) if received is not None else {}
            await _answer(scope, error, fields)(scope, receive, reply)
        finally:
            seconds = time.perf_counter() - started
            _count(scope, reply.status, seconds)
            if log.isEnabledFor(logging.INFO):
                _log_line(scope, reply.status, seconds, self._privacy)

    async def _carry_out(self, route: APIRoute | None, scope: Scope, received: Received, reply: Reply) -> None:
        """Carry a request out, and once more where another transaction was in the way and nothing was answered.

        Raises:
            TransactionConflict: when another transaction was in the way each time.
        """
        original_scope, started = dict(scope), time.perf_counter()
        for tried in range(1, TRIES + 1):
            try:
                if route is None:
                    await self._app(scope, received, reply)
                else:
                    response = await self._direct.answer(route, scope, received, reply)
                    if not reply.sends_whole(scope, response):
                        await response(scope, received, reply)
                return
            except TransactionConflict as error:
                if reply.status or tried == TRIES or time.perf_counter() - started > RETRY_SECONDS:
                    raise
                errors.info("%s: carried out again: %s", scope["request_id"], error)
            await self._pause(tried * PAUSE_SECONDS * secrets.randbelow(1000) / 1000)
            received.rewind()
            scope.clear()  # what the routes left in it was of that try alone
            scope.update(original_scope)

    def _received(self, scope: Scope, receive: Receive) -> Received:
        """Return what receives a request within its limits. The body of a GET is bounded too where it says its size."""
        maximum = self._larger.get(scope["path"], self._max_body)
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and (len(value) > 18 or int(value) > maximum):
                return Received(receive, -1)
        return Received(receive) if scope["method"] == "GET" else Received(receive, maximum, BODY_SECONDS)


async def _fields_of(scope: Scope, received: Received) -> dict[str, str]:
    """Return the fields of the form of a request that failed; empty where its body did not arrive."""
    if not received.complete:
        return {}
    received.rewind()
    return await sent_fields(Request(scope, received))


def _answer(scope: Scope, error: Exception, fields: Mapping[str, str]) -> Response:
    """Return the answer to an error that no handler of the application answered: it was raised before or after the
    routes, or the server is at fault."""
    request = Request(scope)
    if isinstance(error, DatabaseUnavailable):
        errors.error("%s: the database is not available: %s", scope["request_id"], error)
    if isinstance(error, (RequestRefused, DatabaseUnavailable)):
        return refusal_response(request, error, fields)
    errors.error("%s: %s %s failed", scope["request_id"], scope["method"], _printable(scope["path"]), exc_info=error)
    return failure(request, "broken", 500, fields=fields)


def _count(scope: Scope, status: int, seconds: float) -> None:
    """Count a request at its route."""
    path = getattr(scope.get("route"), "path", "")
    if path:
        scope["app"].site.provider.usage.count_request(path, status, seconds)
        log_request(scope, path, status)


def _log_line(scope: Scope, status: int, seconds: float, privacy: AddressPrivacy) -> None:
    route = getattr(scope.get("route"), "path", "")
    fields = {
        "request_id": scope["request_id"],
        "method": scope["method"],
        "path": _printable(scope["path"]),
        "flow": flow_of(route),
        "status": status,
        "duration": round(seconds, 4),
    }
    log.info(
        "%s %s %s %d %.1fms %s",
        scope["request_id"],
        scope["method"],
        _printable(scope["path"]),
        status,
        seconds * 1000,
        kept_address(scope["client_address"], privacy) or "-",
        extra={"fields": fields},
    )


def _printable(text: str) -> str:
    """Return ``text`` so that it stays on its line. Addresses' queries, which hold secrets, are never logged."""
    return "".join(char if char.isprintable() else "?" for char in text[:200])
