"""Tables of counts, mistakes and processes."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base


class UsageCount(Base):
    """The number of events ``name`` of the kind ``label`` in an hour, for an application or (empty) for all."""

    __tablename__ = "usage_counts"
    __table_args__ = (Index("ix_usage_counts_client_id_hour", "client_id", "hour"),)

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    label: Mapped[str] = mapped_column(String(80), primary_key=True)
    count: Mapped[int]


class ClientMistake(Base):
    """A mistake of an application: one row for each distinct mistake, with the number of times that it happened."""

    __tablename__ = "client_mistakes"

    client_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    code: Mapped[str] = mapped_column(String(60))
    sent: Mapped[dict[str, object]]
    count: Mapped[int]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime] = mapped_column(index=True)


class ClientRequest(Base):
    """A request of an application to an endpoint of the protocol, and its outcome."""

    __tablename__ = "client_requests"
    __table_args__ = (Index("ix_client_requests_client_id_id", "client_id", "id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(String(100))
    at: Mapped[datetime] = mapped_column(index=True)
    endpoint: Mapped[str] = mapped_column(String(60))
    outcome: Mapped[str] = mapped_column(String(60))
    grant_type: Mapped[str] = mapped_column(String(80))
    request_id: Mapped[str] = mapped_column(String(64))
    network: Mapped[str | None] = mapped_column(String(45))


class ProcessSeen(Base):
    """A server or worker process: its host, its start, and the time of its last report."""

    __tablename__ = "processes"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int]
    version: Mapped[str] = mapped_column(String(40))
    works: Mapped[bool]
    memory_mb: Mapped[int]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime] = mapped_column(index=True)
