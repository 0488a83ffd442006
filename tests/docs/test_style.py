"""Sizes of functions and files, and names that say what they hold."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.docs.scripts import ROOT

MAX_FUNCTION_LINES = 50
MAX_HTTP_FILE_LINES = 400
VAGUE = {"one", "found", "made", "wanted", "said", "told", "kept", "shown", "asked"}
"""Names that hide what a variable holds."""
_LOOP = re.compile(rf"\{{%-?\s*for\s[^%]*?\b(?:{'|'.join(sorted(VAGUE))})\b[^%]*?\sin\s")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_no_function_is_longer_than_fifty_lines() -> None:
    longer = {
        f"{path}: {function.name}"
        for folder in ("src", "bench", "scripts")
        for path, tree in _modules(folder)
        for function in _functions(tree)
        if (function.end_lineno or 0) - function.lineno >= MAX_FUNCTION_LINES
    }
    assert longer == set()


def test_no_file_of_http_is_longer_than_four_hundred_lines() -> None:
    lengths = {_relative(path): len(path.read_text().splitlines()) for path in (ROOT / "src/sso/http").rglob("*.py")}
    assert {path for path, lines in lengths.items() if lines > MAX_HTTP_FILE_LINES} == set()


def test_local_variables_say_what_they_hold() -> None:
    counts = Counter(
        path
        for folder in ("src", "bench", "scripts")
        for path, tree in _modules(folder)
        for name in _local_names(tree)
        if name in VAGUE
    )
    assert counts == {}


def test_variables_of_loops_in_templates_say_what_they_hold() -> None:
    loops = {_relative(path): _LOOP.findall(path.read_text()) for path in (ROOT / "src").rglob("*.html")}
    assert {path: vague for path, vague in loops.items() if vague} == {}


def test_a_vague_name_is_found_wherever_it_is_bound() -> None:
    code = """
kept = wanted = 0
def outer(one, *, said):
    found: int = 1
    for made in []:
        pass
    return [told for told in (lambda asked: asked,)]
"""
    names = ["asked", "found", "made", "one", "said", "told"]
    assert sorted(name for name in _local_names(ast.parse(code)) if name in VAGUE) == names


def _modules(folder: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield _relative(path), ast.parse(path.read_text())


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _local_names(tree: ast.Module) -> Iterator[str]:
    """Yield the variables and arguments of functions, each as often as it is bound: of nested functions once."""
    bound = {node for function in _functions(tree) for node in ast.walk(function)}
    for node in bound:
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
