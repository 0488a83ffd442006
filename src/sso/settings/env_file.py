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
    """Set variables in a file; the file can be read by its owner only (0600).

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
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


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
