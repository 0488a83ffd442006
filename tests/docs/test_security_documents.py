"""The documents about security name rules, code and tests that exist. R-42 is tested here: it is about the source."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.sources import nodes_of, parsed

ROOT = Path(__file__).parents[2]
SECURITY = ROOT / "docs/security"
PAGES = sorted(SECURITY.glob("*.md"))
MODEL, ADVISORIES = SECURITY / "threat-model.md", SECURITY / "advisories.md"
NO_TEST = "no test yet"
MAX_WITHOUT_TEST = 0
"""How many rules have no test. It may only be made smaller."""
MIN_ADVISORIES = 60

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
    by_number: dict[str, str] = {}
    for part in re.split(r"^(?=#{2,3} )", page.read_text(), flags=re.M):
        heading = re.match(rf"#+ ({mark}-\d{{2}}) ", part)
        if heading:
            assert heading[1] not in by_number, f"{heading[1]} stands twice"
            by_number[heading[1]] = part
    return by_number


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
    assert len(without) <= MAX_WITHOUT_TEST, f"{NO_TEST}: {without}"


def test_every_area_of_paths_is_an_entry_point() -> None:
    """The table of paths in architecture.md is complete: another test compares it with the routes."""
    areas = (ROOT / "docs/contributing/architecture.md").read_text().partition("| area | paths |")[2]
    entries = MODEL.read_text().partition("## Entry points")[2].partition("\n## ")[0]
    first_part = re.compile(r"`/([\w.-]*)")
    assert len(first_part.findall(areas)) > 60
    assert set(first_part.findall(areas)) - set(first_part.findall(entries)) == set()


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
    assert len(listed) >= MIN_ADVISORIES
    counts = re.findall(r"^\| \[(K-\d{2})\]\(#[^)]+\) \| [^|]+ \| (\d+) \|", ADVISORIES.read_text(), re.M)
    kinds = sections(ADVISORIES, "K")
    assert {number: int(count) for number, count in counts} == {
        number: len(_ADVISORY.findall(text)) for number, text in kinds.items()
    }


UNBOUNDED = 20
"""A repetition that may be at least as long as this counts as one without a bound."""
_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT"})


def _is_separated(body: Any) -> bool:
    """Tell whether a repeated ``body`` is a literal and then a repeated set without this literal, such as
    ``(\\.[a-z]+)+``: a text is divided in one way only, so it is read once."""
    if [str(op) for op, _ in body] != ["LITERAL", "MAX_REPEAT"]:
        return False
    (_, literal), (_, (_, _, inner)) = body
    if len(inner) != 1 or str(inner[0][0]) != "IN":
        return False
    for op, value in inner[0][1]:
        if str(op) not in ("LITERAL", "RANGE"):
            return False
        low, high = value if str(op) == "RANGE" else (value, value)
        if low <= literal <= high:
            return False
    return True


def is_nested(parsed: Any, within: bool = False) -> bool:
    """Tell whether a parsed pattern has a repetition without a bound within another one.

    Args:
        parsed: what the parser of ``re`` made of the pattern.
        within: whether it is repeated itself.
    """
    for op, value in parsed:
        parts: list[tuple[Any, bool]] = []
        if str(op) in _REPEATS:
            long, body = value[1] >= UNBOUNDED, value[2]
            if long and within:
                return True
            plain = body[0][1][-1] if len(body) == 1 and str(body[0][0]) == "SUBPATTERN" else body
            parts = [(body, within or (long and not _is_separated(plain)))]
        elif str(op) == "SUBPATTERN":
            parts = [(value[-1], within)]
        elif str(op) == "BRANCH":
            parts = [(branch, within) for branch in value[1]]
        elif str(op) in ("ASSERT", "ASSERT_NOT"):
            parts = [(value[1], within)]
        if any(is_nested(part, inner) for part, inner in parts):
            return True
    return False


def _patterns() -> Iterator[tuple[str, str | bytes]]:
    """Yield the place and the text of every regular expression in the source."""
    for file in sorted((ROOT / "src/sso").rglob("*.py")):
        text = file.read_text()
        module = ".".join(file.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for node in nodes_of(file) if "re." in text else ():
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if getattr(node.func.value, "id", "") != "re" or node.func.attr == "escape":
                continue
            place, pattern = f"{module}:{node.lineno}", node.args[0]
            if isinstance(pattern, ast.Constant) and isinstance(pattern.value, str | bytes):
                yield place, pattern.value
                continue
            names = [
                statement.targets[0]
                for statement in parsed(file).body
                if isinstance(statement, ast.Assign) and statement.value is node
            ]
            assert names, f"{place}: make this pattern a constant of the module, so that it can be checked"
            yield place, getattr(importlib.import_module(module), ast.unparse(names[0])).pattern


@pytest.mark.parametrize(
    ("pattern", "nested"),
    [
        ("(a+)+", True), ("(?:[a-z]*,?)*", True), ("(a|b+){1,100}", True), (r"(\.[a-z.]+)+", True), ("(.+)*x", True),
        ("[a-z]+", False), (r"[a-z]+(\.[a-z]+)+", False), ("([0-9]{4}){3}", False), ("(a+){0,4}", False),
    ],
)  # fmt: skip
def test_nested_repetition_is_found(pattern: str, nested: bool) -> None:
    assert is_nested(re._parser.parse(pattern)) is nested  # type: ignore[attr-defined]


def test_patterns_have_no_nested_repetition() -> None:
    """R-42. Patterns of Pydantic are left out: its engine takes as long as the text is, whatever the pattern."""
    patterns = dict(_patterns())
    assert len(patterns) > 20
    parse = re._parser.parse  # type: ignore[attr-defined]
    assert not [place for place, pattern in patterns.items() if is_nested(parse(pattern))]


HARDENING = SECURITY / "hardening.md"
ASVS_CHAPTERS = 17


def test_each_chapter_of_asvs_has_an_answer_with_its_proof() -> None:
    """A row that says "holds" names a rule, a test or a document."""
    text = HARDENING.read_text()
    assert re.findall(r"^### V(\d+) ", text, re.M) == [str(number) for number in range(1, ASVS_CHAPTERS + 1)]
    rows = re.findall(r"^\| (V\d+\.\d+[^|]*) \| ([^|]+) \| ([^|]*)\|$", text, re.M)
    assert len(rows) > 60
    for section, answer, proof in rows:
        answer_kind = answer.split(":")[0].split(" ")[0]
        assert answer_kind in ("holds", "operator", "open", "not", "the"), section
        if answer_kind == "holds":
            assert re.search(r"\bR-\d{2}\b|`tests/", proof) or "](" in answer, f"{section} names no proof"
