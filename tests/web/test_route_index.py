"""The route of a request is found by how its path begins: the one that FastAPI's router chooses."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import ASGIApp
from tests.routes import ROUTERS

from sso.app import LATE_AREAS
from sso.http.common.late_areas import LateArea
from sso.http.common.late_routes import LateRoute
from sso.http.common.route_index import MAX_PARTS, RouteIndex

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
VALUES = ("0193f6a1-7a4e-7c7e-8a53-5f3f6f0c8a11", "new", "import")
ROUTES = [route for router in ROUTERS for route in router.routes]


def paths() -> list[str]:
    """Return a path of each route with each of some values, and others like it that are nobody's."""
    candidates = {"/", "//", "/nothing", "/nothing/at/all", "", "x", "/" * 40}
    for route in ROUTES:
        assert isinstance(route, Route)
        for value in VALUES:
            path = route.path_format
            for name in route.param_convertors:
                path = path.replace(f"{{{name}}}", value)
            candidates |= {path, f"{path}/", f"{path}x", f"{path}/x", path.rpartition("/")[0], path[1:]}
    return sorted(candidates)


def router_of(routes: list[BaseRoute]) -> APIRouter:
    router = APIRouter(redirect_slashes=False)
    router.routes.extend(routes)
    return router


def chosen(routes: list[BaseRoute], scope: dict[str, Any]) -> BaseRoute | None:
    """Return the route that the router chooses for good."""
    return next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)


def scope_of(path: str, method: str = "GET", **more: Any) -> dict[str, Any]:
    return {"type": "http", "path": path, "method": method, "headers": [], "query_string": b"", **more}


def test_the_route_of_every_path_is_that_of_the_router() -> None:
    index, seen = RouteIndex(router_of(ROUTES)), set[int]()
    for path in paths():
        candidates = [route for _, route in index._of(path)]
        for method in METHODS:
            scope = scope_of(path, method)
            mine = chosen(candidates, scope)
            assert mine is chosen(ROUTES, scope), (method, path)
            seen.add(id(mine))
    assert len(seen) == len(ROUTES) + 1, "a route is nobody's"


def test_few_routes_are_tried() -> None:
    index = RouteIndex(router_of(ROUTES))
    assert len(ROUTES) > 200
    assert max(len(index._of(path)) for path in paths()) < 40


def test_no_route_has_more_fixed_parts_than_are_looked_up() -> None:
    assert max(route.path.partition("{")[0].count("/") for route in ROUTES if isinstance(route, Route)) < MAX_PARTS


async def answered(app: ASGIApp, scope: dict[str, Any]) -> str:
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    await AsyncExitStackMiddleware(app)(scope, receive, send)
    return sent[1]["body"].decode()


def route(path: str, answer: str) -> Route:
    async def answering(request: Request) -> Response:
        return PlainTextResponse(answer)

    return LateRoute(path, answering, methods=["GET"])


async def test_the_order_of_routes_decides_whatever_they_begin_with() -> None:
    routes = [
        route("/a/{x}", "any of a"),
        route("/a/b", "late"),
        route("/{x}/c", "c of any"),
        route("/a/c-{x}", "none"),
    ]
    index = RouteIndex(router_of([*routes, Mount("/m", PlainTextResponse("mounted"))]))
    expected = {"/a/b": "any of a", "/a/c": "any of a", "/b/c": "c of any", "/a/c-1": "any of a", "/m/1/2": "mounted"}
    assert {path: await answered(index, scope_of(path)) for path in expected} == expected


async def test_what_no_route_takes_is_answered_by_the_router() -> None:
    router = router_of([route("/a", "a"), route("/{x}", "any")])
    targets = ("/a", "/b", "/a\n", "/b/c")
    for path, method, root in [*product(targets, ("GET", "POST"), ("", "/root")), ("/root/a", "GET", "/root")]:
        scope = {"root_path": root}
        mine = await answered(RouteIndex(router), scope_of(path, method, **scope))
        assert mine == await answered(router, scope_of(path, method, **scope)), (path, method, root)


@pytest.mark.parametrize("change", ["append", "insert", "remove", "replace"])
async def test_routes_may_change(change: str) -> None:
    first, second = route("/a", "first"), route("/a", "second")
    router = router_of([first] if change in ("append", "insert", "replace") else [first, second])
    index = RouteIndex(router)
    assert await answered(index, scope_of("/a")) == "first"
    if change == "append":
        router.routes.append(route("/b", "b"))
        assert await answered(index, scope_of("/b")) == "b"
    elif change == "insert":
        router.routes.insert(0, second)
        assert await answered(index, scope_of("/a")) == "second"
    elif change == "remove":
        router.routes.remove(first)
        assert await answered(index, scope_of("/a")) == "second"
    else:
        router.routes[0] = second
        assert await answered(index, scope_of("/a")) == "second"


def test_an_area_is_found_by_its_paths() -> None:
    for beginnings, routers in LATE_AREAS:
        area = LateArea(beginnings, routers)
        index = RouteIndex(router_of([route("/", "home"), area]))
        for start in beginnings:
            for path in (start, f"{start}/", f"{start}/x/y"):
                assert [candidate for _, candidate in index._of(path)] == [area]
            assert index._of(f"{start}x") == []
