"""Every SQL statement about applications of teams and their notes."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients.models import Application, ApplicationNote
from sso.platform.db import fetch_object, table_of

_applications = table_of(Application)
_LOCK = (
    select(_applications)
    .where(_applications.c.application_id == bindparam("application_id"))
    .with_for_update(key_share=True)
)

_NOTES = (
    select(ApplicationNote)
    .where(ApplicationNote.application_id == bindparam("application_id"))
    .order_by(ApplicationNote.id.desc())
    .limit(bindparam("number"))
)


async def lock_application(session: AsyncSession, application_id: str) -> Application | None:
    """Return an application as it is now, which nobody else changes until the transaction ends."""
    values = {"application_id": application_id}
    return await fetch_object(session, Application, _LOCK, values, renew=True)


async def page_of_applications(
    session: AsyncSession,
    *,
    states: tuple[str, ...] = (),
    ids: list[str] | None = None,
    groups: list[str] | None = None,
    after: str = "",
    limit: int = 50,
) -> list[Application]:
    """Return applications by client_id, from after ``after`` on: of some states, some ids, some groups, or all."""
    statement = select(Application).where(Application.application_id > after)
    if states:
        statement = statement.where(Application.state.in_(states))
    if ids is not None:
        statement = statement.where(Application.application_id.in_(ids))
    if groups is not None:
        statement = statement.where(Application.group.in_(groups))
    return list((await session.execute(statement.order_by(Application.application_id).limit(limit))).scalars())


async def count_waiting(session: AsyncSession, groups: list[str] | None = None) -> int:
    """Return how many applications wait for a decision."""
    statement = select(func.count()).select_from(Application).where(Application.state == "submitted")
    if groups is not None:
        statement = statement.where(Application.group.in_(groups))
    return int((await session.execute(statement)).scalar_one())


async def notes_of(session: AsyncSession, application_id: str, limit: int = 100) -> list[ApplicationNote]:
    """Return what happened and was said, the newest first."""
    return list((await session.execute(_NOTES, {"application_id": application_id, "number": limit})).scalars())
