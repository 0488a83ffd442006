"""Run a command while scripts/deps.sh installs the programs of the system: ``make test``.

The command finds the path of a file in the variable ``TESTS_INSTALLATION``. While the installation is under way, the
file is locked (``flock``); afterwards it holds the exit code of scripts/deps.sh. A lock ends with the process that
holds it, so nobody waits for an installation that has died: ``tests/installation.py`` reads it.

    python3 scripts/beside_deps.py make unit
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TextIO, cast

INSTALL = ["sh", str(Path(__file__).with_name("deps.sh")), "--no-sudo"]
NAME = "TESTS_INSTALLATION"


def run(command: list[str], install: list[str]) -> int:
    """Run a command and the installation at once, and wait for both.

    Args:
        command: what needs the programs.
        install: what installs them, and prints what is missing.

    Returns:
        the exit code of the command, or that of the installation if only that has failed.
    """
    with tempfile.TemporaryDirectory(prefix="sso-installation-") as folder:
        path = Path(folder, "code")
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            installing = _start(install, {"PYTHON": sys.executable}, stdout=subprocess.PIPE)
            running = _start(command, {NAME: str(path)})
            lines = []
            try:
                with cast(TextIO, installing.stdout) as output:
                    for line in output:
                        lines.append(line)
                        print(line, end="", flush=True)
                code = installing.wait()
                file.write(str(code))
                file.close()
                ended = running.wait()
            except KeyboardInterrupt:
                running.terminate()
                print("Waiting for the end of the installation, of which half would need a repair.", flush=True)
                running.wait()
                installing.wait()
                raise
    if code:
        print("Not every test has run, because programs could not be installed.", "".join(lines), sep="\n", flush=True)
    return ended or code


def _start(command: list[str], variables: dict[str, str], stdout: int | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(command, env={**os.environ, **variables}, stdout=stdout, text=True)  # noqa: S603


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        raise SystemExit(abs(run(sys.argv[1:], INSTALL)))
    except KeyboardInterrupt:  # the others hear of it too, and say so
        raise SystemExit(130) from None
