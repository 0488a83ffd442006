"""Tables of counts and mistakes."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base


class UsageCount(Base):
    """How often something happened in an hour: ``name`` is what, ``label`` which kind of it, ``client_id`` whose."""

    __tablename__ = "usage_counts"
    __table_args__ = (Index("ix_usage_counts_client_id_hour", "client_id", "hour"),)

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    label: Mapped[str] = mapped_column(String(80), primary_key=True)
    count: Mapped[int]


class ClientMistake(Base):
    """A mistake that an application makes: once for each that differs, with how often it was made."""

    __tablename__ = "client_mistakes"

    client_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    code: Mapped[str] = mapped_column(String(60))
    sent: Mapped[dict[str, Any]]
    count: Mapped[int]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime] = mapped_column(index=True)


class ProcessSeen(Base):
    """A process that serves, or works: on which host, since when, and when it was heard of last."""

    __tablename__ = "processes"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int]
    version: Mapped[str] = mapped_column(String(40))
    works: Mapped[bool]
    memory_mb: Mapped[int]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime] = mapped_column(index=True)
