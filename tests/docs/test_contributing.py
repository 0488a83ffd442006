"""The tasks of docs/contributing/contributing.md name files that exist, and their samples run."""

from __future__ import annotations

import re

import pytest
from jinja2 import Environment
from tests.docs.scripts import ROOT

PAGE = (ROOT / "docs/contributing/contributing.md").read_text()
TASKS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
_PATH = re.compile(r"`((?:src|tests|docs|scripts|migrations)/[^`\s]+|[A-Z]+\.md|Makefile)`( \(new\))?")
_SAMPLE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def test_the_tasks_that_newcomers_ask_for_are_there() -> None:
    assert list(TASKS) == [
        "Add a grant", "Add a page", "Add a setting", "Add a CLI command", "Add a migration", "Add a document",
    ]  # fmt: skip
    for text in TASKS.values():
        assert "\nGoal: " in text
        assert "\nCheck: " in text
        assert "`CHANGELOG.md`" in text


@pytest.mark.parametrize("task", TASKS)
def test_files_of_a_task_exist(task: str) -> None:
    named = _PATH.findall(TASKS[task])
    assert len(named) >= 4
    for path, new in named:
        assert (ROOT / path).exists() is not bool(new), path
        assert (ROOT / path).parent.exists(), path


@pytest.mark.parametrize("task", TASKS)
def test_samples_of_a_task_run(task: str) -> None:
    samples = _SAMPLE.findall(TASKS[task])
    assert ("markdown" if task == "Add a document" else "python") in dict(samples)
    for language, text in samples:
        if language == "python":
            exec(compile(text, f"docs/contributing/contributing.md: {task}", "exec"), {"__name__": "sample"})
        else:
            Environment(extensions=["jinja2.ext.i18n"]).parse(text)


@pytest.mark.parametrize("task", TASKS)
def test_tests_that_a_task_runs_exist(task: str) -> None:
    for line in re.findall(r'make unit ARGS="([^"]+)"', TASKS[task]):
        assert all((ROOT / path).exists() for path in line.split()), line
