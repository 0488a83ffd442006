"""The table of gate sessions."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base


class GateSession(Base):
    """The use of a session at one host of an application behind the gate. Only the hash of the cookie is stored.

    ``grant_id`` has no foreign key: the row stays when the grant is deleted, so that a request after the end is known.
    """

    __tablename__ = "gate_sessions"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), index=True)
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    grant_id: Mapped[uuid.UUID]
    host: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
