"""Relying parties that are too heavy for every run: ``make interop-all`` sets INTEROP_ALL and runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.waiting import wait_for

HERE = Path(__file__).parent
TOOLS = HERE.parents[2] / "var" / "interop"
"""Where ``scripts/interop_tools.sh`` installs."""

if not os.environ.get("INTEROP_ALL"):
    collect_ignore_glob = ["test_*.py"]


def tool(path: Path | str) -> str:
    """Return the path of a tool; fail where it is missing."""
    executable = shutil.which(path)
    if executable is None:
        pytest.fail(f"{path} is missing: run `make interop-all`, which installs it")
    return executable


def python() -> str:
    """Return the Python that has django-allauth and python-jose."""
    return tool(TOOLS / "venv" / "bin" / "python")


@contextmanager
def serving(command: list[str], environment: dict[str, str], port: int, log: Path) -> Iterator[None]:
    """Run a program that listens at ``port`` on this machine, and stop it at the end."""
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        wait_for(port, process, log)
        yield
    finally:
        process.terminate()
        process.wait(60)
