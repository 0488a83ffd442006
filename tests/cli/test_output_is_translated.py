"""What commands print is translated: no bare text in a call that shows one, and every title of a column."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import pytest

import sso.cli
from sso.cli.language import VALUES
from sso.identity.employees.rules import State as EmploymentState
from sso.platform.messages import translations
from sso.platform.outbox.models import DeliveryStatus
from sso.portal.choices import State
from sso.portal.rp_check.results import Outcome

SOURCE = Path(sso.cli.__file__).parent
SHOWING = {"print", "refuse", "complain", "echo", "prompt", "confirm", "first_of", "an_id", "Refusal", "NoDatabase"}
PROTOCOL = {"id", "unit", "url", "kid", "alg", "client_id", "user_id", "scope", "status", "total"}
"""Titles that are the same in both languages: names of members and of the protocol."""


def is_bare(node: ast.expr | None) -> bool:
    """Tell whether an argument holds words outside of a call of ``_`` or ``N_``."""
    match node:
        case ast.Constant(value=str(text)):
            return any(len(word) > 1 and word.strip(".,:;()").isalpha() and word != "sso" for word in text.split())
        case ast.JoinedStr(values=values):
            return any(map(is_bare, values))
        case ast.FormattedValue(value=ast.IfExp() as choice):
            return is_bare(choice)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return is_bare(left) or is_bare(right)
        case ast.BinOp(left=left, op=ast.Mod()):
            return is_bare(left)
        case ast.IfExp(body=body, orelse=orelse):
            return is_bare(body) or is_bare(orelse)
        case ast.BoolOp(values=parts):
            return any(map(is_bare, parts))
        case ast.Starred(value=value) | ast.ListComp(elt=value) | ast.GeneratorExp(elt=value):
            return is_bare(value)
        case ast.Call(func=ast.Attribute(value=text, attr="format")):
            return is_bare(text)
        case _:
            return False


def called(node: ast.Call) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def bare_texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the source of each call that shows a text which is not translated."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in SHOWING:
            arguments = [*node.args, *(word.value for word in node.keywords if word.arg not in ("sep", "end", "file"))]
            if any(map(is_bare, arguments)):
                yield node.lineno, ast.unparse(node)


def test_bare_texts_are_found() -> None:
    code = (
        'print("added")\nrefuse(f"no {name}")\nprint(_("ended"))\nprint(_("%s of") % "two words")\ncomplain("x" + y)\n'
    )
    code += 'an_id(text, "delivery")\nprint(f"  {name}: {value}")\nprint("kept" if x else _("gone"))\n'
    code += 'print("", end="and")\n'
    assert [line for line, _ in bare_texts(ast.parse(code))] == [1, 2, 6, 8]


@pytest.mark.parametrize("path", sorted(SOURCE.glob("*.py")), ids=lambda path: path.stem)
def test_a_command_shows_no_bare_text(path: Path) -> None:
    assert [f"{path.name}:{line}: {text}" for line, text in bare_texts(ast.parse(path.read_text()))] == []


def titles_of(tree: ast.AST) -> set[str]:
    """Return the titles of the tables of a module: the first argument, or the variable that is named there."""
    variables: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            variables.setdefault(node.targets[0].id, []).append(node.value)
    texts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in ("print_table", "print_rows") and node.args:
            titles = node.args[0]
            if isinstance(titles, ast.Subscript):
                titles = titles.value
            named = variables.get(titles.id, []) if isinstance(titles, ast.Name) else [titles]
            rows = [row.elts for row in named if isinstance(row, ast.Tuple)]
            texts |= {str(title.value) for row in rows for title in row if isinstance(title, ast.Constant)}
    return texts


def test_every_title_of_a_column_is_translated() -> None:
    words = translations("id").gettext
    titles = set().union(*(titles_of(ast.parse(path.read_text())) for path in SOURCE.glob("*.py")))
    assert {"position", "unit", "applications", "unconfirmed"} <= titles
    assert sorted(title for title in titles if title not in PROTOCOL and words(title) == title) == []


@pytest.mark.parametrize("words", [DeliveryStatus, get_args(State), get_args(Outcome), get_args(EmploymentState)])
def test_every_state_in_a_table_is_translated(words: Iterable[str]) -> None:
    translate = translations("id").gettext
    same = {"sandbox"}
    texts = {str(word) for word in words} - same
    assert [text for text in texts if text not in VALUES or translate(text) == text] == []
