"""Break the lines that security depends on, one at a time, and see whether a test fails each time: `make mutants`.

The list is ``tests/mutants/list.toml``. Each entry names the rule, the file under ``src/sso``, a piece of its text that
stands there once, what to put in its place, and the tests that must fail then. The run works on a copy of the source:

1. it checks that every piece of text and every test of the list is there;
2. it runs all tests of the list with the source as it is: they must pass;
3. it breaks one line after the other, and runs the tests of that line: one of them must fail. Tests that still run
   after ``--timeout`` seconds are ended: that counts as caught, and is printed as such.

One pytest runs at a time. It ends with code 1, naming what survived, where any of this is not so. ``--check`` does the
first step alone. ``--only WORD`` takes the entries whose rule holds the word.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "mutants" / "list.toml"
COPIED = ("src", "migrations", "examples", "clients.example.yaml")
"""What the package looks for beside itself."""
LIBRARIES = ("fastapi", "sqlalchemy.ext.asyncio", "authlib.oidc.core", "jwt", "joserfc", "httpx2", "pydantic_settings")
"""What every run imports: imported once, before the runs are forked."""
WARNING = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
"""The libraries are imported before pytest looks for plugins among them."""
PASSED, FAILED, TIMED_OUT, NOT_RUN = 0, 1, 98, 99
"""What pytest's exit codes say, and ours where it did not end. Any other one means that the tests did not run."""
CAUGHT = {FAILED: "killed", TIMED_OUT: "timed out"}
TIMEOUT_SECONDS = 120.0
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule to break. ``file``: under ``src/sso``; ``changes``: text that stands there once, and what is put there;
    ``tests``: functions under ``tests``; they run on ``database``: sqlite or postgresql."""

    rule: str
    file: str
    changes: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]
    database: str = "sqlite"

    def broken(self, source: str) -> str:
        """Return the file with the rule broken."""
        for line, to in self.changes:
            source = source.replace(line, to)
        return source


def read_list() -> list[Mutant]:
    """Return the entries of the list."""
    entries = tomllib.loads(LIST.read_text())["mutant"]
    return [
        Mutant(
            entry["rule"],
            entry["file"],
            ((entry["line"], entry["to"]), *((line, to) for line, to in entry.get("also", ()))),
            tuple(entry["tests"]),
            entry.get("database", "sqlite"),
        )
        for entry in entries
    ]


def problems_of(mutants: list[Mutant]) -> list[str]:
    """Return what is wrong with the list: a line that is not there, or not once; a test or a library
    that is not there."""
    problems = [
        f"the rule {rule!r} stands twice" for rule in {mutant.rule for mutant in mutants if _times(mutants, mutant) > 1}
    ]
    absent = [name for name in LIBRARIES if importlib.util.find_spec(name.partition(".")[0]) is None]
    problems += [f"there is no library {name}" for name in absent]
    for mutant in mutants:
        path = ROOT / "src" / "sso" / mutant.file
        text = path.read_text() if path.is_file() else ""
        for line, to in mutant.changes:
            if (count := text.count(line)) != 1:
                problems.append(f"{mutant.rule}: the text stands {count} times in src/sso/{mutant.file}: {line}")
            if line == to:
                problems.append(f"{mutant.rule}: it changes nothing: {line}")
        if not mutant.tests:
            problems.append(f"{mutant.rule}: it names no test")
        problems += [f"{mutant.rule}: there is no test {test}" for test in mutant.tests if not _is_test(test)]
    return problems


def _times(mutants: list[Mutant], mutant: Mutant) -> int:
    return sum(other.rule == mutant.rule for other in mutants)


def _is_test(node: str) -> bool:
    name, _, rest = node.partition("::")
    path = ROOT / "tests" / name
    if not path.is_file():
        return False
    function = rest.partition("[")[0]
    tree = ast.parse(path.read_text())
    return any(
        isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef) and definition.name == function
        for definition in tree.body
    )


def run_tests(copy: Path, tests: Sequence[str], timeout: float | None = None, database: str = "sqlite") -> int:
    """Run tests against a copy of the source, in a process of their own; return its exit code.

    Args:
        copy: the copy.
        tests: functions under ``tests``.
        timeout: after how many seconds they are ended, with every process that they started; None: never.
        database: the database that they run on.
    """
    child = os.fork()
    os.setpgid(child, child)  # in the child, 0 means itself
    if not child:
        _be_pytest(copy, tests, database)
    ends = None if timeout is None else time.monotonic() + timeout
    ended, status = 0, 0
    try:
        while not ended:
            if ends is not None and time.monotonic() > ends:
                return TIMED_OUT
            time.sleep(POLL_SECONDS)
            ended, status = os.waitpid(child, os.WNOHANG)
    finally:
        if not ended:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _be_pytest(copy: Path, tests: Sequence[str], database: str) -> NoReturn:
    code = NOT_RUN
    try:
        with (copy / "log").open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(ROOT)
        sys.path.insert(0, str(copy / "src"))
        import pytest

        options = ["-q", "-x", "-p", "no:cacheprovider", "--tb=short", "-W", WARNING, f"--basetemp={copy / 'tmp'}"]
        other = "postgresql" if database == "sqlite" else "sqlite"
        code = int(pytest.main([*options, "-k", f"not {other}", *(f"tests/{test}" for test in tests)]))
        import sso

        if not sso.__file__.startswith(str(copy)):
            code = NOT_RUN  # the tests ran against another source
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def make_copy(directory: Path) -> Path:
    """Copy the source, and what it looks for beside itself."""
    directory.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, directory / name)
    return directory


def try_all(mutants: Sequence[Mutant], copy: Path, timeout: float) -> Iterator[tuple[Mutant, int]]:
    """Break each line in turn, for at most ``timeout`` seconds; yield each with the exit code of its tests."""
    for count, mutant in enumerate(mutants, start=1):
        path = copy / "src" / "sso" / mutant.file
        whole = path.read_text()
        path.write_text(mutant.broken(whole))
        # Python takes a compiled file for fresh where size and second are the same: each one gets its own second.
        os.utime(path, (count, count))
        code = run_tests(copy, mutant.tests, timeout, mutant.database)
        path.write_text(whole)  # with the time of now
        yield mutant, code


def last_lines(log: Path) -> str:
    """Return the end of what was printed."""
    return "\n".join(log.read_text().splitlines()[-15:])


def main() -> int:
    """Run what the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="look only whether every line and test is there")
    parser.add_argument("--only", default="", metavar="WORD", help="take the entries whose rule holds the word")
    parser.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="how long the tests of one entry may run (default: %(default)s)",
    )
    options = parser.parse_args()
    mutants = [entry for entry in read_list() if options.only in entry.rule]
    if problems := problems_of(mutants):
        print(*problems, sep="\n")
        return 1
    if options.check:
        return 0
    for name in LIBRARIES:
        __import__(name)
    started, wrong, too_long = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        copy = make_copy(Path(directory) / "copy")
        for database in sorted({mutant.database for mutant in mutants}):
            tests = list(dict.fromkeys(test for entry in mutants if entry.database == database for test in entry.tests))
            if run_tests(copy, tests, database=database) != PASSED:
                print(last_lines(copy / "log"), "The tests must pass before a line is broken.", sep="\n")
                return 1
            print(f"{len(tests)} tests pass with the source as it is ({database})", flush=True)
        for mutant, code in try_all(mutants, copy, options.timeout):
            verdict = "SURVIVED" if code == PASSED else CAUGHT.get(code, f"NOT RUN (code {code})")
            print(f"{verdict:9} {mutant.rule}", flush=True)
            too_long += code == TIMED_OUT
            if code not in CAUGHT:
                wrong += 1
                print(last_lines(copy / "log"), flush=True)
    by_time = f" ({too_long} of them by the timeout)" if too_long else ""
    print(f"{len(mutants) - wrong} of {len(mutants)} mutants killed{by_time} in {time.monotonic() - started:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
