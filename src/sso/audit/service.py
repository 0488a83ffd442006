"""Recording events, chaining them, and proving that the chain is whole.

An event is written in the transaction of its cause, without waiting for any other event. A moment later the sealer,
one at a time among all processes, gives each event its place (``seq``) and a hash over its content and the hash
before it. The hash is keyed, so that a copy of the database alone is not enough to write another history.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sso import clock
from sso.audit.models import AuditEvent
from sso.security.box import SecretBox
from sso.security.instance import instance_secret

SEAL_BATCH = 1000
_ADVISORY_LOCK = 0x5550


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What :func:`verify` found. ``broken_at`` is the first place in the chain that does not hold."""

    sealed: int
    unsealed: int
    broken_at: int | None
    reason: str = ""


def record(
    session: AsyncSession | Session,
    type_: str,
    *,
    outcome: str = "success",
    actor: str | None = None,
    subject: str | None = None,
    client_id: str | None = None,
    address: str | None = None,
    request_id: str | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Add an event to the transaction of ``session``.

    Args:
        session: the transaction of what is recorded.
        type_: what happened, such as ``session.started``.
        outcome: ``success`` or ``failure``.
        actor: who did it: a user id, or ``cli``.
        subject: on whom or what.
        client_id: the application concerned.
        address: the network address it came from.
        request_id: the reference shown to people and in the log.
        data: more, never a secret.
    """
    session.add(
        AuditEvent(
            at=clock.now(),
            type=type_,
            outcome=outcome,
            actor=actor,
            subject=subject,
            client_id=client_id,
            address=address,
            request_id=request_id,
            data=data or {},
        )
    )


async def seal(session: AsyncSession, box: SecretBox) -> int:
    """Chain the events that are not chained yet, at most ``SEAL_BATCH`` of them, and return how many."""
    if session.get_bind().dialect.name == "postgresql":
        locked = await session.execute(text(f"SELECT pg_try_advisory_xact_lock({_ADVISORY_LOCK})"))
        if not locked.scalar_one():
            return 0
    pending = select(AuditEvent).where(AuditEvent.seq.is_(None)).order_by(AuditEvent.id).limit(SEAL_BATCH)
    events = (await session.execute(pending)).scalars().all()
    if not events:
        return 0
    key = await instance_secret(session, box, "audit")
    last = select(AuditEvent.seq, AuditEvent.hash).where(AuditEvent.seq.is_not(None))
    row = (await session.execute(last.order_by(AuditEvent.seq.desc()).limit(1))).first()
    seq: int = (row[0] or 0) if row else 0
    previous: bytes = (row[1] or b"") if row else b""
    for event in events:
        seq += 1
        event.seq = seq
        event.hash = previous = _link(key, previous, event)
    return len(events)


async def verify(session: AsyncSession, box: SecretBox) -> AuditReport:
    """Walk the chain from its beginning and report the first place that does not hold."""
    key = await instance_secret(session, box, "audit")
    unsealed = select(func.count()).select_from(AuditEvent).where(AuditEvent.seq.is_(None))
    waiting = int((await session.execute(unsealed)).scalar_one())
    previous, expected = b"", 0
    async for event in _in_order(session):
        expected += 1
        if event.seq != expected:
            return AuditReport(expected - 1, waiting, expected, f"entry {expected} is missing")
        link = _link(key, previous, event)
        if event.hash is None or not hmac.compare_digest(link, event.hash):
            return AuditReport(expected - 1, waiting, expected, f"entry {expected} was altered")
        previous = event.hash
    return AuditReport(expected, waiting, None)


async def export(session: AsyncSession, since: datetime | None = None) -> AsyncIterator[bytes]:
    """Yield every chained event since ``since`` as one line of JSON, in order."""
    async for event in _in_order(session):
        if since is None or event.at >= since:
            line = {**_content(event), "seq": event.seq, "hash": (event.hash or b"").hex()}
            yield orjson.dumps(line, option=orjson.OPT_SORT_KEYS) + b"\n"


async def _in_order(session: AsyncSession) -> AsyncIterator[AuditEvent]:
    last = 0
    while True:
        page = select(AuditEvent).where(AuditEvent.seq > last).order_by(AuditEvent.seq).limit(SEAL_BATCH)
        events = (await session.execute(page)).scalars().all()
        for event in events:
            yield event
        if len(events) < SEAL_BATCH:
            return
        last = events[-1].seq or 0
        session.expunge_all()


def _content(event: AuditEvent) -> dict[str, Any]:
    return {
        "id": str(event.id),
        "at": event.at.isoformat(),
        "type": event.type,
        "outcome": event.outcome,
        "actor": event.actor,
        "subject": event.subject,
        "client_id": event.client_id,
        "address": event.address,
        "request_id": event.request_id,
        "data": event.data,
    }


def _link(key: bytes, previous: bytes, event: AuditEvent) -> bytes:
    content = orjson.dumps({**_content(event), "seq": event.seq}, option=orjson.OPT_SORT_KEYS)
    return hmac.new(key, previous + content, hashlib.sha256).digest()
