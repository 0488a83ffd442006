"""Tables of the protocol."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base, new_id


class Interaction(Base):
    """An authorization request that waits for a person: to sign in, to choose an account, to consent.

    It belongs to the browser that began it (``browser_hash``). ``progress`` says which pages are done.
    """

    __tablename__ = "interactions"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    client_id: Mapped[str] = mapped_column(String(100))
    parameters: Mapped[dict[str, object]]
    progress: Mapped[list[str]] = mapped_column(default=list)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class PushedRequest(Base):
    """An authorization request that its application pushed (RFC 9126): ``query`` holds its checked parameters."""

    __tablename__ = "pushed_requests"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), index=True)
    query: Mapped[str] = mapped_column(Text)
    signed: Mapped[bool] = mapped_column(default=False)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class DeviceCode(Base):
    """A device that waits for a person (RFC 8628). ``grant_id`` is what the person allowed; none yet, or refused."""

    __tablename__ = "device_codes"

    device_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    user_code: Mapped[str] = mapped_column(String(16), unique=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), index=True)
    scope: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16))
    interval: Mapped[int]
    last_polled_at: Mapped[datetime | None]
    grant_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("grants.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class BulkRevocation(Base):
    """Many sessions that are being ended, some at a time: of a person, an application, a network, or all that had
    begun.

    ``what`` is sessions, or client_sessions: then only the client session of the application in each ends.

    ``status`` is running, stopped, or done.
    """

    __tablename__ = "bulk_revocations"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[uuid.UUID | None]
    client_id: Mapped[str | None] = mapped_column(String(100))
    network: Mapped[str | None] = mapped_column(String(45))
    what: Mapped[str] = mapped_column(String(16), default="sessions", server_default="sessions")
    reason: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(16), index=True)
    total: Mapped[int]
    ended: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class EventStream(Base):
    """What an application wants to be told by Shared Signals (OpenID Shared Signals Framework 1.0 section 8.1).

    ``method`` is push (RFC 8935) or poll (RFC 8936); ``authorization_header`` is encrypted; ``status`` is enabled,
    paused or disabled.
    """

    __tablename__ = "event_streams"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), unique=True)
    method: Mapped[str] = mapped_column(String(8))
    endpoint_url: Mapped[str | None] = mapped_column(Text)
    authorization_header: Mapped[bytes | None] = mapped_column(LargeBinary)
    events_requested: Mapped[list[str]]
    description: Mapped[str | None] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(16))
    status_reason: Mapped[str | None] = mapped_column(String(200))
    verified_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ExcludedName(Base):
    """A person of whom an application does not want to be told (Shared Signals Framework section 8.1.3.3), by the hash
    of the ``sub`` by which the application knows them: whether there is such a person is not looked up."""

    __tablename__ = "event_stream_excluded_names"

    stream_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("event_streams.id", ondelete="CASCADE"), primary_key=True)
    name_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    created_at: Mapped[datetime]


class ExcludedSubject(Base):
    """The same by the person's id: from before there was :class:`ExcludedName`, and by the previous release."""

    __tablename__ = "event_stream_excluded"

    stream_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("event_streams.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)
