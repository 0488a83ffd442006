"""The outbox: deliveries are written in the transaction of their cause, and a worker sends them with retries.

Handlers from other packages know what is sent and how.
"""

from sso.platform.outbox.models import MAIL, SMS, DeliveryKind, DeliveryStatus
from sso.platform.outbox.store import enqueue
from sso.platform.outbox.worker import Abandon, NotNeeded, OtherReceiver, ReceiverAnswered, Worker

__all__ = [
    "MAIL",
    "SMS",
    "Abandon",
    "DeliveryKind",
    "DeliveryStatus",
    "NotNeeded",
    "OtherReceiver",
    "ReceiverAnswered",
    "Worker",
    "enqueue",
]
