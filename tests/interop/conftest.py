"""The provider as it is run: `sso serve` in a process of its own, set up by the commands that an operator uses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import select
from tests.commands import run_command, run_commands
from tests.conftest import run_apart, settings_for
from tests.databases import run_statement
from tests.ports import free_ports
from tests.support import ALL_DATABASES, DATABASES, QUICK_HASHES, form_of, without_settings
from tests.waiting import START_SECONDS, until, wait_for, wait_until

from sso import clock
from sso.identity.groups.models import RoleAssignment
from sso.identity.users.service import find
from sso.platform.db import Database
from sso.platform.outbox.models import Delivery, DeliveryStatus
from sso.settings import Settings

HERE = Path(__file__).parent
SSO = str(Path(sys.executable).with_name("sso"))
CLIENTS = (
    "openid-client", "authlib", "authlib-jwt", "apache", "php", "phpfile", "passport", "allauth", "allauth-basic",
    "jose", "jose-es256", "spring", "spring-client", "caller", "stranger", "gerbang", "dokuwiki",
)  # fmt: skip
"""The applications of the catalogue with a secret. All are made before the server starts: it learns of changes within a
second."""
LISTENING = ("apache", "php", "passport", "page", "allauth", "spring", "phpfile", "phpcas", "modcas")
"""Relying parties that listen, each at its own port: `APACHE_PORT` in the catalogue is replaced by that of `apache`."""
PASSWORD = "perahu-kertas-di-sungai-88"
SCRIPT_SECONDS = 300
"""How long a program of Node.js may take that signs in by itself."""
LIMITS = httpx.Limits(keepalive_expiry=2)
"""For browsers that a test keeps: a connection that was idle for longer is not used again. Servers close theirs after
five seconds, perhaps while the next request is on its way."""


@dataclass
class Server:
    """A running provider."""

    issuer: str
    environment: dict[str, str]
    directory: Path
    ports: dict[str, int]
    secrets: dict[str, str] = field(default_factory=dict)

    def sso(self, *words: str, stdin: str = "") -> str:
        """Run a command and return what it printed."""
        done = run_command(self.environment, self.directory, *words, stdin=stdin, loaded=True)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def sso_lines(self, *commands: list[str]) -> list[str]:
        """Run commands that print one line each, in one process, and return the lines."""
        lines = run_commands(self.environment, self.directory, *commands)
        assert len(lines) == len(commands), lines
        return lines

    def give(self, client_id: str, role: str) -> None:
        """Give siti a role of an application."""
        run_apart(_give(settings_for(self.environment["SSO_DATABASE_URL"], self.directory), client_id, role))

    def wait_for_notices(self, client_id: str) -> None:
        """Wait until an application has answered every notice of an end that was sent to it. They are written with the
        end itself, and go on being sent until they are answered."""
        run_apart(_all_sent(settings_for(self.environment["SSO_DATABASE_URL"], self.directory), client_id))

    def make_secret(self, client_id: str, method: str) -> None:
        """Make a secret for an application that was registered while the server runs, and keep it in ``secrets``.

        Args:
            client_id: the application.
            method: how it authenticates: client_secret_basic or client_secret_post.
        """
        (secret,) = self.sso_lines(["clients", "secret", client_id])
        self.secrets[client_id] = secret
        sent: dict[str, Any] = {"data": {"token": "none"}, "auth": (client_id, secret)}
        if method == "client_secret_post":
            sent = {"data": {"token": "none", "client_id": client_id, "client_secret": secret}}

        def is_known() -> bool:
            return httpx.post(f"{self.issuer}/introspect", timeout=60, **sent).status_code == 200

        wait_until(lambda: all(is_known() for _ in range(10)))  # each of the two processes learns of it by itself


async def _give(settings: Settings, client_id: str, role: str) -> None:
    db = Database(settings, create=False)
    try:
        async with db.write() as session:
            user = await find(session, "siti")
            given = {"reason": "test", "given_by": "test", "created_at": clock.now()}
            session.add(RoleAssignment(client_id=client_id, role=role, user_id=user.id, **given))
    finally:
        await db.close()


async def _all_sent(settings: Settings, client_id: str) -> None:
    db = Database(settings, create=False)
    pending = select(Delivery.id).where(Delivery.client_id == client_id, Delivery.status == DeliveryStatus.PENDING)

    async def are_sent() -> bool:
        async with db.read() as session:
            return (await session.execute(pending)).first() is None

    try:
        await until(are_sent)
    except TimeoutError:
        async with db.read() as session:
            errors = list(await session.scalars(pending.with_only_columns(Delivery.last_error)))
        raise TimeoutError(f"{client_id} has not answered every notice: {errors}") from None
    finally:
        await db.close()


def signed_in(server: Server, address: str, browser: httpx.Client | None = None) -> httpx.Response:
    """Open ``address`` of an application, sign siti in where the provider asks, and return the last page."""
    if browser is None:
        with httpx.Client(timeout=60, limits=LIMITS) as fresh:
            return signed_in(server, address, fresh)
    page = browser.get(address, follow_redirects=True)
    for _ in range(3):
        if not str(page.url).startswith(server.issuer):
            break
        form = form_of(page)
        fields = {**form.fields, "username": "siti", "password": PASSWORD, "choice": "allow"}
        page = browser.post(server.issuer + form.action, data=fields, follow_redirects=True)
    return page


@pytest.fixture(scope="session", autouse=True)
def _compiled_php(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what PHP compiles, for every PHP that a test starts: WordPress is five megabytes of it."""
    settings = {"PHP_INI_SCAN_DIR": f":{HERE / 'php_settings'}", "PHP_COMPILED": str(tmp_path_factory.mktemp("php"))}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session", params=DATABASES if ALL_DATABASES else ["postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    if request.param == "sqlite":
        url = f"sqlite:///{directory / 'sso.db'}"
    else:
        postgres = request.getfixturevalue("postgres")
        name = re.sub(r"\W", "_", f"interop_{directory.parent.name}_{directory.name}").lower()
        run_apart(run_statement(postgres, f"CREATE DATABASE {name}"))
        url = postgres.replace("DATABASE", name)
    port = free_ports(1 + len(LISTENING))
    ports = {name: port + number for number, name in enumerate(LISTENING, 1)}
    environment = without_settings(os.environ)
    environment |= QUICK_HASHES | {
        "SSO_ISSUER": f"http://localhost:{port}",
        "SSO_DATABASE_URL": url,
        "SSO_DATA_DIR": str(directory),
        "SSO_LOG_LEVEL": "INFO",
        "SSO_TRUSTED_PROXIES": "127.0.0.1,::1",
    }
    provider = Server(f"http://localhost:{port}", environment, directory, ports)
    catalogue, text = directory / "interop.yaml", (HERE / "interop.yaml").read_text()
    for name, number in ports.items():
        text = text.replace(f"{name.upper()}_PORT", str(number))
    catalogue.write_text(text)
    person = ["users", "create", "siti", "--name", "Siti Rahmawati", "--password-stdin"]
    secrets = [["clients", "secret", client] for client in CLIENTS]
    commands = [["db", "upgrade"], ["clients", "apply", str(catalogue)], person, *secrets]
    printed = run_commands(environment, directory, *commands, stdin=PASSWORD)
    provider.secrets |= zip(CLIENTS, printed[-len(CLIENTS) :], strict=True)
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
            yield provider
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(START_SECONDS) == 0, (directory / "log").read_text()
