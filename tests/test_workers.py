"""How tests are given to workers, and what becomes of their reports: see :mod:`tests.workers`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.installation import VARIABLE
from tests.workers import LONGEST_FIRST, NAME, Units

TESTS = Path(__file__).parent
RUN = """
import atexit, os, signal, warnings
import pytest

MADE = []

@pytest.fixture(scope="session")
def made():
    MADE.append(os.getpid())
    atexit.register(lambda: open(f"ended-{os.getpid()}", "w").close())
    yield len(MADE)
    print("ended", len(MADE))

@pytest.mark.parametrize("n", range(20))
def test_passes(made, n):
    assert made == 1
    with open("pids", "a") as pids:
        print(os.getpid(), file=pids)

def test_fails():
    print("what it printed")
    assert [1, 2] == [1, 3]

@pytest.mark.skip(reason="no reason")
def test_skipped():
    raise AssertionError

def test_warns():
    warnings.warn("take care")

@pytest.mark.group("dies")
def test_dies(tmp_path):
    os.kill(os.getpid(), signal.SIGKILL)

@pytest.mark.group("dies")
def test_after_death(tmp_path):
    tmp_path.joinpath("file").write_text("text")

@pytest.fixture
def broken():
    yield
    raise RuntimeError("at the end")

def test_ends_badly(broken):
    pass
"""


def prepare(directory: Path, text: str, *options: str) -> list[str]:
    """Write a file of tests, and return the command that runs it in two workers."""
    (directory / "conftest.py").write_text(
        "from tests.workers import pytest_addoption, pytest_runtestloop\n"
        "def pytest_configure(config): config.addinivalue_line('markers', 'group: together')\n"
    )
    (directory / "test_file.py").write_text(text)
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-ra", "--workers=2", *options, "."]


def environment_of(directory: Path) -> dict[str, str]:
    """Return the variables of a run within a test."""
    # Not the directory of this run: pytest takes the rights of other users away from it, among them PostgreSQL's.
    temporary = directory / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent), "PYTEST_DEBUG_TEMPROOT": str(temporary)}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # their imports take most of the time
    for name in (NAME, VARIABLE, "PYTEST_ADDOPTS"):
        environment.pop(name, None)
    return environment


def run(directory: Path, text: str, *options: str) -> tuple[int, str]:
    """Run a file of tests in two workers, and return the exit code and what it printed."""
    command, environment = prepare(directory, text, *options), environment_of(directory)
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_a_run_reports_what_each_test_did(tmp_path: Path) -> None:
    code, printed = run(tmp_path, RUN)
    assert code == 1, printed
    assert "2 failed, 23 passed, 1 skipped, 1 warning, 1 error" in printed
    assert "assert [1, 2] == [1, 3]" in printed
    assert "what it printed" in printed
    assert "take care" in printed
    assert "no reason" in printed
    assert "RuntimeError: at the end" in printed
    assert "FAILED test_file.py::test_dies - worker-" in printed
    assert "ended with code -9 in this test" in printed
    workers = set((tmp_path / "pids").read_text().split())
    assert 1 <= len(workers) <= 3
    ended = {path.name.removeprefix("ended-") for path in tmp_path.glob("ended-*")}
    assert ended, "a worker ends what it has begun"
    assert ended <= workers


LEFT = """
import socket

class Circle:
    pass

def test_leaves_a_socket():
    circle = Circle()
    circle.own, circle.socket = circle, socket.socket()

def test_ends():
    pass
"""


def test_what_a_test_leaves_open_is_an_error(tmp_path: Path) -> None:
    code, printed = run(tmp_path, LEFT, "-W", "error")
    assert code == 1, printed
    assert "unclosed <socket.socket" in printed
    assert "1 failed" in printed


def test_a_run_ends_at_the_first_failure_if_it_should(tmp_path: Path) -> None:
    code, printed = run(tmp_path, RUN, "-x", "-k", "fails or skipped")
    assert code == 1, printed
    assert "1 failed" in printed
    assert "stopping after 1 failures" in printed


def test_no_test_and_a_broken_file_are_said(tmp_path: Path) -> None:
    code, printed = run(tmp_path, "import nothing_of_this_name\n")
    assert (code, "1 error" in printed) == (2, True), printed
    code, printed = run(tmp_path, "")
    assert code == 5, printed


def test_groups_begin_with_the_longest_and_stay_together() -> None:
    units = Units([None, "sbom", "portal", None, "sbom", "interop-postgresql"])
    assert [units.next(group=True) for _ in range(2)] == [[5], [2]]
    assert units.next(group=False) == [0]
    assert units.next(group=True) == [1, 4]
    assert units.next(group=True) == [3], "a worker without work of its kind takes of the other"
    assert units.next(group=False) is None


def test_tests_that_need_programs_are_given_out_later() -> None:
    units = Units([None, "portal", None, None], early={2})
    assert units.next(group=True) == [2], "a worker that takes groups takes single tests meanwhile"
    assert units.next(group=True) is None
    assert units.some_wait
    units.let_all_begin()
    assert not units.some_wait
    assert [units.next(group=True), units.next(group=False), units.next(group=False)] == [[1], [0], [3]]
    assert units.next(group=False) is None


def test_the_longest_groups_are_groups() -> None:
    files = [path for name in ("journeys", "api", "hostile", "observation") for path in (TESTS / name).glob("*.py")]
    text = "".join(path.read_text() for path in files)
    for name in LONGEST_FIRST:
        assert name in ("interop-postgresql", "interop-sqlite") or f'pytest.mark.group("{name}")' in text, name


@pytest.mark.parametrize("number", range(2))
@pytest.mark.group("grouped")
def test_a_group_runs_in_one_worker(number: int, run_dir: Path) -> None:
    mine = os.environ.get(NAME, "alone")
    file = run_dir / "grouped"
    if not file.exists():
        file.write_text(mine)
    assert file.read_text() == mine
