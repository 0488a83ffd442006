"""Checks of the installation say what mends them, in the language of the reader."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sso.setup
from sso.cli.doctor import remedy_of
from sso.platform.messages import translations
from sso.setup.findings import bad, says, warning

SOURCE = Path(sso.setup.__file__).parent
NOT_READY = {"warning", "bad", "either"}
REMEDIES = {"page", "command", "setting"}


def without_remedy(tree: ast.AST) -> list[int]:
    """Return the line of each finding that is not ready and says nothing of how to mend it."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    findings = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in NOT_READY]
    return [call.lineno for call in findings if not REMEDIES & {word.arg for word in call.keywords}]


def test_a_finding_without_a_remedy_is_found() -> None:
    assert without_remedy(ast.parse('good("a", x)\nwarning("a", x)\nbad("a", x, command="c")')) == [2]


@pytest.mark.parametrize("path", sorted(SOURCE.glob("*_checks.py")), ids=lambda path: path.stem)
def test_every_finding_that_is_not_ready_names_what_mends_it(path: Path) -> None:
    assert without_remedy(ast.parse(path.read_text())) == []


def test_the_doctor_shows_the_command_or_else_the_setting_or_else_the_page() -> None:
    text = says("none yet")
    assert remedy_of(bad("mail", text, page="/admin/setup", command="sso setup"), "https://a.example") == "sso setup"
    assert remedy_of(warning("mail", text, setting="SSO_A=b"), "https://a.example") == "SSO_A=b"
    assert remedy_of(warning("mail", text, page="/admin/setup"), "https://a.example") == "https://a.example/admin/setup"


def test_a_sentence_within_a_sentence_is_translated_too() -> None:
    names = [says("%(application)s (%(scopes)s; without a person too)", application="app", scopes="sso:users:read")]
    text = says("registered and not granted (sso clients grant ID SCOPE): %(names)s", names=[*names, "other"])
    assert text.translated(str).endswith("app (sso:users:read; without a person too); other")
    assert "app (sso:users:read; juga tanpa pengguna); other" in text.translated(translations("id").gettext)
