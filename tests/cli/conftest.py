"""Commands, run as a shell would run them, and a mail server."""

from __future__ import annotations

import contextlib
import gettext
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from tests.conftest import run_apart
from tests.databases import share_compiled_statements
from tests.delivery.test_mail import Post, post
from tests.support import ISSUER, SECRET_KEY

import sso.cli
import sso.settings
from sso.platform import messages
from sso.platform.db import Database
from sso.platform.messages import VARIABLES, choose_language
from sso.settings import Settings

__all__ = ["Answer", "Cli", "Post", "cli", "post"]

_settings: dict[tuple[object, ...], Settings] = {}
_command_line, _load_settings = cache(sso.cli.command_line), sso.settings.load_settings
_get_command = typer.main.get_command
_english = cache(_get_command)


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """Runs commands as a shell would, in this process."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], contents: dict[str, Any]
    ) -> None:
        self.monkeypatch = monkeypatch
        self.capfd = capfd
        self.contents = contents

    def __call__(self, *words: str, stdin: str = "") -> Answer:
        self.monkeypatch.setattr(sys, "argv", ["sso", *words])
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        self.capfd.readouterr()
        try:
            sso.cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = self.capfd.readouterr()
        return Answer(code, out, err)


def share_what_never_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands of this process share what follows from the program and from the environment alone: a process of
    its own would make it anew, and that was half of the work of most commands."""
    monkeypatch.setattr(sso.cli, "command_line", _command_line)
    monkeypatch.setattr(typer.main, "get_command", known_command)
    monkeypatch.setattr(sso.settings, "load_settings", known_settings)
    monkeypatch.setattr(Database, "__init__", sharing(Database.__init__))


def known_command(app: typer.Typer) -> Any:
    """Return the command of ``app``: the known one, but where its help will be translated."""
    return _english(app) if choose_language() == "en" else _get_command(app)


def known_settings(**overrides: object) -> Settings:
    """Return a copy of the settings of this environment, which are read once; a file ``.env`` is read each time."""
    if overrides or Path(".env").exists():
        return _load_settings(**overrides)
    environment = tuple(sorted(item for item in os.environ.items() if item[0].upper().startswith("SSO_")))
    if environment not in _settings:
        _settings[environment] = _load_settings()
    return _settings[environment].model_copy()


def sharing(create: Callable[..., None]) -> Callable[..., None]:
    """Return the constructor of a database that shares compiled statements with those before it."""

    def create_and_share(database: Database, *arguments: Any, **options: Any) -> None:
        create(database, *arguments, **options)
        share_compiled_statements(database)

    return create_and_share


@contextlib.contextmanager
def no_language(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let commands speak English unless a test says otherwise, and forget what a command has chosen: it is kept in this
    process, in its environment and in :mod:`gettext`."""
    domain = gettext.textdomain()
    monkeypatch.setattr(messages, "_chosen", gettext.NullTranslations())
    for name in (*VARIABLES, "LANGUAGE"):
        monkeypatch.setenv(name, "")
    try:
        yield
    finally:
        gettext.textdomain(domain)


@pytest.fixture
def cli(
    request: pytest.FixtureRequest,
    database_kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Cli]:
    with no_language(monkeypatch):
        yield from _commands(request, database_kind, tmp_path, monkeypatch, capfd)


def _commands(
    request: pytest.FixtureRequest,
    database_kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Cli]:
    monkeypatch.chdir(tmp_path)
    share_what_never_changes(monkeypatch)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SSO_{name.upper()}", raising=False)
    monkeypatch.setenv("SSO_ISSUER", ISSUER)
    monkeypatch.setenv("SSO_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("SSO_ARGON2_MEMORY", "8MiB")
    if database_kind == "sqlite":
        template, contents = request.getfixturevalue("sqlite_template")
        shutil.copy(template, tmp_path / "sso.db")
        monkeypatch.setenv("SSO_DATABASE_URL", f"sqlite:///{tmp_path / 'sso.db'}")
        yield Cli(monkeypatch, capfd, contents)
        return
    databases, contents = request.getfixturevalue("postgres_databases")
    name = run_apart(databases.lend())
    monkeypatch.setenv("SSO_DATABASE_URL", databases.url(name))
    yield Cli(monkeypatch, capfd, contents)
    run_apart(databases.take_back(name))
