"""Write the generated pages of docs/ and .env.example. Tests keep them current."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from sso.cli.reference import reference as commands
from sso.clients.docs_page import reference as fields
from sso.http.api.openapi import description
from sso.oidc.demands import reference as demands
from sso.settings import env_example
from sso.settings import reference as settings

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
DOCS = ROOT / "docs"


def conformance() -> str:
    """Return docs/conformance.md: how it is run against the suite, and every demand with the test that proves it."""
    from tests.demands import table

    return (DOCS / "conformance.head.md").read_text() + table()


def openapi() -> str:
    """Return docs/openapi.json: the description of the administration API."""
    return orjson.dumps(description("https://masuk.kota.example"), option=orjson.OPT_INDENT_2).decode() + "\n"


PAGES = {
    "settings.md": settings,
    "clients.md": fields,
    "commands.md": commands,
    "conformance.md": conformance,
    "openapi.json": openapi,
    "security/demands.md": demands,
}


def main() -> None:
    for name, make in PAGES.items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(make())
    (ROOT / ".env.example").write_text(env_example())


if __name__ == "__main__":
    main()
