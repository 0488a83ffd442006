"""Areas of pages whose modules are imported at their first request."""

from __future__ import annotations

import asyncio
import threading

import httpx2 as httpx
from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from tests.starts import Start

from sso.app import LATE_AREAS
from sso.http.common.late_areas import LateArea, complete
from sso.http.common.late_routes import new_router


def area(calls: list[str]) -> LateArea:
    """Return an area with two paths."""

    def routers() -> tuple[APIRouter, ...]:
        calls.append(threading.current_thread().name)
        router = new_router()

        @router.get("/late/{number}")
        async def late(number: int) -> Response:
            return PlainTextResponse(f"late {number}")

        @router.post("/late")
        async def send() -> Response:
            return PlainTextResponse("sent")

        return (router,)

    return LateArea(("/late",), routers, lambda: calls.append("loaded"))


async def test_an_area_is_imported_once_in_a_thread_at_its_first_request() -> None:
    app, calls = FastAPI(openapi_url=None), list[str]()
    app.router.routes.append(area(calls))
    app.add_api_route("/last", lambda: PlainTextResponse("last"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://sso.example") as client:
        assert [(await client.get(path)).status_code for path in ("/later", "/last")] == [404, 200]
        assert calls == []
        first = await asyncio.gather(*(client.get(f"/late/{number}") for number in range(5)))
        assert [answer.text for answer in first] == [f"late {number}" for number in range(5)]
        assert calls[1:] == ["loaded"]
        assert calls[0] != threading.current_thread().name
        assert (await client.post("/late")).text == "sent"
        assert (await client.get("/late")).status_code == 405
        assert (await client.get("/late/1/2")).status_code == 404
    assert len(calls) == 2
    assert [route.path for route in app.router.routes if isinstance(route, Route)][-3:] == [
        "/late/{number}", "/late", "/last",
    ]  # fmt: skip


async def test_an_area_that_cannot_be_imported_is_tried_again() -> None:
    app, attempts = FastAPI(openapi_url=None), list[int]()

    def routers() -> tuple[APIRouter, ...]:
        attempts.append(1)
        if len(attempts) == 1:
            raise ImportError("no memory")
        return area([]).routers()  # type: ignore[return-value]

    app.router.routes.append(LateArea(("/late",), routers))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://sso.example") as client:
        assert (await client.get("/late/1")).status_code == 500
        assert (await client.get("/late/1")).text == "late 1"


def test_every_path_of_an_area_begins_as_the_area_says() -> None:
    for beginnings, routers in LATE_AREAS:
        routes = complete([LateArea(beginnings, routers)])
        assert len(routes) > 10
        for route in routes:
            assert isinstance(route, Route)
            assert any(route.path == start or route.path.startswith(f"{start}/") for start in beginnings), route.path


def test_a_start_imports_no_page_of_a_late_area_and_every_table(server_start: Start) -> None:
    late = ("sso.http.admin", "sso.http.api", "sso.http.developer", "sso.http.console")
    assert [name for name in server_start.prepared if name.startswith(late)] == []
    assert server_start.late_tables == [], (
        "a table that statements of another process may name is declared at the start"
    )
