"""The metrics in the form of Prometheus. Imported only where metrics are on.

Requests and events are counted in plain dictionaries (``counters.py``) and added here every second, so that a request
costs no call of the client library. Every label has a closed set of values: what is unknown counts as ``other``, so
that nobody can make up time series.

With several processes each writes its values to files in ``PROMETHEUS_MULTIPROC_DIR``, which has to be set before this
module is imported; any process answers for all of them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from sso import __version__
from sso.platform.metrics.counters import BOUNDS, Durations, Tallies
from sso.platform.metrics.labels import (
    CHANNELS,
    ERRORS,
    FLOWS,
    MESSAGES,
    SIGN_IN_FAILURES,
    Known,
    flow_of,
    outcome_of,
)

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
OTHER = "other"
REGISTRY = CollectorRegistry()

REQUESTS = Histogram(
    "sso_request_duration_seconds", "Requests by flow and outcome.", ["flow", "outcome"], buckets=BOUNDS,
    registry=REGISTRY,
)  # fmt: skip
DELIVERIES = Histogram(
    "sso_delivery_duration_seconds", "Attempts to send a delivery by kind and outcome.", ["kind", "outcome"],
    buckets=BOUNDS, registry=REGISTRY,
)  # fmt: skip
SIGN_INS = Counter("sso_sign_ins", "Sign-ins by outcome; a failure by what was wrong.", ["outcome"], registry=REGISTRY)
TOKENS = Counter("sso_tokens_issued", "Answers of the token endpoint with a token.", ["grant_type"], registry=REGISTRY)
TOKEN_ERRORS = Counter("sso_token_errors", "Refusals of the token endpoint.", ["error"], registry=REGISTRY)
AUTHORIZATION_ERRORS = Counter(
    "sso_authorization_errors", "Refused authorization requests.", ["error"], registry=REGISTRY
)
ACCOUNTS = Counter("sso_accounts_created", "Accounts that people created.", registry=REGISTRY)

PHONE_MESSAGES = Counter(
    "sso_messages", "Messages to phone numbers by channel and outcome.", ["channel", "outcome"], registry=REGISTRY
)


def _gauge(name: str, text: str, labels: tuple[str, ...] = (), mode: str = "livemostrecent") -> Gauge:
    return Gauge(name, text, labels, registry=REGISTRY, multiprocess_mode=mode)  # type: ignore[arg-type]


HASHES = _gauge("sso_password_hashes", "Password hashes that run or wait.", ("state",), "livesum")
CONNECTIONS = _gauge("sso_database_connections", "Database connections in use, and the maximum.", ("state",), "livesum")
PLACES = _gauge("sso_worker_deliveries", "Deliveries under way: at a place, or slow.", ("state",), "livesum")
BREAKERS = _gauge("sso_breakers_open", "Receivers whose breaker is open, by kind.", ("kind",), "livemax")
LOOP_LAG = _gauge("sso_event_loop_lag_seconds", "Delay of a timer of the event loop.", (), "livemax")
CLOCK = _gauge("sso_clock_difference_seconds", "Difference of the clocks of host and database.", (), "livemax")
NOT_READY = _gauge("sso_not_ready", "How many reasons a process has not to be ready.", (), "livemax")
DATABASE_UP = _gauge("sso_database_up", "Whether the database answered the last queries.")
GATHERED = _gauge("sso_gathered_timestamp_seconds", "When the values below were last read from the database.")
PENDING = _gauge("sso_outbox_pending", "Deliveries that wait, by kind.", ("kind",))
OLDEST = _gauge("sso_outbox_oldest_due_seconds", "For how long the oldest delivery has been due, by kind.", ("kind",))
JOB_FINISHED = _gauge("sso_job_finished_timestamp_seconds", "When a job finished.", ("job_name",))
JOB_SECONDS = _gauge("sso_job_duration_seconds", "How long the last run of a job took.", ("job_name",))
JOB_FAILED = _gauge("sso_job_failed", "Whether the last run of a job failed.", ("job_name",))
KEY_AGE = _gauge("sso_signing_key_age_seconds", "Age of the active signing key.", ("alg",))
STANDBYS = _gauge("sso_replication_standbys", "Standbys of the database.")
LAG_SECONDS = _gauge("sso_replication_lag_seconds", "Lag of the slowest standby.")
LAG_BYTES = _gauge("sso_replication_lag_bytes", "Lag of the slowest standby.")
COMMITS_WAIT = _gauge("sso_replication_commits_wait", "Whether each commit waits for a standby.")
BUDGET = _gauge("sso_message_budget_used_ratio", "Used part of the fullest daily budget, by channel.", ("channel",))
CHECKLIST = _gauge("sso_checklist_state", "Checklist of the installation: 0 good, 1 warning, 2 bad.", ("check",))
BUILD = _gauge("sso_build_info", "The version of the provider.", ("version",))


def prepare(known: Known) -> None:
    """Make the series of every combination of labels that alerts compare with, so that they exist before the first
    event."""
    BUILD.labels(__version__).set(1)
    for flow in FLOWS:
        REQUESTS.labels(flow, "ok")
    for kind in known.kinds:
        for outcome in ("done", "given_up"):
            DELIVERIES.labels(kind, outcome)
        BREAKERS.labels(kind).set(0)
    BREAKERS.labels("rate_limits").set(0)
    for name in known.grant_types:
        TOKENS.labels(name)
    for error in ERRORS:
        TOKEN_ERRORS.labels(error)
        AUTHORIZATION_ERRORS.labels(error)
    for outcome in ("ok", *SIGN_IN_FAILURES):
        SIGN_INS.labels(outcome)
    for label in MESSAGES:
        PHONE_MESSAGES.labels(*label.split(":"))
    for channel in CHANNELS:
        BUDGET.labels(channel).set(0)


def add(tallies: Tallies, known: Known) -> None:
    """Add what a process has counted."""
    for (path, status), durations in tallies.requests.items():
        _add_durations(REQUESTS.labels(flow_of(path), outcome_of(status)), durations)
    for (kind, outcome), durations in tallies.deliveries.items():
        _add_durations(DELIVERIES.labels(_known(kind, known.kinds), outcome), durations)
    for (name, label), times in tallies.events.items():
        match name:
            case "sign_in":
                SIGN_INS.labels("ok").inc(times)
            case "sign_in_failed":
                SIGN_INS.labels(_known(label, SIGN_IN_FAILURES)).inc(times)
            case "token":
                TOKENS.labels(_known(label, known.grant_types)).inc(times)
            case "token_error":
                TOKEN_ERRORS.labels(_known(label, ERRORS)).inc(times)
            case "authorize_error":
                AUTHORIZATION_ERRORS.labels(_known(label, ERRORS)).inc(times)
            case _:
                _count_other(name, label, times)


def _count_other(name: str, label: str, times: int) -> None:
    if name == "account_made":
        ACCOUNTS.inc(times)
    elif name == "message" and label in MESSAGES:
        PHONE_MESSAGES.labels(*label.split(":")).inc(times)


def set_each(gauge: Gauge, values: Mapping[str, float], known: frozenset[str]) -> None:
    """Set a gauge for each of the ``known`` values of its label; those that ``values`` does not name become 0."""
    for label in known:
        gauge.labels(label).set(values.get(label, 0))


def _known(label: str, known: frozenset[str]) -> str:
    return label if label in known else OTHER


def _add_durations(histogram: Histogram, durations: Durations) -> None:
    # The library observes one value at a time; its own counters are the parts that observe() would increment.
    for bucket, times in zip(histogram._buckets, durations.parts, strict=True):
        if times:
            bucket.inc(times)
    histogram._sum.inc(durations.total)


def exposed() -> CollectorRegistry:
    """Return the registry with the values of every process of this host's server."""
    directory = os.environ.get(DIRECTORY)
    if not directory:
        return REGISTRY
    _delete_dead(Path(directory))
    registry = CollectorRegistry()
    _AllProcesses(registry, directory)
    return registry


class _AllProcesses(MultiProcessCollector):
    """Reads the files of every process."""

    def __init__(self, registry: CollectorRegistry, directory: str) -> None:
        self.directory = Path(directory)
        super().__init__(registry, directory)  # type: ignore[no-untyped-call]

    def collect(self):  # type: ignore[no-untyped-def]
        """Return every metric. A process that starts makes each file empty and fills it at once; an empty file holds
        nothing, also where the process was killed in between."""
        return self.merge([str(file) for file in self.directory.glob("*.db") if _size(file)])  # type: ignore[no-untyped-call]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # another process has deleted it since
        return 0


def text() -> bytes:
    """Return the metrics in the text format of Prometheus, version 0.0.4."""
    return generate_latest(exposed())


class Everything:
    """A registry that asks :func:`exposed` each time, for the HTTP server of the client library."""

    def restricted_registry(self, names: list[str]) -> CollectorRegistry:
        """Return some of the metrics: all of them, because nothing here asks for fewer."""
        return exposed()

    def collect(self):  # type: ignore[no-untyped-def]
        """Return every metric."""
        return exposed().collect()


def _delete_dead(directory: Path) -> None:
    """Remove the gauges of processes that have ended. Another process may do the same at this moment."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with contextlib.suppress(FileNotFoundError):
                mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]
        except PermissionError:
            continue
