"""``make run`` and ``make test`` install what the lock files name, and nothing that differs from its hash."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.docs.scripts import ROOT, script

LOCK = (ROOT / "requirements/dev.txt").read_text()


@pytest.mark.parametrize("parts", [1, 2, 3, 1000])
def test_each_package_is_in_one_part_with_its_hashes(parts: int) -> None:
    lists = script("install_packages").split(LOCK, parts)
    assert len(lists) == min(parts, len(re.findall(r"(?m)^\S+==", LOCK)))
    assert sorted("".join(lists).splitlines()) == sorted(line for line in LOCK.splitlines() if line[0] != "#")
    assert all(re.match(r"\S+==", text) and "--hash=sha256:" in text for text in lists)


@pytest.mark.parametrize("name", ["run", "dev"])
def test_a_lock_file_has_every_package_that_another_one_requires(name: str) -> None:
    """pip is told not to resolve: it would not notice a missing one."""
    locked = set(map(canonicalize_name, re.findall(r"(?m)^([\w.-]+)", (ROOT / f"requirements/{name}.txt").read_text())))
    assert len(locked) > 50
    missing, known = [], 0
    for package in locked:
        try:
            requirements = [Requirement(line) for line in requires(package) or []]
        except PackageNotFoundError:  # for another system, or another version of Python
            continue
        known += 1
        for one in requirements:
            if (one.marker is None or one.marker.evaluate({"extra": ""})) and canonicalize_name(one.name) not in locked:
                missing.append(f"{package} requires {one}")
    assert known > len(locked) / 2
    assert not missing


def test_a_package_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"no-such-package==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    command = [sys.executable, str(ROOT / "scripts/install_packages.py"), str(lock)]
    environment = {"PIP_NO_INDEX": "1", "PIP_TARGET": str(tmp_path / "packages"), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "no-such-package==1.0" in ended.stderr
