"""Ports for the servers that tests start."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

FIRST, LAST = 20_000, 32_000
"""Below the ports that the system gives to connections."""
PLACES = Path(tempfile.gettempdir()) / f"sso-test-ports-{os.getuid()}"
_reserved: list[int] = []
"""Descriptors of locked files, one for each port that this process was given: the lock lasts until the process ends."""


def free_ports(count: int) -> int:
    """Return the first of ``count`` ports in a row that nobody uses. No call gets one of them again while this process
    lives: not here, not in another worker, and not in another run of the tests."""
    PLACES.mkdir(exist_ok=True)
    start = FIRST + (os.getpid() * 7) % (LAST - FIRST - 1000)
    for first in (*range(start, LAST - count, count), *range(FIRST, start, count)):
        ports = range(first, first + count)
        if _reserve(ports):
            return first
    raise RuntimeError("no free ports")


def _reserve(ports: Sequence[int]) -> bool:
    locked: list[int] = []
    for port in ports:
        file = os.open(PLACES / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        locked.append(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            for descriptor in locked:
                os.close(descriptor)
            return False
    _reserved.extend(locked)
    return True
