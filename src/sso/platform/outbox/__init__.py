"""The outbox: what must be sent is written with its cause, and a worker sends it until it arrives or is given up.

What is sent, and how, is given by handlers from other rooms; not known here.
"""

from sso.platform.outbox.models import DeliveryKind, DeliveryStatus
from sso.platform.outbox.store import enqueue
from sso.platform.outbox.worker import Abandon, NotNeeded, Worker

__all__ = ["Abandon", "DeliveryKind", "DeliveryStatus", "NotNeeded", "Worker", "enqueue"]
