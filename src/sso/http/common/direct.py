"""The routes that programs ask most, found with one look-up instead of by trying every route.

FastAPI's router stays the description of these routes too, and answers every method that they do not have: the look-up
is filled with what the router itself would choose, and calls the same functions with the same request.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

DIRECT_PATHS: Final = (
    "/token",
    "/authorize",
    "/userinfo",
    "/introspect",
    "/revoke",
    "/gate/check/nginx",
    "/gate/check/redirect",
    "/jwks",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
)
_METHODS = ("GET", "POST")

ErrorHandlers = Mapping[Any, Callable[[Request, Exception], Any]]


class DirectRoutes:
    """The look-up.

    Args:
        routes: every route, in the order in which the router tries them.
        handlers: what answers each kind of error of a route, as the application has registered it.
        paths: the paths that are looked up.
    """

    def __init__(
        self, routes: Sequence[BaseRoute], handlers: ErrorHandlers, paths: Collection[str] = DIRECT_PATHS
    ) -> None:
        self._handlers = handlers
        self._routes: dict[tuple[str, str], APIRoute] = {}
        for path in paths:
            for method in _METHODS:
                route = _chosen(routes, path, method)
                if isinstance(route, APIRoute) and _takes_the_request_alone(route):
                    self._routes[path, method] = route

    def find(self, scope: Scope) -> APIRoute | None:
        """Return the route of a request; None: the router knows."""
        return self._routes.get((scope["path"], scope["method"]))

    async def answer(self, route: APIRoute, scope: Scope, receive: Receive, send: Send) -> Response:
        """Return the response to a request that the router would send.

        Raises:
            Exception: what no handler answers.
        """
        scope["route"] = route
        request = Request(scope, receive, send)
        endpoint: Callable[[Request], Awaitable[Response]] = route.endpoint
        try:
            return await endpoint(request)
        except Exception as error:
            return await self._on_error(request, error)

    async def _on_error(self, request: Request, error: Exception) -> Response:
        handler = next((self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers), None)
        if handler is None:
            raise error
        answer = handler(request, error)
        response: Response = await answer if inspect.isawaitable(answer) else answer
        return response


def _chosen(routes: Sequence[BaseRoute], path: str, method: str) -> BaseRoute | None:
    """Return the route that the router chooses."""
    scope = {"type": "http", "path": path, "method": method, "root_path": "", "headers": []}
    return next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)


def _takes_the_request_alone(route: APIRoute) -> bool:
    """Tell whether nothing but the router's own work lies between a request and the function of a route: it has no
    dependencies and no parameters, and answers with a response."""
    alone = list(inspect.signature(route.endpoint).parameters) == ["request"]
    return alone and not route.dependencies and inspect.iscoroutinefunction(route.endpoint)
