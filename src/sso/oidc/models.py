"""Tables of the protocol."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from sso.db import Base


class Interaction(Base):
    """An authorization request that waits for a person: to sign in, to choose an account, to consent.

    It belongs to the browser that began it (``browser_hash``). ``progress`` says which pages are done.
    """

    __tablename__ = "interactions"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    client_id: Mapped[str] = mapped_column(String(100))
    parameters: Mapped[dict[str, Any]]
    progress: Mapped[list[str]] = mapped_column(default=list)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
