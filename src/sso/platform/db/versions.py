"""Version counters, by which processes notice that data in their memory has changed.

A writer increments the counter in the transaction of its change. The row stays locked until the commit, so that numbers
appear in the order in which changes become visible. Readers compare the counter with the last number that they saw.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db.base import INSERTS, Base, InsertFor, table_of
from sso.platform.db.fetch import fetch
from sso.platform.db.sql_types import InsertReturning


class Version(Base):
    """A counter for ``clients`` or ``keys``."""

    __tablename__ = "versions"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger, default=0)


_versions = table_of(Version)
_v = _versions.c


def _bump(insert: InsertFor) -> InsertReturning:
    changed = {"value": _v.value + 1}
    return insert(_versions).on_conflict_do_update(index_elements=["name"], set_=changed).returning(_v.value)


_BUMP = {dialect: _bump(insert) for dialect, insert in INSERTS.items()}
_READ = select(_v.name, func.coalesce(_v.value, 0))


async def bump_version(session: AsyncSession, name: str) -> int:
    """Increment the counter ``name`` in the transaction of ``session`` and return its new value."""
    return int((await fetch(session, _BUMP[session.get_bind().dialect.name], {"name": name, "value": 1}))[0][0])


async def read_versions(session: AsyncSession) -> dict[str, int]:
    """Return every counter by its name."""
    return {row[0]: row[1] for row in await fetch(session, _READ)}
