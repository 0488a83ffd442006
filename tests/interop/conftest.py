"""The provider as it is run: `sso serve` in a process of its own, set up by the commands that an operator uses."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import run_apart
from tests.databases import run_statement
from tests.journeys.conftest import free_ports

HERE = Path(__file__).parent
SSO = str(Path(sys.executable).with_name("sso"))
CLIENTS = ("openid-client", "authlib", "authlib-jwt", "apache", "php")
PASSWORD = "perahu-kertas-di-sungai-88"
START_SECONDS = 30


@dataclass
class Server:
    """A running provider."""

    issuer: str
    environment: dict[str, str]
    directory: Path
    apache_port: int
    php_port: int
    secrets: dict[str, str] = field(default_factory=dict)

    def sso(self, *words: str, stdin: str = "") -> str:
        """Run a command and return what it printed."""
        done = subprocess.run(
            [SSO, *words], env=self.environment, cwd=self.directory, input=stdin, capture_output=True, text=True
        )
        assert done.returncode == 0, f"sso {words}: {done.stdout}{done.stderr}"
        return done.stdout


def wait_for(port: int, process: subprocess.Popen[Any], log: Path) -> None:
    """Wait until something listens at ``port``."""
    until = time.monotonic() + START_SECONDS
    while True:
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"it does not start:\n{log.read_text()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    if request.param == "sqlite":
        url = f"sqlite:///{directory / 'sso.db'}"
    else:
        postgres = request.getfixturevalue("postgres")
        name = re.sub(r"\W", "_", f"interop_{directory.parent.name}_{directory.name}").lower()
        run_apart(run_statement(postgres, f"CREATE DATABASE {name}"))
        url = postgres.replace("DATABASE", name)
    port = free_ports(3)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SSO_")}
    environment |= {
        "SSO_ISSUER": f"http://localhost:{port}",
        "SSO_DATABASE_URL": url,
        "SSO_DATA_DIR": str(directory),
        "SSO_LOG_LEVEL": "INFO",
    }
    made = Server(f"http://localhost:{port}", environment, directory, port + 1, port + 2)
    made.sso("db", "upgrade")
    catalogue = directory / "interop.yaml"
    catalogue.write_text(
        (HERE / "interop.yaml").read_text().replace("APACHE_PORT", str(port + 1)).replace("PHP_PORT", str(port + 2))
    )
    made.sso("clients", "apply", str(catalogue))
    made.secrets = {client: made.sso("clients", "secret", client).strip() for client in CLIENTS}
    made.sso("users", "create", "siti", "--name", "Siti Rahmawati", "--password-stdin", stdin=PASSWORD)
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [SSO, "serve", "--port", str(port), "--workers", "2"],
            env=environment,
            cwd=directory,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_for(port, process, directory / "log")
            yield made
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, (directory / "log").read_text()
