"""Hooks, workflows and the rule for commit subjects: what they name exists, and they refuse what they should."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.docs.scripts import ROOT, script

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


@pytest.fixture(scope="module")
def refusal() -> Callable[[str], str]:
    refusal_of: Callable[[str], str] = script("commit_subject").refusal
    return refusal_of


@pytest.mark.parametrize(
    "subject",
    [
        "Limit TOTP attempts per account",
        "Split the consent page from the sign-in page",
        "Address every row by its primary key",
        "Seed the database of the demo",
        "Bring the catalogue up to date",
        "Re-sign the keys that were rotated",
        "Merge branch 'a-very-long-name-of-a-branch-that-git-has-written-into-the-subject-by-itself' into main",
        'Revert "Limit TOTP attempts per account"',
    ],
)
def test_an_imperative_subject_is_accepted(refusal: Callable[[str], str], subject: str) -> None:
    assert refusal(subject) == ""


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        ("", "0 characters"),
        ("Fix it", "6 characters"),
        ("Limit " + "x" * 67, "73 characters"),
        ("What stood twice stands once", "is no verb"),
        ("A start page that opens applications", "is no verb"),
        ("Tests: look at every page", "prefix"),
        ("fix: limit attempts", "prefix"),
        ("feat(oidc)!: limit attempts", "prefix"),
        ("limit attempts per account", "capital letter"),
        ("0.2 is released today", "capital letter"),
        ("Limit attempts per account.", "full stop"),
        ("Limit attempts; count codes", "semicolon"),
        ("Added a limit of attempts", "base form"),
        ("Adding a limit of attempts", "base form"),
        ("Adds a limit of attempts", "base form"),
    ],
)
def test_another_subject_is_refused_with_the_reason(refusal: Callable[[str], str], subject: str, reason: str) -> None:
    assert reason in refusal(subject)


def test_the_hook_reads_the_message_that_git_gives(tmp_path: Path) -> None:
    message = tmp_path / "COMMIT_EDITMSG"
    for text, code in (("# comment\n\nLimit attempts per account\n\nwip: why\n", 0), ("wip\n", 1)):
        message.write_text(text)
        command = [sys.executable, ROOT / "scripts/commit_subject.py", message]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == code
    assert "'wip' has 3 characters" in done.stderr


def test_what_the_hooks_run_exists() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {hook["id"] for hook in repository["hooks"]} == {
        "ruff-check", "ruff-format", "imports", "messages", "commit-subject",
    }  # fmt: skip
    for hook in repository["hooks"]:
        for word in hook["entry"].split():
            if "/" in word:
                assert (ROOT / word).exists(), word


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pin_actions_and_run_targets_that_exist(workflow: Path) -> None:
    text = workflow.read_text()
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    actions = re.findall(r"uses: (\S+)( # v[\d.]+)?$", text, re.M)
    assert actions
    for action, version in actions:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert version, f"{action}: name its version"
    targets = re.findall(r"(?:run|command): make ([a-z-]+)", text)
    assert targets
    assert set(targets) <= TARGETS
    for line in re.findall(r"run: .*\$\{\{(.*?)\}\}", text):
        assert line.strip() == "matrix.command", "values of a request go through env"


def test_make_test_and_ci_are_one_command() -> None:
    assert "exec make test\n" in (ROOT / ".ci/run").read_text()
    assert "run: make test\n" in (ROOT / ".github/workflows/test.yml").read_text()


def test_the_image_is_built_from_files_that_its_builder_receives() -> None:
    sent = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M)
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    assert {name for line in copied for name in line.split()} == set(sent)
    assert all((ROOT / name).exists() for name in sent)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert not [part for part in included if not any(f"{part}/".startswith(f"{name}/") for name in sent)]


def test_only_one_file_of_the_tests_lets_time_pass() -> None:
    """``asyncio.sleep(0)`` lets other tasks run and is allowed."""
    calls = set()
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text if "sleep" in text else "")):
            if (
                isinstance(node, ast.Call)
                and (getattr(node.func, "attr", "") or getattr(node.func, "id", "")) == "sleep"
            ) and [ast.unparse(argument) for argument in node.args] != ["0"]:
                calls.add(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {place.partition(":")[0] for place in calls} == {"tests/waiting.py"}, sorted(calls)
