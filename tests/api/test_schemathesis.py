"""Schemathesis reads the description of the API and tries what it allows, and what it does not."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import uvicorn
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, settings
from tests.api.conftest import PROGRAM_SCOPES
from tests.conftest import settings_for

from sso.app import create_app
from sso.http.api.openapi import description
from sso.http.api.resources import RESOURCES

if TYPE_CHECKING:
    import schemathesis  # a second of imports, which only the worker that runs these tests needs

pytestmark = pytest.mark.group("schemathesis")
"""One worker makes the operations, and what Hypothesis computes once for each process: 6 s of CPU."""
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "12"))


@pytest.fixture(scope="module")
def served(sqlite_template: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server on a filled database, and an access token that may do everything there."""
    import shutil

    import httpx2 as httpx

    directory = tmp_path_factory.mktemp("schemathesis")
    shutil.copy(sqlite_template[0], directory / "sso.db")
    url = f"sqlite:///{directory / 'sso.db'}"
    config = uvicorn.Config(
        create_app(settings_for(url, directory, access_token_lifetime="2h")),
        port=0,
        log_level="critical",
        lifespan="on",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    origin = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    secret = sqlite_template[1]["secrets"]["petugas"]
    form = {"grant_type": "client_credentials", "scope": PROGRAM_SCOPES}
    token = httpx.post(f"{origin}/token", data=form, auth=("petugas", secret), timeout=60).json()["access_token"]
    yield f"{origin} {token}"
    server.should_exit = True
    thread.join(20)


def document() -> dict[str, Any]:
    """The description, but for what would end the caller's own access."""
    made = description("http://127.0.0.1")
    made["servers"] = [{"url": "/"}]
    return made


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
    found = [operation.ok() for operation in schema.get_all_operations()]
    assert {operation.label for operation in found} == set(OPERATIONS)
    return {operation.label: operation for operation in found}


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def is_as_it_is_described(case: schemathesis.Case, served: str, connection: requests.Session) -> None:
    origin, token = served.split()
    answer = case.call(base_url=origin, headers={"Authorization": f"Bearer {token}"}, session=connection)
    case.validate_response(answer)


@pytest.fixture(scope="module")
def connection() -> Iterator[requests.Session]:
    """One connection for all requests: a new one for each of 3,000 takes 5 s."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_api_is_as_it_is_described(
    name: str, operations: dict[str, schemathesis.schemas.APIOperation], served: str, connection: requests.Session
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
    test(served=served, connection=connection)
