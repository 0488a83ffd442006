"""The `sso` command in tests that need its effect: most of a command's time is its start.

``run_commands`` runs several commands in one process. ``run_command`` runs one in a process of its own, which is a copy
of one that has loaded the libraries, but no module of ``sso``: a command loads what it needs, as it does in a shell.
Where the effect alone counts, both take a copy of a process that has loaded the commands too.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

LIBRARIES = (
    "alembic.command", "argon2", "authlib.oauth2.rfc6749", "babel", "cryptography.hazmat.primitives.serialization",
    "fastapi", "httpx2", "jinja2", "joserfc.jwt", "jwt", "orjson", "phonenumbers", "pydantic_settings", "rich.console",
    "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.sqlite", "sqlalchemy.ext.asyncio", "typer", "yaml",
)  # fmt: skip
SERVER = """
import contextlib, gc, importlib, io, json, os, sys, traceback
for library in sys.argv[1].split(","):
    with contextlib.suppress(ImportError):
        importlib.import_module(library)
assert not any(name.partition(".")[0] == "sso" for name in sys.modules)
if sys.argv[2] == "with commands":
    import pkgutil, sso.app, sso.cli
    for module in pkgutil.walk_packages(sso.cli.__path__, "sso.cli."):
        importlib.import_module(module.name)
gc.freeze()
answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child:
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\\n")
        answers.flush()
        continue
    code = 1
    try:
        answers.close()
        folder = asked["folder"]
        for number, name, flags in ((0, "in", os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "err", os.O_WRONLY)):
            os.dup2(os.open(f"{folder}/{name}", flags), number)
        sys.stdin = open(0, closefd=False)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["directory"])
        if len(asked["commands"]) == 1:
            sys.argv = ["sso", *asked["commands"][0]]
            from sso.cli import main
            main()
            code = 0
        else:
            from sso.cli import command_line
            app, text = command_line(), sys.stdin.read()
            for words in asked["commands"]:
                sys.stdin = io.StringIO(text)
                code = app(words, standalone_mode=False) or 0
                if code:
                    break
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        code = 1
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
"""

_asking = threading.Lock()
"""One command at a time: the answers come in the order of the questions."""


@cache
def _server(*, with_commands: bool) -> subprocess.Popen[str]:
    """Start the process that is copied for each command."""
    loads = "with commands" if with_commands else "libraries"
    server = subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", SERVER, ",".join(LIBRARIES), loads],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    atexit.register(_stop, server)
    return server


def _stop(server: subprocess.Popen[str]) -> None:
    for pipe in (server.stdin, server.stdout):
        if pipe:
            pipe.close()
    server.wait(60)


def run_command(
    environment: Mapping[str, str], directory: Path, *words: str, stdin: str = "", loaded: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own.

    Args:
        environment: the environment of the process: the settings.
        directory: where it runs.
        words: the words of the command, without `sso`.
        stdin: what it reads.
        loaded: whether the process has loaded all commands already: for tests of what a command does to something else.

    Returns:
        Its exit code and what it printed.
    """
    return _run(environment, directory, [words], stdin, loaded=loaded)


def run_commands(
    environment: Mapping[str, str], directory: Path, *commands: Sequence[str], stdin: str = ""
) -> list[str]:
    """Run commands one after the other in one process that has loaded all of them.

    Args:
        environment: the environment of the process: the settings.
        directory: where it runs.
        commands: the words of each command, without `sso`.
        stdin: what each command reads.

    Returns:
        The lines that they printed.
    """
    done = _run(environment, directory, commands, stdin, loaded=True)
    assert done.returncode == 0, f"{commands}: {done.stdout}{done.stderr}"
    return done.stdout.splitlines()


def _run(
    environment: Mapping[str, str], directory: Path, commands: Sequence[Sequence[str]], stdin: str, *, loaded: bool
) -> subprocess.CompletedProcess[str]:
    server = _server(with_commands=loaded)
    assert server.stdin
    assert server.stdout
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in (("in", stdin), ("out", ""), ("err", "")):
            (folder / file).write_text(text)
        request = {"commands": [list(words) for words in commands], "environment": dict(environment)}
        with _asking:
            server.stdin.write(json.dumps({**request, "directory": str(directory), "folder": name}) + "\n")
            server.stdin.flush()
            code = int(server.stdout.readline())
        output, errors = (folder / "out").read_text(), (folder / "err").read_text()
        return subprocess.CompletedProcess(commands, code, output, errors)
