"""Whether faults lose anything, and how long it takes until they are over: the table of docs/explanation/faults.md.

    python -m bench.faults             measure, and print the table
    python -m bench.faults --write     also put it into the document
    python -m bench.faults --only redis

Each row is a test that injects the fault and fails when something that was answered is lost. The tests run one after
the other, with the time limits that operators have (``DEFAULT_LIMITS``); a time is what the test recorded. Some need
root: a network or a file system of their own.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/explanation/faults.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
DATABASE, HOSTILE = "tests/hostile/test_database_faults.py", "tests/hostile"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fault.

    Args:
        fault: what happens.
        users: what users notice.
        meaning: from when to when the time is; empty: there is nothing to wait for.
        tests: the tests that show it. The longest time of them counts.
    """

    fault: str
    users: str
    meaning: str
    tests: tuple[str, ...]


SCENARIOS = (
    Scenario(
        "The host of the database vanishes; the address has another host",
        "503 for requests under way; most are repeated",
        "from the fault to the first answer of the other host",
        (f"{DATABASE}::test_a_host_that_vanishes_costs_seconds_and_the_other_host_serves",),
    ),
    Scenario(
        "A host keeps its connections and answers nothing; the address has another host",
        "503 for requests under way, none for those after them",
        "from the first request to the first answer of the other host",
        (f"{DATABASE}::test_a_host_that_falls_silent_costs_one_of_the_requests_that_come_one_after_the_other",),
    ),
    Scenario(
        "PostgreSQL hangs (SIGSTOP of its processes)",
        "503 for requests under way",
        "from the fault to an answer on a new connection",
        (f"{DATABASE}::test_a_database_that_hangs_costs_its_limit",),
    ),
    Scenario(
        "The first of two hosts answers nothing when a process starts",
        "the first requests wait",
        "until the second host has answered",
        (f"{DATABASE}::test_the_second_host_is_tried_when_the_first_answers_nothing",),
    ),
    Scenario(
        "PgBouncer in transaction mode is killed and started again",
        "503 while it is unavailable",
        "from the kill until the provider is ready",
        (f"{DATABASE}::test_a_restart_of_pgbouncer_is_noticed_by_nobody",),
    ),
    Scenario(
        "PgBouncer hangs",
        "503",
        "until a request has its 503; the code of the request works afterwards",
        (f"{DATABASE}::test_pgbouncer_that_hangs_is_503_within_the_limit_and_everything_is_there_afterwards",),
    ),
    Scenario(
        "kill -9 of a backend of PostgreSQL, which restarts all",
        "503 during the recovery of PostgreSQL",
        "from the kill to the next refresh",
        (f"{HOSTILE}/test_fail_over.py::test_kill_9_of_a_database_backend_loses_nothing_that_was_answered",),
    ),
    Scenario(
        "The database is closed to connections and opened again",
        "503 meanwhile; nobody is signed out",
        "",
        (f"{HOSTILE}/test_faults.py::test_a_database_that_goes_away_and_comes_back",),
    ),
    Scenario(
        "Commits wait for a standby that is unavailable",
        "503 for what writes; reading goes on",
        "from the return of the standby until ready",
        (
            f"{HOSTILE}/test_fail_over.py"
            "::test_a_commit_that_waits_for_an_absent_standby_is_answered_in_time_and_is_not_lost",
        ),
    ),
    Scenario(
        "Fail-over to a standby that lagged: it has not received four ends",
        "sign-outs and revocations are lost for a moment, then applied again",
        "from the loss of the primary until all four are ended again",
        (f"{HOSTILE}/test_fail_over.py::test_ends_that_a_lagging_standby_has_lost_are_applied_again",),
    ),
    Scenario(
        "Redis hangs (SIGSTOP)",
        "the requests under way wait once; limits go on in the process",
        "the longest sign-in",
        (f"{HOSTILE}/test_dead_services.py::test_a_redis_that_is_stopped_costs_no_later_request_anything",),
    ),
    Scenario(
        "Redis is a replica, full, loading, or refuses scripts",
        "nothing; limits go on in the process until Redis writes again",
        "",
        (
            f"{HOSTILE}/test_dead_services.py::test_a_redis_that_refuses_to_write_is_left_alone_until_it_writes",
            f"{HOSTILE}/test_dead_services.py::test_a_redis_that_is_loading_is_left_alone",
        ),
    ),
    Scenario(
        "The mail server and 61 of 122 applications hang, 1,500 mails wait",
        "nothing: the other applications are notified",
        "the delay of the last healthy application",
        (f"{HOSTILE}/test_dead_services.py::test_what_hangs_delays_the_healthy_applications_by_less_than_two_seconds",),
    ),
    Scenario(
        "61 dead receivers and the mail server answer again",
        "nothing",
        "until 61 notices and 150 mails are delivered, each once",
        (f"{HOSTILE}/test_dead_services.py::test_dead_applications_and_a_dead_mail_server_delay_no_notice",),
    ),
    Scenario(
        "The clock of a host is one day ahead",
        "nothing: the host is not ready, and ends nothing",
        "",
        (f"{HOSTILE}/test_wrong_clock.py",),
    ),
    Scenario(
        "`SSO_SECRET_KEY` is replaced on two hosts, one after the other",
        "nothing",
        "",
        (f"{HOSTILE}/test_secret_key.py::test_the_secret_is_replaced_host_by_host",),
    ),
    Scenario(
        "`sso db upgrade` while a transaction holds a lock that a migration needs",
        "requests on that table wait for a moment, again and again",
        "the longest wait of a request",
        ("tests/db/test_migrations.py::test_a_migration_that_waits_for_a_lock_keeps_nobody_waiting",),
    ),
    Scenario(
        "`sso db upgrade` builds an index, is killed, and runs again",
        "nothing",
        "",
        ("tests/db/test_migrations.py::test_indexes_are_built_while_others_write_and_a_broken_off_upgrade_goes_on",),
    ),
    Scenario(
        "kill -9 of a server during code exchanges and refreshes",
        "connections break; each request is done or not done",
        "until the server that is started again answers",
        (
            f"{HOSTILE}/test_faults.py"
            "::test_kill_9_in_the_middle_of_exchanges_and_refreshes_leaves_each_whole_or_undone",
        ),
    ),
    Scenario(
        "kill -9 of a worker between sending and recording",
        "a notice arrives twice, after 60 s",
        "",
        ("tests/delivery/test_faults.py::test_a_worker_that_is_killed_between_sending_and_recording_loses_nothing",),
    ),
    Scenario(
        "The database is read-only",
        "503 for what writes; reading goes on; not ready",
        "",
        ("tests/db/test_database.py::test_a_read_only_database_is_said_so",),
    ),
    Scenario(
        "The disk of SQLite, or of PostgreSQL, is full",
        "503 for what writes; not ready",
        "from free space until ready",
        (
            f"{HOSTILE}/test_readiness.py::test_a_full_disk_of_sqlite",
            f"{HOSTILE}/test_readiness.py::test_a_full_disk_of_postgresql",
        ),
    ),
    Scenario(
        "A rolling upgrade stops a server under load (SIGTERM)",
        "nothing: requests are answered until the listener closes; nobody is signed out",
        "",
        (
            f"{HOSTILE}/test_readiness.py::test_sigterm_under_load",
            f"{HOSTILE}/test_faults.py::test_nobody_is_signed_out_by_a_restart_and_a_stop_is_a_success",
            "tests/db/test_migrations.py::test_an_old_schema_stops_the_start_and_a_newer_one_does_not",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of the tests of a scenario yielded. ``seconds``: the longest recorded time."""

    passed: int
    failed: int
    skipped: int
    seconds: float | None

    @property
    def shown(self) -> bool:
        """Whether every test ran and passed."""
        return self.passed > 0 and not self.failed and not self.skipped


def measure(scenarios: list[Scenario]) -> list[Result]:
    """Run the tests of scenarios, one after the other in one process, which makes the databases once."""
    tests = list(dict.fromkeys(test for scenario in scenarios for test in scenario.tests))
    with tempfile.TemporaryDirectory(prefix="sso-faults-") as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1"]
        environment = {**os.environ, "DEFAULT_LIMITS": "1", "ALL_DATABASES": "1"}
        subprocess.run([*command, f"--junitxml={report}", *tests], cwd=ROOT, env=environment, stdout=sys.stderr)
        if not report.exists():
            sys.exit("the tests did not run")
        return [read(report.read_text(), scenario) for scenario in scenarios]


def read(report: str, scenario: Scenario) -> Result:
    """Return what a JUnit report says about the tests of a scenario."""
    cases = [
        case
        for case in ElementTree.fromstring(report).iter("testcase")
        if _belongs(case.get("classname", ""), case.get("name", ""), scenario)
    ]
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    times = [
        float(entry.get("value", "0"))
        for case in cases
        for entry in case.iter("property")
        if entry.get("name") == "seconds"
    ]
    return Result(len(cases) - failed - skipped, failed, skipped, max(times, default=None))


def _belongs(module: str, name: str, scenario: Scenario) -> bool:
    """Tell whether a test of the report (``tests.hostile.test_faults``, ``test_x[sqlite]``) is one of a scenario."""
    test = module.replace(".", "/") + ".py::" + name.partition("[")[0]
    return any(test == listed or test.startswith(f"{listed}::") for listed in scenario.tests)


def row(number: int, scenario: Scenario, result: Result) -> str:
    """Return a row of the table."""
    lost = "nothing" if result.shown else "**not shown**"
    time = "–" if result.seconds is None else f"{result.seconds:.1f} s: {scenario.meaning}"
    return f"| {number} | {scenario.fault} | {lost} | {scenario.users} | {time} |"


def table(rows: list[str], scenarios: list[Scenario]) -> str:
    """Return the table with its head, and below it the tests that show each row."""
    head = "| | fault | lost of what was answered | what users notice | time |\n| --- | --- | --- | --- | --- |"
    tests = [
        f"{number}. " + "; ".join(_linked(test) for test in scenario.tests)
        for number, scenario in enumerate(scenarios, 1)
    ]
    return "\n".join((head, *rows, "", "Shown by:", "", *tests))


def _linked(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{file.removeprefix('tests/')}](../../{file})" + (f": `{name}`" if name else "")


def main() -> None:
    """Measure every scenario and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/explanation/faults.md")
    parser.add_argument("--only", default="", help="scenarios whose text contains this word")
    options = parser.parse_args()
    chosen = [scenario for scenario in SCENARIOS if options.only.lower() in scenario.fault.lower()]
    results, load = measure(chosen), os.getloadavg()[2]
    rows = [row(number, *both) for number, both in enumerate(zip(chosen, results, strict=True), 1)]
    missing = sum(not result.shown for result in results)
    print(table(rows, chosen))
    if options.write:
        machine = f"Measured on {platform.system()} with {os.cpu_count()} cores, whose load was {load:.0f}."
        text = DOCUMENT.read_text()
        section = f"{BEGIN}\n{machine}\n\n{table(rows, chosen)}\n{END}"
        DOCUMENT.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: section, text, flags=re.DOTALL))
    sys.exit(f"{missing} scenarios are not shown" if missing else 0)


if __name__ == "__main__":
    main()
