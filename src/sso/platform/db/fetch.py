"""The sessions of :class:`~sso.platform.db.Database`, and :func:`fetch`: a constant statement in one of them.

A session has one piece of work (:mod:`sso.platform.db.prepared`) with its connection and its transaction. What the
session executes and what is fetched are therefore in the same transaction. :func:`fetch_objects` makes objects of a
model from the rows, and ``get`` of a session does so, too: a loader of SQLAlchemy costs ten times as much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Generic, TypeVar, cast

from sqlalchemy import ColumnElement, Engine, Executable, bindparam, inspect, select
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import configure_mappers, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.util.concurrency import await_, greenlet_spawn

from sso.platform.db.prepared import Answer, Executor, Plan, Rows, Values, Work, WorkSession
from sso.platform.db.sql_types import ResultRow, SelectStatement, SqlColumn

Model = TypeVar("Model")
NOTHING: Mapping[str, object] = MappingProxyType({})
FETCHES_IN_A_ROW = 50
"""After so many fetched statements a session lets other tasks run: on SQLite none of them waits for anything."""


class PlannedSession(AsyncSession):
    """The session of a piece of work."""

    def __init__(self, work: Work) -> None:
        super().__init__(sync_session_class=WorkSession, work=work)
        self.work, self._fetches = work, 0
        work.adopt(self.sync_session)

    def get_bind(self, *_: object, **_named: object) -> Engine:
        """Return where the statements run; no connection is needed for that."""
        return self.work.get_bind()

    @property
    def is_open(self) -> bool:
        """Whether there is something to return or to roll back."""
        return self.work.is_lent or self.sync_session.in_transaction()

    async def get(  # type: ignore[override]
        self, entity: type[Model], ident: object, *, populate_existing: bool = False, **options: object
    ) -> Model | None:
        """Return an object by its primary key: the one that the session holds, or that of the database.

        Args:
            entity: the model.
            ident: the key; several columns as a tuple.
            populate_existing: the object becomes what the database holds.
            options: others are SQLAlchemy's.
        """
        if options:
            return await super().get(entity, ident, populate_existing=populate_existing, **options)  # type: ignore[arg-type]
        maker, key = _maker(entity), ident if isinstance(ident, tuple) else (ident,)
        held = None if populate_existing else maker.held(self, key)
        if held is not None:
            return held
        return await fetch_object(self, entity, maker.by_key, each_of("key", key), renew=populate_existing)

    async def commit(self) -> None:
        """Commit, and return the connection."""
        if self.is_open:
            await greenlet_spawn(self._commit)

    async def rollback(self) -> None:
        """Roll back, and return the connection."""
        await super().rollback()
        self.sync_session.expire_all()  # what was fetched, too, may be rolled back
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
        return self.call(lambda work: work.run_plan(plan, values))

    def call(self, function: Callable[[Work], Answer]) -> Answer:
        """Return what ``function`` returns, after what was added was stored. Within a greenlet."""
        work, session = self.work, self.sync_session
        self._fetches += 1
        if self._fetches % FETCHES_IN_A_ROW == 0:
            await_(asyncio.sleep(0))
        if work.is_transaction:
            session.flush()
            if session.in_nested_transaction() or not session.is_active:
                session.connection()  # makes the savepoint, or says that what was added could not be stored
            return function(work)
        try:
            return function(work)
        finally:
            if not work.is_shared:
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


async def run_bridged(session: AsyncSession, function: Callable[[Executor], Answer]) -> Answer:
    """Return what a function of the bridge returns, whose statements are in the transaction of a session."""
    if isinstance(session, PlannedSession):
        return await greenlet_spawn(session.call, function)
    return await session.run_sync(function)


async def fetch_objects(
    session: AsyncSession,
    model: type[Model],
    statement: SelectStatement,
    values: Values = NOTHING,
    *,
    renew: bool = False,
) -> list[Model]:
    """Run a constant ``select(table_of(model))``, and return the rows as objects of the session.

    Args:
        session: as for :func:`fetch`.
        model: of the objects.
        statement: it selects every column of the model's table, in their order.
        values: the values of its parameters.
        renew: objects that the session holds already become what the database holds.
    """
    if not isinstance(session, PlannedSession):
        whole = select(model).from_statement(statement).execution_options(populate_existing=renew)
        return list((await session.execute(whole, values)).scalars())
    maker = _maker(model)
    return [maker.make(session, row, renew=renew) for row in await fetch(session, statement, values)]


async def fetch_object(
    session: AsyncSession,
    model: type[Model],
    statement: SelectStatement,
    values: Values = NOTHING,
    *,
    renew: bool = False,
) -> Model | None:
    """Return the first of the objects of :func:`fetch_objects`, which has the same arguments, or None."""
    return next(iter(await fetch_objects(session, model, statement, values, renew=renew)), None)


def make_object(session: AsyncSession, model: type[Model], columns: ResultRow) -> Model:
    """Return the object of a session for the columns of the model's table, in their order: a part of a row."""
    return _maker(model).make(session, columns, renew=False)


def one_of(column: SqlColumn, name: str, number: int) -> ColumnElement[bool]:
    """Return the condition that a column has one of ``number`` values. A statement with an expanding ``IN`` cannot be
    prepared; this one can, once for each number of values. Give the values by :func:`each_of`."""
    return column.in_([bindparam(f"{name}_{place}", type_=column.type) for place in range(number)])


def each_of(name: str, values: Sequence[object]) -> dict[str, object]:
    """Return the parameters of :func:`one_of`."""
    return {f"{name}_{place}": value for place, value in enumerate(values)}


class _Maker(Generic[Model]):
    """Makes objects of a model from rows of its table."""

    def __init__(self, model: type[Model]) -> None:
        configure_mappers()
        self._mapper = inspect(model)
        table = self._mapper.local_table
        self._names = [self._mapper.get_property_by_column(column).key for column in table.c]
        self._key = [table.c.keys().index(column.key) for column in self._mapper.primary_key]
        self.by_key: SelectStatement = select(table)
        for place, column in enumerate(self._mapper.primary_key):
            self.by_key = self.by_key.where(column == bindparam(f"key_{place}"))

    def held(self, session: AsyncSession, key: tuple[object, ...]) -> Model | None:
        """Return the object with a primary key that the session holds, and that holds what it did last."""
        held: Model | None = session.identity_map.get(self._mapper.identity_key_from_primary_key(key))
        return None if held is None or inspect(held).expired else held

    def make(self, session: AsyncSession, row: ResultRow, *, renew: bool) -> Model:
        """Return the object of a row."""
        key = self._mapper.identity_key_from_primary_key(tuple([row[place] for place in self._key]))
        held: Model | None = session.identity_map.get(key)
        if held is None:
            created: Model = self._mapper.class_manager.new_instance()
            created.__dict__.update(zip(self._names, row, strict=True))
            make_transient_to_detached(created)
            session.add(created)
            return created
        for name, value in zip(self._names, row, strict=True):
            if renew or name not in held.__dict__:
                set_committed_value(held, name, value)
        return held


_maker = cast(Callable[[type[Model]], _Maker[Model]], cache(_Maker))
