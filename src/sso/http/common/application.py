"""FastAPI with the shell as its outermost layer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Application(FastAPI):
    """The application.

    The shell bounds the body of every request and answers every error, so FastAPI's own layers for that are left out:
    three calls for each request. So is FastAPI's telemetry, which reads the environment three times for each.

    Args:
        lifespan: what runs from the start to the end.
        shell: wraps the routes, when the application starts.
    """

    def __init__(self, lifespan: Lifespan, shell: Callable[[FastAPI, ASGIApp], ASGIApp]) -> None:
        super().__init__(
            lifespan=lifespan,
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            telemetry={"tracing": False, "metrics": False, "logs": False},
        )
        self._shell = shell

    def build_middleware_stack(self) -> ASGIApp:
        routes = ExceptionMiddleware(AsyncExitStackMiddleware(self.router), handlers=self.exception_handlers)
        return self._shell(self, routes)
