"""pg_dump and pg_restore as subprocesses: a dump of one snapshot in, and out of, an encrypted stream.

Passwords are handed over in the environment, never as arguments, which every user of the machine can read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import IO

from sqlalchemy import URL

from sso.errors import Refusal
from sso.platform.backup.container import CHUNK_BYTES, Reader, Writer

_VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "options": "PGOPTIONS",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "gssencmode": "PGGSSENCMODE",
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}
"""Parameters of a URL that libpq reads from the environment too."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where pg_dump and pg_restore connect to. ``major``: of the server, such as 18."""

    environment: Mapping[str, str]
    major: int

    @classmethod
    def of(cls, url: URL, major: int) -> Server:
        """Return the server of a database URL."""
        return cls({**os.environ, "PGAPPNAME": "sso backup", **libpq_environment(url)}, major)


def libpq_environment(url: URL) -> dict[str, str]:
    """Return the variables of libpq that stand for a URL: one host or several, in the authority or in the query."""
    places = [(url.host, url.port)] if url.host else []
    for given in _values(url, "host"):
        for part in given.split(","):
            host, _, port = ("", "", "") if part.startswith("/") else part.rpartition(":")
            places.append((host, int(port)) if host and port.isdigit() else (part, None))
    ports = [port for given in _values(url, "port") for port in given.split(",")]
    variables = {
        "PGHOST": ",".join(host for host, _ in places if host),
        "PGPORT": ",".join(ports or [str(port or 5432) for _, port in places])
        if any(p for _, p in places) or ports
        else "",
        "PGUSER": url.username or "",
        "PGPASSWORD": str(url.password or ""),
        "PGDATABASE": url.database or "",
        **{variable: value for name, variable in _VARIABLES.items() for value in _values(url, name)[:1]},
    }
    return {name: value for name, value in variables.items() if value}


def _values(url: URL, name: str) -> list[str]:
    value = url.query.get(name, ())
    return [value] if isinstance(value, str) else list(value)


def check_program(name: str, major: int) -> None:
    """Check that a program of PostgreSQL is installed and not older than the server.

    Raises:
        Refusal: with one line that says what to install.
    """
    advice = f"install PostgreSQL's client programs, version {major} or newer (Debian: postgresql-client)"
    if shutil.which(name) is None:
        raise Refusal(f"{name} is not installed: {advice}")
    answer = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r"\) (\d+)", answer.stdout)
    if found is None:
        raise Refusal(f"{name} does not say its version: {_last_line(answer.stderr or answer.stdout)}")
    if int(found[1]) < major:
        raise Refusal(f"{name} is version {found[1]}, the server is version {major}: {advice}")


def dump(server: Server, snapshot: str, schema: str, writer: Writer) -> None:
    """Write a dump of every table of ``schema``, as ``snapshot`` sees it, into the stream.

    Raises:
        Refusal: when pg_dump fails.
    """
    command = ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--no-password"]
    command += [f"--snapshot={snapshot}", f"--table={schema}.*"]
    with tempfile.TemporaryFile() as errors:
        with _started(command, server, stdout=subprocess.PIPE, stderr=errors) as process:
            assert process.stdout is not None
            try:
                for block in iter(partial(process.stdout.read, CHUNK_BYTES), b""):
                    writer.write(block)
            except BaseException:
                process.kill()
                raise
        _check_end("pg_dump", process.returncode, errors)


def load(server: Server, reader: Reader) -> None:
    """Restore the rest of the stream into an empty database, in one transaction.

    The end of the stream reaches pg_restore only when it was authenticated. Otherwise pg_restore is ended, and its
    transaction is rolled back.

    Raises:
        Refusal: when pg_restore fails.
    """
    command = [
        "pg_restore",
        "--single-transaction",
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
        "--no-password",
    ]
    command += ["--dbname", server.environment["PGDATABASE"]]
    with tempfile.TemporaryFile() as errors:
        with _started(command, server, stdin=subprocess.PIPE, stderr=errors) as process:
            assert process.stdin is not None
            try:
                with suppress(BrokenPipeError):  # what pg_restore says about it follows
                    for block in reader.rest():
                        process.stdin.write(block)
            except BaseException:
                process.kill()
                raise
            finally:
                with suppress(BrokenPipeError):
                    process.stdin.close()
        _check_end("pg_restore", process.returncode, errors)


def _started(
    command: Sequence[str], server: Server, *, stderr: IO[bytes], stdin: int | None = None, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        command,
        env=server.environment,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=stdout,
        stderr=stderr,
    )


def _check_end(name: str, code: int, errors: IO[bytes]) -> None:
    if code:
        errors.seek(0)
        raise Refusal(f"{name} failed: {_last_line(errors.read().decode(errors='replace')) or f'exit code {code}'}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower()]
    return (wrong or lines or [""])[0]
