"""Ending very many sessions: in the background, some at a time, so that signing in stays fast meanwhile.

Any process goes on with what another began: each part is one transaction that holds the row of the whole.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import SessionFilter
from sso.logout.end_sessions import end_client_sessions, end_sessions
from sso.oidc.models import BulkRevocation
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.db import delete_batch
from sso.platform.services import HasDatabase
from sso.ssf.events import EventServices

PART = 100
LONGEST_PAUSE_SECONDS = 2.0


class BulkServices(EventServices, HasDatabase, Protocol):
    """What ending many sessions needs."""


async def begin(
    session: AsyncSession, chosen: SessionFilter, reason: EndReason, *, actor: Actor, note: str | None = None
) -> BulkRevocation:
    """Begin to end every session that matches and has begun by now, within the transaction of ``session``. ``note``:
    why, in the words of who asked for it."""
    now = clock.now()
    revocation = BulkRevocation(
        user_id=chosen.user_id,
        client_id=chosen.client_id,
        network=chosen.network,
        reason=reason,
        actor=actor.name,
        status="running",
        total=await sessions.count_not_ended(session, replace(chosen, begun_by=now)),
        ended=0,
        created_at=now,
    )
    session.add(revocation)
    await session.flush()
    about = {"total": revocation.total, "user_id": str(chosen.user_id or ""), "client_id": chosen.client_id or ""}
    about |= {"network": chosen.network} if chosen.network else {}
    record_by(
        session,
        actor,
        "sessions.ending",
        address=actor.stored_ip_address,
        subject=str(revocation.id),
        data={"reason": reason, "note": note or "", **about},
    )
    return revocation


async def begin_client_sessions(
    session: AsyncSession, services: EventServices, client_id: str, reason: EndReason, *, actor: Actor
) -> BulkRevocation | None:
    """Begin to end the part that an application takes in sessions, and end the first hundred at once.

    Returns:
        What goes on in the background, where there are more.
    """
    now = clock.now()
    total = await sessions.count_open_client_sessions(session, client_id)
    if total == 0:
        return None
    revocation = BulkRevocation(
        client_id=client_id, what="client_sessions", reason=reason, actor=actor.name, status="running"
    )
    revocation.total, revocation.ended, revocation.created_at = total, 0, now
    session.add(revocation)
    await session.flush()
    await _do_batch(session, services, revocation, actor)
    return revocation if revocation.status == "running" else None


def filter_of(revocation: BulkRevocation) -> SessionFilter:
    """Return which sessions are ended."""
    return SessionFilter(
        user_id=revocation.user_id,
        client_id=revocation.client_id,
        begun_by=revocation.created_at,
        network=revocation.network,
    )


async def _do_batch(
    session: AsyncSession, services: EventServices, revocation: BulkRevocation, actor: Actor | None = None
) -> None:
    actor = actor or Actor(revocation.actor)
    if revocation.what == "client_sessions":
        assert revocation.client_id is not None
        batch = await sessions.open_client_sessions(session, revocation.client_id, revocation.created_at, PART)
        await end_client_sessions(
            session, services, revocation.client_id, batch, EndReason(revocation.reason), actor=actor
        )
    else:
        batch = await sessions.not_ended(session, filter_of(revocation), PART)
        await end_sessions(session, services, batch, EndReason(revocation.reason), actor=actor)
    revocation.ended += len(batch)
    if len(batch) < PART:
        revocation.status, revocation.finished_at = "done", clock.now()


async def work_once(services: BulkServices, ending_id: uuid.UUID | None = None) -> BulkRevocation | None:
    """Do one part of what was begun: of ``ending_id``, or of the oldest that nobody else is at.

    Returns:
        How far it is now; None where there is nothing to do.
    """
    async with services.db.write() as session:
        chosen = select(BulkRevocation).where(BulkRevocation.status == "running").order_by(BulkRevocation.created_at)
        if ending_id is not None:
            chosen = chosen.where(BulkRevocation.id == ending_id)
        revocation = (
            await session.execute(chosen.limit(1).with_for_update(key_share=True, skip_locked=True))
        ).scalar_one_or_none()
        if revocation is None:
            return None
        await _do_batch(session, services, revocation)
        return revocation


async def work(services: BulkServices, stop: asyncio.Event, after_batch: Callable[[], None] = lambda: None) -> None:
    """Go on with everything that was begun, until it is done or ``stop``. As long as it works it rests, so that others
    get at the database."""
    async with services.db.read() as session:  # most of the time there is nothing: no transaction is written for that
        if (
            await session.execute(select(BulkRevocation.id).where(BulkRevocation.status == "running").limit(1))
        ).first() is None:
            return
    while not stop.is_set():
        started = time.monotonic()
        if await work_once(services) is None:
            return
        after_batch()
        await clock.pause(stop, min(time.monotonic() - started, LONGEST_PAUSE_SECONDS))


async def stop_ending(session: AsyncSession, ending_id: uuid.UUID, *, actor: Actor) -> bool:
    """Stop what was begun; sessions that are over stay over. Tell whether it was running."""
    mine = (BulkRevocation.id == ending_id) & (BulkRevocation.status == "running")
    stopped = (
        update(BulkRevocation)
        .where(mine)
        .values(status="stopped", finished_at=clock.now())
        .returning(BulkRevocation.id)
    )
    if (await session.execute(stopped)).first() is None:
        return False
    record_by(session, actor, "sessions.ending_stopped", subject=str(ending_id), address=actor.stored_ip_address)
    return True


async def endings(session: AsyncSession, limit: int, before: uuid.UUID | None = None) -> list[BulkRevocation]:
    """Return what was begun, the newest first, from before ``before`` on."""
    statement = select(BulkRevocation).order_by(BulkRevocation.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(BulkRevocation.id < before)
    return list((await session.execute(statement)).scalars())


async def get_ending(session: AsyncSession, ending_id: uuid.UUID) -> BulkRevocation | None:
    """Return one of them."""
    return await session.get(BulkRevocation, ending_id, populate_existing=True)


async def delete_finished(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete bulk revocations that were finished before a moment, at most ``limit``; return how many."""
    ended = BulkRevocation.finished_at < before
    return await delete_batch(session, BulkRevocation, BulkRevocation.finished_at, limit, ended)
