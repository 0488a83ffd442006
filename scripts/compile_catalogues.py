"""Compile the message catalogues (``sso.po``) to the form that the provider reads (``sso.mo``).

Hatch runs this when it builds a wheel or installs the project in editable form; ``make run`` and the tests run it when
a catalogue has changed. By hand: ``python scripts/compile_catalogues.py``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_READERS = re.compile(r"---\n(?:[^-].*\n)*audience: .*\b(?:citizen|developer)\b")
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


def shown_documents(docs: Path) -> Iterator[Path]:
    """Yield the files of docs/ that the provider shows itself (``sso.http.common.manual``): pages for citizens and
    developers, and the pictures of the help."""
    for page in sorted(docs.rglob("*.md")):
        if (
            page.stem != "index"
            and not page.name.endswith(".head.md")
            and _READERS.match(page.read_text(encoding="utf-8"))
        ):
            yield page
    yield from sorted(docs.glob("help/pictures/*.png"))


class CatalogueHook(BuildHookInterface[Any]):
    """Puts the compiled catalogues and the documents that the provider shows into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        docs = Path(self.root) / "docs"
        if version != "editable":
            documents = {
                str(path): f"sso/_manual/{path.relative_to(docs).as_posix()}" for path in shown_documents(docs)
            }
            build_data["force_include"].update(documents)
        paths = [path.relative_to(self.root).as_posix() for path in compile_catalogues()]
        build_data["artifacts"] += [f"/{path}" for path in paths]


if __name__ == "__main__":
    for path in compile_catalogues():
        print(path)
