"""A command imports nothing that only a server needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

SERVER = ("fastapi", "starlette", "jinja2", "uvicorn", "webauthn", "joserfc.jwe", "joserfc.jwk")
LOOK = "import sys; from sso.cli import command_line; command_line(sys.argv[1]); print(*sys.modules)"


@pytest.mark.parametrize("command", ["clients", "keys", "serve"])
def test_a_command_imports_nothing_of_the_server(command: str) -> None:
    done = subprocess.run([sys.executable, "-c", LOOK, command], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint(SERVER), loaded.intersection(SERVER)
    if command == "serve":
        assert "authlib" not in loaded
