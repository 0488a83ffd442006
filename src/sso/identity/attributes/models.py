"""Tables of the declared attributes and of their values."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base, Json


class AttributeDeclaration(Base):
    """What a city declared, as it was checked. The newest row is in effect; older rows are the history.

    ``since``: when each claim came into its scope, in seconds since 1970: grants from before do not give it.
    """

    __tablename__ = "attribute_declarations"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    document: Mapped[str] = mapped_column(Text)
    since: Mapped[dict[str, float]] = mapped_column(Json)
    applied_at: Mapped[datetime]
    applied_by: Mapped[str | None] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(500))


class AttributeValue(Base):
    """The value of an attribute that a user has. ``value``: JSON; of specific personal data ``~`` and the encrypted
    JSON in base64."""

    __tablename__ = "attribute_values"
    __table_args__ = (Index("ix_attribute_values_name_updated_at", "name", "updated_at"),)

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(String(16))
    updated_at: Mapped[datetime]
