"""Deleting and counting without touching a whole table."""

from __future__ import annotations

import json
from typing import cast

from sqlalchemy import ColumnElement, CursorResult, delete, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement, Executable
from sqlalchemy.sql.compiler import SQLCompiler

from sso.platform.db.base import Base
from sso.platform.db.sql_types import SelectStatement, SqlColumn, SqlValue

COUNT_EXACTLY = 20_000
"""Up to this number rows are counted; the statistics of PostgreSQL estimate a larger number."""


async def delete_batch(
    session: AsyncSession, model: type[Base], order: SqlValue, limit: int, *conditions: ColumnElement[bool]
) -> int:
    """Delete the first rows that match, and return how many. Rows that another transaction has locked are left.

    Args:
        session: the transaction.
        model: the table.
        order: the indexed column that the conditions are about. Without it PostgreSQL may walk the primary key through
            all rows that do not match.
        limit: the most rows.
        conditions: which rows.
    """
    # By the place of the row: no other plan is possible than to go there, for a primary key of several columns too.
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    place: SqlColumn = literal_column("rowid" if is_sqlite else "ctid")
    chosen = select(place).select_from(model).where(*conditions).order_by(order).limit(limit)
    chosen = chosen.with_for_update(skip_locked=True).correlate(None)
    here = place.in_(chosen) if is_sqlite else place == func.any(func.array(chosen.scalar_subquery()))
    gone = delete(model).where(here).execution_options(synchronize_session=False)
    return cast("CursorResult[tuple[()]]", await session.execute(gone)).rowcount


class _Explain(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: SelectStatement) -> None:
        self.statement = statement


@compiles(_Explain)
def _compile_explain(element: _Explain, compiler: SQLCompiler, **options: object) -> str:
    return "EXPLAIN (FORMAT JSON) " + str(compiler.process(element.statement, **options))


async def count_roughly(session: AsyncSession, exact: SelectStatement, estimated: SelectStatement) -> int:
    """Return how many rows ``exact`` selects: counted up to :data:`COUNT_EXACTLY`. PostgreSQL estimates a larger
    number from its statistics of ``estimated``, which takes as long for a million rows as for one. SQLite counts.

    Args:
        session: for reading.
        exact: the rows, in the order of an index.
        estimated: the same rows or nearly the same, with conditions that do not depend on each other: PostgreSQL
            multiplies the shares of several conditions.
    """
    some = exact.limit(COUNT_EXACTLY + 1).subquery()
    count = int((await session.execute(select(func.count()).select_from(some))).scalar_one())
    if count <= COUNT_EXACTLY:
        return count
    if session.get_bind().dialect.name == "sqlite":
        return int((await session.execute(select(func.count()).select_from(exact.subquery()))).scalar_one())
    plan = (await session.execute(_Explain(estimated))).scalar_one()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return max(count, int(plan[0]["Plan"]["Plan Rows"]))
