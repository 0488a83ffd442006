"""Runs the tests in several processes: ``pytest --workers=6``.

Each worker is a copy (``fork``) of one process that has imported the program and collected the tests, so that this is
done once (docs/decisions/0095). A worker asks for its next unit of work when it begins the last test that it has: a
single test, or a group of tests (``@pytest.mark.group``) that use the same servers. Where a worker dies, the test that
it ran has failed, and another worker takes its place. While programs are installed (``make test``), workers get only
tests that need none of them (docs/decisions/0097).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import signal
import threading
import traceback
from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NoReturn

import pytest
from tests.installation import Installation, InstallationFailed, may_begin

LONGEST_FIRST = (
    "interop-postgresql", "portal", "demo", "schemathesis", "end-everywhere", "protocol", "database-faults", "site",
    "prometheus", "fail-over",
)  # fmt: skip
"""The groups that take longest, by measurement: they begin first, so that none is left at the end."""
NAME = "PYTEST_WORKER"
"""The variable of the environment that holds the name of a worker."""
LOOK_SECONDS = 0.25
"""How often the end of the installation is looked for while no worker says anything."""
Reports = list[dict[str, Any]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--workers``."""
    parser.addoption("--workers", type=int, default=1, metavar="N", help="run the tests in N processes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in workers, if there is more than one."""
    count, installation = session.config.getoption("workers"), Installation.of_this_run()
    if count < 2 and installation is not None:
        _wait_for(installation)
    if count < 2 or session.config.option.collectonly or (session.testsfailed and not session.items):
        return None
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        return None  # pytest itself says so
    Run(session, count, installation).run()
    return True


def _wait_for(installation: Installation) -> None:
    """Wait for the programs of the system, and end the run where they cannot be had."""
    try:
        installation.wait()
    except InstallationFailed as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)


def group_of(item: pytest.Item) -> str | None:
    """Return the group of a test, or none."""
    mark = item.get_closest_marker("group")
    return None if mark is None else str(mark.args[0])


def group_by_database(items: Iterable[pytest.Item]) -> None:
    """Make a group of the tests of relying parties for each database, because each database has a server of its own."""
    for item in items:
        if item.get_closest_marker("interop") is not None:
            parameters = getattr(getattr(item, "callspec", None), "params", {})
            item.add_marker(pytest.mark.group(f"interop-{parameters.get('server', 'sqlite')}"))


class Units:
    """What is left to do: groups, of which the longest come first, and single tests. Each unit is a list of indexes.

    The groups drive browsers, servers and relying parties: they wait half of their time, and the longest take minutes.
    """

    def __init__(self, groups: Sequence[str | None], early: Container[int] | None = None) -> None:
        """``groups``: the group of each test, or none. ``early``: the single tests that may run at once, if the others
        wait for :meth:`let_all_begin`."""
        named: dict[str, list[int]] = {}
        self._single: deque[list[int]] = deque()
        self._late: list[list[int]] = []
        for index, name in enumerate(groups):
            if name is not None:
                named.setdefault(name, []).append(index)
            elif early is None or index in early:
                self._single.append([index])
            else:
                self._late.append([index])
        self._groups: deque[list[int]] = deque()
        self._late_groups = [named[name] for name in sorted(named, key=_place)]
        if early is None:
            self.let_all_begin()

    def let_all_begin(self) -> None:
        """Give out every test from now on, in the order in which they were collected."""
        self._single = deque(sorted([*self._single, *self._late]))
        self._groups.extend(self._late_groups)
        self._late, self._late_groups = [], []

    @property
    def some_wait(self) -> bool:
        """Whether there are tests that may not begin yet."""
        return bool(self._late or self._late_groups)

    def next(self, *, group: bool) -> list[int] | None:
        """Return the next unit, or none at the end, and where the others may not begin yet.

        Args:
            group: whether a group comes first, or a single test.
        """
        first, second = (self._groups, self._single) if group else (self._single, self._groups)
        return first.popleft() if first else second.popleft() if second else None

    def put_back(self, unit: list[int]) -> None:
        """Do this unit later: its worker died."""
        self._groups.appendleft(unit)


def _place(group: str) -> int:
    return LONGEST_FIRST.index(group) if group in LONGEST_FIRST else len(LONGEST_FIRST)


@dataclass(eq=False)
class Worker:
    """A process that runs tests.

    ``takes_groups``: it begins with groups. ``given``: the tests that it has not reported yet. ``last``: the one that
    it reported last. ``broken``: the error outside of a test that ended it.
    """

    name: str
    takes_groups: bool
    process_id: int
    connection: Connection
    given: list[int] = field(default_factory=list)
    last: int | None = None
    broken: str = ""


class Run:
    """One run of all tests, seen from the process that starts the workers."""

    def __init__(self, session: pytest.Session, count: int, installation: Installation | None) -> None:
        self._session, self._config, self._count = session, session.config, count
        self._installation = installation
        early = None if installation is None else {n for n, item in enumerate(session.items) if may_begin(item)}
        self._units = Units([group_of(item) for item in session.items], early)
        self._workers: list[Worker] = []
        self._idle: list[Worker] = []

    def run(self) -> None:
        """Run the tests.

        Raises:
            Session.Failed: as many tests have failed as `--maxfail` says.
            Session.Interrupted: a test asked for the end of the run.
            pytest.exit.Exception: the installation of programs has failed.
        """
        self._config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # one for all workers
        assert threading.active_count() == 1, "a copy of this process would lack its other threads"
        try:
            for number in range(self._count):
                self._start(f"worker-{number}", takes_groups=number < self._count // 2)
            while self._workers:
                self._look_at_installation()
                connections = [worker.connection for worker in self._workers]
                for connection in wait(connections, LOOK_SECONDS if self._installation else None):
                    self._hear(next(worker for worker in self._workers if worker.connection is connection))
                if self._session.shouldfail:
                    raise self._session.Failed(self._session.shouldfail)
                if self._session.shouldstop:
                    raise self._session.Interrupted(self._session.shouldstop)
        finally:
            for worker in self._workers:
                os.kill(worker.process_id, signal.SIGTERM)
            while self._workers:
                self._end(self._workers[0])

    def _look_at_installation(self) -> None:
        """Let all tests begin when the installation has ended well."""
        if self._installation is None or not self._installation.has_ended():
            return
        _wait_for(self._installation)
        self._installation = None
        self._units.let_all_begin()
        idle, self._idle = self._idle, []
        for worker in idle:
            self._give(worker)

    def _start(self, name: str, *, takes_groups: bool) -> None:
        ours, theirs = Pipe()
        process_id = os.fork()
        if process_id == 0:
            ours.close()
            for worker in self._workers:  # or they would not hear that this process ends
                worker.connection.close()
            work(self._session, name, theirs, self._installation)
        theirs.close()
        self._workers.append(Worker(name, takes_groups, process_id, ours))

    def _end(self, worker: Worker) -> int:
        """Wait for the end of a worker, and return its exit code, or the number of its signal as a negative number."""
        self._workers.remove(worker)
        self._idle = [other for other in self._idle if other is not worker]
        worker.connection.close()
        return os.waitstatus_to_exitcode(os.waitpid(worker.process_id, 0)[1])

    def _hear(self, worker: Worker) -> None:
        try:
            kind, content = worker.connection.recv()
            if kind == "asks":
                self._give(worker)
        except (EOFError, ConnectionError):
            self._mourn(worker)
            return
        if kind == "ran":
            index, reports = content
            worker.given.remove(index)
            worker.last = index
            self._report(index, [self._read(report) for report in reports])
        elif kind == "broken":
            worker.broken = content
        elif kind == "warned":
            self._config.hook.pytest_warning_recorded.call_historic(kwargs=content)

    def _give(self, worker: Worker) -> None:
        """Give a worker its next unit, or nothing at the end. It waits where the tests that are left may not begin."""
        unit = self._units.next(group=worker.takes_groups)
        if unit is None and self._units.some_wait:
            self._idle.append(worker)
            return
        worker.given += unit or []
        with contextlib.suppress(ConnectionError):  # it has ended, and is heard of
            worker.connection.send(unit)

    def _read(self, report: dict[str, Any]) -> pytest.TestReport:
        read: pytest.TestReport = self._config.hook.pytest_report_from_serializable(config=self._config, data=report)
        return read

    def _report(self, index: int, reports: Iterable[pytest.TestReport]) -> None:
        item = self._session.items[index]
        for report in reports:
            self._config.hook.pytest_runtest_logreport(report=report)
        self._config.hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _mourn(self, worker: Worker) -> None:
        """Deal with a worker that has ended. If it did not end well, the test that it ran has failed: the first that it
        has not reported, or the last one."""
        code = self._end(worker)
        if code == 0:
            return
        if not worker.given and worker.last is None:
            raise RuntimeError(f"{worker.name} could not begin: {worker.broken}")
        ran, *left = worker.given or [worker.last or 0]
        item, message = self._session.items[ran], f"{worker.name} ended with code {code} in this test. {worker.broken}"
        self._report(ran, [pytest.TestReport(item.nodeid, item.location, {}, "failed", message, "call")])
        if left:
            self._units.put_back(left)
        self._start(f"{worker.name}+", takes_groups=worker.takes_groups)


class Reporter:
    """Keeps what a test reports in a worker, instead of printing it."""

    def __init__(self, config: pytest.Config, connection: Connection) -> None:
        self._config, self._connection = config, connection
        self.reports: Reports = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self.reports.append(data)

    def pytest_warning_recorded(self, warning_message: Any, when: str, nodeid: str, location: Any) -> None:
        warned = {"warning_message": warning_message, "when": when, "nodeid": nodeid, "location": location}
        self._connection.send(("warned", warned))

    def take(self) -> Reports:
        """Return what was reported since the last time."""
        reports, self.reports = self.reports, []
        return reports


def work(session: pytest.Session, name: str, connection: Connection, installation: Installation | None) -> NoReturn:
    """Run in a copy of the process what the first process says, and end the process."""
    code = 1
    try:
        if installation is not None:
            installation.make_programs_wait()
        reporter = _become_a_worker(session, name, connection)
        _run_tests(session, connection, reporter)
        session.config._ensure_unconfigure()  # also collects what was left open
        code = 0
    except BaseException:  # nothing may return into the run of the first process
        connection.send(("broken", traceback.format_exc()))
    finally:
        _leave(session, code)


def _become_a_worker(session: pytest.Session, name: str, connection: Connection) -> Reporter:
    config = session.config
    os.environ[NAME] = name
    atexit._clear()  # what the first process does at its end
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    random.seed()
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    factory: Any = config._tmp_path_factory  # type: ignore[attr-defined]
    factory._basetemp = factory.getbasetemp() / name
    factory._basetemp.mkdir()
    config.pluginmanager.unregister(name="terminalreporter")
    reporter = Reporter(config, connection)
    config.pluginmanager.register(reporter)
    return reporter


def _run_tests(session: pytest.Session, connection: Connection, reporter: Reporter) -> None:
    def received_indexes() -> Iterator[int]:
        while True:
            connection.send(("asks", None))
            unit = connection.recv()
            if unit is None:
                return
            yield from unit

    indexes = received_indexes()
    index = next(indexes, None)
    while index is not None:
        following = next(indexes, None)
        session.config.hook.pytest_runtest_protocol(
            item=session.items[index], nextitem=None if following is None else session.items[following]
        )
        connection.send(("ran", (index, reporter.take())))
        index = following


def _leave(session: pytest.Session, code: int) -> NoReturn:
    """End the fixtures that are left after an interruption, and the process."""
    for number in (signal.SIGINT, signal.SIGTERM):  # who interrupts from the keyboard interrupts every process
        signal.signal(number, signal.SIG_IGN)
    try:
        session._setupstate.teardown_exact(None)
        atexit._run_exitfuncs()  # such as stopping a database server
    finally:
        os._exit(code)
