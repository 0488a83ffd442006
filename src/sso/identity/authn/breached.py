"""Passwords that were stolen elsewhere, looked up in a file on this machine: nothing of them leaves it."""

from __future__ import annotations

import hashlib
from pathlib import Path

PREFIX_CHARS = 5
MAX_LINE_BYTES = 128


def is_breached(path: Path, password: str) -> bool:
    """Tell whether a password is among those that were stolen.

    Args:
        path: a directory with range files, named by the first five digits of the SHA-1 hash, whose lines are
            ``REST:COUNT``; or one file with ``HASH:COUNT`` lines in order.
        password: the password.
    """
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    if path.is_dir():
        return _in_range(path, digest)
    return _in_order(path, digest.encode())


def _in_range(path: Path, digest: str) -> bool:
    prefix, rest = digest[:PREFIX_CHARS], digest[PREFIX_CHARS:]
    for name in (prefix, f"{prefix}.txt"):
        file = path / name
        if file.is_file():
            with file.open() as lines:
                return any(line[: len(rest)].upper() == rest for line in lines)
    return False


def _in_order(path: Path, digest: bytes) -> bool:
    """Halve the file until the line is found: about 35 reads for a thousand million lines."""
    with path.open("rb") as file:
        low, high = 0, path.stat().st_size
        while low < high:
            middle = (low + high) // 2
            file.seek(max(0, middle - 1))
            if middle:
                file.readline(MAX_LINE_BYTES)
            line = file.readline(MAX_LINE_BYTES)
            listed = line[: len(digest)].upper()
            if listed == digest:
                return True
            if not line or listed > digest:
                high = middle
            else:
                low = max(middle + 1, file.tell())
    return False
