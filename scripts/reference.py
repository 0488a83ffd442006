"""Write the generated pages of docs/ and .env.example. Tests keep them current."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from sso.cli.reference import reference as commands
from sso.clients.attributes_page import reference as attribute_fields
from sso.clients.docs_page import reference as fields
from sso.http.api.openapi import description
from sso.oidc.demands import reference as demands
from sso.retention import reference as retention
from sso.settings import env_example
from sso.settings import reference as settings

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]
DOCS = ROOT / "docs"


def conformance() -> str:
    """Return docs/reference/conformance.md: running the suite, and every demand with its test."""
    from tests.demands import table

    return (DOCS / "reference" / "conformance.head.md").read_text() + table()


def attributes() -> str:
    """Return docs/reference/attributes.md: how attributes are declared, and every field of the file."""
    return attribute_fields((DOCS / "reference" / "attributes.head.md").read_text())


def openapi() -> str:
    """Return docs/reference/openapi.json: the description of the administration API."""
    return orjson.dumps(description("https://masuk.kota.example"), option=orjson.OPT_INDENT_2).decode() + "\n"


def architecture() -> str:
    """Return docs/contributing/architecture.md with the table of imports renewed."""
    import picture

    return picture.page((DOCS / "contributing" / "architecture.md").read_text())


def architecture_picture() -> str:
    """Return docs/contributing/architecture.svg: the packages and their imports."""
    import picture

    return picture.picture()


def data_model() -> str:
    """Return docs/contributing/data-model.md with its list of tables renewed."""
    import data_model as drawing

    return drawing.page((DOCS / "contributing" / "data-model.md").read_text())


def data_model_picture() -> str:
    """Return docs/contributing/data-model.svg: the tables and their foreign keys."""
    import data_model as drawing

    return drawing.picture()


def decisions() -> str:
    """Return docs/decisions/index.md: every decision with its date and status."""
    import decisions_page

    return decisions_page.page()


def errors() -> str:
    """Return docs/reference/errors.md: every error code with what to do."""
    import errors_page

    return errors_page.page()


PAGES = {
    "reference/errors.md": errors,
    "contributing/data-model.md": data_model,
    "contributing/data-model.svg": data_model_picture,
    "decisions/index.md": decisions,
    "reference/attributes.md": attributes,
    "reference/settings.md": settings,
    "reference/clients.md": fields,
    "reference/commands.md": commands,
    "reference/conformance.md": conformance,
    "reference/openapi.json": openapi,
    "contributing/architecture.md": architecture,
    "contributing/architecture.svg": architecture_picture,
    "security/demands.md": demands,
    "reference/retention.md": retention,
}


def main() -> None:
    for name, make in PAGES.items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(make())
    (ROOT / ".env.example").write_text(env_example())


if __name__ == "__main__":
    main()
