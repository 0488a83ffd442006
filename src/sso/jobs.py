"""Jobs that any process runs at intervals: end expired sessions, run bulk revocations, append audit events to the
chain, rotate keys, delete expired data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.deletion import delete_due
from sso.clients import store as clients
from sso.clients.models import SANDBOX_END
from sso.identity.authn import pending_flows
from sso.identity.authn import recovery_requests as recovery
from sso.identity.notifications import link_token, notify
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.logout import bulk as mass_ending
from sso.logout.end_sessions import end_sessions
from sso.oidc.authorize.pushed import delete_expired_pushed_requests
from sso.oidc.authorize.stored import delete_expired_requests
from sso.oidc.device.service import delete_expired_device_codes
from sso.oidc.provider import Provider
from sso.oidc.store import store as tokens
from sso.platform import audit
from sso.platform.actor import SYSTEM
from sso.platform.db import Database, DatabaseUnavailable
from sso.platform.keys import rotate_when_due
from sso.platform.metrics import store as usage
from sso.platform.metrics.counters import RECENT, five_minutes
from sso.platform.outbox import store as deliveries
from sso.platform.outbox.webhooks import tell_webhooks
from sso.platform.security import rate_limits as limits
from sso.platform.security.encryption import SecretBox
from sso.platform.security.idempotency import delete_expired as delete_expired_idempotency_keys
from sso.platform.security.replay import delete_expired as delete_expired_replays
from sso.portal import teams
from sso.portal.diagnosis import ENDS_SOON_DAYS

log = logging.getLogger(__name__)

CHAIN_SECONDS = 5.0
CLEAR_SECONDS = 300.0
BATCH = 500
KEEP_COUNTS_DAYS = 400
KEEP_RECENT_HOURS = 3
GAUGES = ("sessions_active", "people", "factors")
KEEP_MISTAKES_DAYS = 14
KEEP_DEVICES_DAYS = 1
"""How long expired device codes are kept, so that the device learns that its code expired, not that it is unknown."""


async def run_jobs(provider: Provider, stop: asyncio.Event, nudge: Callable[[], None] = lambda: None) -> None:
    """Run the jobs until ``stop``. While the database is unavailable, retry. ``nudge`` is called after deliveries were
    written."""
    since_clearing = CLEAR_SECONDS
    while True:
        try:
            await chain_audit_events(provider.db, provider.box)
            await mass_ending.work(provider, stop, nudge)
            if since_clearing >= CLEAR_SECONDS:
                await clear_up(provider)
                since_clearing = 0.0
        except DatabaseUnavailable as error:
            log.warning("jobs wait for the database: %s", error)
        except Exception:
            log.exception("a job failed")
        if await clock.pause(stop, CHAIN_SECONDS):
            return
        since_clearing += CHAIN_SECONDS


async def chain_audit_events(db: Database, box: SecretBox) -> None:
    """Append every new audit event to the chain, and enqueue the deliveries of webhooks."""
    while True:
        async with db.write() as session:
            events = await audit.append_to_chain(session, box)
            await tell_webhooks(session, events)
            if not events:
                return


async def clear_up(provider: Provider) -> None:
    """End expired sessions, rotate keys that are due, and delete expired data."""
    now = clock.now()
    while True:
        async with provider.db.write() as session:
            expired = await sessions.expired(session, now, now - provider.idle, BATCH)
            await end_sessions(session, provider, expired, EndReason.EXPIRED, actor=SYSTEM)
        if len(expired) < BATCH:
            break
    async with provider.db.write() as session:
        await rotate_when_due(session, provider.box, provider.settings.key_rotation_interval)
    old = now - provider.settings.delivery_retention
    kept, recent = now - timedelta(days=KEEP_COUNTS_DAYS), now - timedelta(hours=KEEP_RECENT_HOURS)
    deletions: list[Callable[[AsyncSession], Awaitable[object]]] = [
        lambda session: delete_expired_requests(session, now),
        lambda session: delete_expired_pushed_requests(session, now),
        lambda session: delete_expired_device_codes(session, now - timedelta(days=KEEP_DEVICES_DAYS)),
        lambda session: session.run_sync(lambda sync: delete_expired_replays(sync, now)),
        lambda session: session.run_sync(lambda sync: delete_expired_idempotency_keys(sync, now)),
        lambda session: deliveries.give_up_held(session, old),
        lambda session: deliveries.delete_finished(session, old),
        lambda session: pending_flows.delete_expired(session, now),
        recovery.delete_expired,
        lambda session: limits.delete_expired(session, now),
        teams.delete_expired,
        lambda session: usage.delete_old(session, kept, recent, now - timedelta(days=KEEP_MISTAKES_DAYS)),
    ]
    # Each in its own transaction, so that none locks one table while it waits for another.
    for delete in deletions:
        async with provider.db.write() as session:
            await delete(session)
    async with provider.db.write() as session:
        gone = await clients.removed_before(session, old, BATCH)
        if gone:
            await clients.delete_clients(session, gone)
    await remind_of_secrets(provider)
    await look_around(provider.db, provider.idle)
    await people_in_time(provider)
    await _delete_old(provider)
    while True:
        async with provider.db.write() as session:
            if await tokens.delete_expired(session, now, BATCH) == 0:
                return


async def remind_of_secrets(provider: Provider) -> None:
    """Notify the owners of applications of each secret that expires soon, once."""
    now = clock.now()
    async with provider.db.write() as session:
        for secret in await clients.secrets_ending(session, now, now + timedelta(days=ENDS_SOON_DAYS)):
            secret.reminded_at = now
            client = provider.registry.get(secret.client_id)
            what, until = client.meta.client_name if client else secret.client_id, secret.expires_at
            assert until is not None
            for member in await teams.team_of(session, secret.client_id.removesuffix(SANDBOX_END)):
                user = await session.get(User, member.user_id) if member.role == "owner" else None
                if user is not None and user.disabled_at is None:
                    notify(session, provider, user, "secret_expires", what=what, until=until.isoformat())


async def look_around(db: Database, idle: timedelta) -> None:
    """Store the number of active sessions every five minutes, and of users and credentials every hour, for the pages of
    administrators: counting millions of rows is slow."""
    now = clock.now()
    moment, hour = five_minutes(now), now.replace(minute=0, second=0, microsecond=0)
    async with db.read() as session:
        if await usage.counts_since(session, ["sessions_active"], moment, begins=RECENT):
            return
        active = await sessions.count_active(session, now, now - idle)
        values: dict[tuple[str, str], int] = {}
        if not await usage.counts_since(session, GAUGES, hour):
            values = {("sessions_active", ""): active, ("people", ""): await users.count_people(session)}
            values |= {("factors", kind): count for kind, count in (await users.count_factors(session)).items()}
    async with db.write() as session:
        await usage.set_gauges(session, moment, {(RECENT + "sessions_active", ""): active})
        if values:
            await usage.set_gauges(session, hour, values)


async def people_in_time(provider: Provider) -> None:
    """Execute delayed requests of users that are due: account recoveries and deletions."""
    async with provider.db.write() as session:
        for request in await recovery.due(session, BATCH):
            user = await users.lock_user(session, request.user_id)
            if user is not None and await recovery.take(session, request):
                token, valid = link_token(), timedelta(hours=recovery.READY_HOURS)
                await recovery.add(
                    session, user.id, "ready", token, wait=timedelta(0), valid=valid, client_id=request.client_id
                )
                notify(session, provider, user, "recovery_ready", token=token)
    while True:
        async with provider.db.write() as session:
            if await delete_due(session, provider, BATCH) < BATCH:
                return


async def _delete_old(provider: Provider) -> None:
    """Delete ended sessions and audit events that are older than their retention."""
    now, settings = clock.now(), provider.settings
    while True:
        async with provider.db.write() as session:
            ended = now - settings.ended_session_retention
            if await sessions.delete_ended(session, ended, BATCH) < BATCH:
                break
    while settings.audit_retention:
        async with provider.db.write() as session:
            kept = now - settings.audit_retention
            if await audit.prune(session, provider.box, kept, actor="system") == 0:
                break
