"""What makes the collection of the tests cheap.

Each worker of pytest-xdist imports every module of the tests. On a fresh checkout, pytest first rewrites the assertions
of a module, which takes twice as long as the rest of the collection, and keeps the result in ``__pycache__``. If all
workers begin with the same module, each of them rewrites all. So each begins at a place of its own, and finds the
modules of the others rewritten when it gets there. Hypothesis keeps the constants of each module of the program in the
same way.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
TESTS = Path(__file__).parent


def import_in_turn(config: pytest.Config) -> None:
    """Import the modules of a run of all tests, beginning where no other worker begins. A module that cannot be
    imported is left to the collection, which reports it."""
    if config.args != config.getini("testpaths") or config.option.markexpr or "PYTEST_XDIST_WORKER" not in os.environ:
        return
    for path in rotated(sorted(TESTS.rglob("test_*.py"))):
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))
    with contextlib.suppress(ImportError):  # without it, Hypothesis looks at the modules when it collects
        from hypothesis.internal.constants_ast import constants_from_module

        for name in rotated(sorted(name for name in sys.modules if name.startswith("sso."))):
            constants_from_module(sys.modules[name])


def rotated(things: Sequence[T]) -> list[T]:
    """Return the things in their order, but from the place where this worker begins."""
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    start = len(things) * number // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    return [*things[start:], *things[:start]]
