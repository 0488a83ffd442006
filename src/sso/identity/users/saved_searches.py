"""Searches that administrators saved: filters of the lists of the console, each with a name, for its owner alone."""

from __future__ import annotations

import uuid

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.users.models import SavedSearch
from sso.identity.users.service import UserError

MAX_SEARCHES = 50
"""How many searches one user saves."""
MAX_NAME_CHARS, MAX_QUERY_CHARS = 80, 2000


_SEARCHES = (
    select(SavedSearch)
    .where(SavedSearch.user_id == bindparam("user_id"))
    .order_by(SavedSearch.name)
    .limit(MAX_SEARCHES)
)
_SEARCHES_OF_PAGE = _SEARCHES.where(SavedSearch.page == bindparam("page"))


async def searches_of(session: AsyncSession, user_id: uuid.UUID, page: str = "") -> list[SavedSearch]:
    """Return the searches of a user, of one page or of all, by name."""
    if page:
        rows = await session.execute(_SEARCHES_OF_PAGE, {"user_id": user_id, "page": page})
    else:
        rows = await session.execute(_SEARCHES, {"user_id": user_id})
    return list(rows.scalars())


async def save(session: AsyncSession, user_id: uuid.UUID, page: str, name: str, query: str) -> None:
    """Save a search, in place of one with the same name.

    Raises:
        UserError: when the user has saved too many.
    """
    same = delete(SavedSearch).where(
        SavedSearch.user_id == user_id, SavedSearch.page == page, SavedSearch.name == name[:MAX_NAME_CHARS]
    )
    await session.execute(same)
    counted = select(func.count()).select_from(SavedSearch).where(SavedSearch.user_id == user_id)
    if (await session.execute(counted)).scalar_one() >= MAX_SEARCHES:
        raise UserError(f"you have saved {MAX_SEARCHES} searches: delete one first")
    session.add(
        SavedSearch(user_id=user_id, page=page, name=name[:MAX_NAME_CHARS], query=query, created_at=clock.now())
    )
    await session.flush()


async def remove(session: AsyncSession, user_id: uuid.UUID, search_id: uuid.UUID) -> str | None:
    """Delete a search of a user; return its page. None: the user has no such search."""
    mine = delete(SavedSearch).where(SavedSearch.id == search_id, SavedSearch.user_id == user_id)
    row = (await session.execute(mine.returning(SavedSearch.page))).first()
    return row[0] if row is not None else None
