"""Delivery receipts: what WhatsApp says about a message that it accepted.

A receipt can come late, twice, in any order, and before the acceptance is recorded. Each is applied once: the row of
the delivery is locked, and what the row already knows decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.platform.audit import record
from sso.platform.outbox import store
from sso.platform.outbox.models import PHONE_CHANNELS, WHATSAPP, Delivery, DeliveryStatus, Receipt
from sso.platform.outbox.whatsapp import Status, error_text

CONFIRMED = (Receipt.DELIVERED, Receipt.READ)
SKEW = timedelta(seconds=60)
"""How far the clocks of Meta and of this host may differ. An older receipt belongs to an earlier attempt."""


async def apply_receipts(session: AsyncSession, statuses: Sequence[Status]) -> list[Receipt]:
    """Apply receipts; return those that said something new.

    Args:
        session: the transaction.
        statuses: the receipts, in the order in which they were received.
    """
    new = []
    # In one order, so that two requests with the same deliveries never wait for each other in a circle.
    for status in sorted(statuses, key=lambda status: (str(status.delivery_id), status.key)):
        delivery = await store.for_receipt(session, status.delivery_id, status.key)
        if delivery is not None and _is_about(status, delivery) and _apply(session, status, delivery):
            new.append(status.receipt)
    return new


def _is_about(status: Status, delivery: Delivery) -> bool:
    """Tell whether a receipt is about the present attempt of a delivery, and not about one before a manual retry."""
    if delivery.receiver not in PHONE_CHANNELS or status.at < delivery.created_at - SKEW:
        return False
    return delivery.receipt_key in (None, status.key)


def _apply(session: AsyncSession, status: Status, delivery: Delivery) -> bool:
    """Apply a receipt to its delivery; tell whether it said something new."""
    known = delivery.receipt
    if known == status.receipt or known == Receipt.READ:
        return False
    if status.receipt in CONFIRMED:
        _confirm(status.receipt, delivery)
    elif known == Receipt.DELIVERED or known == Receipt.FAILED:
        return False
    elif status.receipt == Receipt.SENT:
        delivery.receipt = Receipt.SENT
    else:
        _fail(session, error_text(status.code), delivery)
    return True


def _confirm(receipt: Receipt, delivery: Delivery) -> None:
    delivery.receipt = receipt
    if delivery.status == DeliveryStatus.PENDING:
        delivery.status, delivery.finished_at, delivery.last_error = DeliveryStatus.DONE, clock.now(), None


def _fail(session: AsyncSession, reason: str, delivery: Delivery) -> None:
    """Record that WhatsApp could not deliver. A delivery that waits for its receipt goes out by SMS at once; one that
    the worker is sending now is left to the worker, so that nothing is sent twice."""
    delivery.receipt, delivery.last_error = Receipt.FAILED, reason
    is_waiting = delivery.status == DeliveryStatus.PENDING and delivery.next_attempt_at == delivery.fallback_at
    if is_waiting:
        delivery.next_attempt_at = delivery.fallback_at = clock.now()
    elif delivery.status == DeliveryStatus.DONE and delivery.receiver == WHATSAPP:
        delivery.status = DeliveryStatus.GIVEN_UP
        data = {"kind": delivery.kind, "error": reason}
        record(session, "delivery.given_up", outcome="failure", actor="system", subject=str(delivery.id), data=data)
