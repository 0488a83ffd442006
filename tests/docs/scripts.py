"""Loads the scripts of the project, which are no package."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


@cache
def script(name: str) -> ModuleType:
    """Return ``scripts/NAME.py`` as a module."""
    spec = importlib.util.spec_from_file_location(f"scripts.{name}", ROOT / f"scripts/{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
