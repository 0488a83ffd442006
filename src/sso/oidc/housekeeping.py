"""What is done now and then, by any process: ending sessions whose time is over, or very many of them, sealing the
audit log, rotating keys, clearing up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from sso import audit, clock
from sso.db import DatabaseUnavailable
from sso.delivery import store as deliveries
from sso.keys import rotate_when_due
from sso.oidc import mass_ending
from sso.oidc.device import forget_expired_devices
from sso.oidc.ending import end_sessions
from sso.oidc.provider import Provider
from sso.oidc.pushed import forget_expired_pushes
from sso.oidc.waiting import forget_expired_requests
from sso.security.replay import forget_expired as forget_replays
from sso.sessions import store as sessions
from sso.tokens import store as tokens

log = logging.getLogger(__name__)

SEAL_SECONDS = 5.0
CLEAR_SECONDS = 300.0
BATCH = 500
KEEP_DELIVERIES_DAYS = 30
KEEP_DEVICES_DAYS = 1
"""A device that asks with a code that is over is told so, not that the code is unknown."""


async def keep_house(provider: Provider, stop: asyncio.Event, nudge: Callable[[], None] = lambda: None) -> None:
    """Do it until ``stop``. A database that is away is waited for. ``nudge`` is called when notices were written."""
    since_clearing = CLEAR_SECONDS
    while True:
        try:
            await seal_audit(provider)
            await mass_ending.work(provider, stop, nudge)
            if since_clearing >= CLEAR_SECONDS:
                await clear_up(provider)
                since_clearing = 0.0
        except DatabaseUnavailable as error:
            log.warning("housekeeping waits for the database: %s", error)
        except Exception:
            log.exception("housekeeping failed")
        if await clock.pause(stop, SEAL_SECONDS):
            return
        since_clearing += SEAL_SECONDS


async def seal_audit(provider: Provider) -> None:
    """Chain every audit event that is not chained yet."""
    while True:
        async with provider.db.write() as session:
            if await audit.seal(session, provider.box) == 0:
                return


async def clear_up(provider: Provider) -> None:
    """End sessions whose time is over, and delete what nothing can use any more."""
    now = clock.now()
    while True:
        async with provider.db.write() as session:
            over = await sessions.expired(session, now, now - provider.idle, BATCH)
            await end_sessions(session, provider, over, "expired", actor="system")
        if len(over) < BATCH:
            break
    async with provider.db.write() as session:
        await rotate_when_due(session, provider.box, provider.settings.key_rotation_days)
    async with provider.db.write() as session:
        await forget_expired_requests(session, now)
        await forget_expired_pushes(session, now)
        await forget_expired_devices(session, now - timedelta(days=KEEP_DEVICES_DAYS))
        await session.run_sync(lambda sync: forget_replays(sync, now))
        await deliveries.forget_finished(session, now - timedelta(days=KEEP_DELIVERIES_DAYS))
    while True:
        async with provider.db.write() as session:
            if await tokens.forget_expired(session, now, BATCH) == 0:
                return
