"""Schemathesis reads the description of the API and tries what it allows, and what it does not."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
import requests
import uvloop
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, settings
from requests.structures import CaseInsensitiveDict
from sqlalchemy.util.concurrency import await_, greenlet_spawn
from tests.api.conftest import PROGRAM_SCOPES
from tests.conftest import settings_for
from urllib3 import HTTPHeaderDict, HTTPResponse

from sso.app import create_app
from sso.http.api.openapi import description
from sso.http.api.resources import RESOURCES

if TYPE_CHECKING:
    import schemathesis  # a second of imports, which only the worker that runs these tests needs

pytestmark = pytest.mark.group("schemathesis")
"""One worker makes the operations, and what Hypothesis computes once for each process: 6 s of CPU."""
ORIGIN = "http://127.0.0.1"
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "12"))


class InProcess(requests.adapters.BaseAdapter):
    """Gives requests to the application as uvicorn does, without a server: for 5,500 requests a server and the
    connection to it take 15 s. What comes over a real connection is tested in tests/hostile/test_wire.py."""

    def __init__(self, app: FastAPI, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._app = app
        self._loop = loop

    def run(self, work: Callable[[], Any]) -> Any:
        """Do what sends requests, and return what it returned. The loop runs all the time: starting and stopping it for
        each request takes 0.2 ms."""
        return self._loop.run_until_complete(greenlet_spawn(work))

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        messages = await_(self._call(request))
        assert [message["type"] for message in messages[:1]] == ["http.response.start"], messages
        content = b"".join(message.get("body", b"") for message in messages[1:])
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in messages[0]["headers"]]
        return self._answer(request, messages[0]["status"], headers, content)

    async def _call(self, request: requests.PreparedRequest) -> list[Any]:
        url = urlsplit(request.url or "")
        content = request.body.encode() if isinstance(request.body, str) else request.body or b""
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": unquote(url.path),
            "raw_path": url.path.encode("ascii"),
            "query_string": url.query.encode("ascii"),
            "root_path": "",
            "headers": [(b"host", url.netloc.encode()), *map(_as_bytes, request.headers.items())],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        await self._app(scope, receive, send)
        return sent

    @staticmethod
    def _answer(
        request: requests.PreparedRequest, status: int, headers: list[tuple[str, str]], content: bytes
    ) -> requests.Response:
        answer = requests.Response()
        answer.status_code = status
        answer.url = request.url or ""
        answer.request = request
        answer.headers = CaseInsensitiveDict(headers)
        length = answer.headers.get("content-length")
        assert length is None or request.method == "HEAD" or int(length) == len(content), (length, content)
        answer.raw = HTTPResponse(BytesIO(content), HTTPHeaderDict(headers), status, preload_content=False)
        answer.encoding = requests.utils.get_encoding_from_headers(answer.headers)
        return answer

    def close(self) -> None:
        """Nothing is open."""


def _as_bytes(header: tuple[str, str | bytes]) -> tuple[bytes, bytes]:
    name, value = header
    return name.lower().encode("latin-1"), value if isinstance(value, bytes) else value.encode("latin-1")


@pytest.fixture(scope="module")
def connection(
    sqlite_template: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[requests.Session]:
    """A connection to a provider with a filled database, and an access token that may do everything there."""
    directory = tmp_path_factory.mktemp("schemathesis")
    shutil.copy(sqlite_template[0], directory / "sso.db")
    app = create_app(settings_for(f"sqlite:///{directory / 'sso.db'}", directory, access_token_lifetime="2h"))
    loop = uvloop.new_event_loop()  # the server's, and cheaper than that of the standard library
    lifespan = app.router.lifespan_context(app)
    loop.run_until_complete(lifespan.__aenter__())
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", adapter := InProcess(app, loop))
        form = {"grant_type": "client_credentials", "scope": PROGRAM_SCOPES}
        secret = sqlite_template[1]["secrets"]["petugas"]
        answer = adapter.run(partial(session.post, f"{ORIGIN}/token", data=form, auth=("petugas", secret)))
        session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield session
    loop.run_until_complete(lifespan.__aexit__(None, None, None))
    loop.close()


def document() -> dict[str, Any]:
    """The description, but for what would end the caller's own access."""
    schema = description("http://127.0.0.1")
    schema["servers"] = [{"url": "/"}]
    return schema


# What a rule refuses though its form is right: a cursor of nobody's, metadata that contradicts itself, an old ETag, and
# characters that the gate refuses in every text (400).
ACCEPTED = ["2xx", "400", "401", "403", "404", "409", "412", "422", "428"]
OPERATIONS = [
    f"{method} {route.path}"
    for resource in RESOURCES
    for route in resource.routes
    if isinstance(route, APIRoute) and route.include_in_schema
    for method in sorted(route.methods)
]
"""Read from the routes: every worker collects all tests, and making the description takes a second."""


@pytest.fixture(scope="module")
def operations() -> dict[str, schemathesis.schemas.APIOperation]:
    """The operations by name. In a fixture, and the tests are made when they run: with ``schema.parametrize()`` every
    worker makes all of them to collect them, which takes 6 s of CPU each."""
    import schemathesis
    from schemathesis.checks import load_all_checks
    from schemathesis.config import SchemathesisConfig

    checks = {"positive_data_acceptance": {"expected-statuses": ACCEPTED}}
    load_all_checks()
    schema = schemathesis.openapi.from_dict(document(), config=SchemathesisConfig.from_dict({"checks": checks}))
    all_operations = [operation.ok() for operation in schema.get_all_operations()]
    assert {operation.label for operation in all_operations} == set(OPERATIONS)
    return {operation.label: operation for operation in all_operations}


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def is_as_it_is_described(case: schemathesis.Case, connection: requests.Session) -> None:
    case.validate_response(case.call(base_url=ORIGIN, session=connection))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_api_is_as_it_is_described(
    name: str, operations: dict[str, schemathesis.schemas.APIOperation], connection: requests.Session
) -> None:
    from schemathesis.generation.feedback import FeedbackSources
    from schemathesis.pytest._test_builder import build_operation_test
    from schemathesis.python._constants.orchestrator import make_constants_value_source

    operation = operations[name]
    feedback = FeedbackSources(constants_value_source=make_constants_value_source(operation.schema))
    test = build_operation_test(
        config=operation.schema.config,
        operation=operation,
        test_func=is_as_it_is_described,
        given_kwargs={},
        feedback=feedback,
    )
    adapter = connection.get_adapter(ORIGIN)
    assert isinstance(adapter, InProcess)
    adapter.run(partial(test, connection=connection))
