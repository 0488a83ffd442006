"""Tables of proofs that are under way."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base


class PendingFlow(Base):
    """Something that takes a person several pages: signing in with a second factor, registering, recovering, proving a
    contact. It belongs to one browser. ``encrypted`` holds what has been said so far; ``code_hash`` the code that was
    sent.
    """

    __tablename__ = "pending_flows"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    purpose: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    code_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    code_sent_at: Mapped[datetime | None]
    codes_sent: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Recovery(Base):
    """A way back into an account that waits: until ``ready_at`` where only one proof is left, so that its owner can
    stop it; or for the code that the helpdesk made (``code_hash``)."""

    __tablename__ = "recoveries"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    created_by: Mapped[str | None] = mapped_column(String(200))
    client_id: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime]
    ready_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
