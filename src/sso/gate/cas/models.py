"""Tables of the CAS protocol."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base, new_id


class UsedTicket(Base):
    """A ticket that an application has validated, by which it knows the session that it started for it.

    A ticket that is not validated yet is the code of a grant, as a hash. ``ticket`` is encrypted: the logout request
    names it. Deleted when the part that the application takes in the session ends.
    """

    __tablename__ = "cas_tickets"
    __table_args__ = (
        Index("ix_cas_tickets_session_id_client_id", "session_id", "client_id"),
        Index("ix_cas_tickets_client_id", "client_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"))
    service: Mapped[str] = mapped_column(Text)
    ticket: Mapped[bytes] = mapped_column(LargeBinary)
    used_at: Mapped[datetime]
