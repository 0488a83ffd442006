"""The outbox: deliveries are written in the transaction of their cause, and a worker sends them with retries.

Handlers from other packages know what is sent and how.
"""

from sso.platform.outbox.models import MAIL, PHONE_CHANNELS, SMS, WHATSAPP, DeliveryKind, DeliveryStatus, Receipt
from sso.platform.outbox.store import enqueue
from sso.platform.outbox.worker import (
    Abandon,
    AwaitsReceipt,
    NotNeeded,
    OtherReceiver,
    ReceiverAnswered,
    Retry,
    Worker,
)

__all__ = [
    "MAIL",
    "PHONE_CHANNELS",
    "SMS",
    "WHATSAPP",
    "Abandon",
    "AwaitsReceipt",
    "DeliveryKind",
    "DeliveryStatus",
    "NotNeeded",
    "OtherReceiver",
    "Receipt",
    "ReceiverAnswered",
    "Retry",
    "Worker",
    "enqueue",
]
