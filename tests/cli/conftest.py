"""Commands, run as a shell would run them, and a mail server."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import run_apart
from tests.delivery.test_mail import Post, post
from tests.support import ISSUER, SECRET_KEY

from sso.cli import main
from sso.settings import Settings

__all__ = ["Answer", "Cli", "Post", "cli", "post"]


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
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], made: dict[str, Any]
    ) -> None:
        self.monkeypatch = monkeypatch
        self.capfd = capfd
        self.made = made

    def __call__(self, *words: str, stdin: str = "") -> Answer:
        self.monkeypatch.setattr(sys, "argv", ["sso", *words])
        import io

        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        self.capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = self.capfd.readouterr()
        return Answer(code, out, err)


@pytest.fixture
def cli(
    request: pytest.FixtureRequest,
    database_kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Cli]:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SSO_{name.upper()}", raising=False)
    monkeypatch.setenv("SSO_ISSUER", ISSUER)
    monkeypatch.setenv("SSO_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("SSO_ARGON2_MEMORY", "8MiB")
    if database_kind == "sqlite":
        template, made = request.getfixturevalue("sqlite_template")
        shutil.copy(template, tmp_path / "sso.db")
        monkeypatch.setenv("SSO_DATABASE_URL", f"sqlite:///{tmp_path / 'sso.db'}")
        yield Cli(monkeypatch, capfd, made)
        return
    databases, made = request.getfixturevalue("postgres_databases")
    name = run_apart(databases.lend())
    monkeypatch.setenv("SSO_DATABASE_URL", databases.url(name))
    yield Cli(monkeypatch, capfd, made)
    run_apart(databases.take_back(name))
