"""Routes whose parameters FastAPI reads when they are first asked for.

FastAPI reads the signature of each function, and of each dependency of it, when the route is declared, and builds what
validates them: about a millisecond and 20 KB for each of some 280 routes, of which most processes serve a few.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match, compile_path, get_name
from starlette.types import Receive, Scope, Send


class LateRoute(APIRoute):
    """A route that is complete from its first request on, or when one of its other attributes is read (OpenAPI).

    Until then it has what the router compares with a request: path and methods. The constructor of FastAPI's route runs
    then, with the same arguments; what it refuses is refused then, and by the test that completes every route.

    ``beginnings``: the path up to the last slash before its first parameter; the whole path, where it has none.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self._declared: tuple[str, Callable[..., Any], dict[str, Any]] | None = (path, endpoint, options)
        self.path = path
        self.endpoint = endpoint
        self._start, parameter, _ = path.partition("{")
        self.beginnings = (self._start.rpartition("/")[0] if parameter else path,)
        self.methods = {method.upper() for method in options.get("methods") or ["GET"]}
        self.name = options.get("name") or get_name(endpoint)
        self.include_in_schema = options.get("include_in_schema", True)
        self.app = self._complete_and_answer

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Compare the path with what it must begin with first: most routes are none for a request."""
        if not scope["path"].startswith(self._start) and not scope.get("root_path"):
            return Match.NONE, {}
        return super().matches(scope)

    def __getattr__(self, name: str) -> Any:
        """Complete what is missing and return it."""
        if name in ("path_regex", "path_format", "param_convertors") and "_start" in self.__dict__:
            self.path_regex, self.path_format, self.param_convertors = compile_path(self.path)
            return self.__dict__[name]
        if name.startswith("__") or self.__dict__.get("_declared") is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        self.complete()
        return getattr(self, name)

    def complete(self) -> None:
        """Let FastAPI read the function and its dependencies."""
        if self._declared is not None:
            path, endpoint, options = self._declared
            self._declared = None
            super().__init__(path, endpoint, **options)

    async def _complete_and_answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.complete()
        await self.app(scope, receive, send)


def new_router(**options: Any) -> APIRouter:
    """Return a router of late routes; ``options`` as of :class:`fastapi.APIRouter`."""
    return APIRouter(route_class=LateRoute, **options)
