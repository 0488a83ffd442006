"""The installation of programs that ``make test`` runs beside the tests (scripts/beside_deps.py).

Until it has ended, workers run only tests that need no program (:func:`may_begin`), and whatever starts or looks for a
program waits for it (:meth:`Installation.make_programs_wait`): a test that was misjudged is late, and does not fail.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "TESTS_INSTALLATION"
"""The variable of the environment with the path of a file: see scripts/beside_deps.py."""
PROGRAMS = frozenset({"postgres", "redis", "chromium"})
"""Fixtures that start programs of the system, and parameters of tests that ask for them by name."""
MODULES = frozenset({"subprocess", "shutil"})
"""What a file of tests imports to start a program or to look for one."""


class InstallationFailed(Exception):
    """The programs that the tests need are not there."""


def may_begin(item: pytest.Item) -> bool:
    """Tell whether a test may run before the programs of the system are there: it asks a provider in this process, on
    SQLite, and its file starts no program. 1,387 tests are so, and take more than three minutes of processor time."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    fixtures = set(getattr(item, "fixturenames", ()))
    if item.get_closest_marker("group") is not None or item.get_closest_marker("programs") is not None:
        return False
    if not MODULES.isdisjoint(vars(getattr(item, "module", None) or item)):
        return False
    if not PROGRAMS.isdisjoint(fixtures.union(map(str, parameters.values()))):
        return False
    return "city" in fixtures and parameters.get("database_kind") == "sqlite"


@dataclass(frozen=True)
class Installation:
    """The installation that runs beside these tests. ``path``: a file that it keeps locked."""

    path: Path

    @classmethod
    def of_this_run(cls) -> Installation | None:
        """Return the installation, or none if nothing was started beside these tests."""
        path = os.environ.get(VARIABLE)
        return Installation(Path(path)) if path else None

    def has_ended(self) -> bool:
        """Tell whether it has ended, well or not."""
        return self._code(fcntl.LOCK_NB) is not None

    def wait(self) -> None:
        """Wait for its end.

        Raises:
            InstallationFailed: a program could not be installed, or the installation died.
        """
        code = self._code(0)
        if code != "0":
            raise InstallationFailed(f"the installation of programs ended with {code or 'no exit code: it died'}")

    def _code(self, option: int) -> str | None:
        """Return the exit code, nothing if it died without one, or none if it is under way."""
        try:
            with self.path.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | option)
                return file.read()
        except BlockingIOError:
            return None
        except FileNotFoundError:  # the process that held it has ended with what it ran
            return ""

    def make_programs_wait(self) -> None:
        """Let whatever starts a process in this one, or looks for a program, wait first."""

        def first_wait(call: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(call)
            def waits(*arguments: Any, **named: Any) -> Any:
                self.wait()
                return call(*arguments, **named)

            return waits

        subprocess.Popen.__init__ = first_wait(subprocess.Popen.__init__)  # type: ignore[method-assign]
        shutil.which = first_wait(shutil.which)
