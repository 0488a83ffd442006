"""Schemathesis reads the description of the API and tries what it allows, and what it does not."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from tests.api.conftest import PROGRAM_SCOPES
from tests.conftest import settings_for

from sso.app import create_app
from sso.http.api.openapi import description

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "12"))


@pytest.fixture(scope="module")
def served(sqlite_template: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server on a filled database, and an access token that may do everything there."""
    import shutil

    import httpx

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
    token = httpx.post(f"{origin}/token", data=form, auth=("petugas", secret)).json()["access_token"]
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
schema = schemathesis.openapi.from_dict(
    document(),
    config=SchemathesisConfig.from_dict({"checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}}}),
)


@pytest.mark.filterwarnings("ignore")
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_the_api_is_as_it_is_described(case: Any, served: str) -> None:
    origin, token = served.split()
    answer = case.call(base_url=origin, headers={"Authorization": f"Bearer {token}"})
    case.validate_response(answer)
