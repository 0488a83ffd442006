"""The worker: sends deliveries that are due, retries with growing pauses, and gives up in the end.

Any number of processes can work on one database. A slow receiver occupies a few of many places, however many deliveries
wait for it, and does not delay other receivers.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.platform.audit import record
from sso.platform.db import Database, DatabaseUnavailable
from sso.platform.outbox import store
from sso.platform.outbox.models import Delivery, DeliveryKind, DeliveryStatus
from sso.platform.security.text import one_line
from sso.settings import Settings

log = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, object]], Awaitable[None]]

POLL_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 1800.0
LAST_SECONDS = 10.0
MAX_ERROR_CHARS = 300
WITHOUT_EVENT = DeliveryKind.WEBHOOK
"""No audit event is recorded when such a delivery is given up: the event would cause another webhook delivery."""
JITTER = (0.75, 1.0)


class Abandon(Exception):
    """A handler raises this when a retry cannot succeed."""


class NotNeeded(Exception):
    """A handler raises this when there is no receiver, or the receiver does not want the delivery: not a failure."""


class Worker:
    """Sends the deliveries of the outbox.

    Args:
        db: the database.
        settings: concurrency and retry period.
        handlers: by kind of delivery; an exception means that the delivery failed.
    """

    def __init__(self, db: Database, settings: Settings, handlers: Mapping[str, Handler]) -> None:
        self._db = db
        self._handlers = handlers
        self._concurrency = settings.delivery_concurrency
        self._per_receiver = settings.delivery_concurrency_per_host
        self._lease = settings.outbound_timeout.total_seconds() * 2 + 30
        self._give_up = settings.delivery_retry_period
        self._nudge = asyncio.Event()
        self._stopping = False
        self._sending: set[asyncio.Task[None]] = set()
        self._sending_to: Counter[str] = Counter()

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
        """Send everything that is due now, and wait until it is sent."""
        while True:
            await self._round()
            if not self._sending:
                return
            await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._nudge.wait()
        except TimeoutError:
            pass
        if not self._stopping:
            self._nudge.clear()

    async def _round(self) -> None:
        while (free := self._concurrency - len(self._sending)) > 0:
            full = self._full()
            async with self._db.read() as session:
                due = await store.is_any_due(session, full)
            if not due and full != self._full():
                continue  # a place was freed meanwhile
            if not due:
                return
            async with self._db.write() as session:
                taken = await store.claim(session, free, self._lease, self._per_receiver, self._sending_to)
            if not taken:
                return
            for delivery in taken:
                if delivery.receiver is not None:
                    self._sending_to[delivery.receiver] += 1
                task = asyncio.create_task(self._send(delivery))
                self._sending.add(task)
                task.add_done_callback(partial(self._sent, delivery.receiver))

    def _full(self) -> list[str]:
        """Return the receivers with the maximum number of concurrent deliveries."""
        return [receiver for receiver, count in self._sending_to.items() if count >= self._per_receiver]

    def _sent(self, receiver: str | None, task: asyncio.Task[None]) -> None:
        """Free the place of a delivery and look for the next one."""
        self._sending.discard(task)
        if receiver is not None:
            self._sending_to[receiver] -= 1
            if self._sending_to[receiver] <= 0:
                del self._sending_to[receiver]
        self._nudge.set()

    async def _send(self, delivery: Delivery) -> None:
        try:
            handler = self._handlers.get(delivery.kind)
            if handler is None:
                raise Abandon(f"nothing here sends {delivery.kind}")
            await handler(delivery.payload)
        except NotNeeded as error:
            await self._record(delivery, str(error), skip=True)
        except Abandon as error:
            await self._record(delivery, str(error), abandon=True)
        except Exception as error:
            await self._record(delivery, f"{type(error).__name__}: {error}")
        else:
            await self._record(delivery, None)

    async def _record(
        self, delivery: Delivery, error: str | None, *, abandon: bool = False, skip: bool = False
    ) -> None:
        """Record the result. If that fails, the delivery is sent again after its lease: at least once, never lost.

        ``error`` can contain a response of the receiver: it is stored as one line of valid text.
        """
        error = one_line(error) if error is not None else None
        try:
            async with self._db.write() as session:
                if error is None:
                    await store.finish(session, delivery.id, DeliveryStatus.DONE, None)
                elif skip:
                    await store.finish(session, delivery.id, DeliveryStatus.SKIPPED, error[:MAX_ERROR_CHARS])
                elif abandon or clock.now() - delivery.created_at >= self._give_up:
                    self._give_up_event(session, delivery, error)
                    await store.finish(session, delivery.id, DeliveryStatus.GIVEN_UP, error[:MAX_ERROR_CHARS])
                else:
                    seconds = pause_after(delivery.attempts) * random.uniform(*JITTER)  # noqa: S311 - nothing to guess
                    at = clock.now() + timedelta(seconds=seconds)
                    await store.retry_at(session, delivery.id, at, error[:MAX_ERROR_CHARS])
        except Exception:
            log.exception("the result of a delivery could not be recorded")

    @staticmethod
    def _give_up_event(session: AsyncSession, delivery: Delivery, error: str) -> None:
        log.error("gave up %s to %s: %s", delivery.kind, delivery.client_id, error)
        if delivery.kind != WITHOUT_EVENT:
            record(
                session,
                "delivery.given_up",
                outcome="failure",
                actor="system",
                subject=str(delivery.id),
                client_id=delivery.client_id,
                data={"kind": delivery.kind, "error": error[:MAX_ERROR_CHARS]},
            )


def pause_after(attempts: int) -> float:
    """Return the pause in seconds after ``attempts`` failures: twice as long each time, up to half an hour. The worker
    shortens it at random (:data:`JITTER`), so that deliveries that failed together are not retried together."""
    return min(FIRST_PAUSE_SECONDS * 2.0 ** (min(attempts, 20) - 1), LONGEST_PAUSE_SECONDS)
