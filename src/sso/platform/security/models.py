"""Tables of the security room."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base


class Replay(Base):
    """A JWT identifier that was seen once and must not be accepted again, or a token revoked before its time."""

    __tablename__ = "replay"

    issuer: Mapped[str] = mapped_column(String(255), primary_key=True)
    jti_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class InstanceSecret(Base):
    """A secret of this installation that must survive a change of SSO_SECRET_KEY, encrypted."""

    __tablename__ = "instance_secrets"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    encrypted: Mapped[bytes] = mapped_column(LargeBinary)


class IdempotencyKey(Base):
    """A request that was answered, and the answer (encrypted, it may hold a secret): sent again it is not done
    again."""

    __tablename__ = "idempotency_keys"

    key_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RateCounter(Base):
    """How often something happened within a window; used if SSO_RATE_LIMIT_STORAGE is ``database``."""

    __tablename__ = "rate_counters"

    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    count: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)
