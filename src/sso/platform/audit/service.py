"""Recording events, chaining them, and proving that the chain is whole.

An event is written in the transaction of its cause, without waiting for any other event. A moment later the sealer,
one at a time among all processes, gives each event its place (``seq``) and a hash over its content and the hash
before it. The hash is keyed, so that a copy of the database alone is not enough to write another history.

What is old can be let go: a checkpoint, keyed too, says where the chain begins now, and what was exported before is
verified against it.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import delete, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sso import clock
from sso.platform.audit.models import AuditCheckpoint, AuditEvent
from sso.platform.security.encryption import SecretBox
from sso.platform.security.instance_secrets import instance_secret

SEAL_BATCH = 1000
PRUNE_BATCH = 10_000
_ADVISORY_LOCK = 0x5550


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What :func:`verify` found. ``broken_at``: the first place that does not hold; ``checkpoint``: the last let go."""

    chained: int
    not_chained: int
    broken_at: int | None
    reason: str = ""
    checkpoint: int = 0


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


async def append_to_chain(session: AsyncSession, box: SecretBox) -> list[AuditEvent]:
    """Chain the events that are not chained yet, at most ``SEAL_BATCH`` of them, and return them."""
    if _has_several_writers(session):
        locked = await session.execute(text(f"SELECT pg_try_advisory_xact_lock({_ADVISORY_LOCK})"))
        if not locked.scalar_one():
            return []
    pending = select(AuditEvent).where(AuditEvent.seq.is_(None)).order_by(AuditEvent.id).limit(SEAL_BATCH)
    events = list((await session.execute(pending)).scalars())
    if not events:
        return []
    key = await instance_secret(session, box, "audit")
    last = select(AuditEvent.seq, AuditEvent.hash).where(AuditEvent.seq.is_not(None))
    row = (await session.execute(last.order_by(AuditEvent.seq.desc()).limit(1))).first()
    begun = await _last_checkpoint(session)
    seq, previous = (begun.seq, begun.hash) if begun else (0, b"")
    if row is not None:
        seq, previous = row[0] or 0, row[1] or b""
    for event in events:
        seq += 1
        event.seq = seq
        event.hash = previous = _link(key, previous, content(event), seq)
    return events


async def verify(session: AsyncSession, box: SecretBox) -> AuditReport:
    """Walk the chain from its beginning, or from its last checkpoint, and report the first place that does not hold."""
    key = await instance_secret(session, box, "audit")
    not_chained = select(func.count()).select_from(AuditEvent).where(AuditEvent.seq.is_(None))
    waiting = int((await session.execute(not_chained)).scalar_one())
    begun, previous, expected = await _last_checkpoint(session), b"", 0
    if begun is not None:
        previous, expected = begun.hash, begun.seq
        if not hmac.compare_digest(begun.proof, _checkpoint_proof(key, begun)):
            return AuditReport(0, waiting, expected, f"the checkpoint at entry {expected} was altered", expected)
    start = expected
    async for event in _in_order(session, expected):
        expected += 1
        whole, broken = expected - 1 - start, expected
        if event.seq != expected:
            return AuditReport(whole, waiting, broken, f"entry {expected} is missing", start)
        if event.hash is None or not _holds(key, previous, content(event), expected, event.hash, event.redaction):
            return AuditReport(whole, waiting, broken, f"entry {expected} was altered", start)
        previous = event.hash
    return AuditReport(expected - start, waiting, None, "", start)


async def verify_archive(session: AsyncSession, box: SecretBox, lines: Iterable[bytes]) -> AuditReport:
    """Check events that were exported before they were let go: whole from a checkpoint, or the beginning, on.

    Args:
        session: for reading.
        box: opens the key of the chain.
        lines: what :func:`export` yielded.
    """
    key = await instance_secret(session, box, "audit")
    previous, expected, start = b"", 0, 0
    for number, line in enumerate(lines):
        try:
            held = orjson.loads(line)
            seq, said = int(held.pop("seq")), bytes.fromhex(held.pop("hash"))
            redaction = bytes.fromhex(held.pop("redaction")) if "redaction" in held else None
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            return AuditReport(number, 0, expected + 1, f"line {number + 1} is not an event")
        if number == 0 and seq > 1:
            begun = await session.get(AuditCheckpoint, seq - 1)
            if begun is None or not hmac.compare_digest(begun.proof, _checkpoint_proof(key, begun)):
                return AuditReport(0, 0, seq, f"there is no checkpoint before entry {seq}")
            previous, expected, start = begun.hash, begun.seq, begun.seq
        expected += 1
        if seq != expected:
            return AuditReport(number, 0, expected, f"entry {expected} is missing", start)
        if not _holds(key, previous, held, seq, said, redaction):
            return AuditReport(number, 0, expected, f"entry {expected} was altered", start)
        previous = said
    return AuditReport(expected - start, 0, None, "", start)


async def prune(session: AsyncSession, box: SecretBox, before: datetime, *, actor: str) -> int:
    """Let the oldest events go, at most ``PRUNE_BATCH``, those from before a moment, behind a checkpoint.

    Returns:
        How many went: call again until it is 0.
    """
    first_kept = select(func.min(AuditEvent.seq)).where(AuditEvent.at >= before)
    kept = (await session.execute(first_kept)).scalar_one()
    bounds = (await session.execute(select(func.min(AuditEvent.seq), func.max(AuditEvent.seq)))).one()
    first, newest = bounds[0], bounds[1]
    if first is None or newest is None:
        return 0
    last = min((kept - 1) if kept is not None else newest, first + PRUNE_BATCH - 1)
    end = (await session.execute(select(AuditEvent).where(AuditEvent.seq == last))).scalar_one_or_none()
    if end is None or end.hash is None:
        return 0
    begun = await _last_checkpoint(session)
    made = AuditCheckpoint(seq=last, hash=end.hash, previous_seq=begun.seq if begun else 0, at=clock.now())
    made.proof = _checkpoint_proof(await instance_secret(session, box, "audit"), made)
    session.add(made)
    await session.flush()
    await session.execute(delete(AuditEvent).where(AuditEvent.seq <= last))
    count = last - first + 1
    record(session, "audit.pruned", actor=actor, data={"through": last, "count": count})
    return count


async def redact(session: AsyncSession, box: SecretBox, person: str) -> int:
    """Take out of the log what tells of a person who was deleted: addresses and details. What happened, when, and the
    id, which names nobody any more, stay; and the chain is still verified.

    Args:
        session: the transaction.
        box: opens the key of the chain.
        person: the user id.

    Returns:
        How many entries were changed.
    """
    if _has_several_writers(session):
        # Nobody chains an event meanwhile as it was before: that waits until this transaction is over.
        await session.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
    key, last, count = await instance_secret(session, box, "audit"), uuid.UUID(int=0), 0
    while True:
        theirs = select(AuditEvent).where(
            or_(AuditEvent.subject == person, AuditEvent.actor == person), AuditEvent.id > last
        )
        events = list((await session.execute(theirs.order_by(AuditEvent.id).limit(SEAL_BATCH))).scalars())
        for event in events:
            event.address, event.request_id, event.data = None, None, {}
            if event.seq is not None and event.hash is not None:
                event.redaction = _redaction(key, content(event), event.seq, event.hash)
        await session.flush()
        for event in events:
            session.expunge(event)
        count += len(events)
        if len(events) < SEAL_BATCH:
            return count
        last = events[-1].id


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events: each given field narrows. ``person``: what somebody did, and what happened to them."""

    person: str | None = None
    type: str | None = None
    outcome: str | None = None
    actor: str | None = None
    subject: str | None = None
    client_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def page_of_events(
    session: AsyncSession, wanted: AuditFilter, before: uuid.UUID | None, limit: int
) -> list[AuditEvent]:
    """Return events, the newest first, from before ``before`` on."""
    statement = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    for name in ("type", "outcome", "actor", "subject", "client_id"):
        if (value := getattr(wanted, name)) is not None:
            statement = statement.where(getattr(AuditEvent, name) == value)
    if wanted.person is not None:
        statement = statement.where(or_(AuditEvent.subject == wanted.person, AuditEvent.actor == wanted.person))
    if wanted.since is not None:
        statement = statement.where(AuditEvent.at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(AuditEvent.at < wanted.until)
    if before is not None:
        statement = statement.where(AuditEvent.id < before)
    return list((await session.execute(statement)).scalars())


async def chain_length(session: AsyncSession) -> tuple[int, int]:
    """Return how many events are chained and kept, and how many wait to be chained."""
    bounds = (await session.execute(select(func.min(AuditEvent.seq), func.max(AuditEvent.seq)))).one()
    waiting = select(func.count()).select_from(AuditEvent).where(AuditEvent.seq.is_(None))
    chained = bounds[1] - bounds[0] + 1 if bounds[0] is not None and bounds[1] is not None else 0
    return chained, int((await session.execute(waiting)).scalar_one())


async def export(
    session: AsyncSession, since: datetime | None = None, until: datetime | None = None
) -> AsyncIterator[bytes]:
    """Yield every chained event from ``since`` on, up to the first that is not before ``until``, as lines of JSON."""
    async for event in _in_order(session):
        if until is not None and event.at >= until:
            return
        if since is None or event.at >= since:
            line = {**content(event), "seq": event.seq, "hash": (event.hash or b"").hex()}
            if event.redaction is not None:
                line["redaction"] = event.redaction.hex()
            yield orjson.dumps(line, option=orjson.OPT_SORT_KEYS) + b"\n"


async def _in_order(session: AsyncSession, last: int = 0) -> AsyncIterator[AuditEvent]:
    while True:
        page = select(AuditEvent).where(AuditEvent.seq > last).order_by(AuditEvent.seq).limit(SEAL_BATCH)
        events = (await session.execute(page)).scalars().all()
        for event in events:
            yield event
        if len(events) < SEAL_BATCH:
            return
        last = events[-1].seq or 0
        session.expunge_all()


def _has_several_writers(session: AsyncSession) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def content(event: AuditEvent) -> dict[str, Any]:
    """Return what an event says."""
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


def _link(key: bytes, previous: bytes, said: dict[str, Any], seq: int) -> bytes:
    text = orjson.dumps({**said, "seq": seq}, option=orjson.OPT_SORT_KEYS)
    return hmac.new(key, previous + text, hashlib.sha256).digest()


def _holds(key: bytes, previous: bytes, said: dict[str, Any], seq: int, known: bytes, redaction: bytes | None) -> bool:
    """Tell whether an entry is what was chained; of one that was redacted, whether that was done here, and what is left
    is what was left then: its own hash stays in the chain, but can be computed no more."""
    if redaction is not None:
        return hmac.compare_digest(_redaction(key, said, seq, known), redaction)
    return hmac.compare_digest(_link(key, previous, said, seq), known)


def _redaction(key: bytes, said: dict[str, Any], seq: int, known: bytes) -> bytes:
    text = orjson.dumps({**said, "seq": seq, "redacted": True}, option=orjson.OPT_SORT_KEYS)
    return hmac.new(key, known + text, hashlib.sha256).digest()


def _checkpoint_proof(key: bytes, checkpoint: AuditCheckpoint) -> bytes:
    text = f"checkpoint {checkpoint.previous_seq} {checkpoint.seq} ".encode() + checkpoint.hash
    return hmac.new(key, text, hashlib.sha256).digest()


async def _last_checkpoint(session: AsyncSession) -> AuditCheckpoint | None:
    newest = select(AuditCheckpoint).order_by(AuditCheckpoint.seq.desc()).limit(1)
    return (await session.execute(newest)).scalar_one_or_none()
