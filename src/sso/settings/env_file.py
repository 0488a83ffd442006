"""Writing settings to a file ``.env``: the rest of the file stays as it is, and the file is whole at every moment."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=~?&!*<>()\[\]{}|^;-]*")


def write_env_file(path: Path, values: Mapping[str, str]) -> None:
    """Set variables in a file; the file can be read by its owner only (0600), and by its group (0640) where
    only the group could read it before. Owner and group stay as they are.

    The new content is written beside the file and replaces it at once: whoever stops the command has the old file or
    the new one.

    Args:
        path: the file; it is made where it is missing.
        values: the variables, such as ``SSO_ISSUER``.

    Raises:
        ValueError: when a value has a line break.
        OSError: when the file cannot be written.
    """
    missing = dict(values)
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        match = _LINE.match(line)
        if match is None or match[1] not in values:
            lines.append(line)
        elif match[1] in missing:
            lines.append(f"{match[1]}={quoted(missing.pop(match[1]))}")
    lines += [f"{name}={quoted(value)}" for name, value in missing.items()]
    handle, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=".env-")  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            _keep_owner(file.fileno(), path)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _keep_owner(handle: int, path: Path) -> None:
    """Give a new file the owner and the group of the file that it replaces, or else of the directory: root writes it,
    and the service must be able to read it. A group that alone may read the present file may read the new one."""
    present = path.stat() if path.exists() else path.absolute().parent.stat()
    mine = os.fstat(handle)
    if (present.st_uid, present.st_gid) != (mine.st_uid, mine.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(handle, present.st_uid, present.st_gid)
    if path.exists() and present.st_mode & 0o077 == 0o040 and os.fstat(handle).st_gid == present.st_gid:
        os.fchmod(handle, 0o640)


def quoted(value: str) -> str:
    """Return a value as it is written in the file.

    Raises:
        ValueError: when it has a line break.
    """
    if "\n" in value or "\r" in value:
        raise ValueError("a value in the file cannot have a line break")
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
