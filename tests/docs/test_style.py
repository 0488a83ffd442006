"""Sizes of functions and files, names that say what they hold, and types that are known."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.docs.scripts import ROOT
from tests.sources import parsed

pytestmark = pytest.mark.group("style")  # one worker parses the source once for all
MAX_FUNCTION_LINES = 50
MAX_HTTP_FILE_LINES = 400
MAX_LINES_WITH_ANY = 100
TYPED = tuple(
    f"src/sso/{package}/"
    for package in (
        "accounts",
        "gate",
        "logout",
        "oidc",
        "platform/audit",
        "platform/keys",
        "portal",
        "setup",
        "ssf",
    )
)
"""Where no line holds ``Any``."""
VAGUE = {"one", "found", "made", "wanted", "said", "told", "kept", "shown", "asked"}
"""Names that hide what a variable holds."""
OWN_WORDS = {
    "ceremony": "pending flow",
    "proof": "authentication, credential or MAC",
    "prove": "authenticate or verify",
    "proven": "authenticated or verified",
    "unproven": "not authenticated",
    "told": "notified",
    "sealed": "encrypted",
    "seal": "encrypt",
    "living": "active",
    "alive": "active",
    "holds": "is active",
    "wanted": "requested",
    "forget": "delete, clear or discard",
    "forgotten": "lost or deleted",
    "least": "minimum",
    "most": "maximum",
    "housekeeping": "jobs",
}
"""Words that names had, and what the field says instead."""
ALLOWED_NAMES = {"at_least", "at_most", "keep_alive", "report_alive", "timeout_keep_alive_task", "_scope_holds_openid"}
ALLOWED_FIELDS = {
    "ImportRun.made", "Progress.made",  # a count, as the output of the import names it
    "Play.asked", "TrialData.asked",  # keys of stored JSON that is encrypted
}  # fmt: skip
_EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.S)
_TEXT = re.compile(r"\"[^\"]*\"|'[^']*'")
_VAGUE_NAME = re.compile(rf"(?<!\w)(?:{'|'.join(sorted(VAGUE))})(?!\w)")
_BOUND = re.compile(rf"(?<![\w.])_*(?:{'|'.join(sorted(VAGUE))})\s*(?:[=:,)\](]|in\b)")
"""A vague name before what may follow where a name is bound; in texts it matches sometimes, too."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.fixture(scope="module", autouse=True)
def _parsed() -> Iterator[None]:
    """Let go of the parsed files after the last test: they are 170 MB."""
    yield
    _modules.cache_clear()
    _nodes.cache_clear()


def test_no_function_is_longer_than_fifty_lines() -> None:
    longer = {
        f"{path}: {function.name}"
        for folder in ("src", "bench", "scripts")
        for path, tree in _modules(folder)
        for function in _functions(tree)
        if (function.end_lineno or 0) - function.lineno >= MAX_FUNCTION_LINES
    }
    assert longer == set()


def test_any_stands_only_where_others_give_no_types() -> None:
    """Where a library has no types, and for what a template shows. Details of grants, data of pending flows and of the
    audit log, claims, metadata and settings have types of their own."""
    lines = {_relative(path): len(_lines_with_any(path.read_text())) for path in (ROOT / "src").rglob("*.py")}
    assert sum(lines.values()) <= MAX_LINES_WITH_ANY, "give it a type: TypedDict, a dataclass, a protocol, object"
    assert {path for path, count in lines.items() if count and path.startswith(TYPED)} == set()


def test_a_line_with_any_is_found_once_and_words_are_not() -> None:
    code = """
# Any comment
from typing import Any
def read(text: Any) -> dict[str, Any]:
    "Any text."
    return text
"""
    assert _lines_with_any(code) == {3, 4}


def test_no_file_of_http_is_longer_than_four_hundred_lines() -> None:
    lengths = {_relative(path): len(path.read_text().splitlines()) for path in (ROOT / "src/sso/http").rglob("*.py")}
    assert {path for path, lines in lengths.items() if lines > MAX_HTTP_FILE_LINES} == set()


def test_no_constant_of_a_module_is_given_twice() -> None:
    """After two of them were given the same name, the second would count for both."""
    twice = {
        f"{path}: {name}"
        for folder in ("src", "bench", "scripts")
        for path, tree in _modules(folder)
        for name, count in Counter(
            target.id
            for node in tree.body
            if isinstance(node, (ast.Assign, ast.AnnAssign))
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        ).items()
        if count > 1
    }
    assert twice == set()


def test_local_variables_say_what_they_hold() -> None:
    counts = Counter(
        path
        for path, tree in _modules_with_vague_names("src", "bench", "scripts", "tests")
        for name in _local_names(tree)
        if name in VAGUE
    )
    assert counts == {}


def test_names_use_the_words_of_the_field() -> None:
    """The glossary has the words of texts, ``OWN_WORDS`` those that code does not use."""
    own = {
        f"{path}: {name}"
        for path, tree in _modules("src")
        for name in (Path(path).stem, *_defined_names(tree))
        if set(_words_of(name)) & OWN_WORDS.keys() and name not in ALLOWED_NAMES
    }
    assert own == set()


def test_the_words_of_a_name_are_found() -> None:
    assert _words_of("_SealedTokens") == ["sealed", "tokens"]
    assert _words_of("told_by") == ["told", "by"]
    code = """
class Told:
    proof: int
    def how_told(self, sealed): self.living = 1
"""
    assert sorted(_defined_names(ast.parse(code))) == ["Told", "how_told", "living", "proof", "sealed", "self"]


def test_names_in_templates_say_what_they_hold() -> None:
    named = {_relative(path): _vague_names(path.read_text()) for path in (ROOT / "src").rglob("*.html")}
    assert {path: vague for path, vague in named.items() if vague} == {
        "src/sso/http/admin/templates/admin_imports.html": ["made"]
    }


def test_fields_and_functions_say_what_they_hold_and_do() -> None:
    trees = (tree for _, tree in _modules_with_vague_names("src", "tests"))
    vague = {name for tree in trees for name in _fields_and_functions(tree)} - ALLOWED_FIELDS
    assert {name for name in vague if name.rpartition(".")[2].lstrip("_") in VAGUE} == set()


def test_a_vague_name_is_found_in_a_template_and_in_a_class() -> None:
    template = '{{ told(text) }}{% for kept in rows %}one{% endfor %}{{ row.asked }}{{ _("found") }}'
    assert _vague_names(template) == ["told", "kept", "asked"]
    code = "class Row:\n    made: int\n    def said(self): ...\ndef _one(): ..."
    assert sorted(_fields_and_functions(ast.parse(code))) == ["Row.made", "_one", "said"]
    assert [name.rstrip(":(") for name in _BOUND.findall(code)] == ["made", "said", "_one"]


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
    assert {_VAGUE_NAME.findall(text)[0] for text in _BOUND.findall(code)} == VAGUE - {"shown"}


def _vague_names(template: str) -> list[str]:
    return [name for text in _EXPRESSION.findall(template) for name in _VAGUE_NAME.findall(_TEXT.sub("", text))]


def _fields_and_functions(tree: ast.Module) -> Iterator[str]:
    """Yield the functions, and the fields of classes with the name of the class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            fields = (part.target for part in node.body if isinstance(part, ast.AnnAssign))
            yield from (f"{node.name}.{field.id}" for field in fields if isinstance(field, ast.Name))


def _words_of(name: str) -> list[str]:
    return [word for word in re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_") if word]


def _defined_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names of functions, classes, arguments, variables and attributes, each as often as it is defined."""
    for node in _nodes(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def _lines_with_any(code: str) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(code).readline) if "Any" in code else ()
    return {token.start[0] for token in tokens if token.type == tokenize.NAME and token.string == "Any"}


def _modules_with_vague_names(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the modules that may bind a vague name: to parse and search all tests takes 2 s, to keep them 150 MB."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()
            if "node_modules" not in path.parts and _BOUND.search(text):
                yield _relative(path), ast.parse(text) if folder == "tests" else parsed(path)


@cache
def _modules(folder: str) -> list[tuple[str, ast.Module]]:
    return [
        (_relative(path), parsed(path))
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "node_modules" not in path.parts  # of the benchmark's peer
    ]


@cache
def _nodes(tree: ast.Module) -> list[ast.AST]:
    return list(ast.walk(tree))


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in _nodes(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _local_names(tree: ast.Module) -> Iterator[str]:
    """Yield the variables and arguments of functions, each as often as it is bound: of nested functions once."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, within = waiting.pop()
        if within and isinstance(node, ast.arg):
            yield node.arg
        elif within and isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        within = within or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        waiting.extend((child, within) for child in ast.iter_child_nodes(node))
