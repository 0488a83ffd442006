"""Recording events, appending them to the hash chain, and verifying the chain.

An event is written in the transaction of its cause, without waiting for any other event. Later one process at a time
appends the events to the chain: each event gets its number (``seq``) and a hash over its content and the previous hash.
The hash is keyed (HMAC), so that a copy of the database is not enough to forge a history.

Old events can be pruned: a checkpoint, with a keyed hash too, states where the chain begins, and exported events are
verified against the checkpoint.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import Select, delete, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sso import clock
from sso.platform.actor import Actor
from sso.platform.audit.models import AuditCheckpoint, AuditEvent
from sso.platform.security.encryption import SecretBox
from sso.platform.security.instance_secrets import instance_secret

CHAIN_BATCH = 1000
MAX_REQUEST_ID_CHARS = 32
PRUNE_BATCH = 10_000
_ADVISORY_LOCK = 0x5550


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Result of :func:`verify`. ``broken_at``: number of the first invalid event; ``checkpoint``: of the last pruned
    event."""

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
    data: Mapping[str, object] | None = None,
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
        request_id: the reference shown to people and in the log; its first 32 characters are stored.
        data: details; never a secret.
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
            request_id=request_id[:MAX_REQUEST_ID_CHARS] if request_id else None,
            data=dict(data or {}),
        )
    )


def record_by(
    session: AsyncSession | Session,
    actor: Actor,
    type_: str,
    *,
    outcome: str = "success",
    subject: str | None = None,
    client_id: str | None = None,
    address: str | None = None,
    data: Mapping[str, object] | None = None,
) -> None:
    """Add an event as :func:`record` does, with the name of the actor and the request.

    The network address is stored only where it is named: ``address=actor.stored_ip_address``.
    """
    record(
        session,
        type_,
        outcome=outcome,
        actor=actor.name,
        subject=subject,
        client_id=client_id,
        address=address,
        request_id=actor.request_id,
        data=data,
    )


async def append_to_chain(session: AsyncSession, box: SecretBox) -> list[AuditEvent]:
    """Append events that are not in the chain yet, at most ``CHAIN_BATCH``, and return them."""
    if _has_several_writers(session):
        lock = await session.execute(text(f"SELECT pg_try_advisory_xact_lock({_ADVISORY_LOCK})"))
        if not lock.scalar_one():
            return []
    pending = select(AuditEvent).where(AuditEvent.seq.is_(None)).order_by(AuditEvent.id).limit(CHAIN_BATCH)
    events = list((await session.execute(pending)).scalars())
    if not events:
        return []
    key = await instance_secret(session, box, "audit")
    last = select(AuditEvent.seq, AuditEvent.hash).where(AuditEvent.seq.is_not(None))
    row = (await session.execute(last.order_by(AuditEvent.seq.desc()).limit(1))).first()
    checkpoint = await _last_checkpoint(session)
    seq, previous = (checkpoint.seq, checkpoint.hash) if checkpoint else (0, b"")
    if row is not None:
        seq, previous = row[0] or 0, row[1] or b""
    for event in events:
        seq += 1
        event.seq = seq
        event.hash = previous = _link(key, previous, content(event), seq)
    return events


async def verify(session: AsyncSession, box: SecretBox) -> AuditReport:
    """Check the chain from its beginning or its last checkpoint, and report the first invalid event."""
    key = await instance_secret(session, box, "audit")
    not_chained = await _count_unchained(session)
    checkpoint, previous, expected = await _last_checkpoint(session), b"", 0
    if checkpoint is not None:
        previous, expected = checkpoint.hash, checkpoint.seq
        if not hmac.compare_digest(checkpoint.mac, _checkpoint_mac(key, checkpoint)):
            return AuditReport(0, not_chained, expected, f"the checkpoint at entry {expected} was altered", expected)
    start = expected
    async for event in _in_order(session, expected):
        expected += 1
        valid, broken = expected - 1 - start, expected
        if event.seq != expected:
            return AuditReport(valid, not_chained, broken, f"entry {expected} is missing", start)
        if event.hash is None or not _is_valid(key, previous, content(event), expected, event.hash, event.redaction):
            return AuditReport(valid, not_chained, broken, f"entry {expected} was altered", start)
        previous = event.hash
    return AuditReport(expected - start, not_chained, None, "", start)


async def verify_archive(session: AsyncSession, box: SecretBox, lines: Iterable[bytes]) -> AuditReport:
    """Check exported events that were pruned later, from the beginning of the chain or from a checkpoint.

    Args:
        session: for reading.
        box: decrypts the key of the chain.
        lines: the lines that :func:`export` yielded.
    """
    key = await instance_secret(session, box, "audit")
    previous, expected, start = b"", 0, 0
    for number, line in enumerate(lines):
        try:
            event = orjson.loads(line)
            seq, stored_hash = int(event.pop("seq")), bytes.fromhex(event.pop("hash"))
            redaction = bytes.fromhex(event.pop("redaction")) if "redaction" in event else None
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            return AuditReport(number, 0, expected + 1, f"line {number + 1} is not an event")
        if number == 0 and seq > 1:
            checkpoint = await session.get(AuditCheckpoint, seq - 1)
            if checkpoint is None or not hmac.compare_digest(checkpoint.mac, _checkpoint_mac(key, checkpoint)):
                return AuditReport(0, 0, seq, f"there is no checkpoint before entry {seq}")
            previous, expected, start = checkpoint.hash, checkpoint.seq, checkpoint.seq
        expected += 1
        if seq != expected:
            return AuditReport(number, 0, expected, f"entry {expected} is missing", start)
        if not _is_valid(key, previous, event, seq, stored_hash, redaction):
            return AuditReport(number, 0, expected, f"entry {expected} was altered", start)
        previous = stored_hash
    return AuditReport(expected - start, 0, None, "", start)


async def prune(session: AsyncSession, box: SecretBox, before: datetime, *, actor: str) -> int:
    """Delete the oldest events from before ``before``, at most ``PRUNE_BATCH``, and store a checkpoint.

    Returns:
        The number of deleted events: call again until it is 0.
    """
    bounds = (await session.execute(select(func.min(AuditEvent.seq), func.max(AuditEvent.seq)))).one()
    first, newest = bounds[0], bounds[1]
    if first is None or newest is None:
        return 0
    some = AuditEvent.seq.between(first, first + PRUNE_BATCH)
    kept_events = select(AuditEvent.seq).where(some, AuditEvent.at >= before).order_by(AuditEvent.seq).limit(1)
    first_kept = (await session.execute(kept_events)).scalar_one_or_none()
    last = min((first_kept - 1) if first_kept is not None else newest, first + PRUNE_BATCH - 1)
    end = (await session.execute(select(AuditEvent).where(AuditEvent.seq == last))).scalar_one_or_none()
    if end is None or end.hash is None:
        return 0
    previous = await _last_checkpoint(session)
    checkpoint = AuditCheckpoint(seq=last, hash=end.hash, previous_seq=previous.seq if previous else 0, at=clock.now())
    checkpoint.mac = _checkpoint_mac(await instance_secret(session, box, "audit"), checkpoint)
    session.add(checkpoint)
    await session.flush()
    await session.execute(delete(AuditEvent).where(AuditEvent.seq <= last))
    count = last - first + 1
    record(session, "audit.pruned", actor=actor, data={"through": last, "count": count})
    return count


async def redact(session: AsyncSession, box: SecretBox, person: str) -> int:
    """Remove IP addresses and details from the events of a deleted user. The type, the time and the user id stay, and
    the chain can still be verified.

    Args:
        session: the transaction.
        box: decrypts the key of the chain.
        person: the user id.

    Returns:
        The number of changed events.
    """
    if _has_several_writers(session):
        # No process appends the unchanged event to the chain meanwhile: append_to_chain waits for this transaction.
        await session.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
    key, last, count = await instance_secret(session, box, "audit"), uuid.UUID(int=0), 0
    while True:
        theirs = select(AuditEvent).where(
            or_(AuditEvent.subject == person, AuditEvent.actor == person), AuditEvent.id > last
        )
        events = list((await session.execute(theirs.order_by(AuditEvent.id).limit(CHAIN_BATCH))).scalars())
        for event in events:
            event.address, event.request_id, event.data = None, None, {}
            if event.seq is not None and event.hash is not None:
                event.redaction = _redaction(key, content(event), event.seq, event.hash)
        await session.flush()
        for event in events:
            session.expunge(event)
        count += len(events)
        if len(events) < CHAIN_BATCH:
            return count
        last = events[-1].id


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events: each field that is set narrows. ``person``: events whose actor or subject is this user; ``types``:
    of one of these types."""

    person: str | None = None
    type: str | None = None
    outcome: str | None = None
    actor: str | None = None
    subject: str | None = None
    client_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    types: Sequence[str] = ()


async def page_of_events(
    session: AsyncSession, filter_: AuditFilter, before: uuid.UUID | None, limit: int
) -> list[AuditEvent]:
    """Return events that are older than ``before``, the newest first."""
    statement = _narrowed(select(AuditEvent), filter_).order_by(AuditEvent.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(AuditEvent.id < before)
    return list((await session.execute(statement)).scalars())


def _narrowed(statement: Select[AuditEvent], filter_: AuditFilter) -> Select[AuditEvent]:
    """Return a statement with the conditions of a filter."""
    for name in ("type", "outcome", "actor", "subject", "client_id"):
        if (value := getattr(filter_, name)) is not None:
            statement = statement.where(getattr(AuditEvent, name) == value)
    if filter_.types:
        statement = statement.where(AuditEvent.type.in_(filter_.types))
    if filter_.person is not None:
        statement = statement.where(or_(AuditEvent.subject == filter_.person, AuditEvent.actor == filter_.person))
    if filter_.since is not None:
        statement = statement.where(AuditEvent.at >= filter_.since)
    if filter_.until is not None:
        statement = statement.where(AuditEvent.at < filter_.until)
    return statement


async def chain_length(session: AsyncSession) -> tuple[int, int]:
    """Return the number of events in the chain, and of events that are not in the chain yet."""
    bounds = (await session.execute(select(func.min(AuditEvent.seq), func.max(AuditEvent.seq)))).one()
    chained = bounds[1] - bounds[0] + 1 if bounds[0] is not None and bounds[1] is not None else 0
    return chained, await _count_unchained(session)


async def _count_unchained(session: AsyncSession) -> int:
    not_chained = select(func.count()).select_from(AuditEvent).where(AuditEvent.seq.is_(None))
    return int((await session.execute(not_chained)).scalar_one())


async def export(
    session: AsyncSession, since: datetime | None = None, until: datetime | None = None
) -> AsyncIterator[bytes]:
    """Yield the events of the chain from ``since`` to the first event at or after ``until``, as lines of JSON without a
    gap: what is deleted afterwards can be verified with :func:`verify_archive`."""
    async for event in _in_order(session):
        if until is not None and event.at >= until:
            return
        if since is None or event.at >= since:
            yield _line(event)


async def export_filtered(session: AsyncSession, filter_: AuditFilter) -> AsyncIterator[bytes]:
    """Yield the events of a filter that are in the chain, the oldest first, as :func:`export` does."""
    async for event in _in_order(session, filter_=filter_):
        yield _line(event)


def _line(event: AuditEvent) -> bytes:
    line = {**content(event), "seq": event.seq, "hash": (event.hash or b"").hex()}
    if event.redaction is not None:
        line["redaction"] = event.redaction.hex()
    return orjson.dumps(line, option=orjson.OPT_SORT_KEYS) + b"\n"


async def _in_order(
    session: AsyncSession, last: int = 0, filter_: AuditFilter | None = None
) -> AsyncIterator[AuditEvent]:
    while True:
        page = select(AuditEvent).where(AuditEvent.seq > last).order_by(AuditEvent.seq).limit(CHAIN_BATCH)
        page = _narrowed(page, filter_) if filter_ is not None else page
        events = (await session.execute(page)).scalars().all()
        for event in events:
            yield event
        if len(events) < CHAIN_BATCH:
            return
        last = events[-1].seq or 0
        session.expunge_all()


def _has_several_writers(session: AsyncSession) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def content(event: AuditEvent) -> dict[str, object]:
    """Return the fields of an event that its hash covers, except ``seq``."""
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


def _link(key: bytes, previous: bytes, fields: Mapping[str, object], seq: int) -> bytes:
    text = orjson.dumps({**fields, "seq": seq}, option=orjson.OPT_SORT_KEYS)
    return hmac.new(key, previous + text, hashlib.sha256).digest()


def _is_valid(
    key: bytes, previous: bytes, fields: Mapping[str, object], seq: int, stored_hash: bytes, redaction: bytes | None
) -> bool:
    """Tell whether an event is unchanged since it was appended to the chain or redacted.

    The hash of a redacted event cannot be computed again; it stays in the chain, and ``redaction`` covers the event.
    """
    if redaction is not None:
        return hmac.compare_digest(_redaction(key, fields, seq, stored_hash), redaction)
    return hmac.compare_digest(_link(key, previous, fields, seq), stored_hash)


def _redaction(key: bytes, fields: Mapping[str, object], seq: int, stored_hash: bytes) -> bytes:
    text = orjson.dumps({**fields, "seq": seq, "redacted": True}, option=orjson.OPT_SORT_KEYS)
    return hmac.new(key, stored_hash + text, hashlib.sha256).digest()


def _checkpoint_mac(key: bytes, checkpoint: AuditCheckpoint) -> bytes:
    text = f"checkpoint {checkpoint.previous_seq} {checkpoint.seq} ".encode() + checkpoint.hash
    return hmac.new(key, text, hashlib.sha256).digest()


async def _last_checkpoint(session: AsyncSession) -> AuditCheckpoint | None:
    newest = select(AuditCheckpoint).order_by(AuditCheckpoint.seq.desc()).limit(1)
    return (await session.execute(newest)).scalar_one_or_none()
