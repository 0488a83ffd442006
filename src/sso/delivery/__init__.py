"""The outbox: what must be sent is written with its cause, and a worker sends it until it arrives or is given up.

What is sent, and how, is given by handlers from other rooms; not known here.
"""

from sso.delivery.models import DeliveryKind, DeliveryStatus
from sso.delivery.store import enqueue
from sso.delivery.worker import Abandon, NotNeeded, Worker

__all__ = ["Abandon", "DeliveryKind", "DeliveryStatus", "NotNeeded", "Worker", "enqueue"]
