"""The sessions of :class:`~sso.platform.db.Database`, and :func:`fetch`: a constant statement in one of them.

A session has one piece of work (:mod:`sso.platform.db.prepared`) with its connection and its transaction. What the
session executes and what is fetched are therefore in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import Engine, Executable
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.util.concurrency import greenlet_spawn

from sso.platform.db.prepared import Plan, Rows, Values, Work, WorkSession

NOTHING: Mapping[str, object] = MappingProxyType({})


class PlannedSession(AsyncSession):
    """The session of a piece of work."""

    def __init__(self, work: Work) -> None:
        super().__init__(sync_session_class=WorkSession, work=work)
        self.work = work
        work.adopt(self.sync_session)

    def get_bind(self, *_: object, **_named: object) -> Engine:
        """Return where the statements run; no connection is needed for that."""
        return self.work.get_bind()

    @property
    def is_open(self) -> bool:
        """Whether there is something to return or to roll back."""
        return self.work.is_lent or self.sync_session.in_transaction()

    async def commit(self) -> None:
        """Commit, and return the connection."""
        if self.is_open:
            await greenlet_spawn(self._commit)

    async def rollback(self) -> None:
        """Roll back, and return the connection."""
        await super().rollback()
        await greenlet_spawn(self.work.give_back)

    async def close(self) -> None:
        """Return the connection; what was not committed is rolled back."""
        if self.is_open:
            await greenlet_spawn(self.work.end)
        else:
            self.sync_session.close()

    def _commit(self) -> None:
        if self.sync_session.in_transaction():
            self.sync_session.commit()  # ends its own transaction, not that of the connection
        self.work.commit()
        self.work.give_back()

    def run(self, plan: Plan, values: Values) -> Rows:
        """Run a compiled statement. Within a greenlet."""
        work, session = self.work, self.sync_session
        if work.is_transaction:
            session.flush()
            if session.in_nested_transaction() or not session.is_active:
                session.connection()  # makes the savepoint, or says that what was added could not be stored
            return work.run_plan(plan, values)
        try:
            return work.run_plan(plan, values)
        finally:
            if not session.in_transaction():
                work.give_back()


async def fetch(session: AsyncSession, statement: Executable, values: Values = NOTHING) -> Rows:
    """Run a statement that is a constant, and return its rows; there are none where it returns nothing.

    What was added to a session of ``write()`` is stored before. A session of ``read()`` that has no connection borrows
    one for this statement only. On SQLite the statement runs in the event loop, so it must find its rows by an index.

    Args:
        session: of ``read()`` or ``write()``; another one runs the statement itself.
        statement: built once, from the columns of tables, not from the attributes of models.
        values: the values of its parameters.
    """
    if isinstance(session, PlannedSession):
        plan = session.work.find_plan(statement, values)
        if plan is not None:
            return await greenlet_spawn(session.run, plan, values)
    result = await session.execute(statement, values)
    return Rows() if isinstance(result, CursorResult) and not result.returns_rows else Rows(result.all())
