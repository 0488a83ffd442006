"""Runs the blocks of a document in a real shell, with `sso`, `curl` and `jq` answered by this process.

A shell is started for each block. Its programs `sso`, `curl` and `jq` are short scripts that hand their arguments to
the test, which runs the command in this process (`tests/cli/conftest.py`) or sends the request to a provider on the
same database, and hand back what it wrote. So a command of a document costs what it costs in the tests of commands.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import shlex
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
from tests.cli.conftest import Answer, Cli
from tests.databases import share_compiled_statements
from tests.support import ISSUER

from sso import clock
from sso.app import create_app
from sso.settings import load_settings

PROGRAM = """#!/bin/sh
name="$DOOR/$$"
: > "$name.args"
for word; do printf '%s\\0' "$word" >> "$name.args"; done
cat > "$name.in"
mkfifo "$name.done"
echo "{program} $$ $PWD" > "$DOOR/ask"
read code < "$name.done"
cat "$name.out"
cat "$name.err" >&2
exit "$code"
"""
WRITTEN = datetime(2026, 12, 1, tzinfo=UTC)
"""The documents show dates after this moment, until which roles and employments last."""
SECONDS = 120
"""A shell that waits longer for something else than this process is ended."""


@dataclass
class Shell:
    """Runs blocks in a folder of their own.

    Args:
        cli: runs `sso`.
        folder: the folder of the commands.
        variables: variables of the environment.
    """

    cli: Cli
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.door = self.folder / ".door"
        self.door.mkdir()
        os.mkfifo(self.door / "ask")
        for program in ("sso", "curl", "jq"):
            file = self.door / program
            file.write_text(PROGRAM.replace("{program}", program))
            file.chmod(0o755)

    def run(self, text: str) -> Answer:
        """Run a block; it ends at the first command that fails."""
        environment = {"PATH": f"{self.door}:/usr/bin:/bin", "DOOR": str(self.door), "ISSUER": ISSUER, **self.variables}
        requests = os.open(self.door / "ask", os.O_RDWR | os.O_NONBLOCK)
        with (self.folder / ".door/stdout").open("w+") as out, (self.folder / ".door/stderr").open("w+") as err:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=err,
            )  # fmt: skip
            ended = os.pidfd_open(process.pid)
            try:
                self._answer(requests, ended)
            finally:
                process.kill()
                process.wait()
                os.close(requests)
                os.close(ended)
            out.seek(0)
            err.seek(0)
            return Answer(process.returncode, out.read(), err.read())

    def _answer(self, requests: int, ended: int) -> None:
        """Answer programs until the shell has ended."""
        while True:
            ready, _, _ = select.select([requests, ended], [], [], SECONDS)
            assert ready, "the shell waits for something"
            if requests not in ready:
                return
            for line in os.read(requests, 65536).decode().splitlines():
                program, number, directory = line.split(" ", 2)
                name = self.door / number
                words = [word.decode() for word in name.with_suffix(".args").read_bytes().split(b"\0")[:-1]]
                os.chdir(directory)
                answer = getattr(self, program)(words, name.with_suffix(".in").read_text())
                name.with_suffix(".out").write_text(answer.out)
                name.with_suffix(".err").write_text(answer.err)
                name.with_suffix(".done").write_text(f"{answer.code}\n")

    def sso(self, words: list[str], stdin: str) -> Answer:
        """Run a command."""
        return self.cli(*words, stdin=stdin)

    def jq(self, words: list[str], stdin: str) -> Answer:
        """Print one member of an object."""
        *_, name = words
        return Answer(0, str(json.loads(stdin)[name.removeprefix(".")]) + "\n", "")

    def curl(self, words: list[str], stdin: str) -> Answer:
        """Send a request to the provider, with the options that the documents use."""
        headers: dict[str, str] = {}
        method, data, account, url = "", [], None, ""
        rest = iter(words)
        for word in rest:
            if word in ("-H", "--header"):
                name, _, value = next(rest).partition(":")
                headers[name] = value.strip()
            elif word in ("-d", "--data"):
                data.append(next(rest))
            elif word in ("-u", "--user"):
                name, _, value = next(rest).partition(":")
                account = (name, value)
            elif word in ("-X", "--request"):
                method = next(rest)
            elif not word.startswith("-"):
                url = word
        if data:
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        path = url.removeprefix(ISSUER)
        assert path.startswith("/"), url
        response = send(method or ("POST" if data else "GET"), path, headers, "&".join(data), account)
        return Answer(0 if response.is_success else 22, response.text, f"{response.status_code}: {response.text}\n")


def send(
    method: str, path: str, headers: dict[str, str], body: str, account: tuple[str, str] | None = None
) -> httpx.Response:
    """Send one request to a provider on the database of the commands."""
    assert not urlsplit(path).netloc

    async def work() -> httpx.Response:
        app = create_app(load_settings().model_copy(update={"run_worker": False}))
        share_compiled_statements(app.state.site.provider.db)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, client=("203.0.113.7", 50000))
            async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as client:
                return await client.request(method, path, headers=headers, content=body or None, auth=account)

    return asyncio.run(work())


def return_to_the_time_of_the_documents() -> None:
    """Set the clock of the program back to when the documents were written, if that is over."""
    clock.advance(min(timedelta(0), WRITTEN - clock.now()))


def words_of(command: str) -> list[list[str]]:
    """Return the calls of `sso` in a line of a shell, each with its words after `sso`."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    calls: list[list[str]] = []
    call: list[str] | None = None
    before = ";"
    for token in lexer:
        if set(token) <= set("|&;<>()"):
            call = None
        elif call is not None:
            call.append(token)
        elif token == "sso" and (set(before) <= set("|&;()$") or "=" in before or before in ("--", "serve")):
            call = []
            calls.append(call)
        before = token
    return calls
