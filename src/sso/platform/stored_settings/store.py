"""Every SQL statement about the settings in the database."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.platform.db import fetch, insert_for, table_of
from sso.platform.stored_settings.models import SettingChange, StoredSetting

KEPT_CHANGES = 50
"""How many changes of each setting are kept."""


_s = table_of(StoredSetting).c
_VALUES = select(_s.name, _s.value).order_by(_s.name)


async def stored_values(session: AsyncSession) -> dict[str, str]:
    """Return every value in the database, by the name of its setting."""
    return {row[0]: row[1] for row in await fetch(session, _VALUES)}


async def store_value(session: AsyncSession, name: str, value: str | None, now: datetime) -> None:
    """Store a value; None: delete it."""
    if value is None:
        await session.execute(delete(StoredSetting).where(StoredSetting.name == name))
        return
    statement = insert_for(session)(StoredSetting).values(name=name, value=value, changed_at=now)
    changed = {"value": value, "changed_at": now}
    await session.execute(statement.on_conflict_do_update(index_elements=[StoredSetting.name], set_=changed))


async def add_change(session: AsyncSession, change: SettingChange) -> None:
    """Add a change to the history, and delete the oldest changes of this setting beyond :data:`KEPT_CHANGES`."""
    session.add(change)
    await session.flush()
    same = select(SettingChange.id).where(SettingChange.name == change.name).order_by(SettingChange.id.desc())
    oldest_kept = (await session.execute(same.offset(KEPT_CHANGES - 1).limit(1))).scalar()
    if oldest_kept is not None:
        old = (SettingChange.name == change.name) & (SettingChange.id < oldest_kept)
        await session.execute(delete(SettingChange).where(old).execution_options(synchronize_session=False))


async def changes_of(session: AsyncSession, name: str | None = None, limit: int = KEPT_CHANGES) -> list[SettingChange]:
    """Return the changes of a setting, or of all settings, newest first."""
    statement = select(SettingChange).order_by(SettingChange.id.desc()).limit(limit)
    if name is not None:
        statement = statement.where(SettingChange.name == name)
    return list((await session.execute(statement)).scalars())


@dataclass(frozen=True, slots=True)
class SettingChangeView:
    """A change of a setting, for a list."""

    id: int
    name: str
    at: datetime
    actor: str | None
    before: str | None
    after: str | None
    reason: str


async def recent_changes(
    session: AsyncSession, names: Collection[str], limit: int, *, without_values: Collection[str] = ()
) -> list[SettingChangeView]:
    """Return the newest changes of some settings, newest first.

    Args:
        session: the transaction.
        names: the settings.
        limit: how many changes at most.
        without_values: settings with long values, which are not read: they are empty.
    """
    long = SettingChange.name.in_(without_values)
    values = [
        case((long & column.is_not(None), ""), else_=column) for column in (SettingChange.before, SettingChange.after)
    ]
    columns = (SettingChange.id, SettingChange.name, SettingChange.at, SettingChange.actor)
    statement = select(*columns, *values, SettingChange.reason).where(SettingChange.name.in_(names))
    rows = await session.execute(statement.order_by(SettingChange.id.desc()).limit(limit))
    return [SettingChangeView(*row) for row in rows]


async def newest_change(session: AsyncSession) -> int:
    """Return the id of the newest change of any setting; 0: there is none."""
    return (await session.execute(select(func.max(SettingChange.id)))).scalar() or 0


async def change_of(session: AsyncSession, name: str, change_id: int) -> SettingChange | None:
    """Return a change, or None where it is not one of this setting."""
    change = await session.get(SettingChange, change_id)
    return change if change is not None and change.name == name else None
