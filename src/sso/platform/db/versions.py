"""Version counters, by which processes notice that data in their memory has changed.

A writer increments the counter in the transaction of its change. The row stays locked until the commit, so that numbers
appear in the order in which changes become visible. Readers compare the counter with the last number that they saw.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db.base import Base, insert_for


class Version(Base):
    """A counter for ``clients`` or ``keys``."""

    __tablename__ = "versions"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger, default=0)


async def bump_version(session: AsyncSession, name: str) -> int:
    """Increment the counter ``name`` in the transaction of ``session`` and return its new value."""
    statement = (
        insert_for(session)(Version)
        .values(name=name, value=1)
        .on_conflict_do_update(index_elements=[Version.name], set_={"value": Version.value + 1})
        .returning(Version.value)
    )
    return int((await session.execute(statement)).scalar_one())


async def read_versions(session: AsyncSession) -> dict[str, int]:
    """Return every counter by its name."""
    rows = await session.execute(select(Version.name, func.coalesce(Version.value, 0)))
    return {row[0]: row[1] for row in rows}
