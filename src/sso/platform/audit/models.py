"""Tables of the audit log."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base, index_where, new_id


class AuditEvent(Base):
    """An event, written in the transaction of its cause and appended to the chain later (``seq``, ``hash``).

    ``redaction``: a keyed hash over the rest of an event from which the details of a deleted user were removed.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        index_where("ix_audit_events_unchained", "id", where="seq IS NULL"),
        index_where("ix_audit_events_client_id", "client_id", where="client_id IS NOT NULL"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    seq: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    at: Mapped[datetime] = mapped_column(index=True)
    type: Mapped[str] = mapped_column(String(64), index=True)
    outcome: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str | None] = mapped_column(String(200), index=True)
    subject: Mapped[str | None] = mapped_column(String(200), index=True)
    client_id: Mapped[str | None] = mapped_column(String(100))
    address: Mapped[str | None] = mapped_column(String(45))
    request_id: Mapped[str | None] = mapped_column(String(32))
    data: Mapped[dict[str, object]] = mapped_column(default=dict)
    hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    redaction: Mapped[bytes | None] = mapped_column(LargeBinary(32))


class AuditCheckpoint(Base):
    """The start of the chain after its oldest events were deleted: the last of them, and a keyed hash over it."""

    __tablename__ = "audit_checkpoints"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    previous_seq: Mapped[int]
    at: Mapped[datetime]
    mac: Mapped[bytes] = mapped_column(LargeBinary(32))
