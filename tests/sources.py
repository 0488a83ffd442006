"""The source of the program, parsed once for all tests that read it: parsing takes 0.8 s, and most read all of it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src/sso"


@cache
def parsed(path: Path) -> ast.Module:
    """Return the tree of a file of the source, which nobody may change."""
    return ast.parse(path.read_text())


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Return every node of a file of the source, in the order of ``ast.walk``; nobody may change them."""
    return list(ast.walk(parsed(path)))


def read_all() -> None:
    """Parse every file, so that the workers of a whole run have them in common."""
    for path in SOURCE.rglob("*.py"):
        nodes_of(path)
