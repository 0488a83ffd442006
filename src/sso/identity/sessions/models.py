"""Tables of single sign-on sessions."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base, index_where, new_id


class SsoSession(Base):
    """The session of one user in one browser. Only the hash of the cookie is stored.

    ``remembered_until``: the end of the session of a remembered device at the latest; each use moves ``expires_at``.
    ``device_hash``: identifies the browser among the sessions of the user. ``trusted_until``: until then the browser
    needs no second factor.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_address", "address", postgresql_ops={"address": "text_pattern_ops"}),
        index_where("ix_sessions_expires_at", "expires_at", where="ended_at IS NULL"),
        index_where("ix_sessions_idle", "last_seen_at", where="ended_at IS NULL AND remembered_until IS NULL"),
        index_where("ix_sessions_ended_at", "ended_at", where="ended_at IS NOT NULL"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    auth_time: Mapped[datetime]
    acr: Mapped[str] = mapped_column(String(100))
    amr: Mapped[list[str]]
    address: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str | None] = mapped_column(String(400))
    remembered_until: Mapped[datetime | None]
    device_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    trusted_until: Mapped[datetime | None]
    country: Mapped[str | None] = mapped_column(String(2))
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(32))


class SessionClient(Base):
    """The use of a session by an application, which knows the session by ``sid``.

    ``notified_by``: how the application is notified of the end of the session, set at the end. ``ended_at``: set if the
    use ended before the session, because the application was suspended or removed. ``refused_at``: when a gate
    refused the first request after the end.
    """

    __tablename__ = "session_clients"
    __table_args__ = (Index("ix_session_clients_client_id", "client_id"),)

    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), primary_key=True)
    sid: Mapped[str] = mapped_column(String(64), unique=True)
    first_used_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    notified_by: Mapped[str | None] = mapped_column(String(16))
    ended_at: Mapped[datetime | None]
    refused_at: Mapped[datetime | None]
