"""Jobs: end expired sessions, run bulk revocations, append audit events to the chain, rotate keys, delete what is over.

One process at a time runs :data:`JOBS`, every five minutes, while it holds the lease (``sso.platform.db.job_runs``).
Each job works in batches. Each batch is a short transaction that begins at an index, so that a job takes as long as
there is work to do, however large the tables are (docs/decisions/0051, ``python -m bench.jobs``).
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts import access_changes, access_reviews
from sso.accounts.attributes import delete_old_values
from sso.accounts.deletion import delete_if_due
from sso.accounts.employees import follow_employment
from sso.accounts.left_units import end_roles_of_left, have_looked, next_look
from sso.accounts.services import AccountActions
from sso.clients import store as clients
from sso.clients.dynamic_registration import delete_expired_invitations
from sso.clients.models import SANDBOX_END, ClientSecret
from sso.errors import Refusal
from sso.gate import store as gate
from sso.identity.authn import pending_flows
from sso.identity.authn import recovery_requests as recovery
from sso.identity.employees import store as employees
from sso.identity.notifications import link_token, notify
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.identity.users import store as users
from sso.identity.users import user_invitations
from sso.identity.users.models import User
from sso.logout import bulk as mass_ending
from sso.logout.end_sessions import end_sessions
from sso.oidc.authorize.pushed import delete_expired_pushed_requests
from sso.oidc.authorize.stored import delete_expired_requests
from sso.oidc.device.service import delete_expired_device_codes
from sso.oidc.services import HasIdle
from sso.oidc.store import cleanup
from sso.platform import audit
from sso.platform.actor import SYSTEM
from sso.platform.db import Database, DatabaseUnavailable, TransactionConflict, ends, job_runs
from sso.platform.db.database_clock import DatabaseClock
from sso.platform.keys import rotate_when_due
from sso.platform.metrics import request_log
from sso.platform.metrics import store as usage
from sso.platform.metrics.counters import RECENT, five_minutes
from sso.platform.outbox import store as deliveries
from sso.platform.security import idempotency, replay
from sso.platform.security import rate_limits as limits
from sso.portal import teams
from sso.portal.audit_chain import chain_audit_events
from sso.portal.diagnosis import ENDS_SOON_DAYS
from sso.portal.first_sign_in import record_first_sign_ins
from sso.portal.webhooks.service import delete_of_retired
from sso.setup import store as setup

log = logging.getLogger(__name__)

CHAIN_SECONDS = 5.0
LOOK_SECONDS = 30.0
"""How often a process looks whether the jobs are due: they were run by nobody, or by a process that died."""
EVERY = timedelta(minutes=5)
LEASE = job_runs.JOBS
EXTEND_SECONDS = 20.0
BATCH = 500
PART = 100
"""How many sessions end in one transaction: each has applications to tell."""
SKEW = timedelta(minutes=1)
"""How much the clocks of two hosts may differ. Used refresh tokens are kept so much longer than their grace."""
KEEP_COUNTS = timedelta(days=400)
KEEP_RECENT = timedelta(hours=3)
KEEP_MISTAKES = timedelta(days=14)
KEEP_DEVICES = timedelta(days=1)
"""How long expired device codes are kept, so that the device learns that its code expired, not that it is unknown."""
NOTHING = timedelta(0)


class ClockIsWrong(Refusal):
    """The clock of this host differs too much from the clock of the database: nothing is ended or deleted by time."""


class LeaseLost(Exception):
    """Another process runs the jobs now: this one was too slow to extend its lease."""


class RowsFailed(Exception):
    """The work of a job failed for some rows. It was done for the others.

    Args:
        done: how many were done.
        failures: why it failed, for each of the others.
    """

    def __init__(self, done: int, failures: Sequence[Exception]) -> None:
        super().__init__(f"{len(failures)} of {done + len(failures)} failed, the first with {failures[0]!r}")
        self.done = done


class JobServices(AccountActions, HasIdle, Protocol):
    """What the jobs need."""

    @property
    def process_id(self) -> uuid.UUID:
        """The id of this process among those that share the database."""

    @property
    def clock(self) -> DatabaseClock:
        """The clock of the database."""


@dataclass
class Run:
    """One run of the jobs by this process.

    Attributes:
        provider: the services of the process.
        stop: ends the run after the current batch.
        leased: whether this process holds the lease and extends it.
    """

    provider: JobServices
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    leased: bool = False
    _extended: float = field(default_factory=time.monotonic)

    async def batches(self, work: Callable[[AsyncSession], Awaitable[int]], size: int | None = None) -> int:
        """Call ``work`` in one transaction after another, until it finds less than a batch of ``size`` (by default
        :data:`BATCH`); return how many rows it found."""
        total = 0
        while True:
            check_clock()
            async with self.provider.db.write() as session:
                count = await work(session)
            total += count
            if count < (size or BATCH) or self.stop.is_set():
                return total
            await self.keep()

    async def each(
        self,
        find: Callable[[AsyncSession, uuid.UUID | None], Awaitable[Sequence[uuid.UUID]]],
        work: Callable[[AsyncSession, uuid.UUID], Awaitable[bool]],
    ) -> int:
        """Call ``work`` with each id, in a transaction of its own; return how many were done. Where it fails for one,
        the others are done all the same.

        Args:
            find: returns the next ids in their order, after the one that is given.
            work: does what is to be done with one, or a part of it; tells whether there is more to do.

        Raises:
            RowsFailed: when some failed. The next run tries them again.
            DatabaseUnavailable: when there is no database now.
        """
        done, last, failures = 0, None, list[Exception]()
        while not self.stop.is_set():
            async with self.provider.db.read() as session:
                ids = await find(session, last)
            if not ids:
                break
            count, failed = await self.alone(ids, work)
            done, last, failures = done + count, ids[-1], [*failures, *failed.values()]
        return self.result(done, failures)

    async def alone(
        self, ids: Sequence[uuid.UUID], work: Callable[[AsyncSession, uuid.UUID], Awaitable[bool]]
    ) -> tuple[int, dict[uuid.UUID, Exception]]:
        """Call ``work`` with each id, in a transaction of its own, until the run is to stop; return how many were done,
        and why it failed, for those for which it did."""
        done, failed = 0, dict[uuid.UUID, Exception]()
        for row_id in ids:
            if self.stop.is_set():
                break
            error = await self._one_row(row_id, work)
            if error is None:
                done += 1
            else:
                failed[row_id] = error
        return done, failed

    @staticmethod
    def result(done: int, failures: Sequence[Exception]) -> int:
        """Return how many rows were done.

        Raises:
            RowsFailed: when some failed.
        """
        if failures:
            raise RowsFailed(done, failures)
        return done

    async def _one_row(
        self, row_id: uuid.UUID, work: Callable[[AsyncSession, uuid.UUID], Awaitable[bool]]
    ) -> Exception | None:
        more = True
        try:
            while more and not self.stop.is_set():
                check_clock()
                async with self.provider.db.write() as session:
                    more = await work(session, row_id)
                await self.keep()
        except (LeaseLost, ClockIsWrong):
            raise
        except DatabaseUnavailable as unavailable:  # also a conflict, and a statement that takes too long
            await _check_database(self.provider.db)
            log.warning("row %s: %s", row_id, unavailable)
            return unavailable
        except Exception as failure:
            log.exception("row %s failed; the next run tries it again", row_id)
            return failure
        return None

    async def keep(self) -> None:
        """Extend the lease where it is time to.

        Raises:
            LeaseLost: when another process has taken it.
        """
        if not self.leased or time.monotonic() - self._extended < EXTEND_SECONDS:
            return
        async with self.provider.db.write() as session:
            if not await job_runs.extend_lease(session, LEASE, self.provider.process_id, clock.now()):
                raise LeaseLost
        self._extended = time.monotonic()


async def run_together(parts: Iterable[Coroutine[object, None, None]]) -> None:
    """Run the parts of the work in the background until all of them end. If one fails, the others are cancelled.

    They run in a task of their own: in Python 3.11.2, a task whose group has failed stays marked as cancelled, and
    `asyncio.timeout` ends it as if it were cancelled again (https://github.com/python/cpython/issues/102780).

    Raises:
        ExceptionGroup: what the parts raised.
    """

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)

    await asyncio.create_task(run())


async def run_jobs(provider: JobServices, stop: asyncio.Event, nudge: Callable[[], None] = lambda: None) -> None:
    """Run the jobs until ``stop``. While the database is unavailable, retry. ``nudge`` is called after deliveries were
    written."""
    since_look = LOOK_SECONDS
    while True:
        await _attempt(chain_audit_events(provider.db, provider.box))
        await _attempt(mass_ending.work(provider, stop, nudge))
        await _attempt(access_changes.work(provider, stop, nudge))
        if since_look >= LOOK_SECONDS:
            since_look = 0.0
            await _attempt(run_due_jobs(provider, stop))
        if await clock.pause(stop, CHAIN_SECONDS):
            return
        since_look += CHAIN_SECONDS


async def _attempt(work: Awaitable[object]) -> None:
    """Do a part of the work. Where it fails, the other parts are done all the same."""
    try:
        await work
    except DatabaseUnavailable as error:
        log.warning("jobs wait for the database: %s", error)
    except Exception:
        log.exception("a job failed")


async def run_due_jobs(provider: JobServices, stop: asyncio.Event) -> bool:
    """Run every job, where no process has within five minutes; tell whether this process did.

    A host whose clock is wrong runs none: another host does.

    Raises:
        DatabaseUnavailable: when there is no database now.
    """
    await provider.clock.compare()
    if clock.is_wrong():
        return False
    now = clock.now()
    async with provider.db.read() as session:
        if not await job_runs.is_due(session, LEASE, now, EVERY):
            return False
    async with provider.db.write() as session:
        if not await job_runs.take_lease(session, LEASE, provider.process_id, now, EVERY):
            return False
    try:
        await _run_all(Run(provider, stop, leased=True))
    except LeaseLost:
        log.warning("another process runs the jobs now")
    except ClockIsWrong as error:
        log.error("the jobs stop: %s", error)
    finally:
        async with provider.db.write() as session:
            await job_runs.give_up_lease(session, LEASE, provider.process_id, clock.now())
    return True


async def clear_up(provider: JobServices) -> None:
    """Run every job now, without the lease.

    Raises:
        ClockIsWrong: when the clock of this host is wrong.
        Exception: the first error of a job; the others have run.
    """
    await provider.clock.compare()
    errors = await _run_all(Run(provider))
    if errors:
        raise errors[0]


async def _run_all(run: Run) -> list[Exception]:
    """Run each job, also when another one failed; return the errors."""
    errors: list[Exception] = []
    results: dict[str, job_runs.RunResult] = {}
    for job in JOBS:
        if run.stop.is_set():
            break
        check_clock()
        started, began, rows = clock.now(), time.monotonic(), 0
        error: Exception | None = None
        try:
            rows = await job.work(run)
        except TransactionConflict as conflict:  # the next run does it
            log.warning("job %s: %s", job.name, conflict)
            error = conflict
        except (LeaseLost, ClockIsWrong):
            raise
        except DatabaseUnavailable as unavailable:  # also a statement that takes too long or needs too much
            log.warning("job %s: %s", job.name, unavailable)
            await _check_database(run.provider.db)
            error = unavailable
        except RowsFailed as some:  # each is in the log
            log.error("job %s: %s", job.name, some)
            rows, error = some.done, some
        except Exception as failure:
            log.exception("job %s failed", job.name)
            error = failure
        if error is not None:
            errors.append(error)
        milliseconds = round((time.monotonic() - began) * 1000)
        results[job.name] = job_runs.RunResult(started, clock.now(), milliseconds, rows, repr(error) if error else None)
        await run.keep()
    async with run.provider.db.write() as session:
        await job_runs.record_runs(session, results)
    return errors


def check_clock() -> None:
    """Check the clock of this host: before each job, and before each batch.

    Raises:
        ClockIsWrong: when it differs too much from the clock of the database.
    """
    if clock.is_wrong():
        raise ClockIsWrong(
            f"the clock of this host differs from the clock of the database by {clock.difference() or 0.0:.1f} "
            f"seconds (at most {clock.MAX_DIFFERENCE_SECONDS:.0f}); set the clocks, then try again"
        )


async def _check_database(db: Database) -> None:
    """Run a statement.

    Raises:
        DatabaseUnavailable: when there is no database now.
    """
    async with db.read() as session:
        await session.execute(select(1))


async def _end_expired_sessions(run: Run) -> int:
    """End sessions that have expired, in parts. Where a part fails, each of its sessions is ended alone."""
    now, count = clock.now(), 0
    failed: dict[uuid.UUID, Exception] = {}

    async def end(session: AsyncSession, ids: Sequence[uuid.UUID]) -> None:
        await end_sessions(session, run.provider, ids, EndReason.EXPIRED, actor=SYSTEM)

    async def end_one(session: AsyncSession, session_id: uuid.UUID) -> bool:
        await end(session, [session_id])
        return False

    while not run.stop.is_set() and len(failed) < BATCH:
        check_clock()
        ids: Sequence[uuid.UUID] = ()
        try:
            async with run.provider.db.write() as session:
                ids = await sessions.expired(session, now, now - run.provider.idle, PART, failed)
                await end(session, ids)
            count += len(ids)
        except Exception as failure:
            if isinstance(failure, DatabaseUnavailable):
                await _check_database(run.provider.db)
            if not ids:
                raise
            log.warning("%d expired sessions are ended one by one: %r", len(ids), failure)
            done, failures = await run.alone(ids, end_one)
            count, failed = count + done, failed | failures
        if len(ids) < PART:
            break
        await run.keep()
    return run.result(count, list(failed.values()))


async def _delete_old_attribute_values(run: Run) -> int:
    return await run.batches(lambda session: delete_old_values(session, BATCH))


async def _rotate_keys(run: Run) -> int:
    async with run.provider.db.write() as session:
        return int(await rotate_when_due(session, run.provider.box, run.provider.settings.key_rotation_interval))


async def _delete_removed_clients(run: Run) -> int:
    """Delete removed applications. What millions of users have of them is deleted before, in batches."""
    before = clock.now() - run.provider.settings.delivery_retention
    async with run.provider.db.read() as session:
        gone = await clients.removed_before(session, before, BATCH)
    for client_id in gone:
        await _empty_client(run, client_id)
    if gone and not run.stop.is_set():
        async with run.provider.db.write() as session:
            await clients.delete_clients(session, gone)
    return len(gone)


async def _empty_client(run: Run, client_id: str) -> None:
    async def with_client(delete: Callable[[AsyncSession, str, int], Awaitable[int]]) -> None:
        await run.batches(lambda session: delete(session, client_id, BATCH))

    await with_client(cleanup.delete_device_codes_of_client)
    await _delete_families(run, lambda session: cleanup.grants_of_client(session, client_id, BATCH))
    await with_client(cleanup.delete_access_tokens_of_client)
    await with_client(cleanup.delete_consents_of_client)
    await with_client(gate.delete_of_client)
    await with_client(sessions.delete_client_sessions)
    await with_client(users.delete_local_accounts)
    await with_client(users.delete_favourites)


async def _delete_families(run: Run, find: Callable[[AsyncSession], Awaitable[list[uuid.UUID]]]) -> int:
    """Delete the grants that ``find`` returns. Their refresh tokens go first, in a transaction of their own: a request
    locks a refresh token before its grant."""
    total, db = 0, run.provider.db
    while True:
        async with db.read() as session:
            grant_ids = await find(session)
        await _delete_tokens_of(run, grant_ids)
        async with db.write() as session:
            gone = await cleanup.delete_grants(session, grant_ids)
        total += gone
        if gone == 0 or len(grant_ids) < BATCH or run.stop.is_set():
            return total
        await run.keep()


async def _delete_tokens_of(run: Run, grant_ids: list[uuid.UUID]) -> None:
    await run.batches(lambda session: cleanup.delete_refresh_tokens_of(session, grant_ids, BATCH))


async def _delete_ended_grants(run: Run) -> int:
    """Delete revoked and expired grants with their tokens; prolong grants that are refreshed."""
    now = clock.now()
    await run.batches(lambda session: cleanup.prolong_grants(session, now, BATCH))
    revoked = await _delete_families(run, lambda session: cleanup.revoked_grants(session, BATCH))
    return revoked + await _delete_families(run, lambda session: cleanup.expired_grants(session, now, BATCH))


async def _remind_of_secrets(run: Run) -> int:
    """Notify the owners of applications of each secret that expires soon, once."""
    now = clock.now()
    before = now + timedelta(days=ENDS_SOON_DAYS)
    return await run.each(
        lambda session, after: clients.secrets_ending(session, now, before, after),
        lambda session, secret_id: _remind_of_secret(session, run.provider, secret_id, now),
    )


async def _remind_of_secret(session: AsyncSession, provider: JobServices, secret_id: uuid.UUID, now: datetime) -> bool:
    secret = await session.get(ClientSecret, secret_id)
    if secret is None or secret.expires_at is None or secret.reminded_at is not None:
        return False
    secret.reminded_at = now
    _record_ending(session, secret)
    client = provider.registry.get(secret.client_id)
    what, until = client.meta.client_name if client else secret.client_id, secret.expires_at
    for member in await teams.team_of(session, secret.client_id.removesuffix(SANDBOX_END)):
        user = await session.get(User, member.user_id) if member.role == "owner" else None
        if user is not None and user.disabled_at is None:
            notify(session, provider, user, "secret_expires", what=what, until=until.isoformat())
    return False


def _record_ending(session: AsyncSession, secret: ClientSecret) -> None:
    until = secret.expires_at.isoformat() if secret.expires_at is not None else None
    data = {"hint": secret.hint, "expires_at": until}
    audit.record(session, "client.secret_expires_soon", actor="system", client_id=secret.client_id, data=data)


async def _record_first_sign_ins(run: Run) -> int:
    """Record the first sign-in of users with each application in production."""
    async with run.provider.db.write() as session:
        return await record_first_sign_ins(session, BATCH)


async def look_around(db: Database, idle: timedelta) -> None:
    """Store the number of active sessions every five minutes, and of users and credentials every hour, for the pages of
    administrators. Large numbers are estimates of PostgreSQL: counting millions of rows is slow."""
    now = clock.now()
    moment, hour = five_minutes(now), now.replace(minute=0, second=0, microsecond=0)
    async with db.read() as session:
        if await usage.counts_since(session, ["sessions_active"], moment, begins=RECENT):
            return
        active = await sessions.count_roughly_active(session, now, now - idle)
        values: dict[tuple[str, str], int] = {}
        if not await usage.counts_since(session, usage.GAUGES, hour):
            values = {("sessions_active", ""): active, ("people", ""): await users.count_people(session)}
            values |= {("factors", kind): count for kind, count in (await users.count_factors(session)).items()}
    async with db.write() as session:
        await usage.set_gauges(session, moment, {(RECENT + "sessions_active", ""): active})
        if values:
            await usage.set_gauges(session, hour, values)


async def _count(run: Run) -> int:
    await look_around(run.provider.db, run.provider.idle)
    return 0


async def people_in_time(provider: JobServices) -> int:
    """Execute delayed requests of users that are due, without the lease; return how many."""
    return await _delayed_requests(Run(provider))


async def _delayed_requests(run: Run) -> int:
    """Execute delayed requests of users that are due, each in its own transaction: account recoveries and deletions.
    Return how many."""
    provider = run.provider
    async with provider.db.read() as session:
        requests = {request.user_id: request for request in await recovery.due(session, BATCH)}
        deletions = await users.due_for_deletion(session, clock.now(), BATCH)

    async def recover(session: AsyncSession, user_id: uuid.UUID) -> bool:
        request, user = requests[user_id], await users.lock_user(session, user_id)
        if user is not None and await recovery.take(session, request):
            token, valid = link_token(), timedelta(hours=recovery.READY_HOURS)
            await recovery.add(
                session, user.id, "ready", token, wait=timedelta(0), valid=valid, client_id=request.client_id
            )
            notify(session, provider, user, "recovery_ready", token=token)
        return False

    async def delete(session: AsyncSession, user_id: uuid.UUID) -> bool:
        await delete_if_due(session, provider, user_id)
        return False

    recovered, not_recovered = await run.alone(list(requests), recover)
    deleted, not_deleted = await run.alone(deletions, delete)
    return run.result(recovered + deleted, [*not_recovered.values(), *not_deleted.values()])


async def _follow_roles(run: Run) -> int:
    """Follow the roles and groups that began or ended by time, and end roles of users who have left a unit."""
    async with run.provider.db.write() as session:
        count = await access_changes.follow_the_clock(session, run.provider)
    count += await _end_roles_of_left(run)
    failed: dict[uuid.UUID, Exception] = {}
    while not run.stop.is_set() and await access_changes.work_once(run.provider, failed):
        await run.keep()
    if failed:
        raise RowsFailed(count, list(failed.values()))
    return count


async def _end_roles_of_left(run: Run) -> int:
    async with run.provider.db.read() as session:
        look = await next_look(session)
    count = await run.batches(lambda session: end_roles_of_left(session, run.provider, look, BATCH), 1)
    if not run.stop.is_set():
        async with run.provider.db.write() as session:
            await have_looked(session, look)
    return count


async def _follow_reviews(run: Run) -> int:
    """Remind owners of access reviews that end soon, and finish those that are over."""
    now = clock.now()
    return await run.each(
        lambda session, after: access_reviews.due(session, now, after),
        lambda session, review_id: access_reviews.follow_review(session, run.provider, review_id),
    )


async def _follow_employments(run: Run) -> int:
    now = clock.now()
    return await run.each(
        lambda session, after: employees.due(session, now, after, BATCH),
        lambda session, user_id: follow_employment(session, run.provider, user_id),
    )


async def _delete_mistakes(run: Run) -> int:
    now = clock.now()
    count = await run.batches(lambda session: usage.delete_old_mistakes(session, now - KEEP_MISTAKES, BATCH))
    async with run.provider.db.write() as session:
        await usage.delete_surplus_mistakes(session, now - timedelta(hours=1))
    return count


async def _delete_requests(run: Run) -> int:
    now = clock.now()
    before = now - request_log.KEEP
    count = await run.batches(lambda session: request_log.delete_old_requests(session, before, BATCH))
    since = now - timedelta(hours=1)
    return count + await run.batches(lambda session: request_log.delete_surplus_requests(session, since, BATCH))


async def _prune_audit_log(run: Run) -> int:
    provider, kept_time = run.provider, run.provider.settings.audit_retention
    if not kept_time:
        return 0
    before = clock.now() - kept_time
    return await run.batches(lambda session: audit.prune(session, provider.box, before, actor="system"), 1)


Work = Callable[[Run], Awaitable[int]]
Delete = Callable[[AsyncSession, datetime, int], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Job:
    """A job: ``work`` returns how many rows it changed."""

    name: str
    work: Work


def _older(delete: Delete, kept_time: Callable[[JobServices], timedelta] = lambda _: NOTHING) -> Work:
    """Return the work of deleting, in batches, what is older than ``kept``."""

    async def work(run: Run) -> int:
        before = clock.now() - kept_time(run.provider)
        return await run.batches(lambda session: delete(session, before, BATCH))

    return work


def _deliveries(provider: JobServices) -> timedelta:
    return provider.settings.delivery_retention


def _ended(provider: JobServices) -> timedelta:
    return provider.settings.ended_session_retention


def _grace(provider: JobServices) -> timedelta:
    return provider.settings.refresh_token_grace_period + SKEW


JOBS: tuple[Job, ...] = (
    Job("expired_sessions", _end_expired_sessions),
    Job("role_times", _follow_roles),
    Job("access_reviews", _follow_reviews),
    Job("employments", _follow_employments),
    Job("attribute_values", _delete_old_attribute_values),
    Job("used_refresh_tokens", _older(cleanup.delete_used_refresh_tokens, _grace)),
    Job("old_refresh_tokens", _older(cleanup.delete_expired_refresh_tokens)),
    Job("ended_grants", _delete_ended_grants),
    Job("gate_sessions", _older(gate.delete_expired)),
    Job("access_tokens", _older(cleanup.delete_expired_access_tokens)),
    Job("authorization_requests", _older(delete_expired_requests)),
    Job("pushed_requests", _older(delete_expired_pushed_requests)),
    Job("device_codes", _older(delete_expired_device_codes, lambda _: KEEP_DEVICES)),
    Job("pending_flows", _older(pending_flows.delete_expired)),
    Job("recoveries", _older(recovery.delete_expired)),
    Job("replay", _older(replay.delete_expired)),
    Job("idempotency_keys", _older(idempotency.delete_expired)),
    Job("rate_counters", _older(limits.delete_expired)),
    Job("team_invitations", _older(teams.delete_expired)),
    Job("invitations", _older(delete_expired_invitations)),
    Job("user_invitations", _older(user_invitations.delete_expired)),
    Job("setup_links", _older(setup.delete_expired_links)),
    Job("held_deliveries", _older(deliveries.give_up_held, _deliveries)),
    Job("finished_deliveries", _older(deliveries.delete_finished, _deliveries)),
    Job("ended_sessions", _older(sessions.delete_ended, _ended)),
    Job("bulk_revocations", _older(mass_ending.delete_finished, _ended)),
    Job("ends", _older(ends.delete_old, lambda _: ends.STORED)),
    Job("removed_clients", _delete_removed_clients),
    Job("usage_counts", _older(usage.delete_old_counts, lambda _: KEEP_COUNTS)),
    Job("recent_counts", _older(usage.delete_recent_counts, lambda _: KEEP_RECENT)),
    Job("mistakes", _delete_mistakes),
    Job("request_log", _delete_requests),
    Job("signing_keys", _rotate_keys),
    Job("secret_reminders", _remind_of_secrets),
    Job("first_sign_ins", _record_first_sign_ins),
    Job("application_webhooks", _older(delete_of_retired, _deliveries)),
    Job("gauges", _count),
    Job("delayed_requests", _delayed_requests),
    Job("audit_events", _prune_audit_log),
)
"""Every job, in the order in which they run."""
