"""The `sso` command in tests that need its effect: several commands in one process, because most of a command's time is
its start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PROGRAM = """
import io, json, sys
from sso.cli import command_line
app = command_line()
for words, text in json.loads(sys.argv[1]):
    sys.stdin = io.StringIO(text)
    if code := app(words, standalone_mode=False):
        sys.exit(code)
"""


def run_commands(
    environment: Mapping[str, str], directory: Path, *commands: Sequence[str], stdin: str = ""
) -> list[str]:
    """Run commands one after the other in one process.

    Args:
        environment: the environment of the process: the settings.
        directory: where it runs.
        commands: the words of each command, without `sso`.
        stdin: what each command reads.

    Returns:
        The lines that they printed.
    """
    words = json.dumps([[list(command), stdin] for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, words], env=dict(environment), cwd=directory, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{commands}: {done.stdout}{done.stderr}"
    return done.stdout.splitlines()
