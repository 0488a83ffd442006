"""What the first layer notes in the scope of a request, and nothing else: docs/decisions/0086."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
SOURCE = Path(__file__).parents[2] / "src/sso"
NOTED = {"request_id", "client_address"}
STANDARD = {"extensions", "app", "route"}
"""Keys of ASGI and Starlette that the server's protocol and the application itself set."""


def test_nothing_else_is_written_into_the_scope_or_the_state_of_a_request() -> None:
    written = set()
    for path in SOURCE.rglob("*.py"):
        text, name = path.read_text(), path.relative_to(SOURCE).as_posix()
        if "scope[" not in text and "request.state." not in text:
            continue  # parsing all of the code takes seconds
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and _is_scope(node.value):
                written.add((name, ast.literal_eval(node.slice)))
            is_state = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "request.state"
            if is_state and isinstance(node.ctx, ast.Store):
                written.add((name, node.attr))
    written = {(name, key) for name, key in written if key not in STANDARD}
    middleware = {("http/common/middleware.py", key) for key in NOTED}
    assert written == {*middleware, ("http/common/header.py", "header_user")}


def test_only_the_common_part_of_http_names_what_is_noted() -> None:
    files = [path for path in SOURCE.rglob("*.py") if not path.is_relative_to(SOURCE / "http/common")]
    quoted = [f'scope["{key}"]' for key in NOTED]
    assert not [str(path) for path in files if any(text in path.read_text() for text in quoted)]


def _is_scope(node: ast.expr) -> bool:
    return ast.unparse(node) in ("scope", "self.scope", "request.scope")
