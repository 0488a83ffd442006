"""Install the packages of a lock file into the environment that runs this, with several pips at once.

pip installs one package after the other: on two cores, this takes half of the time. Modules are compiled when they are
first imported, which a fifth of them ever are. A lock file names every package with its version and hashes, so that the
order does not matter and pip has nothing to resolve; ``tests/docs/test_install_packages.py`` checks that no requirement
is missing in a lock file.

    .venv/bin/python scripts/install_packages.py requirements/run.txt
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
INSTALL = [*PIP, "install", "--no-deps", "--no-compile", "--require-hashes", "-r"]
MAX_PIPS = 4
"""More do not make it faster: each takes half a second to start, and the packages come from one place."""


def split(lock: str, parts: int) -> list[str]:
    """Deal the packages of a lock file out into lists.

    Args:
        lock: the content of the file: each package begins a line, and its hashes follow on indented lines.
        parts: the number of lists.

    Returns:
        lists in the same form, without the empty ones.
    """
    packages = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)[1:]
    return [text for text in ("".join(packages[number::parts]) for number in range(parts)) if text]


def main() -> int:
    """Install what the file in the first argument names; return 1 if a package could not be installed."""
    lock = Path(sys.argv[1]).read_text()
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for number, text in enumerate(split(lock, min(os.cpu_count() or 1, MAX_PIPS))):
            part = Path(folder, f"{number}.txt")
            part.write_text(text)
            running.append(subprocess.Popen([*INSTALL, str(part)]))  # noqa: S603
        return int(any([process.wait() for process in running]) or not running)


if __name__ == "__main__":
    raise SystemExit(main())
