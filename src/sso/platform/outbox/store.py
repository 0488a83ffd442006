"""Every SQL statement about deliveries."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, func, literal_column, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.platform.db import delete_batch, fetch, new_id, table_of
from sso.platform.outbox.models import SHARED_RECEIVERS, Delivery, DeliveryKind, DeliveryStatus, Receipt

MAX_CANDIDATES = 1000
"""How many due deliveries the worker chooses from."""
OVERDUE_BATCH = 100
MAX_COUNTED = 100_000
FAILED_ATTEMPTS = 3
"""After how many attempts a delivery counts as failing."""
FAILED_SINCE = timedelta(days=1)
"""How long a delivery that was given up counts as failing."""
CHANGES = "receiver_changes"
"""The member of a payload that counts how often the receiver was changed."""
MAX_REASON_CHARS = 300
UNFINISHED = (DeliveryStatus.PENDING, DeliveryStatus.HELD)
_deliveries = table_of(Delivery)
_d = _deliveries.c


@dataclass(frozen=True, slots=True)
class Full:
    """Kinds, endpoints (``places.endpoint``) and hosts that get no delivery now."""

    kinds: Sequence[str] = ()
    receivers: Sequence[str] = ()
    hosts: Sequence[str] = ()


NOT_FULL = Full()


def receiver_changes(delivery: Delivery) -> int:
    """Return how often the receiver of a delivery changed."""
    return int(str(delivery.payload.get(CHANGES, 0)))


def enqueue(
    session: AsyncSession,
    kind: DeliveryKind,
    payload: dict[str, object],
    *,
    client_id: str | None = None,
    session_id: uuid.UUID | None = None,
    receiver: str | None = None,
    status: DeliveryStatus = DeliveryStatus.PENDING,
    delivery_id: uuid.UUID | None = None,
    user_id: uuid.UUID | None = None,
    recipient_hash: bytes | None = None,
) -> None:
    """Add a delivery to the transaction of ``session``.

    Args:
        session: the transaction.
        kind: what is sent.
        payload: what the handler needs.
        client_id: the application concerned.
        session_id: the session whose end is the cause.
        receiver: the host.
        status: ``HELD`` if the delivery waits until it is fetched or released.
        delivery_id: a new id by default.
        user_id: the user whom it is for.
        recipient_hash: a keyed hash of the contact that it goes to.
    """
    now = clock.now()
    session.add(
        Delivery(
            id=delivery_id or new_id(),
            kind=kind,
            payload=payload,
            client_id=client_id,
            session_id=session_id,
            receiver=receiver,
            status=status,
            attempts=0,
            created_at=now,
            next_attempt_at=now,
            user_id=user_id,
            recipient_hash=recipient_hash,
        )
    )


async def claim(
    session: AsyncSession,
    limit: int,
    lease_seconds: float,
    per_receiver: int = 1_000_000,
    full: Full = NOT_FULL,
    take: Callable[[Delivery], bool] = lambda _: True,
) -> list[Delivery]:
    """Take deliveries that are due. No other process takes them before the lease ends, and none is lost when this
    process stops. Endpoints take turns; the order of the deliveries of one endpoint is that in which they are due.

    Args:
        session: the transaction.
        limit: the maximum number.
        lease_seconds: the length of the lease.
        per_receiver: the maximum number for one endpoint.
        full: what gets nothing now.
        take: decides about each delivery, in this order.
    """
    now = clock.now()
    statement = _CLAIM if full == NOT_FULL else _claim(_due(now, full))
    values = {"now": now, "per_receiver": per_receiver, "number": limit}
    taken = []
    for delivery in (await session.execute(statement, values)).scalars():
        if not take(delivery):
            continue
        delivery.attempts += 1
        delivery.first_attempt_at = delivery.first_attempt_at or now
        delivery.next_attempt_at = now + timedelta(seconds=lease_seconds)
        taken.append(delivery)
    return taken


_ANY_DUE = select(_d.id).where(_d.status == "pending", _d.next_attempt_at <= bindparam("now")).limit(1)


async def is_any_due(session: AsyncSession, full: Full = NOT_FULL) -> bool:
    """Tell whether a delivery is due to which ``full`` does not apply."""
    if not (full.kinds or full.receivers or full.hosts):
        return (await fetch(session, _ANY_DUE, {"now": clock.now()})).first() is not None
    return (await session.execute(_due(clock.now(), full).limit(1))).first() is not None


_DueRows = Select[uuid.UUID, str | None, datetime, str]


def _due(now: datetime | BindParameter[datetime], full: Full) -> _DueRows:
    columns = select(Delivery.id, Delivery.receiver, Delivery.next_attempt_at, _key().label("key"))
    due = columns.where(Delivery.status == "pending", Delivery.next_attempt_at <= now)
    if full.kinds:
        due = due.where(Delivery.kind.not_in(full.kinds))
    if full.hosts:
        due = due.where(Delivery.receiver.is_(None) | Delivery.receiver.not_in(full.hosts))
    return due.where(_key().not_in(full.receivers)) if full.receivers else due


def _key() -> ColumnElement[str]:
    """Return the endpoint of a delivery, as ``places.endpoint`` does."""
    of_application = Delivery.client_id.concat(literal_column("' '")).concat(Delivery.kind)
    return func.coalesce(of_application, Delivery.receiver, Delivery.kind)


_now: BindParameter[datetime] = bindparam("now")


def _claim(due: _DueRows) -> Select[Delivery]:
    """Return the statement of :func:`claim` for rows of :func:`_due`."""
    first = due.order_by(Delivery.next_attempt_at, Delivery.id).limit(MAX_CANDIDATES).subquery()
    place = func.row_number().over(partition_by=first.c.key, order_by=(first.c.next_attempt_at, first.c.id))
    ranked = select(first.c.id, first.c.receiver, place.label("place")).subquery()
    has_no_limit = ranked.c.receiver.is_(None) | ranked.c.receiver.in_(SHARED_RECEIVERS)
    return (
        select(Delivery)
        .join(ranked, ranked.c.id == Delivery.id)
        .where(has_no_limit | (ranked.c.place <= bindparam("per_receiver")), Delivery.status == "pending")
        .where(Delivery.next_attempt_at <= _now)
        .order_by(ranked.c.place, Delivery.next_attempt_at, Delivery.id)
        .limit(bindparam("number"))
        .with_for_update(skip_locked=True, of=Delivery)
    )


_CLAIM = _claim(_due(_now, NOT_FULL))


async def give_up_overdue(session: AsyncSession, key: str, before: datetime, error: str) -> list[Delivery]:
    """Give up the deliveries to an endpoint that does not answer which are due and were written before a moment, at
    most a batch; return them.

    Args:
        session: the transaction.
        key: the endpoint.
        before: the moment.
        error: why the last delivery to the endpoint failed.
    """
    now = clock.now()
    old = select(Delivery).where(Delivery.status == "pending", Delivery.next_attempt_at <= now, _key() == key)
    old = old.where(Delivery.created_at <= before).order_by(Delivery.next_attempt_at).limit(OVERDUE_BATCH)
    overdue = list((await session.execute(old.with_for_update(skip_locked=True))).scalars())
    for delivery in overdue:
        delivery.status, delivery.finished_at, delivery.last_error = "given_up", now, error
    return overdue


async def change_receiver(session: AsyncSession, delivery_id: uuid.UUID, receiver: str, reason: str = "") -> None:
    """Send a delivery to another receiver, now.

    Args:
        session: the transaction.
        delivery_id: the delivery.
        receiver: the other receiver.
        reason: why the receiver so far cannot be used; empty: it was not asked, so this was no attempt.
    """
    delivery = await session.get(Delivery, delivery_id)
    if delivery is None or delivery.status != "pending":
        return
    changes = receiver_changes(delivery) + 1
    delivery.receiver, delivery.next_attempt_at = receiver, clock.now()
    delivery.payload = {**delivery.payload, CHANGES: changes}
    if reason:
        delivery.receipt, delivery.last_error = Receipt.FAILED, reason[:MAX_REASON_CHARS]
    else:
        delivery.attempts -= 1


async def await_receipt(
    session: AsyncSession, delivery_id: uuid.UUID, receipt_key: bytes, fallback: str, at: datetime
) -> None:
    """Record that WhatsApp accepted a message. With ``fallback``, the delivery waits until ``at`` for a receipt and
    then goes to that receiver; otherwise it is done. A receipt may have arrived before this is recorded."""
    delivery = await session.get(Delivery, delivery_id, with_for_update=True)
    if delivery is None:
        return
    delivery.receipt_key, delivery.last_error = receipt_key, None
    if delivery.status != "pending":
        return
    has_failed = delivery.receipt == Receipt.FAILED
    delivery.receipt = delivery.receipt or Receipt.ACCEPTED
    if fallback:
        delivery.receiver = fallback
        delivery.fallback_at = delivery.next_attempt_at = clock.now() if has_failed else at
    else:
        delivery.status, delivery.finished_at = ("given_up" if has_failed else "done"), clock.now()


async def move_waiting(session: AsyncSession, receiver: str, other: str, before: datetime) -> None:
    """Let another receiver get the deliveries that are due and were written before a moment, at most a batch: the
    receiver so far does not answer."""
    now = clock.now()
    due = select(Delivery).where(Delivery.status == "pending", Delivery.next_attempt_at <= now)
    due = due.where(Delivery.receiver == receiver, Delivery.created_at <= before).order_by(Delivery.next_attempt_at)
    waiting_ones = (await session.execute(due.limit(OVERDUE_BATCH).with_for_update(skip_locked=True))).scalars()
    for delivery in waiting_ones:
        delivery.receiver, delivery.last_error = other, f"{receiver} does not answer"


async def for_receipt(session: AsyncSession, delivery_id: uuid.UUID | None, receipt_key: bytes) -> Delivery | None:
    """Return the delivery that a receipt is about, locked.

    Args:
        session: the transaction.
        delivery_id: the id that the receipt names; None: it names none.
        receipt_key: the hash of WhatsApp's id of the message.
    """
    if delivery_id is not None:
        return await session.get(Delivery, delivery_id, with_for_update=True)
    has_key = Delivery.receipt_key.is_not(None) & (Delivery.receipt_key == receipt_key)
    rows = await session.execute(select(Delivery).where(has_key).limit(1).with_for_update())
    return rows.scalar_one_or_none()


_OF_SESSION = (
    select(Delivery)
    .where(Delivery.session_id == bindparam("session_id"), Delivery.kind.in_(bindparam("kinds", expanding=True)))
    .order_by(Delivery.id)
)


async def of_session(session: AsyncSession, session_id: uuid.UUID, kinds: Sequence[str]) -> dict[str, Delivery]:
    """Return the latest delivery that a session's end caused, by application."""
    deliveries = (await session.execute(_OF_SESSION, {"session_id": session_id, "kinds": [*kinds]})).scalars()
    return {delivery.client_id: delivery for delivery in deliveries if delivery.client_id is not None}


_FINISH = (
    update(_deliveries)
    .where(_d.id == bindparam("delivery_id"))
    .values({name: bindparam(name) for name in ("status", "finished_at", "last_error")})
    .returning(_d.id)
)
_FINISH_UNFINISHED = _FINISH.where(or_(*(_d.status == status for status in UNFINISHED)))


async def finish(session: AsyncSession, delivery_id: uuid.UUID, status: str, error: str | None) -> bool:
    """Record that a delivery is ``done``, ``given_up`` or ``skipped``; tell whether a row changed. A delivery that was
    finished meanwhile, for example by a receipt, can only become ``done``."""
    statement = _FINISH if status == DeliveryStatus.DONE else _FINISH_UNFINISHED
    values = {"delivery_id": delivery_id, "status": status, "finished_at": clock.now(), "last_error": error}
    return (await fetch(session, statement, values)).first() is not None


async def retry_at(session: AsyncSession, delivery_id: uuid.UUID, at: datetime, error: str) -> None:
    """Record that a delivery failed and when it is retried. One that was finished meanwhile stays as it is."""
    mine = update(Delivery).where(Delivery.id == delivery_id, Delivery.status.in_(UNFINISHED))
    await session.execute(mine.values(next_attempt_at=at, last_error=error))


async def held(session: AsyncSession, client_id: str, kind: str, limit: int) -> list[Delivery]:
    """Return the deliveries that wait for an application to fetch them, the oldest first."""
    mine = (Delivery.client_id == client_id) & (Delivery.kind == kind) & (Delivery.status == "held")
    return list((await session.execute(select(Delivery).where(mine).order_by(Delivery.id).limit(limit))).scalars())


async def fetched(
    session: AsyncSession, client_id: str, kind: str, delivery_ids: Sequence[uuid.UUID], now: datetime
) -> None:
    """Record that an application fetched deliveries."""
    mine = (Delivery.client_id == client_id) & (Delivery.kind == kind) & Delivery.id.in_(delivery_ids)
    first = func.coalesce(Delivery.first_attempt_at, now)
    again = {"attempts": Delivery.attempts + 1, "first_attempt_at": first}
    await session.execute(update(Delivery).where(mine, Delivery.status == "held").values(**again))


async def settle(
    session: AsyncSession, client_id: str, kind: str, delivery_ids: Sequence[uuid.UUID], error: str | None
) -> None:
    """Record that an application accepted deliveries, or (with ``error``) refused them."""
    mine = (Delivery.client_id == client_id) & (Delivery.kind == kind) & Delivery.id.in_(delivery_ids)
    values = {"status": "given_up" if error else "done", "finished_at": clock.now(), "last_error": error}
    await session.execute(update(Delivery).where(mine, Delivery.status == "held").values(**values))


async def set_aside(
    session: AsyncSession, client_id: str, kind: str, before: str, after: str, error: str | None = None
) -> None:
    """Change the status of the deliveries to an application from ``before`` (pending, held) to ``after``."""
    mine = (Delivery.client_id == client_id) & (Delivery.kind == kind) & (Delivery.status == before)
    values: dict[str, object] = {"status": after, "last_error": error}
    if after == "given_up":
        values["finished_at"] = clock.now()
    if after == "pending":
        values["next_attempt_at"] = clock.now()
    await session.execute(update(Delivery).where(mine).values(**values))


async def change_kind(
    session: AsyncSession, client_id: str, before: str, after: str, receiver: str | None, status: str
) -> None:
    """Change how the waiting deliveries of an application are sent."""
    mine = (Delivery.client_id == client_id) & (Delivery.kind == before) & Delivery.status.in_(("pending", "held"))
    values = {"kind": after, "receiver": receiver, "status": status, "next_attempt_at": clock.now()}
    await session.execute(update(Delivery).where(mine).values(**values))


async def give_up_held(session: AsyncSession, before: datetime, limit: int) -> int:
    """Give up held deliveries from before a moment, which were never fetched, at most ``limit``; return how many."""
    is_held = Delivery.status == literal_column("'held'")  # as in the condition of its index
    old = select(Delivery.id).where(is_held, Delivery.created_at < before).order_by(Delivery.created_at)
    ids = list((await session.execute(old.limit(limit).with_for_update(skip_locked=True))).scalars())
    values = {"status": "given_up", "finished_at": clock.now(), "last_error": "it was never fetched"}
    await session.execute(update(Delivery).where(Delivery.id.in_(ids)).values(**values))
    return len(ids)


async def retry(session: AsyncSession, delivery_id: uuid.UUID) -> Delivery | None:
    """Retry now a delivery that was given up or waits for its next attempt. Return it; None if that is impossible."""
    mine = (Delivery.id == delivery_id) & Delivery.status.in_(("given_up", "pending"))
    values = {"status": "pending", "next_attempt_at": clock.now(), "finished_at": None, "created_at": clock.now()}
    # An earlier receipt says nothing about this attempt.
    values |= {"receipt": None, "receipt_key": None, "fallback_at": None}
    await session.execute(update(Delivery).where(mine, Delivery.kind != "ssf_poll").values(**values))
    delivery = await session.get(Delivery, delivery_id, populate_existing=True)
    return delivery if delivery is not None and delivery.status == "pending" else None


@dataclass(frozen=True, slots=True)
class Recipient:
    """To whom deliveries go: users, and keyed hashes of contacts."""

    user_ids: tuple[uuid.UUID, ...] = ()
    hashes: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries: each field that is set narrows."""

    status: str | None = None
    kind: str | None = None
    client_id: str | None = None
    session_id: uuid.UUID | None = None
    recipient: Recipient | None = None


async def page_of(
    session: AsyncSession, filter_: DeliveryFilter, before: uuid.UUID | None, limit: int
) -> list[Delivery]:
    """Return deliveries that are older than ``before``, the newest first."""
    statement = select(Delivery).order_by(Delivery.id.desc()).limit(limit)
    for name in ("status", "kind", "client_id", "session_id"):
        if (value := getattr(filter_, name)) is not None:
            statement = statement.where(getattr(Delivery, name) == value)
    if filter_.recipient is not None:
        of_user, of_contact = filter_.recipient.user_ids, filter_.recipient.hashes
        statement = statement.where(Delivery.user_id.in_(of_user) | Delivery.recipient_hash.in_(of_contact))
    if before is not None:
        statement = statement.where(Delivery.id < before)
    return list((await session.execute(statement)).scalars())


async def messages_since(
    session: AsyncSession, hashes: Sequence[bytes], since: datetime, limit: int
) -> list[tuple[datetime, Mapping[str, object]]]:
    """Return when the messages to contacts were written after a moment, and their payloads, the newest first.

    Args:
        session: for reading.
        hashes: the keyed hashes of the contacts.
        since: the moment.
        limit: the maximum number.
    """
    mine = Delivery.recipient_hash.in_(hashes) & (Delivery.kind == DeliveryKind.MESSAGE)
    newest = select(Delivery.created_at, Delivery.payload).where(mine, Delivery.created_at > since)
    rows = await session.execute(newest.order_by(Delivery.created_at.desc()).limit(limit))
    return [(row[0], row[1]) for row in rows]


@dataclass(frozen=True, slots=True)
class FailingReceiver:
    """A receiver to which deliveries fail.

    Args:
        name: the application, otherwise the host, ``mail``, ``sms`` or ``whatsapp``.
        client_id: the application; None: it is none.
        count: how many deliveries.
    """

    name: str
    client_id: str | None
    count: int


async def failing_receivers(session: AsyncSession, limit: int) -> list[FailingReceiver]:
    """Return the receivers with deliveries that were given up within a day, or wait after several attempts, those with
    the most first. Of :data:`MAX_CANDIDATES` such deliveries."""
    fails = (Delivery.status == "pending") & (Delivery.attempts >= FAILED_ATTEMPTS)
    given_up = (Delivery.status == "given_up") & (Delivery.finished_at >= clock.now() - FAILED_SINCE)
    name = func.coalesce(Delivery.client_id, Delivery.receiver).label("name")
    ours = Delivery.kind != DeliveryKind.APPLICATION_WEBHOOK  # its team is told, and it is disabled in the end
    failing = select(name, Delivery.client_id).where(fails | given_up, name.is_not(None), ours)
    first = failing.order_by(Delivery.id.desc()).limit(MAX_CANDIDATES).subquery()
    count = func.count().label("count")
    grouped = select(first.c.name, first.c.client_id, count).group_by(first.c.name, first.c.client_id)
    rows = (await session.execute(grouped.order_by(count.desc(), first.c.name).limit(limit))).all()
    return [FailingReceiver(str(row[0]), row[1], int(row[2])) for row in rows]


async def count_failed_messages(session: AsyncSession, since: datetime, limit: int) -> int:
    """Return how many messages to users were given up since a moment, counted up to ``limit``."""
    kinds = (DeliveryKind.NOTICE, DeliveryKind.MESSAGE)
    mine = select(Delivery.id).where(
        Delivery.finished_at.is_not(None), Delivery.finished_at >= since, Delivery.status == "given_up"
    )
    counted = select(func.count()).select_from(mine.where(Delivery.kind.in_(kinds)).limit(limit).subquery())
    return int((await session.execute(counted)).scalar_one())


async def counts(session: AsyncSession) -> dict[str, int]:
    """Return the number of deliveries in each status."""
    statement = select(Delivery.status, func.count()).group_by(Delivery.status)
    return {row[0]: row[1] for row in (await session.execute(statement)).all()}


async def waiting(session: AsyncSession) -> dict[str, tuple[int, datetime]]:
    """Return, by kind, how many deliveries wait and when the first of them is or was due. At most
    :data:`MAX_COUNTED` are counted."""
    columns = select(Delivery.kind, Delivery.next_attempt_at).where(Delivery.status == "pending")
    first = columns.order_by(Delivery.next_attempt_at).limit(MAX_COUNTED).subquery()
    grouped = select(first.c.kind, func.count(), func.min(first.c.next_attempt_at)).group_by(first.c.kind)
    return {row[0]: (row[1], row[2]) for row in (await session.execute(grouped)).all()}


async def count_failing(session: AsyncSession, client_id: str) -> int:
    """Return the number of deliveries to an application that were given up, or failed and are retried: from the first
    failed attempt on. An attempt that runs for the first time has no error yet."""
    retried = (Delivery.status == "pending") & (Delivery.attempts > 0) & Delivery.last_error.is_not(None)
    failing = (Delivery.status == "given_up") | retried
    failing &= Delivery.kind != DeliveryKind.APPLICATION_WEBHOOK
    statement = select(func.count()).select_from(Delivery).where(Delivery.client_id == client_id, failing)
    return int((await session.execute(statement)).scalar_one())


async def delete_finished(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete deliveries that were finished before a moment, at most ``limit``; return how many."""
    return await delete_batch(session, Delivery, Delivery.finished_at, limit, Delivery.finished_at < before)
