"""Routes that FastAPI reads at their first request answer as those that it reads at once."""

from __future__ import annotations

from typing import Annotated

import httpx2 as httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.responses import PlainTextResponse, Response
from tests.routes import ROUTERS

from sso.http.common.late_routes import LateRoute, new_router

Number = Annotated[int, Depends(lambda: 7)]


def declared(router: APIRouter) -> APIRouter:
    """Declare some routes."""

    @router.get("/people/{name}", name="person", tags=["people"])
    async def person(name: str, number: Number, page: int = 1) -> Response:
        """One of the people."""
        return PlainTextResponse(f"{name} {number} {page}")

    @router.post("/people", status_code=201)
    async def create(fields: dict[str, int]) -> dict[str, int]:
        return fields

    return router


def application(router: APIRouter) -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.router.routes.extend(router.routes)
    return app


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("GET", "/people/siti?page=2", {}),
        ("GET", "/people/siti?page=x", {}),
        ("GET", "/people/a%20b", {}),
        ("GET", "/people/siti/more", {}),
        ("GET", "/peopl", {}),
        ("GET", "/", {}),
        ("POST", "/people", {"json": {"a": 1}}),
        ("POST", "/people", {"json": {"a": "x"}}),
        ("DELETE", "/people", {}),
        ("POST", "/people/siti", {}),
    ],
)
async def test_the_answers_are_the_same(method: str, path: str, sent: dict[str, object]) -> None:
    answers = []
    for router in (declared(APIRouter()), declared(new_router())):
        transport = httpx.ASGITransport(application(router))
        async with httpx.AsyncClient(transport=transport, base_url="http://sso.example") as client:
            answer = await client.request(method, path, **sent)  # type: ignore[arg-type]
            answers.append((answer.status_code, answer.content, answer.headers.raw))
    assert answers[0] == answers[1]


async def test_a_route_is_read_at_its_first_request_and_only_then() -> None:
    router = declared(new_router())
    person, create = router.routes
    assert isinstance(person, LateRoute)
    assert isinstance(create, LateRoute)
    transport = httpx.ASGITransport(application(router))
    async with httpx.AsyncClient(transport=transport, base_url="http://sso.example") as client:
        assert (await client.get("/people/siti")).text == "siti 7 1"
        assert "dependant" in person.__dict__
        assert "dependant" not in create.__dict__
        assert (await client.get("/people/budi?page=3")).text == "budi 7 3"


def test_an_attribute_that_is_missing_completes_the_route() -> None:
    person, create = declared(new_router()).routes
    assert isinstance(person, LateRoute)
    assert person.url_path_for("person", name="siti") == "/people/siti"
    assert "dependant" not in person.__dict__
    assert person.description == "One of the people."
    assert person.tags == ["people"]
    assert "dependant" in person.__dict__
    assert isinstance(create, LateRoute)
    assert create.status_code == 201
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = create.nothing


def test_fastapi_accepts_every_route() -> None:
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    assert len(routes) > 200
    for route in routes:
        assert isinstance(route, LateRoute)
        route.complete()
        assert route.dependant.call is route.endpoint
