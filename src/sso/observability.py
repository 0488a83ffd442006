"""What the metrics show, gathered from the services of a process and from the database.

Each process adds what it counted and sets the values of its own every second. The values that stand in the database are
the same for every process: one process of each host reads them, every ten seconds.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, get_args

from sqlalchemy import select
from sqlalchemy.pool import QueuePool

from sso import clock
from sso.clients.metadata.types import GrantType
from sso.jobs import JOBS
from sso.platform.db import DatabaseUnavailable, job_runs
from sso.platform.db.replication import read_replication
from sso.platform.keys.models import SigningKey
from sso.platform.metrics import labels
from sso.platform.metrics.counters import Tallies
from sso.platform.outbox import store as deliveries
from sso.platform.outbox.models import DeliveryKind
from sso.platform.security.message_limits import MessageBudgets
from sso.platform.security.rate_limits import Counts, DatabaseStorage
from sso.settings import Settings
from sso.setup.examination import readiness
from sso.setup.findings import State

if TYPE_CHECKING:
    from sso.identity.authn.passwords import Passwords
    from sso.oidc.provider import Provider
    from sso.platform.outbox import Worker
    from sso.platform.security.breaker import Breaker
    from sso.platform.traces import Traces

log = logging.getLogger(__name__)

OWN_SECONDS = 1.0
GATHER_SECONDS = 10.0
CHECKLIST_SECONDS = 300.0
"""How often the checklist is worked through: it takes some short statements, and changes slowly."""
LOCK_FILE = "gathering.lock"
CHECKLIST_VALUES: dict[State, int] = {"good": 0, "warning": 1, "bad": 2}
KNOWN = labels.Known(frozenset(DeliveryKind), frozenset(get_args(GrantType)))
"""The values of labels that the outbox and the registry define."""
JOB_NAMES = frozenset(job.name for job in JOBS) | {job_runs.JOBS}


class Observer:
    """Keeps the metrics of one process.

    Args:
        provider: the provider.
        worker: sends deliveries.
        passwords: the queue of password hashes; None in a process without one.
        storage: the breaker of the storage of rate limits; None in a process without one.
    """

    def __init__(
        self, provider: Provider, worker: Worker, passwords: Passwords | None = None, storage: Breaker | None = None
    ) -> None:
        from sso.platform.metrics import prometheus  # only where metrics are on

        self._metrics = prometheus
        self._provider, self._worker, self._passwords, self._storage = provider, worker, passwords, storage
        self._budgets = MessageBudgets(provider.settings, Counts(DatabaseStorage(provider.db)))
        self._lock: IO[bytes] | None = None
        self._next_checklist = 0.0
        provider.usage.tallies = Tallies()
        prometheus.prepare(KNOWN)

    def text(self) -> bytes:
        """Return the metrics of this host's server in the text format of Prometheus."""
        return self._metrics.text()

    async def keep(self, stop: asyncio.Event) -> None:
        """Keep the metrics up to date until ``stop``."""
        next_gathering, due, stopped = 0.0, time.monotonic(), False
        while True:
            try:
                self.show_own(max(0.0, time.monotonic() - due))
                if not stopped and time.monotonic() >= next_gathering and self._gathers():
                    next_gathering = time.monotonic() + GATHER_SECONDS
                    await self.gather()
            except Exception:  # such as a full disk under the files that processes share: the process goes on
                log.exception("cannot keep the metrics")
            if stopped:
                return
            due = time.monotonic() + OWN_SECONDS
            stopped = await clock.pause(stop, OWN_SECONDS)

    def show_own(self, lag: float) -> None:
        """Add what was counted, and set the values that are this process's own.

        Args:
            lag: by how many seconds the last timer of the event loop was late.
        """
        metrics, places = self._metrics, self._worker.places
        metrics.add(self._provider.usage.take_tallies(), KNOWN)
        metrics.LOOP_LAG.set(lag)
        metrics.CLOCK.set(abs(clock.difference() or 0.0))
        metrics.NOT_READY.set(len(self._provider.health.reasons()))
        metrics.PLACES.labels("at_a_place").set(places.used)
        metrics.PLACES.labels("slow").set(places.slow)
        metrics.set_each(metrics.BREAKERS, places.open_breakers(), KNOWN.kinds)
        if self._storage is not None:
            metrics.BREAKERS.labels("rate_limits").set(int(self._storage.is_open))
        if self._passwords is not None:
            metrics.HASHES.labels("running").set(self._passwords.queue.running)
            metrics.HASHES.labels("waiting").set(self._passwords.queue.waiting)
        pools = [engine.sync_engine.pool for engine in self._provider.db.engines]
        queues = [pool for pool in pools if isinstance(pool, QueuePool)]
        metrics.CONNECTIONS.labels("in_use").set(sum(pool.checkedout() for pool in queues))
        metrics.CONNECTIONS.labels("max").set(sum(pool.size() for pool in queues))

    def _gathers(self) -> bool:
        """Tell whether this process reads the database for the metrics of its host: the first that asks does, until it
        ends."""
        directory = os.environ.get(self._metrics.DIRECTORY)
        if not directory or self._lock is not None:
            return True
        file = (Path(directory) / LOCK_FILE).open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._lock = file
        return True

    async def gather(self) -> None:
        """Read the values that stand in the database."""
        try:
            await self._gather_outbox()
            await self._gather_jobs_and_keys()
            await self._gather_replication()
            await self._gather_checklist()
        except DatabaseUnavailable as error:
            self._metrics.DATABASE_UP.set(0)
            log.warning("cannot read the database for the metrics: %s", error)
        except Exception:
            log.exception("cannot gather the metrics")
        else:
            self._metrics.DATABASE_UP.set(1)
            self._metrics.GATHERED.set(clock.now().timestamp())

    async def _gather_outbox(self) -> None:
        async with self._provider.db.read() as session:
            waiting = await deliveries.waiting(session)
        now = clock.now()
        counts = {kind: float(count) for kind, (count, _) in waiting.items()}
        ages = {kind: max(0.0, (now - due).total_seconds()) for kind, (_, due) in waiting.items()}
        self._metrics.set_each(self._metrics.PENDING, counts, KNOWN.kinds)
        self._metrics.set_each(self._metrics.OLDEST, ages, KNOWN.kinds)
        uses = await self._budgets.uses()
        for channel in labels.CHANNELS:
            used = [use.used / use.budget.maximum for use in uses if use.budget.channel == channel]
            self._metrics.BUDGET.labels(channel).set(max(used, default=0.0))

    async def _gather_jobs_and_keys(self) -> None:
        async with self._provider.db.read() as session:
            runs = await job_runs.runs(session)
            active = select(SigningKey.alg, SigningKey.activated_at, SigningKey.created_at)
            keys = (await session.execute(active.where(SigningKey.status == "active"))).all()
        for run in runs:
            if run.name in JOB_NAMES and run.finished_at is not None:
                self._metrics.JOB_FINISHED.labels(run.name).set(run.finished_at.timestamp())
                self._metrics.JOB_SECONDS.labels(run.name).set((run.milliseconds or 0) / 1000)
                self._metrics.JOB_FAILED.labels(run.name).set(int(run.error is not None))
        now = clock.now()
        for alg, activated_at, created_at in keys:
            self._metrics.KEY_AGE.labels(alg).set((now - (activated_at or created_at)).total_seconds())

    async def _gather_replication(self) -> None:
        """Read how far the standbys lag, and whether commits wait for one."""
        replication = await read_replication(self._provider.db)
        if replication is None:
            return
        self._metrics.STANDBYS.set(len(replication.standbys))
        self._metrics.COMMITS_WAIT.set(int(replication.commits_wait))
        self._metrics.LAG_SECONDS.set(replication.lag_seconds or 0.0)
        self._metrics.LAG_BYTES.set(replication.lag_bytes or 0)

    async def _gather_checklist(self) -> None:
        """Work through the checklist of the dashboard, every five minutes."""
        if time.monotonic() < self._next_checklist:
            return
        self._next_checklist = time.monotonic() + CHECKLIST_SECONDS
        for finding in await readiness(self._provider):
            self._metrics.CHECKLIST.labels(finding.about).set(CHECKLIST_VALUES[finding.state])


def observer_of(
    settings: Settings,
    provider: Provider,
    worker: Worker,
    passwords: Passwords | None = None,
    storage: Breaker | None = None,
) -> Observer | None:
    """Return what keeps the metrics, or None where they are off."""
    return Observer(provider, worker, passwords, storage) if settings.metrics else None


def traces_of(provider: Provider) -> Traces | None:
    """Return the traces of a process, which follow its database and its requests to applications from now on; None
    where they are off."""
    if not provider.settings.otlp_endpoint:
        return None
    from sso.platform.traces import Traces, add_parent

    traces = Traces(provider.settings)
    traces.watch_database(provider.db)
    provider.outbound.on_request(add_parent)
    return traces
