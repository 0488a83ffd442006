"""The worker: sends deliveries that are due, retries with growing pauses, and gives up in the end.

Any number of processes can work on one database. ``places.py`` decides which deliveries are sent at the same time: a
receiver that is slow or does not answer delays no other, however many deliveries wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.platform.audit import record
from sso.platform.db import Database, DatabaseUnavailable
from sso.platform.metrics import Usage
from sso.platform.outbox import store
from sso.platform.outbox.models import SHARED_RECEIVERS, SMS, WHATSAPP, Delivery, DeliveryKind, DeliveryStatus
from sso.platform.outbox.places import SLOW_SECONDS, Place, Places, endpoint
from sso.platform.security.text import one_line
from sso.settings import Settings

log = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, object]], Awaitable[None]]

POLL_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 1800.0
LAST_SECONDS = 10.0
RETRIED = "retried"
"""The outcome of an attempt after which there is another one."""
LEASE_MARGIN_SECONDS = 5.0
"""A delivery is cancelled so long before its lease ends and another process may send it."""
MAX_ERROR_CHARS = 300
MAX_RECEIVER_CHANGES = 3
"""How often the receiver of a delivery may change before that counts as a failure, with a pause and an end."""
AWAY_STATUSES = (421, 429, 502, 503, 504)
WITHOUT_EVENT = (DeliveryKind.WEBHOOK, DeliveryKind.APPLICATION_WEBHOOK)
"""No audit event is recorded when such a delivery is given up: the event would cause another webhook delivery."""
JITTER = (0.75, 1.0)


class Abandon(Exception):
    """A handler raises this when a retry cannot succeed."""


class NotNeeded(Exception):
    """A handler raises this when there is no receiver, or the receiver does not want the delivery: not a failure."""


class ReceiverAnswered(RuntimeError):
    """A handler raises this when the receiver answered, but did not accept the delivery; a retry may succeed.

    Args:
        message: what it answered.
        status: the HTTP status, or the SMTP reply code.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class OtherReceiver(Exception):
    """A handler raises this when the delivery goes to another receiver than the outbox says.

    Args:
        receiver: the receiver to which it goes.
        reason: why the receiver so far cannot be used; empty: it was not asked.
        answered: whether that receiver answered; None: it was not asked.
    """

    def __init__(self, receiver: str, reason: str = "", *, answered: bool | None = None) -> None:
        super().__init__(reason or receiver)
        self.receiver, self.reason, self.answered = receiver, reason, answered


class AwaitsReceipt(Exception):
    """A handler raises this when the receiver has accepted a message and will confirm its delivery with a receipt.

    Args:
        receipt_key: finds the delivery for a receipt.
        fallback: the receiver that gets the message if no receipt arrives in time; empty: none.
        at: when.
    """

    def __init__(self, receipt_key: bytes, fallback: str, at: datetime) -> None:
        super().__init__(fallback)
        self.receipt_key, self.fallback, self.at = receipt_key, fallback, at


class Retry(Exception):
    """A handler raises this when a retry may succeed, and says when.

    Args:
        cause: why this attempt failed.
        after: at the earliest after this many seconds.
        before: at the latest at this time.
    """

    def __init__(self, cause: Exception, after: float = 0.0, before: datetime | None = None) -> None:
        super().__init__(str(cause))
        self.cause, self.after, self.before = cause, after, before


class Worker:
    """Sends the deliveries of the outbox.

    Args:
        db: the database.
        settings: concurrency and retry period.
        handlers: by kind of delivery; an exception means that the delivery failed.
        usage: counts the attempts.
    """

    def __init__(
        self, db: Database, settings: Settings, handlers: Mapping[str, Handler], usage: Usage | None = None
    ) -> None:
        self._db, self._settings = db, settings
        self._usage = usage or Usage()
        self._handlers = handlers
        self._limit = settings.delivery_concurrency
        self._per_receiver = settings.delivery_concurrency_per_host
        self.places = Places(self._limit, self._per_receiver, SHARED_RECEIVERS)
        self._lease = settings.outbound_timeout.total_seconds() * 2 + 30
        self._give_up = settings.delivery_retry_period
        self._moved_at = datetime.min.replace(tzinfo=UTC)
        self._nudge = asyncio.Event()
        self._stopping = False
        self._sending: set[asyncio.Task[None]] = set()

    def nudge(self) -> None:
        """Look for deliveries now, because one was just written."""
        self._nudge.set()

    def stop(self) -> None:
        """Make :meth:`run` end."""
        self._stopping = True
        self._nudge.set()

    async def run(self) -> None:
        """Work until :meth:`stop`; then finish the current deliveries. A delivery that takes too long is cancelled;
        another process sends it again after its lease."""
        while not self._stopping:
            try:
                await self._round()
            except DatabaseUnavailable as error:
                log.warning("the outbox cannot be read: %s", error)
            except Exception:
                log.exception("the outbox failed")
            await self._pause()
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=LAST_SECONDS)
            for task in late:
                task.cancel()

    async def drain(self) -> None:
        """Send everything that is due now, and wait until it is sent. What is sent while a round looks for deliveries
        can make others due, or free their places: only a round beside which nothing is sent is the last one."""
        while True:
            idle = not self._sending
            claimed = await self._round()
            if self._sending:
                await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
            elif idle and not claimed:
                return

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._nudge.wait()
        except TimeoutError:
            pass
        if not self._stopping:
            self._nudge.clear()

    async def _round(self) -> bool:
        """Send what is due and has a place; tell whether there was anything."""
        claimed = False
        while True:
            full = self._full()
            if WHATSAPP in full.receivers:
                await self._move_waiting()
            async with self._db.read() as session:
                due = await store.is_any_due(session, full)
            if not due and full != self._full():
                continue  # a place was freed meanwhile
            if not due or not await self._claim_fairly(full):
                return claimed
            claimed = True

    def _full(self) -> store.Full:
        """Return the kinds, endpoints and hosts without a free place."""
        return store.Full(self.places.full_kinds(), self.places.full_receivers(_now()), self.places.full_hosts())

    async def _claim_fairly(self, full: store.Full) -> bool:
        """Take deliveries, where places are scarce first those of endpoints that get nothing now: a claim looks at the
        deliveries that are due first alone, and those could all be of endpoints for which very many wait."""
        if busy := self.places.busy_receivers():
            others = store.Full(full.kinds, sorted({*full.receivers, *busy}), full.hosts)
            if await self._claim(others):
                return True
        return await self._claim(full)

    async def _claim(self, full: store.Full) -> bool:
        """Take deliveries and begin to send them; tell whether there was one."""
        places: dict[uuid.UUID, Place] = {}

        def take(delivery: Delivery) -> bool:
            place = self.places.take(delivery.kind, delivery.receiver, _now(), delivery.client_id)
            if place is not None:
                places[delivery.id] = place
            return place is not None

        try:
            async with self._db.write() as session:
                taken = await store.claim(session, self._limit, self._lease, self._per_receiver, full, take)
        except BaseException:
            for place in places.values():
                self.places.leave(place, _now(), answered=None)
            raise
        for delivery in taken:
            task = asyncio.create_task(self._send_at(places[delivery.id], delivery))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return bool(taken)

    async def _send_at(self, place: Place, delivery: Delivery) -> None:
        """Send a delivery, free its place, and look for the next one."""
        timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._is_slow, place)
        answered, began = None, time.perf_counter()
        try:
            answered, outcome = await self._send(delivery)
            self._usage.count_delivery(delivery.kind, outcome, time.perf_counter() - began)
        finally:
            timer.cancel()
            self.places.leave(place, _now(), answered=answered)
            self._nudge.set()

    def _is_slow(self, place: Place) -> None:
        if not place.is_slow:
            self.places.delay(place)
            self._nudge.set()

    async def _send(self, delivery: Delivery) -> tuple[bool | None, str]:
        """Send a delivery and record the result. Return whether the receiver answered (None: it was not asked), and the
        outcome."""
        handler, answered = self._handlers.get(delivery.kind), None
        try:
            if handler is None:
                raise Abandon(f"nothing here sends {delivery.kind}")
            async with asyncio.timeout(self._lease - LEASE_MARGIN_SECONDS):
                await handler(_payload(delivery))
        except NotNeeded as error:
            return None, await self._record(delivery, str(error), skip=True)
        except Abandon as error:
            return None, await self._record(delivery, str(error), abandon=True)
        except OtherReceiver as error:
            if store.receiver_changes(delivery) >= MAX_RECEIVER_CHANGES:  # two releases disagree
                text, when = f"its receiver changed {MAX_RECEIVER_CHANGES} times", _next_attempt(delivery, error)
                return None, await self._record(delivery, text, when=when)
            await self._change_receiver(delivery, error)
            return error.answered, RETRIED
        except AwaitsReceipt as error:
            await self._await_receipt(delivery, error)
            return True, DeliveryStatus.DONE
        except Exception as error:
            cause = error.cause if isinstance(error, Retry) else error
            answered, when = has_answered(cause), _next_attempt(delivery, error)
            text = f"{type(cause).__name__}: {cause}"
            return answered, await self._record(delivery, text, answered=answered, when=when)
        return True, await self._record(delivery, None)

    async def _change_receiver(self, delivery: Delivery, other: OtherReceiver) -> None:
        """Send a delivery to another receiver. If that cannot be stored, the delivery is sent again after its lease."""
        try:
            async with self._db.write() as session:
                await store.change_receiver(session, delivery.id, other.receiver, one_line(other.reason))
        except Exception:
            log.exception("the receiver of a delivery could not be changed")

    async def _await_receipt(self, delivery: Delivery, accepted: AwaitsReceipt) -> None:
        """Record that a message was accepted. If that fails, the message is sent again after the lease."""
        try:
            async with self._db.write() as session:
                await store.await_receipt(session, delivery.id, accepted.receipt_key, accepted.fallback, accepted.at)
        except Exception:
            log.exception("an accepted message could not be recorded")

    async def _move_waiting(self) -> None:
        """Let the SMS gateway send what waits for WhatsApp: at once where its breaker is open, otherwise what has
        waited for the time after which it goes out by SMS."""
        now, has_both = clock.now(), {SMS, WHATSAPP} <= set(self._settings.phone_channels)
        if not has_both or now < self._moved_at + timedelta(seconds=POLL_SECONDS):
            return
        self._moved_at = now
        before = now if self.places.is_open(WHATSAPP) else now - self._settings.whatsapp_fallback_after
        async with self._db.write() as session:
            await store.move_waiting(session, WHATSAPP, SMS, before)

    async def _record(
        self,
        delivery: Delivery,
        error: str | None,
        *,
        abandon: bool = False,
        skip: bool = False,
        answered: bool | None = None,
        when: datetime | None = None,
    ) -> str:
        """Record the result and return it. If that fails, the delivery is sent again after its lease: at least once,
        never lost.

        ``error`` can contain a response of the receiver: it is stored as one line of valid text.
        """
        error = one_line(error) if error is not None else None
        stored = error[:MAX_ERROR_CHARS] if error is not None else None
        outcome = self._outcome(delivery, error, abandon=abandon, skip=skip)
        try:
            async with self._db.write() as session:
                if outcome != RETRIED:
                    finished = await store.finish(session, delivery.id, outcome, stored)
                    if finished and outcome == DeliveryStatus.GIVEN_UP:
                        self._give_up_event(session, delivery, error or "")
                else:
                    assert when is not None, "only a failed attempt is retried"
                    await store.retry_at(session, delivery.id, when, stored or "")
                if answered is False and error is not None:
                    await self._give_up_overdue(session, delivery, error)
        except Exception:
            log.exception("the result of a delivery could not be recorded")
        return outcome

    def _outcome(self, delivery: Delivery, error: str | None, *, abandon: bool, skip: bool) -> str:
        if error is None:
            return DeliveryStatus.DONE
        if skip:
            return DeliveryStatus.SKIPPED
        too_old = clock.now() - delivery.created_at >= self._give_up
        return DeliveryStatus.GIVEN_UP if abandon or too_old else RETRIED

    async def _give_up_overdue(self, session: AsyncSession, failed: Delivery, error: str) -> None:
        """Give up what has waited too long for an endpoint whose breaker is open: most of it is never attempted."""
        key = endpoint(failed.kind, failed.receiver, failed.client_id)
        if self.places.is_open(key):
            before = clock.now() - self._give_up
            for delivery in await store.give_up_overdue(session, key, before, error[:MAX_ERROR_CHARS]):
                self._give_up_event(session, delivery, error)

    @staticmethod
    def _give_up_event(session: AsyncSession, delivery: Delivery, error: str) -> None:
        log.error("gave up %s to %s: %s", delivery.kind, delivery.client_id, error)
        if delivery.kind not in WITHOUT_EVENT:
            record(
                session,
                "delivery.given_up",
                outcome="failure",
                actor="system",
                subject=str(delivery.id),
                client_id=delivery.client_id,
                data={"kind": delivery.kind, "error": error[:MAX_ERROR_CHARS]},
            )


def _now() -> float:
    return clock.now().timestamp()


def has_answered(error: Exception) -> bool | None:
    """Tell whether a receiver answered that did not accept a delivery: an answer that says that it is overloaded or
    away is none (429 of RFC 6585, 502 to 504 of RFC 9110, 421 of RFC 5321). None: the database failed."""
    if isinstance(error, DatabaseUnavailable):
        return None
    return isinstance(error, ReceiverAnswered) and error.status not in AWAY_STATUSES


def _payload(delivery: Delivery) -> Mapping[str, object]:
    """Return what a handler gets. Handlers of messages to users also get the delivery's id, receiver and time."""
    if delivery.receiver not in SHARED_RECEIVERS:
        return delivery.payload
    own = {"receiver": delivery.receiver, "delivery": str(delivery.id), "written_at": delivery.created_at.isoformat()}
    return {**delivery.payload, **own}


def _next_attempt(delivery: Delivery, error: Exception) -> datetime:
    """Return when a delivery that failed is attempted again."""
    seconds = pause_after(delivery.attempts) * random.uniform(*JITTER)  # noqa: S311 - nothing to guess
    if not isinstance(error, Retry):
        return clock.now() + timedelta(seconds=seconds)
    when = clock.now() + timedelta(seconds=min(max(seconds, error.after), LONGEST_PAUSE_SECONDS))
    return min(when, max(error.before, clock.now())) if error.before is not None else when


def pause_after(attempts: int) -> float:
    """Return the pause in seconds after ``attempts`` failures: twice as long each time, up to half an hour. The worker
    shortens it at random (:data:`JITTER`), so that deliveries that failed together are not retried together."""
    return min(FIRST_PAUSE_SECONDS * 2.0 ** (min(attempts, 20) - 1), LONGEST_PAUSE_SECONDS)
