"""A command imports nothing that only a server or another command needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import once_for_all_workers
from tests.starts import Start
from tests.support import ISSUER, SECRET_KEY, without_settings
from typer.testing import CliRunner

from sso.cli import COMMANDS, GROUPS, command_line

SERVER = {"fastapi", "starlette", "jinja2", "uvicorn", "webauthn", "joserfc.jwe", "joserfc.jwk"}
HEAVY = {"sqlalchemy", "pydantic_settings", "authlib", "httpx2", "cryptography", "sso.settings"}
LOOK = """
import json, os, sys
from sso.cli import main
for words in json.loads(sys.argv[1]):
    sys.stdout.flush()
    if os.fork():
        os.wait()
        continue
    sys.argv = ["sso", *words]
    try:
        main()
    except SystemExit:
        pass
    print()
    print(json.dumps([words, *sys.modules]))
    sys.stdout.flush()
    os._exit(0)
"""
"""Runs each command in a copy of a process that has imported what every command begins with, and no more."""
OUTLINES: list[list[str]] = [["--help"], ["--version"], [], ["unknown"]]
HELPED = [*GROUPS, "serve", "worker", "doctor"]


@pytest.fixture(scope="session")
def imported(run_dir: Path) -> dict[tuple[str, ...], set[str]]:
    """What is imported when the command is called with some arguments."""

    def look() -> dict[tuple[str, ...], set[str]]:
        commands = json.dumps([*OUTLINES, *([name, "--help"] for name in HELPED)])
        done = subprocess.run([sys.executable, "-c", LOOK, commands], capture_output=True, text=True, check=True)
        imports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[[")]
        return {tuple(words): set(modules) for words, *modules in imports}

    known: dict[tuple[str, ...], set[str]] = once_for_all_workers(run_dir, "imported", look)
    return known


@pytest.mark.parametrize("arguments", OUTLINES)
def test_help_and_version_import_no_command(arguments: list[str], imported: dict[tuple[str, ...], set[str]]) -> None:
    loaded = imported[tuple(arguments)]
    assert loaded.isdisjoint(SERVER | HEAVY), loaded & (SERVER | HEAVY)
    commands = {f"sso.cli.{name}" for name in [*COMMANDS, *(module for module, _ in GROUPS.values())]}
    assert loaded.isdisjoint(commands), loaded & commands


SETTINGS = {"pydantic_settings", "sso.settings"}
LIGHT = {"deliveries": HEAVY - SETTINGS - {"sqlalchemy", "cryptography"}, "serve": HEAVY - SETTINGS}
"""What the help of a command may import, where that is more than of the others."""


@pytest.mark.parametrize("command", HELPED)
def test_the_help_of_a_command_imports_no_rule(command: str, imported: dict[tuple[str, ...], set[str]]) -> None:
    loaded = imported[command, "--help"]
    unused = SERVER | LIGHT.get(command, HEAVY)
    assert f"sso.cli.{GROUPS.get(command, (command,))[0]}" in loaded
    assert loaded.isdisjoint(unused), loaded & unused


LISTS = (
    ["db", "current"], ["audit", "list"], ["webhooks", "list"], ["deliveries", "list"], ["clients", "list"],
    ["clients", "grants"], ["applications", "list"], ["keys", "list"], ["grants", "list"], ["users", "list"],
    ["sessions", "list"], ["sessions", "endings"],
)  # fmt: skip
RUN = """
import json, sys
from sso.cli import command_line
for words in json.loads(sys.argv[1]):
    command_line(words[0])(words, standalone_mode=False)
    print()
    print(*words, "imported", *sys.modules)
"""
NOT_FOR_LISTS = SERVER | {
    "alembic", "argon2", "authlib", "httpcore2", "httpx2", "jinja2", "passlib", "rich", "yaml", "sso.app",
    "sso.http", "sso.oidc.provider", "sso.identity.users.importing",
}  # fmt: skip
LATER = {"jwt": ["keys", "list"], "babel": ["grants", "list"], "phonenumbers": ["grants", "list"]}
"""Libraries that some of the lists need, and the first of these."""


def test_lists_import_what_they_show_and_nothing_more(sqlite_template: tuple[Path, object], tmp_path: Path) -> None:
    shutil.copy(sqlite_template[0], tmp_path / "sso.db")
    environment = without_settings(os.environ) | {
        "SSO_ISSUER": ISSUER, "SSO_SECRET_KEY": SECRET_KEY, "SSO_DATABASE_URL": f"sqlite:///{tmp_path / 'sso.db'}",
    }  # fmt: skip
    command = [sys.executable, "-c", RUN, json.dumps(LISTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    loaded = {
        line.partition(" imported ")[0]: set(line.split()) for line in done.stdout.splitlines() if " imported " in line
    }
    assert len(loaded) == len(LISTS)
    for number, words in enumerate(LISTS):
        unused = NOT_FOR_LISTS | {library for library, first in LATER.items() if number < LISTS.index(first)}
        assert loaded[" ".join(words)].isdisjoint(unused), (words, loaded[" ".join(words)] & unused)


NOT_FOR_THE_START = {
    "aiosmtplib", "alembic", "asyncpg", "httpcore2", "httpx2", "maxminddb", "passlib", "phonenumbers", "PIL", "redis",
    "rich", "segno", "sso.http.admin", "sso.http.api", "sso.http.console", "sso.http.developer", "webauthn", "yaml",
    "zxcvbn",
}  # fmt: skip


def test_a_server_starts_without_what_it_may_need_later(server_start: Start) -> None:
    loaded = set(server_start.started)
    assert not server_start.collecting, "nothing is collected as garbage before the start is over"
    assert loaded.isdisjoint(NOT_FOR_THE_START), loaded & NOT_FOR_THE_START
    assert {"fastapi", "sso.http.protocol", "sso.http.account"} <= loaded


COLLECT = """
import gc, sys
collected = lambda: sum(generation["collections"] for generation in gc.get_stats())
before = collected()
from sso.cli import main
sys.argv = ["sso", "clients", "list"]
try:
    main()
finally:
    print("collected", collected() - before)
"""


def test_a_short_command_collects_no_garbage(sqlite_template: tuple[Path, object], tmp_path: Path) -> None:
    shutil.copy(sqlite_template[0], tmp_path / "sso.db")
    environment = without_settings(os.environ) | {
        "SSO_ISSUER": ISSUER, "SSO_SECRET_KEY": SECRET_KEY, "SSO_DATABASE_URL": f"sqlite:///{tmp_path / 'sso.db'}",
    }  # fmt: skip
    command = [sys.executable, "-c", COLLECT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    collections = int(done.stdout.split()[-1])
    assert collections <= 2, "some hundred objects, before the first module says that nothing is to be collected"


def test_help_is_the_same_whether_the_modules_are_imported_or_not() -> None:
    complete, outline = (CliRunner().invoke(command_line(only), ["--help"]).output for only in (None, ""))
    assert outline == complete
    assert all(name in outline for name in [*COMMANDS, *GROUPS])
