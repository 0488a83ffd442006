"""The routes of a path, found by how the path begins instead of by trying every route."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from sso.http.common.late_areas import LateArea
from sso.http.common.late_routes import LateRoute

MAX_PARTS: Final = 12
"""So many parts of a path are looked up: no route has so many before its first parameter."""
ANY: Final = ("",)
"""What the paths of other kinds of routes begin with."""


class RouteIndex:
    """Chooses the route of a request as FastAPI's router does, which tries some 300 of them one after the other.

    Only the routes whose fixed parts a path begins with are tried, in the order of the router. Where none of them takes
    the path and the method, the router answers.

    Args:
        router: holds the routes. They may change at any time: areas take their place at their first request.
    """

    def __init__(self, router: APIRouter) -> None:
        self._router = router
        self._indexed: list[BaseRoute] = []
        self._places: dict[str, list[tuple[int, BaseRoute]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        # A line feed at the end of a path is none to the patterns of the router, and one more character to us.
        if scope["type"] == "http" and not scope.get("root_path") and not scope["path"].endswith("\n"):
            for _, route in self._of(scope["path"]):
                match, parameters = route.matches(scope)
                if match is Match.FULL:
                    scope.setdefault("router", self._router)
                    scope.update(parameters)
                    await route.handle(scope, receive, send)
                    return
        await self._router(scope, receive, send)

    def _of(self, path: str) -> Sequence[tuple[int, BaseRoute]]:
        """Return the routes that may be that of a path, in their order."""
        if self._indexed != self._router.routes:  # compares which routes they are, in 2 microseconds
            self._read()
        places = [self._places[start] for start in ("", *_beginnings(path)) if start in self._places]
        return places[0] if len(places) == 1 else sorted(place for some in places for place in some)

    def _read(self) -> None:
        self._indexed, self._places = list(self._router.routes), {}
        for number, route in enumerate(self._indexed):
            for start in route.beginnings if isinstance(route, (LateRoute, LateArea)) else ANY:
                self._places.setdefault(start, []).append((number, route))


def _beginnings(path: str) -> list[str]:
    """Return a path and its beginnings that end before a slash, but for the empty one."""
    beginnings, end = [path], path.find("/", 1)
    while end != -1 and len(beginnings) <= MAX_PARTS:
        beginnings.append(path[:end])
        end = path.find("/", end + 1)
    return beginnings
