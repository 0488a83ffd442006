"""The table of employments."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base, new_id


class Employment(Base):
    """That a user works for the city. A user has at most one employment that has not ended.

    ``membership_id``: the membership of the main unit, which says the unit and the position. ``source``: import or
    manual. ``verified_by``: who confirmed the NIP, the personnel office's import or an officer. ``begun_at`` and
    ``ended_at``: when the user got the role, and lost it with everything else that belongs to the employment. Both
    follow ``valid_from`` and ``valid_until`` within five minutes; what applications and the sign-in see follows at
    once.
    """

    __tablename__ = "employments"
    __table_args__ = (
        Index(
            "uq_employments_open_user_id",
            "user_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    nip: Mapped[str | None] = mapped_column(String(18))
    status: Mapped[str] = mapped_column(String(16))
    grade: Mapped[str | None] = mapped_column(String(40))
    membership_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("memberships.id", ondelete="SET NULL"), index=True
    )
    source: Mapped[str] = mapped_column(String(16))
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None] = mapped_column(index=True)
    verified_at: Mapped[datetime]
    verified_by: Mapped[str] = mapped_column(String(200))
    begun_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
