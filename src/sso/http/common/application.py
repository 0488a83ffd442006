"""FastAPI with the shell as its outermost layer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from sso.http.common.route_index import RouteIndex
from sso.http.common.state import Site

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Application(FastAPI):
    """The application.

    The shell bounds the body of every request and answers every error, so FastAPI's own layers for that are left out:
    three calls for each request. So is FastAPI's telemetry, which reads the environment three times for each.

    ``site`` holds the services of the process. (``state.site`` is the same; Starlette computes the members of ``state``
    for each use.)

    Args:
        site: the services.
        lifespan: what runs from the start to the end.
        shell: wraps the routes, when the application starts.
    """

    def __init__(self, site: Site, lifespan: Lifespan, shell: Callable[[FastAPI, ASGIApp], ASGIApp]) -> None:
        super().__init__(
            lifespan=lifespan,
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            telemetry={"tracing": False, "metrics": False, "logs": False},
        )
        self._shell = shell
        self.site = self.state.site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go to the shell at once: FastAPI and Starlette make three calls to find that nothing else is to be done."""
        if self.middleware_stack is None or scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        routes = ExceptionMiddleware(
            AsyncExitStackMiddleware(RouteIndex(self.router)), handlers=self.exception_handlers
        )
        return self._shell(self, routes)
