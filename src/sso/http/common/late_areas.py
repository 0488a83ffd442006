"""Areas of pages whose modules are imported at their first request.

The console, the pages of developers and the API are a fifth of a start and 10 MB, and many processes show none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from fastapi import APIRouter
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send


class LateArea(BaseRoute):
    """Stands for the routes of an area until one of its paths is asked for; then the routes take its place.

    The modules are imported in a thread: other requests go on meanwhile.

    Args:
        beginnings: the first parts of the area's paths, such as ``/admin``.
        routers: imports the modules and returns their routers.
        loaded: is called when the routes have taken their place.
    """

    def __init__(
        self,
        beginnings: tuple[str, ...],
        routers: Callable[[], Sequence[APIRouter]],
        loaded: Callable[[], object] = lambda: None,
    ) -> None:
        self.beginnings, self.routers, self._loaded = beginnings, routers, loaded
        self._lock = asyncio.Lock()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether the path of a request is one of the area."""
        path = scope["path"]
        area = any(path == start or path.startswith(f"{start}/") for start in self.beginnings)
        return (Match.FULL if area and scope["type"] == "http" else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Import the area and answer the request by its routes."""
        router: APIRouter = scope["app"].router
        async with self._lock:
            if self in router.routes:
                routers = await asyncio.to_thread(self.routers)
                self.take_place(router.routes, routers)
                self._loaded()
        await router(scope, receive, send)

    def take_place(self, routes: list[BaseRoute], routers: Sequence[APIRouter]) -> None:
        """Put the routes of the area where it stood."""
        place = routes.index(self)
        routes[place : place + 1] = [route for router in routers for route in router.routes]


def complete(routes: list[BaseRoute]) -> list[BaseRoute]:
    """Import what is missing and return the routes; for whoever looks at all of them."""
    for area in [route for route in routes if isinstance(route, LateArea)]:
        area.take_place(routes, area.routers())
    return routes
