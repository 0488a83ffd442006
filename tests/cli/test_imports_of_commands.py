"""A command imports nothing that only a server or another command needs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sso.cli import COMMANDS, GROUPS, command_line

SERVER = {"fastapi", "starlette", "jinja2", "uvicorn", "webauthn", "joserfc.jwe", "joserfc.jwk"}
HEAVY = {"sqlalchemy", "pydantic_settings", "authlib", "httpx2", "cryptography", "sso.settings"}
LOOK = """
import sys
from sso.cli import main
sys.argv = ["sso", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
print()
print(*sys.modules)
"""


def modules(*arguments: str) -> set[str]:
    """Return what is imported when the command is called with ``arguments``."""
    done = subprocess.run([sys.executable, "-c", LOOK, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["unknown"]])
def test_help_and_version_import_no_command(arguments: list[str]) -> None:
    loaded = modules(*arguments)
    assert loaded.isdisjoint(SERVER | HEAVY), loaded & (SERVER | HEAVY)
    commands = {f"sso.cli.{name}" for name in [*COMMANDS, *(module for module, _ in GROUPS.values())]}
    assert loaded.isdisjoint(commands), loaded & commands


UNUSED = {
    "clients": {"httpx2", "httpcore2"},
    "grants": {"httpx2", "httpcore2"},
    "keys": {"httpx2", "httpcore2"},
    "sessions": {"httpx2", "httpcore2"},
    "webhooks": {"httpx2", "httpcore2"},
    "db": {"authlib", "httpx2", "httpcore2", "jwt"},
    "serve": {"authlib", "sqlalchemy", "httpx2"},
}


@pytest.mark.parametrize("command", UNUSED)
def test_a_command_imports_only_what_it_needs(command: str) -> None:
    loaded = modules(command, "--help")
    unused = SERVER | UNUSED[command]
    assert f"sso.cli.{GROUPS.get(command, (command,))[0]}" in loaded
    assert loaded.isdisjoint(unused), loaded & unused


def test_help_is_the_same_whether_the_modules_are_imported_or_not() -> None:
    complete, outline = (CliRunner().invoke(command_line(only), ["--help"]).output for only in (None, ""))
    assert outline == complete
    assert all(name in outline for name in [*COMMANDS, *GROUPS])
