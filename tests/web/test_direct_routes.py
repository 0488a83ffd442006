"""The routes that are called without FastAPI's router answer as they do through it."""

from __future__ import annotations

import base64
import re
from itertools import product
from typing import Any

import pytest
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.routes import ROUTERS
from tests.support import PASSWORD, City, query_of

from sso.http.common.direct import DIRECT_PATHS, DirectRoutes

OTHERS = ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")
FORM = "application/x-www-form-urlencoded"
SENT: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a query": {"params": {"client_id": "warga", "response_type": "code", "lang": "en"}},
    "a query that cannot be read": {"params": b"a=%ff"},
    "a long query": {"params": {"a": "b" * 60_000}},
    "a form": {"data": {"token": "at-unknown", "client_id": "nobody", "grant_type": "refresh_token"}},
    "a form that cannot be read": {"content": b"a=%ff", "headers": {"Content-Type": FORM}},
    "a repeated field": {"content": b"token=a&token=b&client_id=warga", "headers": {"Content-Type": FORM}},
    "a large form": {"data": {"token": "x" * 70_000}},
    "JSON": {"json": {"token": "x"}},
    "broken JSON": {"content": b"{", "headers": {"Content-Type": "application/json"}},
    "another body": {"content": b"token=x", "headers": {"Content-Type": "text/plain"}},
    "a compressed body": {"content": b"x", "headers": {"Content-Encoding": "gzip", "Content-Type": FORM}},
    "a bearer token": {"headers": {"Authorization": "Bearer x.y.z", "Origin": "https://app.example"}},
    "a known entity tag": {"headers": {"If-None-Match": '"x", W/"y"'}},
    "many headers": {"headers": {f"x-{number}": "1" for number in range(120)}},
}


def test_the_look_up_holds_what_the_router_would_choose() -> None:
    routes = [route for router in ROUTERS for route in router.routes]
    direct_routes = DirectRoutes(routes, {})._routes
    declared = {
        (route.path, method): route
        for route in routes
        if isinstance(route, Route) and route.path in DIRECT_PATHS
        for method in route.methods or ()
        if method != "OPTIONS"
    }
    assert direct_routes == declared
    assert {path for path, _ in direct_routes} == set(DIRECT_PATHS)


def test_a_route_with_a_parameter_or_a_dependency_is_left_to_the_router() -> None:
    router = APIRouter()

    @router.get("/one")
    async def with_parameter(request: Request, name: str) -> Response:
        raise AssertionError

    @router.get("/two", dependencies=[Depends(with_parameter)])
    async def with_dependency(request: Request) -> Response:
        raise AssertionError

    @router.get("/three")
    async def plain(request: Request) -> Response:
        raise AssertionError

    assert set(DirectRoutes(router.routes, {}, ["/one", "/two", "/three"])._routes) == {("/three", "GET")}


async def _answer_of(city: City, method: str, path: str, sent: dict[str, Any]) -> tuple[Any, ...]:
    """Return what an answer says, without what is of that request alone, and what was counted of it."""
    city.provider.usage.take()
    async with city.client() as http:
        answer = await http.request(method, path, **sent)
    reference = answer.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{16}", reference)
    text = re.sub(r'(value|content)="[\w.\-]{40,}"', "", answer.text.replace(reference, ""))
    headers = [
        (name, re.sub(r"=[\w\-]{43};", "=;", re.sub(r"nonce-[\w\-]+", "nonce", value)))
        for name, value in answer.headers.multi_items()
        if name not in ("x-request-id", "date", "content-length")
    ]
    counted = {key[1:]: count for key, count in city.provider.usage.take().counts.items() if key[1] != "milliseconds"}
    return answer.status_code, headers, re.sub(r'nonce="[^"]+"', "", text), counted


@pytest.mark.parametrize(
    "overrides", [{"sign_in_failures_per_ip_address": 100_000, "sign_in_failures_per_account": 100_000}]
)
async def test_every_method_and_body_is_answered_as_by_the_router(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [
        *product(DIRECT_PATHS, ("GET", "POST"), SENT),
        *product(DIRECT_PATHS, OTHERS, ("nothing", "a form")),
    ]
    direct = [await _answer_of(city, method, path, SENT[name]) for path, method, name in cases]
    monkeypatch.setattr(DirectRoutes, "find", lambda *_: None)
    for case, answer in zip(cases, direct, strict=True):
        path, method, name = case
        assert answer == await _answer_of(city, method, path, SENT[name]), case


async def test_what_succeeds_is_answered_as_by_the_router(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        answer = await browser.submit(await browser.open(party.url()), username="siti", password=PASSWORD)
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
    credentials = base64.b64encode(f"warga:{city.secrets['warga']}".encode()).decode()
    basic = {"Authorization": f"Basic {credentials}"}
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/userinfo", {"headers": bearer}),
        ("POST", "/userinfo", {"headers": bearer, "content": b"\xff", "params": {"x": "y"}}),
        ("POST", "/userinfo", {"data": {"access_token": tokens["access_token"]}}),
        ("POST", "/introspect", {"headers": basic, "data": {"token": tokens["access_token"]}}),
        ("POST", "/introspect", {"headers": basic, "data": {"token": "x"}}),
        ("POST", "/revoke", {"headers": basic, "data": {"token": "x"}}),
        ("POST", "/token", {"headers": basic, "data": {"grant_type": "refresh_token", "refresh_token": "x"}}),
    ]
    direct = [await _answer_of(city, method, path, sent) for method, path, sent in requests]
    assert [answer[0] for answer in direct] == [200, 200, 200, 200, 200, 200, 400]
    monkeypatch.setattr(DirectRoutes, "find", lambda *_: None)
    assert direct == [await _answer_of(city, method, path, sent) for method, path, sent in requests]
