"""The table of links for the first administrator."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base


class SetupLink(Base):
    """A link that ``sso setup`` has printed. Only the hash of its token is stored.

    ``encrypted``: the name, user name and e-mail address of the new administrator. ``beside``: the link was made while
    there was an administrator already, and works beside them; any other link ends with the first administrator.
    """

    __tablename__ = "setup_links"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    beside: Mapped[bool]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
