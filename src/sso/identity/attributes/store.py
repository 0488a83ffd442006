"""Every SQL statement about attributes."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ScalarSelect, bindparam, delete, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.identity.attributes.models import AttributeDeclaration, AttributeValue
from sso.platform.db import delete_batch, fetch, fetch_object, insert_for, table_of

KEPT_DECLARATIONS = 50
"""How many declarations are kept."""
COUNTER = "attributes"
"""The counter by which processes notice that the declaration has changed."""
_values = table_of(AttributeValue)
_v = _values.c


def values_of_row(user_id: object) -> ScalarSelect[str]:
    """Return the stored values of the user of a row as one column, for :func:`sso.identity.attributes.values.split`."""
    pair = _v.name + literal("=") + _v.value
    return select(func.aggregate_strings(pair, "\n")).where(_v.user_id == user_id).scalar_subquery()


_declarations = table_of(AttributeDeclaration)
_NEWEST = select(_declarations).order_by(_declarations.c.id.desc()).limit(1)


async def newest_declaration(session: AsyncSession) -> AttributeDeclaration | None:
    """Return the declaration in effect."""
    return await fetch_object(session, AttributeDeclaration, _NEWEST)


async def add_declaration(session: AsyncSession, declaration: AttributeDeclaration) -> None:
    """Add a declaration, and delete the oldest ones beyond :data:`KEPT_DECLARATIONS`."""
    session.add(declaration)
    await session.flush()
    newest = select(AttributeDeclaration.id).order_by(AttributeDeclaration.id.desc())
    oldest_kept = (await session.execute(newest.offset(KEPT_DECLARATIONS - 1).limit(1))).scalar()
    if oldest_kept is not None:
        await session.execute(delete(AttributeDeclaration).where(AttributeDeclaration.id < oldest_kept))


async def counts(session: AsyncSession) -> dict[str, int]:
    """Return how many users have a value of each attribute."""
    rows = await session.execute(select(_v.name, func.count()).group_by(_v.name))
    return {row[0]: row[1] for row in rows}


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A stored value, with where it comes from and when it was last changed."""

    name: str
    value: str
    source: str
    updated_at: datetime


_VALUES_OF = (
    select(_v.name, _v.value, _v.source, _v.updated_at).where(_v.user_id == bindparam("user_id")).order_by(_v.name)
)


async def values_of(session: AsyncSession, user_id: uuid.UUID) -> dict[str, StoredValue]:
    """Return the stored values of a user by the names of their attributes, in order."""
    return {row[0]: StoredValue(*row) for row in await fetch(session, _VALUES_OF, {"user_id": user_id})}


async def set_values(
    session: AsyncSession, user_id: uuid.UUID, texts: Mapping[str, str], source: str, now: datetime
) -> None:
    """Store values of a user: the stored text of each. One statement."""
    if not texts:
        return
    rows = [
        {"user_id": user_id, "name": name, "value": text, "source": source, "updated_at": now}
        for name, text in sorted(texts.items())
    ]
    statement = insert_for(session)(AttributeValue).values(rows)
    changed = {name: statement.excluded[name] for name in ("value", "source", "updated_at")}
    await session.execute(statement.on_conflict_do_update(index_elements=["user_id", "name"], set_=changed))


async def delete_values(session: AsyncSession, user_id: uuid.UUID, names: Collection[str]) -> None:
    if names:
        await session.execute(delete(AttributeValue).where(_v.user_id == user_id, _v.name.in_(names)))


async def delete_of_user(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Delete every value of a user."""
    await session.execute(delete(AttributeValue).where(_v.user_id == user_id))


async def delete_older(session: AsyncSession, name: str, before: datetime, limit: int) -> int:
    """Delete values of an attribute that were last changed before a moment; return how many."""
    return await delete_batch(session, AttributeValue, _v.updated_at, limit, _v.name == name, _v.updated_at <= before)


async def page_of_values(
    session: AsyncSession, name: str, after: uuid.UUID | None, limit: int
) -> Sequence[tuple[uuid.UUID, str]]:
    """Return users and stored values of an attribute, in the order of the users, after ``after``."""
    statement = select(_v.user_id, _v.value).where(_v.name == name).order_by(_v.user_id).limit(limit)
    if after is not None:
        statement = statement.where(_v.user_id > after)
    return [(row[0], row[1]) for row in await session.execute(statement)]


async def delete_attribute(session: AsyncSession, name: str) -> None:
    """Delete every value of an attribute."""
    await session.execute(delete(AttributeValue).where(_v.name == name))


async def encrypted_page(
    session: AsyncSession, after: tuple[uuid.UUID, str] | None, limit: int
) -> Sequence[tuple[uuid.UUID, str, str]]:
    """Return users, attributes and stored values that are encrypted, in order, after ``after``."""
    statement = select(_v.user_id, _v.name, _v.value).where(_v.value.startswith("~"))
    if after is not None:
        statement = statement.where((_v.user_id > after[0]) | ((_v.user_id == after[0]) & (_v.name > after[1])))
    rows = await session.execute(statement.order_by(_v.user_id, _v.name).limit(limit))
    return [(row[0], row[1], row[2]) for row in rows]


async def replace_text(session: AsyncSession, user_id: uuid.UUID, name: str, text: str) -> None:
    """Store another text of a value that stays the same."""
    await session.execute(_values.update().where(_v.user_id == user_id, _v.name == name).values(value=text))
