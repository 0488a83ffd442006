"""The reference of the fields of the file of attributes, for docs/reference/attributes.md."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from sso.clients.attributes import CityDeclaration
from sso.clients.docs_page import field_row
from sso.clients.mappers import KINDS
from sso.identity.attributes.definitions import Attribute, DeclaredScope

_HEAD = ["", "| field | values | default | meaning |", "| --- | --- | --- | --- |"]


def reference(head: str) -> str:
    """Return the page: ``head``, and a table for each part of the file."""
    parts = [
        ("## The file", _rows(CityDeclaration)),
        ("## A scope", _rows(DeclaredScope)),
        ("## An attribute", _rows(Attribute)),
    ]
    lines = [head.rstrip()]
    for title, rows in parts:
        lines += ["", title, *_HEAD, *rows]
    lines += ["", "## A mapper", "", "| kind | fields | what it makes |", "| --- | --- | --- |"]
    for kind in KINDS:
        names = [f"`{name}`" for name in kind.model_fields if name != "kind"]
        text = " ".join((kind.__doc__ or "").split())
        lines.append(f"| `{kind.model_fields['kind'].annotation.__args__[0]}` | {', '.join(names)} | {text} |")  # type: ignore[union-attr]
    return "\n".join(lines) + "\n"


def _rows(model: type[BaseModel]) -> Iterable[str]:
    return [field_row(name, field).rstrip() for name, field in model.model_fields.items()]
