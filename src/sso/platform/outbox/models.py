"""The outbox."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base, index_where, new_id


class DeliveryKind(StrEnum):
    """Every value of ``Delivery.kind``. API, command line and pages use this list."""

    BACKCHANNEL_LOGOUT = "backchannel_logout"
    SSF_PUSH = "ssf_push"
    SSF_POLL = "ssf_poll"
    WEBHOOK = "webhook"
    APPLICATION_WEBHOOK = "application_webhook"
    NOTICE = "notice"
    MESSAGE = "message"


class DeliveryStatus(StrEnum):
    """Every value of ``Delivery.status``.

    ``skipped`` is not a failure: there was no receiver, or the receiver does not want the delivery.
    """

    PENDING = "pending"
    HELD = "held"
    DONE = "done"
    GIVEN_UP = "given_up"
    SKIPPED = "skipped"


class Receipt(StrEnum):
    """Every value of ``Delivery.receipt``: what WhatsApp last said about a message, in the order in which it says so.

    ``accepted``: WhatsApp has the message. ``failed``: WhatsApp could not deliver it.
    """

    ACCEPTED = "accepted"
    SENT = "sent"
    FAILED = "failed"
    DELIVERED = "delivered"
    READ = "read"


MAIL, SMS, WHATSAPP = "mail", "sms", "whatsapp"
PHONE_CHANNELS = (SMS, WHATSAPP)
SHARED_RECEIVERS = frozenset({MAIL, *PHONE_CHANNELS})
"""The receivers of messages to users: the mail server, the SMS gateway and the WhatsApp Cloud API. They have no limit
for each host."""


class Delivery(Base):
    """A delivery, written in the transaction of its cause and sent by the worker until it is done or given up.

    ``receiver``: the host, ``mail``, ``sms`` or ``whatsapp``; the number of concurrent deliveries to one host is
    limited.
    ``status``: see :class:`DeliveryStatus`; ``held``: waits for a receiver that fetches it or has requested a pause.
    ``receipt``: see :class:`Receipt`; None: the delivery never went to WhatsApp. ``receipt_key``: the hash of
    WhatsApp's id of the message, which contains the telephone number. ``fallback_at``: when the message goes out by SMS
    if WhatsApp has not confirmed it; until then ``receiver`` is ``sms`` and the delivery waits.
    ``user_id``: the user whom a notice is for. ``recipient_hash``: a keyed hash of the contact that a message goes to,
    by which administrators find it; the contact itself is encrypted in ``payload``.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_due", "status", "next_attempt_at"),
        index_where("ix_deliveries_finished_at", "finished_at", where="finished_at IS NOT NULL"),
        index_where("ix_deliveries_held", "created_at", where="status = 'held'"),
        index_where("ix_deliveries_receipt_key", "receipt_key", where="receipt_key IS NOT NULL"),
        index_where("ix_deliveries_user_id", "user_id", where="user_id IS NOT NULL"),
        index_where("ix_deliveries_recipient_hash", "recipient_hash", where="recipient_hash IS NOT NULL"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(32))
    client_id: Mapped[str | None] = mapped_column(String(100), index=True)
    receiver: Mapped[str | None] = mapped_column(String(255))
    session_id: Mapped[uuid.UUID | None] = mapped_column(index=True)
    payload: Mapped[dict[str, object]]
    status: Mapped[str] = mapped_column(String(16), default="pending")
    attempts: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]
    next_attempt_at: Mapped[datetime]
    first_attempt_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    receipt: Mapped[str | None] = mapped_column(String(16))
    receipt_key: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    fallback_at: Mapped[datetime | None]
    user_id: Mapped[uuid.UUID | None]
    recipient_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))

    @property
    def channel(self) -> str | None:
        """The receiver that has the delivery, or had it last: WhatsApp as long as its receipt is awaited, or has
        arrived, and SMS was not tried. An attempt by SMS moves ``next_attempt_at`` away from ``fallback_at``."""
        with_whatsapp = self.fallback_at is not None and self.next_attempt_at == self.fallback_at
        return WHATSAPP if self.receipt is not None and with_whatsapp else self.receiver


class Webhook(Base):
    """A server that receives events. ``events``: the types of events, or ``*``."""

    __tablename__ = "webhooks"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    events: Mapped[list[str]]
    description: Mapped[str] = mapped_column(String(200))
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
