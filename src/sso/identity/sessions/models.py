"""Tables of single sign-on sessions."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base, new_id


class SsoSession(Base):
    """One person signed in at one browser. The cookie's value is stored only as its hash.

    ``remembered_until`` is there where the person asked that this device be remembered: until then at the latest, and
    ``expires_at`` moves on with each use. ``device_hash`` names the browser among all sessions of the person;
    ``trusted_until`` is there where the person asked that it need no second step until then.
    """

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_address", "address", postgresql_ops={"address": "text_pattern_ops"}),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    auth_time: Mapped[datetime]
    acr: Mapped[str] = mapped_column(String(100))
    amr: Mapped[list[str]]
    address: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str | None] = mapped_column(String(400))
    remembered_until: Mapped[datetime | None]
    device_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    trusted_until: Mapped[datetime | None]
    country: Mapped[str | None] = mapped_column(String(2))
    ended_at: Mapped[datetime | None] = mapped_column(index=True)
    end_reason: Mapped[str | None] = mapped_column(String(32))


class SessionClient(Base):
    """An application that took part in a session, with the ``sid`` by which it knows the session.

    ``told_by`` says how it learns that the session is over, decided when it ended. ``ended_at`` is there where its part
    ended before the session: it was suspended or removed.
    """

    __tablename__ = "session_clients"
    __table_args__ = (Index("ix_session_clients_client_id", "client_id"),)

    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), primary_key=True)
    sid: Mapped[str] = mapped_column(String(64), unique=True)
    first_used_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    told_by: Mapped[str | None] = mapped_column(String(16))
    ended_at: Mapped[datetime | None]
