"""The client of the tests sends and reads the same as that of httpx2."""

from __future__ import annotations

import gzip
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2 as httpx
import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from tests.direct_client import DirectClient

BASE = "https://sso.example"
COOKIES = {
    "session": "__Host-session=one; Path=/; Secure; HttpOnly; SameSite=Lax",
    "another": "__Host-session=two; Path=/; Secure; HttpOnly; SameSite=Lax",
    "lasts": "lang=id; Path=/; Max-Age=3600",
    "ends": "lang=; Path=/; Max-Age=0",
    "path": "of=path; Path=/cookies",
    "plain": "plain=a b; Path=/",
    "foreign": "foreign=1; Domain=other.example; Path=/",
    "domain": "wide=1; Domain=sso.example; Path=/",
}
TYPES = {
    "none": None,
    "page": "text/html; charset=utf-8",
    "latin": "text/plain; charset=iso-8859-1",
    "unknown": "text/plain; charset=klingon",
    "json": "application/json",
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer as the path says, and tell what arrived."""
    request = Request(scope, receive)
    body = await request.body()
    _, what, *rest = scope["path"].split("/", 2)
    received = {name: scope[name] for name in scope if name not in ("asgi", "app")}
    response = Response(repr((sorted(received.items()), body)).encode() + b"\xe9")
    if what == "cookies":
        for name in rest[0].split(","):
            response.headers.append("set-cookie", COOKIES[name])
    elif what == "type":
        response.headers["content-type"] = TYPES[rest[0]] or ""
        if TYPES[rest[0]] is None:
            del response.headers["content-type"]
    elif what == "gzip":
        response = Response(gzip.compress(b"a page " * 100), headers={"content-encoding": "gzip"})
    elif what == "redirect":
        response = RedirectResponse(f"/{rest[0]}", 303)
    elif what == "broken":
        raise RuntimeError
    elif what == "empty":
        response = Response(status_code=204)
    await response(scope, receive, send)


REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    *(("GET", f"/type/{name}", {}) for name in TYPES),
    ("GET", "/gzip", {}),
    ("HEAD", "/type/page", {}),
    ("GET", "/redirect/type/page", {}),
    ("GET", "/redirect/type/page", {"follow_redirects": True}),
    ("GET", "/broken", {}),
    ("GET", "/empty", {}),
    ("GET", "/", {}),
    ("GET", "/a//b/../c?x=1&x=%20+&y", {}),
    ("GET", "/a", {"params": {"x": "ä b", "y": ["1", "2"]}}),
    ("GET", "/ä/%C3%A4/%2F/a b", {}),
    ("GET", "//sso.example/a", {}),
    ("GET", "relative?q=1#fragment", {}),
    ("GET", "/a?q=1#fragment", {}),
    ("GET", "https://other.example:8443/a", {}),
    ("GET", "https://sso.example/a", {}),
    ("GET", "http://sso.example/a", {}),
    ("GET", "https://siti:secret@sso.example/a", {}),
    ("POST", "/a", {"data": {"x": "ä b", "y": ["1", "2"]}}),
    ("POST", "/a", {"json": {"x": 1}}),
    ("POST", "/a", {"content": b"\xff"}),
    ("POST", "/a", {}),
    ("POST", "/a", {"files": {"f": ("a.txt", b"x")}, "headers": {"Content-Type": "multipart/form-data; boundary=b"}}),
    ("POST", "/a", {"data": {"x": "1"}, "auth": ("siti", "sécret")}),
    ("POST", "/redirect/a", {"data": {"x": "1"}}),
    ("PUT", "/a", {"headers": {"X-Name": "1", "authorization": "Bearer x"}}),
    ("PATCH", "/a", {"headers": [("X-Two", "1"), ("X-Two", "2")]}),
    ("DELETE", "/a", {"headers": {"Cookie": "mine=1"}}),
    *(("GET", f"/cookies/{name}", {}) for name in COOKIES),
    ("GET", "/cookies/path/below", {"headers": {"X": "1"}}),
    ("GET", "/a", {}),
    ("GET", "/a", {}),
    ("GET", "http://sso.example/a", {}),
    ("GET", "https://www.sso.example/a", {}),
    ("GET", "https://other.example/a", {}),
    ("GET", "/redirect/a", {"follow_redirects": True}),
    ("DELETE", "/a", {"headers": {"Cookie": "mine=1"}}),
]


def client_of(kind: type[httpx.AsyncClient], **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application, client=("203.0.113.7", 50000), raise_app_exceptions=False)
    return kind(transport=transport, base_url=BASE, **options)


def said_by(answer: httpx.Response) -> dict[str, Any]:
    """Return what a test may read of an answer."""
    return {
        "status": (
            answer.status_code,
            answer.reason_phrase,
            answer.is_redirect,
            answer.is_success,
            answer.http_version,
        ),
        "headers": answer.headers.raw,
        "body": (answer.content, answer.text, answer.encoding, answer.charset_encoding, answer.num_bytes_downloaded),
        "states": (answer.is_closed, answer.is_stream_consumed, answer.elapsed.total_seconds() > 0),
        "request": (answer.request.method, str(answer.request.url), answer.request.headers.raw, str(answer.url)),
        "set": list(answer.cookies.items()),
        "before": [redirect.status_code for redirect in answer.history],
    }


async def test_a_whole_visit_is_the_same() -> None:
    async with client_of(httpx.AsyncClient) as usual, client_of(DirectClient) as direct:
        for method, path, sent in REQUESTS:
            answers = [said_by(await client.request(method, path, **sent)) for client in (usual, direct)]
            assert answers[0] == answers[1], (method, path)
            jars = [
                sorted((cookie.name, cookie.value, cookie.domain, cookie.path) for cookie in c.cookies.jar)
                for c in (usual, direct)
            ]
            assert jars[0] == jars[1], (method, path)


async def test_cookies_that_a_test_gives_changes_or_clears_are_the_same() -> None:
    for kind in (httpx.AsyncClient, DirectClient):
        sent = []
        async with client_of(kind, cookies={"a": "1"}) as client:
            sent.append((await client.get("/a")).request.headers.get("Cookie"))
            client.cookies.set("b", "2", domain="sso.example")
            sent.append((await client.get("/a")).request.headers.get("Cookie"))
            client.cookies.set("a", "3")
            sent.append((await client.get("/a")).request.headers.get("Cookie"))
            client.cookies.delete("a")
            sent.append((await client.get("/a")).request.headers.get("Cookie"))
            client.cookies.clear()
            sent.append((await client.get("/a")).request.headers.get("Cookie"))
            client.cookies = httpx.Cookies({"c": "4"})
            sent.append((await client.get("/a")).request.headers.get("Cookie"))
        assert sent == ["a=1", "a=1; b=2", "a=3; b=2", "b=2", None, "c=4"]


async def test_a_cookie_that_ends_while_it_is_kept_is_sent_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client_of(DirectClient) as client:
        await client.get("/cookies/lasts,session")
        assert (await client.get("/a")).request.headers["Cookie"] == "lang=id; __Host-session=one"
        assert (await client.get("/a")).request.headers["Cookie"] == "lang=id; __Host-session=one"
        later = time.time() + 4000
        monkeypatch.setattr("time.time", lambda: later)
        assert (await client.get("/a")).request.headers["Cookie"] == "__Host-session=one"


async def test_hooks_parts_and_a_closed_client_are_the_same() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    for kind in (httpx.AsyncClient, DirectClient):
        seen: list[str] = []

        async def on_request(request: httpx.Request, seen: list[str] = seen) -> None:
            seen.append(request.url.path)

        async def on_answer(answer: httpx.Response, seen: list[str] = seen) -> None:
            seen.append(f"{answer.status_code} {answer.request.url.path}")

        client = client_of(kind, event_hooks={"request": [on_request], "response": [on_answer]})
        async with client:
            assert b"ab" in (await client.post("/a", content=parts())).content
            async with client.stream("GET", "/b") as answer:
                assert b"/b" in b"".join([part async for part in answer.aiter_bytes()])
            await client.get("/broken")
            await client.get("/redirect/a")
        assert seen == ["/a", "200 /a", "/b", "200 /b", "/broken", "500 /broken", "/redirect/a", "303 /redirect/a"]
        with pytest.raises(RuntimeError, match="closed"):
            await client.get("/a")


async def test_an_error_of_the_application_is_raised_where_the_transport_says_so() -> None:
    async with DirectClient(transport=httpx.ASGITransport(application), base_url=BASE) as client:
        with pytest.raises(RuntimeError):
            await client.get("/broken")
