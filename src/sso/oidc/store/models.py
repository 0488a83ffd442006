"""Tables of what was granted."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from sso.oidc.store.types import AccessTokenClaims, GrantDetails
from sso.platform.db import Base, Json, index_where, new_id


class Consent(Base):
    """What a person allowed an application, remembered."""

    __tablename__ = "consents"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[str] = mapped_column(
        ForeignKey("clients.client_id", ondelete="CASCADE"), primary_key=True, index=True
    )
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Grant(Base):
    """One authorization: born as an authorization code, it lives on as the family of its refresh tokens.

    Code and family are one row so that exchanging a code needs no second INSERT, and so that a code seen again
    revokes everything that grew from it with one UPDATE.
    """

    __tablename__ = "grants"
    __table_args__ = (index_where("ix_grants_revoked_at", "revoked_at", where="revoked_at IS NOT NULL"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), index=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"), index=True)
    scope: Mapped[str] = mapped_column(Text)
    nonce: Mapped[str | None] = mapped_column(Text)
    auth_time: Mapped[datetime]
    acr: Mapped[str] = mapped_column(String(100))
    amr: Mapped[list[str]]
    offline: Mapped[bool] = mapped_column(default=False)
    details: Mapped[GrantDetails] = mapped_column(Json, default=dict)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]

    code_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)
    code_expires_at: Mapped[datetime | None]
    code_used_at: Mapped[datetime | None]
    redirect_uri: Mapped[str | None] = mapped_column(Text)
    code_challenge: Mapped[str | None] = mapped_column(String(128))


class RefreshToken(Base):
    """One refresh token of a grant. Each is used once; its successor is derived from it.

    ``format``: 1: the token names its family, so a used one is recognised without its row. None: a token of a release
    before 0015; a used one is recognised by its row until it expires.
    """

    __tablename__ = "refresh_tokens"
    __table_args__ = (
        index_where("ix_refresh_tokens_used_at", "used_at", where="used_at IS NOT NULL AND format IS NOT NULL"),
        index_where("ix_refresh_tokens_expires_at", "expires_at", where="format IS NULL"),
    )

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    grant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("grants.id", ondelete="CASCADE"), index=True)
    client_id: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    successor_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    format: Mapped[int | None]


class AccessToken(Base):
    """An opaque access token, for the applications that ask for them; others get JWTs, which are not stored."""

    __tablename__ = "access_tokens"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    grant_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("grants.id", ondelete="CASCADE"), index=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), index=True)
    claims: Mapped[AccessTokenClaims] = mapped_column(Json)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
