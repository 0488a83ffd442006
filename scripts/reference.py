"""Write the generated pages of docs/: settings, fields, commands, conformance. Tests keep them current."""

from __future__ import annotations

import sys
from pathlib import Path

from sso.cli.reference import reference as commands
from sso.clients.reference import reference as fields
from sso.settings import reference as settings

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
DOCS = ROOT / "docs"


def conformance() -> str:
    """Return docs/conformance.md: how it is run against the suite, and every demand with the test that proves it."""
    from tests.demands import table

    return (DOCS / "conformance.head.md").read_text() + table()


PAGES = {"settings.md": settings, "clients.md": fields, "commands.md": commands, "conformance.md": conformance}


def main() -> None:
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())


if __name__ == "__main__":
    main()
