"""The base class of every table and the column types they share."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, FromClause, Index, MetaData, Table, Uuid, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import NullType, TypeDecorator
from uuid_utils.compat import uuid7

from sso import clock


def _with_zone(value: datetime | None) -> datetime | None:
    if value is not None and value.tzinfo is None:
        raise ValueError("a stored moment needs its time zone")
    return value


def _for_sqlite(value: datetime | None) -> str | None:
    """Return a moment as SQLAlchemy writes it for SQLite. SQLAlchemy makes four calls for it, and a frequent request
    has some twenty."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("a stored moment needs its time zone")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _of_sqlite(text: str | None) -> datetime | None:
    """Return the moment that SQLite stores as text."""
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. Naive values are refused; SQLite, which has no time zones, stores UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        value = _with_zone(value)
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], object] | None:
        """For PostgreSQL only check the time zone: its driver takes every one."""
        return _with_zone if dialect.name == "postgresql" else _for_sqlite

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        """Return None for PostgreSQL: its driver returns times in UTC."""
        return None if dialect.name == "postgresql" else _of_sqlite

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC)


Json = JSON().with_variant(JSONB(), "postgresql")


class Base(DeclarativeBase):
    """Base class of every table, with names for constraints so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: UtcDateTime,
        dict[str, object]: Json,
        list[str]: Json,
        int: BigInteger,
    }

    def __init_subclass__(cls, **options: object) -> None:
        """Give references by UUID their type. SQLAlchemy does when the class that they refer to is imported; a constant
        statement that is built before would have parameters without a type."""
        super().__init_subclass__(**options)
        columns = cls.__table__.c if "__table__" in cls.__dict__ else ()
        for column in columns:
            if isinstance(column.type, NullType) and "UUID" in str(cls.__annotations__.get(column.key)):
                column.type = Uuid()


def new_id() -> uuid.UUID:
    """Return a new UUIDv7 (RFC 9562 section 5.7): unique and ordered by time, also where the host's clock is wrong."""
    if not clock.is_wrong():
        return uuid7()
    milliseconds, rest = int(clock.now().timestamp() * 1000), uuid7().int & ((1 << 80) - 1)
    return uuid.UUID(int=milliseconds << 80 | rest)


def index_where(name: str, *columns: str, where: str) -> Index:
    """Return an index of the rows for which the SQL condition ``where`` holds, for both databases. A statement uses it
    only if it has the same condition, without bound parameters in it."""
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))


def table_of(model: type[Base]) -> Table:
    """Return the table of ``model``, for statements without ORM objects, which cost half as much."""
    return cast(Table, model.__table__)


def insert_for(session: AsyncSession | Session) -> InsertFor:
    """Return the dialect's ``insert``, which supports ON CONFLICT."""
    return INSERTS[session.get_bind().dialect.name]


InsertFor = Callable[[type[Base] | FromClause], postgresql.Insert]
"""Makes an INSERT with ON CONFLICT into a table. That of SQLite has the same methods."""
INSERTS: dict[str, InsertFor] = {
    "postgresql": cast(InsertFor, postgresql.insert),
    "sqlite": cast(InsertFor, sqlite.insert),
}
