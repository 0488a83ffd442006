"""Tables of the settings in the database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base

MAX_REASON_CHARS = 500
MAX_ACTOR_CHARS = 200


class StoredSetting(Base):
    """The value of a setting, in the form in which it is written in the environment."""

    __tablename__ = "stored_settings"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime]


class SettingChange(Base):
    """One change of a setting: who (a user id, ``cli`` or ``client <client_id>``), when, from what, to what, and why.
    None: there was, or is, no value in the database."""

    __tablename__ = "setting_changes"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[datetime]
    actor: Mapped[str | None] = mapped_column(String(MAX_ACTOR_CHARS))
    before: Mapped[str | None] = mapped_column(Text)
    after: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(String(MAX_REASON_CHARS))
