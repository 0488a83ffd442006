"""Copies of an SQLite database while it is used: SQLite's online backup, in one step, which is one snapshot.

Readers and writers go on meanwhile (write-ahead log). In several steps the copy would begin again after each write of
another process.
"""

from __future__ import annotations

import fcntl
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from sso.errors import Refusal
from sso.platform.backup.container import CHUNK_BYTES, Reader, Writer
from sso.platform.backup.manifest import Contents, look

BUSY_SECONDS = 15
PREFIX = ".sso-backup-"
IN_USE = "in-use"
"""A file that the process locks which uses the directory: the system gives the lock back when the process dies."""
NEW_SECONDS = 60
"""A directory that is newer may not be locked yet."""


@contextmanager
def scratch_file(near: Path | None = None) -> Iterator[Path]:
    """Yield a path in a new directory that only this user can read, and delete the directory at the end.

    Args:
        near: the directory to make it in; the temporary directory (``TMPDIR``) if None.
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=near) as name:
        directory = Path(name)
        with (directory / IN_USE).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield directory / "sso.db"


def delete_leftovers(near: Path) -> None:
    """Delete the directories of :func:`scratch_file` whose process was killed: they hold an unencrypted copy. Those of
    processes that are at work are locked."""
    for directory in near.glob(f"{PREFIX}*"):
        try:
            if time.time() - directory.stat().st_mtime < NEW_SECONDS:
                continue
            with (directory / IN_USE).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory)
        except OSError:
            continue  # it is in use, or belongs to another user


def copy(source: Path, target: Path) -> None:
    """Copy a database into another one in one transaction; what the other one held is gone.

    Raises:
        Refusal: when a process writes to the other one, or the copy is not whole.
    """
    try:
        with (
            closing(sqlite3.connect(source, timeout=BUSY_SECONDS)) as origin,
            closing(sqlite3.connect(target, timeout=BUSY_SECONDS)) as into,
        ):
            origin.backup(into, pages=-1)
    except sqlite3.Error as error:
        raise Refusal(f"the database cannot be copied: {error}") from None


def prepare_file(path: Path) -> Path:
    """Create the file of a database, which only this user can read, and its directory; return the directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    return path.parent


def examine(path: Path) -> Contents | None:
    """Return what a database that nobody uses holds.

    Raises:
        Refusal: when the file is not whole.
    """
    with closing(sqlite3.connect(path)) as connection:
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
            result = connection.execute("PRAGMA quick_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            result = str(error)
    if result != "ok":
        raise Refusal(f"the copy of the database is not whole: {result}")
    return contents_of(path)


def contents_of(path: Path) -> Contents | None:
    """Return what a database holds; None if it has no table or there is no file."""
    if not path.exists():
        return None
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.connect() as connection:
        return look(connection)


def send(path: Path, writer: Writer) -> None:
    """Write the file of a database into the stream."""
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            writer.write(block)


def receive(reader: Reader, path: Path) -> None:
    """Write the rest of the stream into a file that only this user can read."""
    path.touch(mode=0o600)
    with path.open("wb") as file:
        for block in reader.rest():
            file.write(block)
