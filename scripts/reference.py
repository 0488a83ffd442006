"""Write the generated pages of docs/: settings, applications' fields, commands. Tests keep them current."""

from __future__ import annotations

from pathlib import Path

from sso.cli.reference import reference as commands
from sso.clients.reference import reference as fields
from sso.settings import reference as settings

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {"settings.md": settings, "clients.md": fields, "commands.md": commands}


def main() -> None:
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())


if __name__ == "__main__":
    main()
