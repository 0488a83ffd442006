"""Sends nasty values to every route of a running provider, and keeps what answered 500.

The routes come from the routing table, query parameters and form fields from the sources and the pages, members of JSON
from the description of the API: a new route is tried without anybody adding it here. Everything is chosen from a seed.
"""

from __future__ import annotations

import inspect
import json
import logging
import random
import re
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx2 as httpx
from pydantic import BaseModel
from starlette.routing import Route
from tests.fuzz.nasty import BODIES, HEADER_NAMES, HEADERS, RAW, TEXT, VALUES
from tests.routes import ROUTERS
from tests.support import PASSWORD, Browser, City, Form, forms_in

import sso.http
from sso.clients.metadata import ClientMetadata
from sso.http.api.openapi import description
from sso.ssf import streams

SOURCES = Path(sso.http.__file__).parent
_NAMED = re.compile(r"""\.get\(\s*"([A-Za-z_#. ]{1,40})"|fields\["([A-Za-z_#. ]{1,40})"\]""")
PROTOCOL = (
    "client_id", "client_secret", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt",
    "max_age", "ui_locales", "claims_locales", "id_token_hint", "login_hint", "acr_values", "claims", "request",
    "request_uri", "code_challenge", "code_challenge_method", "display", "registration", "grant_type", "code",
    "code_verifier", "refresh_token", "device_code", "assertion", "client_assertion", "client_assertion_type", "token",
    "token_type_hint", "post_logout_redirect_uri", "logout_hint", "user_code", "audience", "resource", "access_token",
)  # fmt: skip
DOCUMENTS: tuple[tuple[str, str, type[BaseModel], dict[str, Any]], ...] = (
    ("post", "/register", ClientMetadata, {"redirect_uris": ["https://baru.example/cb"], "client_name": "Baru"}),
    ("post", "/ssf/stream", streams.StreamSettings, {}),
    ("patch", "/ssf/stream", streams.StreamSettings, {}),
    ("post", "/ssf/status", streams.StatusChange, {}),
    ("post", "/ssf/subjects/add", streams.SubjectChange, {}),
    ("post", "/ssf/subjects/remove", streams.SubjectChange, {}),
    ("post", "/ssf/verify", streams.VerificationRequest, {}),
    ("post", "/ssf/poll/x", streams.PollRequest, {"returnImmediately": True}),
)
EXPECTED = (501, 503, 505)
"""Answers from 500 on that are none of ours to mend: a queue that is full says 503."""
Choice = Callable[[str], bool]
"""Chooses routes by their paths."""


def routes(only: Choice | None = None) -> list[tuple[str, str]]:
    """Return method and path of every route, or of those whose path ``only`` chooses."""
    every = [route for router in ROUTERS for route in router.routes]
    pairs = [
        (method, route.path) for route in every if isinstance(route, Route) for method in sorted(route.methods or ())
    ]
    return [pair for pair in pairs if pair[0] not in ("HEAD", "OPTIONS") and (only is None or only(pair[1]))]


def everywhere(_path: str) -> bool:
    """Choose every route."""
    return True


def reads_tokens(path: str) -> bool:
    """Tell whether a route reads an access token: to the others a program is nobody."""
    return path.startswith(("/api/", "/ssf/", "/userinfo", "/register", "/metrics"))


def reads_sessions(path: str) -> bool:
    """Tell whether a route may read who is signed in at a browser: to the others that is nobody."""
    return not path.startswith(
        ("/api/", "/ssf/", "/.well-known/", "/static/", "/token", "/par", "/introspect", "/revoke")
    )


def of_citizens(path: str) -> bool:
    """Tell whether a page may be open to a citizen: the pages of others refuse them before they read anything, as they
    refuse nobody."""
    return reads_sessions(path) and not path.startswith(("/admin", "/developer"))


def of_developers(path: str) -> bool:
    """Choose the pages of developers."""
    return path.startswith("/developer")


def of_administrators(path: str) -> bool:
    """Choose the pages of administrators."""
    return path.startswith("/admin")


@cache
def names_in_sources() -> list[str]:
    """Return the names of parameters and fields that pages read."""
    text = "\n".join(file.read_text() for file in sorted(SOURCES.rglob("*.py")))
    return sorted({first or second for first, second in _NAMED.findall(text)})


class _Errors(logging.Handler):
    """Keeps the exceptions that the shell writes down."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            lines = traceback.format_exception(record.exc_info[1])
            own = [line.strip().splitlines()[0] for line in lines if "/src/sso/" in line]
            self.last = f"{own[-1] if own else ''} {lines[-1].strip()[:300]}"


@dataclass
class Fuzzer:
    """One run. ``until`` is the moment (``time.monotonic``) at which it stops."""

    city: City
    seed: int = 1
    until: float = float("inf")
    sent: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    reached: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._errors = _Errors()
        logging.getLogger("sso.errors").addHandler(self._errors)

    def close(self) -> None:
        """Stop listening."""
        logging.getLogger("sso.errors").removeHandler(self._errors)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.until

    async def send(self, http: httpx.AsyncClient, method: str, url: str, what: str, **options: Any) -> httpx.Response:
        """Send one request, and write down what must not be."""
        self._errors.last = ""
        began = time.perf_counter()
        answer = await http.request(method, url, **options)
        took = time.perf_counter() - began
        self.sent += 1
        if (answer.status_code >= 500 and answer.status_code not in EXPECTED) or "Traceback (most" in answer.text:
            self.failures.setdefault(f"{method} {_shape(url)}: {self._errors.last}", what)
        if took > 30:
            self.slow[f"{method} {_shape(url)} {what}"] = took
        return answer

    # Addresses

    async def addresses(
        self, http: httpx.AsyncClient, known: dict[str, str], share: float = 1.0, only: Choice = everywhere
    ) -> None:
        """Put every value into every part of a path, and many into every query.

        Args:
            http: who asks.
            known: a real value for each part of a path.
            share: how many of the values, from 0 to 1.
            only: which routes.
        """
        names = [*PROTOCOL, *names_in_sources()]
        values = list(TEXT.items())
        for method, path in routes(only):
            parts = re.findall(r"\{(\w+)\}", path)
            real = _filled(path, known)
            self.reached.add((method, path))
            for part in parts:
                quoted = [(name, quote(value, safe="")) for name, value in self._some(values, share)]
                for name, value in (*quoted, *((raw, raw) for raw in self._some(RAW, share))):
                    if value and not self.over:
                        url = _filled(path, {**known, part: value[:4000]})
                        await self.send(http, method, url, f"{part}={name}", **_empty(method))
            if method in ("GET", "DELETE"):
                for name, value in self._some(values, share):
                    if self.over:
                        return
                    chosen = [(parameter, value[:3000]) for parameter in self.random.sample(names, 4)]
                    await self.send(http, method, f"{real}?{urlencode(chosen)}", f"query {chosen!r:.200} {name}")

    async def each_query(
        self, http: httpx.AsyncClient, known: dict[str, str], share: float = 1.0, only: Choice = everywhere
    ) -> None:
        """Put a value into one parameter of a query at a time: of those that the file of the route reads."""
        for method, path in routes(only):
            if method != "GET":
                continue
            for parameter in _names_near(path):
                for name, value in self._some(list(TEXT.items()), share):
                    if self.over:
                        return
                    url = f"{_filled(path, known)}?{urlencode({parameter: value[:20_000]})}"
                    await self.send(http, method, url, f"query {parameter}={name}")

    # Forms

    async def forms(
        self,
        browser: Browser,
        known: dict[str, str],
        username: str,
        share: float = 1.0,
        only: Choice = everywhere,
    ) -> None:
        """Put values into the fields of every form of every page that somebody may see, with its own token."""
        for method, path in routes(only):
            if method != "GET" or path.startswith(("/api/", "/check/", "/logo/", "/open/")):
                continue
            page = await browser.http.get(_filled(path, known))
            for form in [form for form in forms_in(page.text) if form.method == "post"] if page.is_success else []:
                async for fields, what in self._changed(form, share):
                    answer = await self.send(browser.http, "POST", form.action or path, what, data=fields)
                    if answer.headers.get("location", "").startswith("/login"):
                        await again(browser, username)

    async def _changed(self, form: Form, share: float) -> AsyncIterator[tuple[dict[str, str], str]]:
        values = list(TEXT.items())
        for field_name in form.fields:
            if field_name == "csrf_token":
                continue
            for name, value in self._some(values, share):
                if self.over:
                    return
                button = self.random.choice(form.buttons) if form.buttons else ("", "")
                fields = {**form.fields, **({button[0]: button[1]} if button[0] else {}), field_name: value}
                yield fields, f"{field_name}={name} with {button[0]}={button[1]}"

    async def bare_posts(
        self, http: httpx.AsyncClient, known: dict[str, str], share: float = 1.0, only: Choice = everywhere
    ) -> None:
        """Post every field that sources and protocol know, without a page before."""
        names = [*PROTOCOL, *names_in_sources()]
        for method, path in routes(only):
            if method == "GET" or path.startswith("/api/"):
                continue
            for name, value in self._some(list(TEXT.items()), share):
                if self.over:
                    return
                url = _filled(path, known)
                fields = dict.fromkeys(self.random.sample(names, 8), value[:2000])
                await self.send(http, method, url, f"form {list(fields)} {name}", data=fields)
            for body in self._some(BODIES, share):
                kind = self.random.choice(("application/json", "application/json; charset=utf-16"))
                url, what = _filled(path, known), f"body {body[:40]!r}"
                await self.send(http, method, url, what, content=body, headers={"Content-Type": kind})

    # The API

    async def api(self, http: httpx.AsyncClient, known: dict[str, str], share: float = 1.0) -> None:
        """Put values into every parameter and every member of every body of the described API."""
        document = description("https://x.example")
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                url = _filled(path, known)
                for parameter in [each for each in operation.get("parameters", []) if each["in"] == "query"]:
                    for name, value in self._some(list(TEXT.items()), share):
                        if self.over:
                            return
                        query = urlencode({parameter["name"]: value[:8000]})
                        await self.send(http, method.upper(), f"{url}?{query}", f"query {parameter['name']}={name}")
                schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
                if schema is None:
                    continue
                for body in self._some(BODIES, share):
                    await self._json(http, method, url, body, f"body {body[:40]!r}")
                for where, changed_body in self._bodies(schema, document["components"]["schemas"], share):
                    if self.over:
                        return
                    await self._json(http, method, url, changed_body, where)

    async def documents(self, http: httpx.AsyncClient, share: float = 1.0) -> None:
        """Put values into every member of the documents that other endpoints take: registration, Shared Signals."""
        for method, url, model, base in DOCUMENTS:
            schema = model.model_json_schema()
            for where, changed_body in self._bodies(schema, schema.get("$defs", {}), share):
                if self.over:
                    return
                await self._json(http, method, url, json.dumps({**base, **json.loads(changed_body)}).encode(), where)

    async def _json(self, http: httpx.AsyncClient, method: str, url: str, body: bytes, what: str) -> None:
        headers = {"Content-Type": "application/json", "If-Match": "*"}
        await self.send(http, method.upper(), url, what, content=body, headers=headers)

    def _bodies(self, schema: Any, known: dict[str, Any], share: float) -> Iterator[tuple[str, bytes]]:
        base = example(schema, known)
        members = sorted(_resolved(schema, known).get("properties", {})) if isinstance(base, dict) else []
        for member in members:
            for value in self._some(VALUES, share):
                yield f"{member}={value!r:.80}", json.dumps({**base, member: value}).encode()
            inner = base.get(member)
            for name in sorted(inner) if isinstance(inner, dict) else []:
                for value in self._some(VALUES, share):
                    yield (
                        f"{member}.{name}={value!r:.80}",
                        json.dumps({**base, member: {**inner, name: value}}).encode(),
                    )

    # Headers

    async def headers(self, http: httpx.AsyncClient, known: dict[str, str], share: float = 1.0) -> None:
        """Put values into the headers that are read."""
        for method, path in self._some(routes(), share):
            for name in HEADER_NAMES:
                for value in self._some(HEADERS, share):
                    if self.over:
                        return
                    sent = [(name.encode(), value.encode("latin-1", "replace"))]
                    await self.send(
                        http, method, _filled(path, known), f"{name}: {value!r:.40}", headers=sent, **_empty(method)
                    )

    def _some(self, values: Any, share: float) -> list[Any]:
        """Return a part of ``values``, at least one, by chance."""
        values = list(values)
        return values if share >= 1 else self.random.sample(values, max(1, round(len(values) * share)))


async def again(browser: Browser, username: str) -> None:
    """Sign in once more."""
    page = await browser.open("/login")
    if forms_in(page.text) and page.is_success:
        form = next((form for form in forms_in(page.text) if "password" in form.fields), None)
        if form is not None:
            await browser.http.post(form.action, data={**form.fields, "username": username, "password": PASSWORD})


def example(schema: Any, known: dict[str, Any], depth: int = 0) -> Any:
    """Return something that a schema allows, as far as that is easy."""
    resolved = _resolved(schema, known)
    for name in ("default", "const"):
        if name in resolved and resolved[name] is not None:
            return resolved[name]
    if "enum" in resolved:
        return resolved["enum"][0]
    kind = resolved.get("type")
    if kind == "object" and depth < 3:
        members = {name: example(member, known, depth + 1) for name, member in resolved.get("properties", {}).items()}
        return {name: value for name, value in members.items() if value is not None}
    plain: dict[Any, Any] = {"string": "contoh", "integer": resolved.get("minimum", 60), "boolean": True, "array": []}
    if kind == "string" and resolved.get("format") == "uuid":
        return "00000000-0000-7000-8000-000000000000"
    return plain.get(kind, {} if kind == "object" else None)


def _resolved(schema: Any, known: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return _resolved(next((option for option in schema["anyOf"] if option.get("type") != "null"), {}), known)
    return dict(schema)


def _names_near(path: str) -> list[str]:
    """Return the parameters that the file reads in which a route stands."""
    for router in ROUTERS:
        route = next((route for route in router.routes if getattr(route, "path", "") == path), None)
        if route is not None and not path.startswith("/api/"):
            file = inspect.getfile(route.endpoint)
            names = {first or second for first, second in _NAMED.findall(Path(file).read_text())}
            return sorted({*names, *(PROTOCOL if path in ("/authorize", "/logout") else ())})
    return []


def _filled(path: str, known: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: known.get(match[1], "00000000-0000-7000-8000-000000000000"), path)


def _empty(method: str) -> dict[str, Any]:
    return {"data": {"a": "b"}} if method in ("POST", "PUT", "PATCH") else {}


def _shape(url: str) -> str:
    return re.sub(r"[0-9a-f-]{36}|%[0-9A-Fa-f]{2}|\?.*", "*", url)[:80]
