"""A real PgBouncer in transaction mode, in front of the PostgreSQL of the tests."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.ports import free_ports
from tests.waiting import wait_for

LOCAL = "127.0.0.1"
INI = """[databases]
* = host={host} user=postgres pool_size={size}
[pgbouncer]
listen_addr = *
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 200
server_login_retry = 0.2
server_round_robin = 1
query_wait_timeout = 60
"""


class PgBouncer:
    """A running PgBouncer.

    Args:
        server: the directory of PostgreSQL's socket.
        size: how many connections to PostgreSQL it opens for a database.
        host: the address at which it is reached.
        prefix: what runs the program, such as ``ip netns exec``.
        files: files of its directory.
        extra: more lines of its configuration.
    """

    def __init__(
        self,
        server: str,
        *,
        size: int = 4,
        host: str = LOCAL,
        prefix: tuple[str, ...] = (),
        files: Mapping[str, str] | None = None,
        extra: str = "",
    ) -> None:
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        if program is None:
            pytest.fail("no pgbouncer on this machine: run `make deps`, which installs it")
        self._host = host
        self.port = free_ports(1)
        # In a directory of its own, because it refuses to run as root, and others may not enter those of the tests.
        self._directory = Path(tempfile.mkdtemp(prefix="sso-pgbouncer-"))
        configuration = self._directory / "pgbouncer.ini"
        text = INI.format(host=server, size=size, port=self.port) + extra.format(directory=self._directory)
        for name, content in {"pgbouncer.ini": text, **(files or {})}.items():
            (self._directory / name).write_text(content)
            (self._directory / name).chmod(0o644)
        self._command = [*prefix, program, "-q", str(configuration)]
        if os.getuid() == 0:
            self._directory.chmod(0o755)
            owner = pwd.getpwuid(Path(server).stat().st_uid).pw_name  # of a directory that others may not enter
            self._command[-1:-1] = ["-u", "nobody" if owner == "root" else owner]
        self.start()

    def start(self) -> None:
        """Start the process, and wait until it listens."""
        with (self._directory / "log").open("a") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_for(self.port, self.process, self._directory / "log", host=self._host)

    def url(self, name: str, query: str = "") -> str:
        """Return the address of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}?sslmode=disable{query}"

    def kill(self) -> None:
        """End the process, and every connection with it."""
        self.process.kill()
        self.process.wait(60)

    def close(self) -> None:
        """End the process, and delete its files."""
        self.kill()
        shutil.rmtree(self._directory)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let the process hang meanwhile: its port accepts connections, and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)
