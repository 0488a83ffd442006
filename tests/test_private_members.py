"""The members of libraries that are not public and that we use: docs/decisions/0070."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import aiosqlite
import asyncpg
import pytest
from asyncpg.prepared_stmt import PreparedStatement
from prometheus_client import CollectorRegistry, Histogram
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection
from sqlalchemy.engine import Connection
from sqlalchemy.sql.compiler import SQLCompiler
from tests.sources import nodes_of

pytestmark = pytest.mark.group("private-members")  # one worker parses the source once for both
DECISION = (Path(__file__).parents[1] / "docs/decisions/0070-private-members-of-libraries.md").read_text()
HISTOGRAM = Histogram("x", "x", registry=CollectorRegistry())
MEMBERS = {
    "asyncpg": [
        (asyncpg.Connection, "_cancel_current_command"),
        (asyncpg.Connection, "_transport"),
        (asyncpg.Connection, "_loop"),
        (asyncpg.Connection, "_protocol"),
        (PreparedStatement, "_state"),
    ],
    "aiosqlite": [(aiosqlite.Connection, "_conn"), (aiosqlite.Connection, "_execute")],
    "prometheus-client": [(HISTOGRAM, "_buckets"), (HISTOGRAM, "_sum")],
    "sqlalchemy": [
        (SQLCompiler, "_result_columns"),
        (Connection, "_handle_dbapi_exception"),
        (AsyncAdapt_asyncpg_connection, "_start_transaction"),
        (AsyncAdapt_asyncpg_connection, "_handle_exception"),
        (AsyncAdapt_aiosqlite_connection, "_handle_exception"),
    ],
}

SOURCE = Path(__file__).parents[1] / "src/sso"
NOT_PRIVATE = {
    "_replace",  # of a named tuple: documented
    "_session",  # of our own ProtocolRequest
}


def nodes_of_source() -> dict[Path, list[ast.AST]]:
    """Return what each file of the source consists of."""
    return {path: nodes_of(path) for path in SOURCE.rglob("*.py")}


@pytest.mark.parametrize("package", MEMBERS)
def test_every_private_member_that_we_use_is_there_and_listed(package: str) -> None:
    for owner, member in MEMBERS[package]:
        named = owner if isinstance(owner, type) else type(owner)
        assert hasattr(owner, member), (
            f"{package} has no {named.__name__}.{member} any more: docs/decisions/0070 says what uses it and what to do"
        )
        assert f"`{named.__name__}.{member}`" in DECISION


def test_no_other_private_member_of_a_library_is_used() -> None:
    files = nodes_of_source()
    own = {name for nodes in files.values() for name in _defined(nodes)}
    listed = NOT_PRIVATE | {member for members in MEMBERS.values() for _, member in members}
    unlisted = {
        f"{path.relative_to(SOURCE)}: {name}"
        for path, nodes in files.items()
        for name in _used(nodes, own)
        if name not in listed
    }
    assert not unlisted, "use the public API, or add a row to docs/decisions/0070 and to MEMBERS"


def test_no_other_private_method_of_a_library_is_overridden() -> None:
    listed = {member for members in MEMBERS.values() for _, member in members}
    overridden = set()
    for path, nodes in nodes_of_source().items():
        for node in nodes:
            if isinstance(node, ast.ClassDef) and any(_is_private(name) for name in _methods(node)):
                module = path.relative_to(SOURCE.parent).with_suffix("").as_posix().replace("/", ".")
                defined = getattr(importlib.import_module(module.removesuffix(".__init__")), node.name, None)
                overridden |= set(_overridden(defined)) if inspect.isclass(defined) else set()
    assert overridden <= listed, "use the public API, or add a row to docs/decisions/0070 and to MEMBERS"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def _methods(node: ast.ClassDef) -> list[str]:
    return [child.name for child in node.body if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))]


def _overridden(defined: type) -> Iterator[str]:
    """Yield the private methods of libraries that a class of ours defines anew."""
    libraries = [base for base in defined.__mro__ if not base.__module__.startswith("sso")]
    for name, member in vars(defined).items():
        if _is_private(name) and inspect.isfunction(member) and any(name in vars(base) for base in libraries):
            yield name


def _defined(nodes: list[ast.AST]) -> Iterator[str]:
    """Yield the names that the source itself gives to functions, attributes and slots."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Assign) and any(getattr(to, "id", "") == "__slots__" for to in node.targets):
            yield from ast.literal_eval(node.value)


def _used(nodes: list[ast.AST], own: set[str]) -> Iterator[str]:
    """Yield private names of others: attributes of anything but ``self`` and ``super()``, attributes that nothing in
    the source defines, and imports."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            if node.attr not in own or ast.unparse(node.value) not in ("self", "cls", "super()"):
                yield node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "setattr") and node.args[1:]:
            name = node.args[1]
            if isinstance(name, ast.Constant) and _is_private(str(name.value)):
                yield str(name.value)
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("sso"):
            names = [*(node.module or "").split("."), *(name.name for name in node.names)]
            yield from (name for name in names if _is_private(name))
        elif isinstance(node, ast.Import):
            yield from (part for name in node.names for part in name.name.split(".") if _is_private(part))
