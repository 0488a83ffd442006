"""The documents about security name rules, code and tests that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECURITY = ROOT / "docs/security"
PAGES = sorted(SECURITY.glob("*.md"))
MODEL, ADVISORIES = SECURITY / "threat-model.md", SECURITY / "advisories.md"
NO_TEST = "no test yet"
MOST_WITHOUT_TEST = 1
"""How many rules have no test. It may only be made smaller."""
LEAST_ADVISORIES = 60

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_CODE = re.compile(r"`(src/sso/[\w/]+\.py):([\w.]+)`")
_PATH = re.compile(r"`((?:src|tests)/[^`:]*)`")
_ADVISORY = re.compile(r"^\| (CVE-\d{4}-\d{4,}|GHSA(?:-[0-9a-z]{4}){3}) \|", re.M)


def _names(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Yield every function, class and method of a module, methods as ``Class.method``."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _names(node.body, f"{prefix}{node.name}.")


@cache
def names_in(path: str) -> frozenset[str]:
    """Return what the file ``path`` defines; nothing where there is no such file."""
    file = ROOT / path
    return frozenset(_names(ast.parse(file.read_text()).body)) if file.is_file() else frozenset()


def sections(page: Path, mark: str) -> dict[str, str]:
    """Return the text of each section whose heading begins with ``mark`` and a number, by that number.

    Raises:
        AssertionError: for a number that stands twice.
    """
    found: dict[str, str] = {}
    for part in re.split(r"^(?=#{2,3} )", page.read_text(), flags=re.M):
        heading = re.match(rf"#+ ({mark}-\d{{2}}) ", part)
        if heading:
            assert heading[1] not in found, f"{heading[1]} stands twice"
            found[heading[1]] = part
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_code_and_tests_exist(page: Path) -> None:
    text = page.read_text()
    missing = [f"{path}::{name}" for path, name in _TEST.findall(text) if name not in names_in(path)]
    missing += [f"{path}:{name}" for path, name in _CODE.findall(text) if name not in names_in(path)]
    missing += [path for path in _PATH.findall(text) if not (ROOT / path).exists()]
    assert not missing, missing


def test_each_rule_has_a_number_code_and_a_test() -> None:
    rules = sections(MODEL, "R")
    assert list(rules) == [f"R-{number:02d}" for number in range(1, len(rules) + 1)]
    for number, text in rules.items():
        assert _CODE.search(text), f"{number} names no code"
        assert _TEST.search(text) or NO_TEST in text, f"{number} names no test"
    without = [number for number, text in rules.items() if NO_TEST in text]
    assert len(without) <= MOST_WITHOUT_TEST, f"{NO_TEST}: {without}"


def test_rules_that_are_named_exist() -> None:
    rules = sections(MODEL, "R")
    for page in [*PAGES, ROOT / "SECURITY.md"]:
        named = set(re.findall(r"\bR-\d{2}\b", page.read_text()))
        assert named <= set(rules), page.name


def test_each_kind_of_advisory_names_a_rule_and_a_test() -> None:
    kinds = sections(ADVISORIES, "K")
    for number, text in kinds.items():
        assert re.search(r"\bR-\d{2}\b", text), f"{number} names no rule"
        assert _CODE.search(text), f"{number} names no code"
        assert _TEST.search(text), f"{number} names no test"
        assert _ADVISORY.search(text), f"{number} lists no advisory"
    named = set(re.findall(r"\bK-\d{2}\b", MODEL.read_text()))
    assert named <= set(kinds)


def test_an_advisory_is_listed_once() -> None:
    listed = _ADVISORY.findall(ADVISORIES.read_text())
    assert len(listed) == len(set(listed))
    assert len(listed) >= LEAST_ADVISORIES
    counts = re.findall(r"^\| \[(K-\d{2})\]\(#[^)]+\) \| [^|]+ \| (\d+) \|", ADVISORIES.read_text(), re.M)
    kinds = sections(ADVISORIES, "K")
    assert {number: int(count) for number, count in counts} == {
        number: len(_ADVISORY.findall(text)) for number, text in kinds.items()
    }
