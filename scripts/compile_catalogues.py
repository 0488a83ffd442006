"""Compile the message catalogues (``sso.po``) to the form that the provider reads (``sso.mo``).

Hatch runs this when it builds a wheel or installs the project in editable form; ``make run`` and the tests run it when
a catalogue has changed. By hand: ``python scripts/compile_catalogues.py``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LOCALE_DIR = Path(__file__).resolve().parent.parent / "src/sso/http/common/locale"


def compile_catalogues() -> list[Path]:
    """Compile every catalogue that is newer than its compiled form. Return the paths of all compiled forms."""
    compiled = []
    for source in sorted(LOCALE_DIR.glob("*/LC_MESSAGES/*.po")):
        target = source.with_suffix(".mo")
        if not target.exists() or target.stat().st_mtime_ns < source.stat().st_mtime_ns:
            _compile(source, target)
        compiled.append(target)
    return compiled


def _compile(source: Path, target: Path) -> None:
    part = target.with_name(f"{target.name}.{os.getpid()}")  # several processes of the tests may compile at once
    with source.open("rb") as catalogue, part.open("wb") as file:
        write_mo(file, read_po(catalogue, locale=source.parent.parent.name))
    part.replace(target)


class CatalogueHook(BuildHookInterface[Any]):
    """Puts the compiled catalogues into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        paths = [path.relative_to(self.root).as_posix() for path in compile_catalogues()]
        build_data["artifacts"] += [f"/{path}" for path in paths]


if __name__ == "__main__":
    for path in compile_catalogues():
        print(path)
