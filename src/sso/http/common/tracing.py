"""The layer around the shell that traces requests. It exists only where traces are on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sso.http.common.state import is_from_proxy, networks_of
from sso.settings import Settings

if TYPE_CHECKING:
    from sso.platform.traces import Traces


class TracedRequests:
    """Traces each request.

    Args:
        app: what is wrapped.
        settings: trusted proxies, whose ``traceparent`` is continued.
        traces: the traces.
    """

    def __init__(self, app: ASGIApp, settings: Settings, traces: Traces) -> None:
        self._app, self._traces = app, traces
        self._trusted = networks_of(tuple(settings.trusted_proxies))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        scope["extensions"] = {}  # the response is sent in messages, which this layer sees

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._traces.request(scope["method"], self._parent(scope)) as span:
            try:
                await self._app(scope, receive, sending)
            finally:
                route = getattr(scope.get("route"), "path", "")
                self._traces.end_request(span, scope["method"], route, status, scope.get("request_id", ""))

    def _parent(self, scope: Scope) -> str | None:
        """Return the ``traceparent`` of a trusted proxy (W3C Trace Context section 3.2)."""
        if not is_from_proxy(scope, self._trusted):
            return None
        return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
