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
from dataclasses import dataclass, replace
from functools import partial
from typing import IO

from sso.errors import Refusal
from sso.platform.backup.container import CHUNK_BYTES, Reader, Writer
from sso.settings import DatabaseAddress, Settings
from sso.settings.database_address import Host

_VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "passfile": "PGPASSFILE",
    "krbsrvname": "PGKRBSRVNAME",
    "gsslib": "PGGSSLIB",
}
"""Parameters of an address that libpq reads from the environment too."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where pg_dump and pg_restore connect to. ``major``: of the server, such as 18."""

    environment: Mapping[str, str]
    major: int

    @classmethod
    def of(cls, settings: Settings, major: int, host: Host) -> Server:
        """Return the server of the settings: of several hosts the one that the caller is connected to, because a
        snapshot is of one host."""
        address = settings.database_address
        assert address is not None
        address = replace(address, hosts=(host,), target_session_attrs="any")
        limit = address.numbers.get("connect_timeout", max(2, round(settings.database_connect_timeout.total_seconds())))
        given = {"PGAPPNAME": "sso backup", "PGCONNECT_TIMEOUT": str(limit)}
        return cls({**os.environ, **given, **libpq_environment(address)}, major)


def libpq_environment(address: DatabaseAddress) -> dict[str, str]:
    """Return the variables of libpq that stand for an address."""
    variables = {
        "PGHOST": ",".join(host.name for host in address.hosts),
        "PGPORT": ",".join(str(host.port or "") for host in address.hosts),
        "PGUSER": address.user or "",
        "PGPASSWORD": address.password or "",
        "PGDATABASE": address.database or "",
        "PGTARGETSESSIONATTRS": address.target_session_attrs.removeprefix("any"),
        "PGLOADBALANCEHOSTS": "random" if address.shuffle else "",
        "PGOPTIONS": address.options or "",
        **{variable: address.driver.get(name, "") for name, variable in _VARIABLES.items()},
    }
    return {name: value for name, value in variables.items() if value.strip(",")}


def check_program(name: str, major: int) -> None:
    """Check that a program of PostgreSQL is installed and not older than the server.

    Raises:
        Refusal: with one line that says what to install.
    """
    advice = f"install PostgreSQL's client programs, version {major} or newer (Debian: postgresql-client)"
    if shutil.which(name) is None:
        raise Refusal(f"{name} is not installed: {advice}")
    answer = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    match = re.search(r"\) (\d+)", answer.stdout)
    if match is None:
        raise Refusal(f"{name} does not say its version: {_last_line(answer.stderr or answer.stdout)}")
    if int(match[1]) < major:
        raise Refusal(f"{name} is version {match[1]}, the server is version {major}: {advice}")


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
    command += ["--dbname", server.environment.get("PGDATABASE", "")]
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
