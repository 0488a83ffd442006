"""Tables of registered applications."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from sso.db import Base, new_id

SELF_REGISTERED = "registered"
"""The catalogue of the applications that registered themselves (RFC 7591): no file's."""


BLOCKED = "blocked"
"""The status of an application that an administrator suspended: no catalogue brings it back."""
REMOVED = "removed"
"""The status of an application that was removed: kept for a while, because it is told that its sessions are over."""


class ClientRow(Base):
    """A registered application.

    ``catalogue`` names the file family that owns its configuration. ``version`` is the value of the counter
    ``clients`` at its last change: processes read only what is newer than what they have.
    """

    __tablename__ = "clients"

    client_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    catalogue: Mapped[str] = mapped_column(String(100), index=True)
    status: Mapped[str] = mapped_column(String(16))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    version: Mapped[int] = mapped_column(BigInteger, index=True)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ClientSecret(Base):
    """A secret of an application: 256 random bits, stored as SHA-256.

    ``sealed`` is kept only for client_secret_jwt, which needs the secret itself to check a signature.
    """

    __tablename__ = "client_secrets"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]


class ClientRegistration(Base):
    """That an application registered itself, and the hash of the token with which it manages itself (RFC 7592)."""

    __tablename__ = "client_registrations"

    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime]


class Invitation(Base):
    """An initial access token (RFC 7591 section 3): who has it may register applications with ``profile``."""

    __tablename__ = "invitations"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    profile: Mapped[str] = mapped_column(String(16))
    note: Mapped[str] = mapped_column(String(200))
    uses_left: Mapped[int | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
