"""Programs of the system are installed beside the tests, which wait for them: see :mod:`tests.installation`."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, cast

import pytest
from tests.docs.scripts import ROOT, script
from tests.installation import VARIABLE, Installation, InstallationFailed, may_begin
from tests.test_workers import environment_of, prepare
from tests.waiting import wait_until

TESTS = """
import os, sys
from pathlib import Path
import pytest

def installed():
    return Path(os.environ["TESTS_INSTALLATION"]).read_text() == "0"

def note(name):
    Path(name).touch()

@pytest.fixture
def city():
    pass

@pytest.fixture
def postgres():
    assert installed()

both = pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"])

@both
@pytest.mark.parametrize("number", range(4))
def test_asks_a_provider(city, database_kind, number):
    assert database_kind == "sqlite" or installed()
    note(f"{database_kind}-{number}")

@both
def test_asks_two_databases(city, postgres, database_kind):
    note(f"two-{database_kind}")

def test_something_else():
    assert installed()

@both
@pytest.mark.programs
def test_needs_a_program(city, database_kind):
    assert installed()

@both
@pytest.mark.parametrize("storage", ["redis"])
def test_needs_a_server(city, database_kind, storage):
    assert installed()

@both
@pytest.mark.group("together")
def test_in_a_group(city, database_kind):
    assert installed()

@both
@pytest.mark.parametrize("act", ["start", "look"])
def test_uses_a_program(city, database_kind, act):
    note(f"{database_kind}-{act}")
    import shutil, subprocess
    subprocess.run([sys.executable, "-V"]) if act == "start" else shutil.which("sh")
    assert installed()
"""


def begun(folder: Path) -> int:
    """Return the number of tests on SQLite that have begun. Each worker asks for its next test before it begins one: of
    those that may begin, at most one in each worker waits."""
    return len(list(folder.glob("sqlite-*")))


@contextmanager
def installing(folder: Path) -> Iterator[Callable[[str], None]]:
    """Keep the file of an installation locked; what is yielded ends it with an exit code, or as if it had died."""
    path = folder / "code"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def end(code: str) -> None:
            file.write(code)
            file.close()

        yield end


@contextmanager
def running(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the tests above while an installation is under way."""
    command = prepare(folder, TESTS, *options)
    environment = environment_of(folder) | {VARIABLE: str(folder / "code")}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_tests_without_programs_run_first_and_the_others_wait(tmp_path: Path) -> None:
    with installing(tmp_path) as end, running(tmp_path) as process:
        wait_until(lambda: begun(tmp_path) >= 6 - 2)
        end("0")
        printed = process.communicate(timeout=120)[0]
    assert process.returncode == 0, printed
    assert "21 passed" in printed


@pytest.mark.parametrize(
    ("chosen", "count", "code", "message"),
    [
        ("asks_a_provider", 4 - 2, "100", "ended with 100"),
        ("something_else", 0, "", "ended with no exit code: it died"),
        ("uses or asks", 6 - 2, "1", "ended with 1"),
    ],
)
def test_a_run_fails_if_the_installation_does(tmp_path: Path, chosen: str, count: int, code: str, message: str) -> None:
    """Whether workers wait for another test, have begun none, or wait in a test."""
    with installing(tmp_path) as end, running(tmp_path, "-k", chosen) as process:
        wait_until(lambda: begun(tmp_path) >= count)
        end(code)
        printed = process.communicate(timeout=120)[0]
    assert process.returncode == 1, printed
    assert f"the installation of programs {message}" in printed
    assert not list(tmp_path.glob("postgresql-*"))


def test_a_run_in_one_process_waits_for_everything(tmp_path: Path) -> None:
    with installing(tmp_path) as end, running(tmp_path, "--workers=1") as process:
        end("0")
        printed = process.communicate(timeout=120)[0]
    assert process.returncode == 0, printed
    assert "21 passed" in printed


def test_a_file_that_starts_programs_is_late() -> None:
    class Item:
        def __init__(self, module: object) -> None:
            self.module, self.fixturenames = module, ["city"]
            self.callspec = SimpleNamespace(params={"database_kind": "sqlite"})

        def get_closest_marker(self, name: str) -> None:
            return None

    assert may_begin(cast("pytest.Item", Item(SimpleNamespace())))
    assert not may_begin(cast("pytest.Item", Item(SimpleNamespace(shutil=shutil))))
    assert not may_begin(cast("pytest.Item", Item(sys.modules[__name__])))


def test_without_an_installation_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert Installation.of_this_run() is None


PEER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.installation import Installation
installation = Installation.of_this_run()
open("path", "w").write(str(installation.path))
assert not installation.has_ended()
open("go", "w").close()
installation.wait()
print("begins")
sys.exit(3)
"""
"""A command that lets the installation go on when it has seen it, and waits for its end."""


@pytest.mark.parametrize(("install", "code"), [(0, 3), (7, 1)])
def test_a_command_runs_while_programs_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], install: int, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("go")
    installer = ["sh", "-c", f"echo installing; read go <go; echo missing: caddy; exit {install}"]
    assert script("beside_deps").run([sys.executable, "-c", PEER], installer) == code
    printed = capfd.readouterr().out
    assert ("begins" in printed) == (install == 0)
    assert printed.count("missing: caddy") == (2 if install else 1), "what is missing stands at the end too"
    assert not Path((tmp_path / "path").read_text()).exists()


@pytest.mark.parametrize(("install", "code"), [(0, 0), (7, 7)])
def test_an_installation_that_fails_is_an_error_of_the_whole(install: int, code: int) -> None:
    assert script("beside_deps").run(["true"], ["sh", "-c", f"exit {install}"]) == code


@contextmanager
def beside(command: list[str], install: list[str], folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """Run a command beside an installation in a process of its own, and yield that and what it prints."""
    text = f"import sys, signal; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import beside_deps; "
    text += "signal.signal(signal.SIGTERM, signal.default_int_handler); "
    text += f"beside_deps.run({command!r}, {install!r})"
    with subprocess.Popen(
        [sys.executable, "-c", text], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(folder)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield process, process.stdout


def test_an_installation_that_is_killed_is_noticed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    install = ["sh", "-c", "read go <go; echo installed; read go <go"]
    with beside([sys.executable, "-c", PEER], install, tmp_path) as (process, printed):
        assert printed.readline() == b"installed\n"
        installation = Installation(Path((tmp_path / "path").read_text()))
        assert not installation.has_ended()
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert installation.has_ended()
        with pytest.raises(InstallationFailed, match="died"):
            installation.wait()
        (tmp_path / "go").write_text("end\n")  # of what it had started


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_waits_for_the_end_of_the_installation(tmp_path: Path, number: signal.Signals) -> None:
    os.mkfifo(tmp_path / "go")
    install = ["sh", "-c", "trap '' INT TERM; echo installing; read go <go; : >installed"]
    with beside(["sleep", "600"], install, tmp_path) as (process, printed):
        assert printed.readline() == b"installing\n"
        process.send_signal(number)
        assert printed.readline().startswith(b"Waiting for the end")
        (tmp_path / "go").write_text("end\n")
        assert process.wait(60) != 0
    assert (tmp_path / "installed").exists()
    assert not list(tmp_path.glob("sso-installation-*"))


def test_make_test_runs_beside_the_installation() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\ntest:")[2].partition("\n\n")[0]
    assert "scripts/beside_deps.py $(SAME_MAKE)" in recipe
    assert "$(MAKE)" not in recipe, "make -n would install"
    beside = script("beside_deps")
    assert (beside.NAME, beside.INSTALL[1:]) == (VARIABLE, [str(ROOT / "scripts/deps.sh"), "--no-sudo"])
