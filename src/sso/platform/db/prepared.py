"""Prepared statements: the path of the frequent flows to the database.

A statement is a constant of SQLAlchemy Core. It is compiled once for each process, prepared once for each connection,
and run by the driver on a connection that SQLAlchemy's pool lends. SQLAlchemy's own path costs several times as much
for each statement (docs/decisions/0049-prepared-statements.md).

A piece of work is a function that runs in one greenlet, as Authlib needs it, with one connection (:class:`Work`).
Listeners of the engine hear of its statements and transactions, and errors are those of SQLAlchemy. What is rare uses
the ORM session of the work (:attr:`Work.session`) on the same connection, in the same transaction. The sessions of
``Database.read()`` and ``write()`` are those of a piece of work, too: see :mod:`sso.platform.db.fetch`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar, cast

from sqlalchemy import Connection, Dialect, Engine, Executable, LargeBinary, Result
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine
from sqlalchemy.util.concurrency import await_

from sso.platform.db.pool import KeepingPool
from sso.platform.db.sql_types import ResultRow
from sso.platform.db.sqlite import CHECKPOINT, has_large_wal, patiently

Answer = TypeVar("Answer")
Values = Mapping[str, object]
_Processor = Callable[[Any], Any] | None
OUTDATED = "InvalidCachedStatementError"
"""The class of the error that a migration causes where it changes what a prepared statement returns."""
OUTDATED_SCHEMA = "OutdatedSchemaCacheError"
"""The class of the error of a type that has changed since the driver read its description."""
MAX_PLANS = 1000
"""How many compiled statements are kept at most. The program has about 250: more are no constants."""


class Rows(list[ResultRow]):
    """The rows that a statement returned, with the methods of SQLAlchemy's results that the stores use."""

    def all(self) -> Sequence[ResultRow]:
        """Return every row."""
        return self

    def first(self) -> ResultRow | None:
        """Return the first row, or None."""
        return self[0] if self else None

    def scalar_one_or_none(self) -> Any:
        """Return the first column of the first row, or None."""
        return self[0][0] if self else None


class Plan:
    """A compiled statement: its SQL, how values become arguments of the driver, and how columns become values."""

    __slots__ = ("_binds", "_constants", "_order", "_results", "sql")

    def __init__(self, compiled: SQLCompiler, dialect: Dialect) -> None:
        self.sql = str(compiled)
        binds = [compiled.binds[name] for name in compiled.positiontup or ()]
        self._constants = {bind.key: bind.effective_value for bind in binds if not bind.required}
        self._order = [bind.key for bind in binds]
        distinct = {bind.key: bind for bind in binds}.values()
        self._binds: list[tuple[str, _Processor]] = [
            (bind.key, _bind_processor(bind.type, dialect)) for bind in distinct
        ]
        if len(self._binds) == len(self._order):
            self._order = []  # no parameter stands at several places, as those of SQLite can
        types = [column.type.dialect_impl(dialect) for column in compiled._result_columns]
        results: list[_Processor] = [column_type.result_processor(dialect, None) for column_type in types]
        self._results = results if any(results) else []

    def arguments(self, values: Values) -> list[object]:
        """Return the arguments of the driver."""
        if self._constants:
            values = {**self._constants, **values}
        arguments = [values[key] if process is None else process(values[key]) for key, process in self._binds]
        if not self._order:
            return arguments
        by_key = {key: argument for (key, _), argument in zip(self._binds, arguments, strict=True)}
        return [by_key[key] for key in self._order]

    def rows(self, records: Sequence[ResultRow]) -> Rows:
        """Return what the driver returned, in the types of the columns."""
        results = self._results
        if not results:
            return Rows(records)
        return Rows([tuple([v if p is None else p(v) for p, v in zip(results, row, strict=True)]) for row in records])


def _bind_processor(column_type: TypeEngine[Any], dialect: Dialect) -> _Processor:
    """Return how a value becomes an argument. Both drivers take bytes as they are."""
    impl = column_type.dialect_impl(dialect)
    return None if isinstance(impl, LargeBinary) else impl.bind_processor(dialect)


class Plans:
    """The compiled statements of a dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: dict[tuple[object, ...], Plan | None] = {}

    def find(self, statement: Executable, values: Values) -> Plan | None:
        """Return the plan of a statement. None: SQLAlchemy must see the values first, because it writes them into the
        statement (such as those of an expanding IN), or computes the default of a column."""
        key = (statement, *values)
        try:
            return self._known[key]
        except KeyError:
            if len(self._known) >= MAX_PLANS:
                self._known.clear()
            plan = self._known[key] = self._plan(cast(ClauseElement, statement), values)
            return plan

    def _plan(self, statement: ClauseElement, values: Values) -> Plan | None:
        compiled = cast(SQLCompiler, statement.compile(dialect=self._dialect, column_keys=list(values)))
        written_late = compiled.post_compile_params or compiled.literal_execute_params
        if written_late or compiled.insert_prefetch or compiled.update_prefetch:
            return None
        return Plan(compiled, self._dialect)


class Work:
    """One piece of work, on one connection, which is lent at the first statement.

    Args:
        engine: its pool lends the connection; its listeners hear of statements and transactions.
        plans: the compiled statements.
        transaction: the statements are one transaction. Otherwise each is a transaction of its own.
        single: there is one statement at most.
    """

    own_listeners = 0
    """How many listeners of the beginning of a transaction are our own."""

    def __init__(self, engine: Engine, plans: Plans, *, transaction: bool, single: bool = False) -> None:
        self._engine, self._plans, self._single = engine, plans, single
        self._transaction, self._begun = transaction and not single, False
        self._lent: Any = None  # PoolProxiedConnection: a cast would be a call for each statement
        self._driver: Any = None
        self._connection: Connection | None = None
        self._session: Session | None = None
        self._has_options = self._shared = False
        self.commits = single
        """Whether the commit may have been sent: where the connection is lost then, the outcome is not known."""
        dispatch = engine.dispatch
        self._watched = bool(dispatch.before_cursor_execute or len(dispatch.begin) > self.own_listeners)

    @property
    def is_transaction(self) -> bool:
        """Whether the statements are one transaction."""
        return self._transaction

    def run(self, function: Callable[[Work], Answer]) -> Answer:
        """Return what ``function`` returns, and commit; roll back where it raises. Within a greenlet."""
        try:
            answer = function(self)
            self.commit()
            return answer
        finally:
            self.end()

    def commit(self) -> None:
        """Store what was added to the session, and commit. Within a greenlet."""
        if self._session is not None:
            self._session.flush()
        self.commits = self.commits or self._begun
        if self._connection is not None and self._connection.in_transaction():
            self._connection.commit()
        elif self._begun:
            self._commit()

    def end(self) -> None:
        """Close the session and return the connection. Within a greenlet."""
        try:
            if self._session is not None:
                self._session.close()
        finally:
            self.give_back()

    def execute(self, statement: Executable, values: Values) -> Rows | Result[Any]:
        """Run a statement that is a constant, with the values of its parameters."""
        plan = self._plans.find(statement, values)
        if plan is None:
            return self.session.execute(statement, values)
        return self.run_plan(plan, values)

    def run_plan(self, plan: Plan, values: Values) -> Rows:
        """Run a compiled statement."""
        if self._lent is None:
            self._lend()
        elif self._single:
            raise RuntimeError("this work is one statement")
        elif self._connection is not None and self._connection.invalidated:
            _ = self._connection.connection  # raises what SQLAlchemy raises
        arguments = plan.arguments(values)
        if self._watched:
            self._tell(plan.sql, arguments)
        try:
            records = self._fetch(plan, arguments)
        except BaseException as error:
            self._fail(error, plan.sql)
        return plan.rows(records)

    @property
    def session(self) -> Session:
        """An ORM session in the same transaction."""
        if self._session is None:
            if self._single:
                raise RuntimeError("this work is one statement")
            self._session = WorkSession(self)
        return self._session

    @property
    def is_shared(self) -> bool:
        """Whether the session has asked for the connection."""
        return self._shared

    def adopt(self, session: Session) -> None:
        """Take a session for the session of the work."""
        self._session = session

    @property
    def is_lent(self) -> bool:
        """Whether the work has a connection."""
        return self._lent is not None

    def connect(self) -> Connection:
        """Return the connection for the session, in the transaction of the work. Within a greenlet."""
        connection, self._shared = self._sqlalchemy(), True
        if not (self._transaction or self._has_options):
            self._set_autocommit(connection)
        return connection

    def get_bind(self) -> Engine:
        """Return where the statements run, as a session does."""
        return self._engine

    def find_plan(self, statement: Executable, values: Values) -> Plan | None:
        """Return the plan of a statement, or None where SQLAlchemy must run it."""
        return self._plans.find(statement, values)

    def _lend(self) -> None:
        driver_error = self._engine.dialect.loaded_dbapi.Error
        try:
            self._lent, self._driver = cast(KeepingPool, self._engine.pool).lend()
        except driver_error as error:
            raise DBAPIError.instance(None, None, error, driver_error, dialect=self._engine.dialect) from error
        if self._transaction:
            try:
                self._begin()
            except BaseException as error:
                self._fail(error, None)
            self._begun = True

    def _sqlalchemy(self) -> Connection:
        """Return SQLAlchemy's view of the connection: for the session, for listeners, and for errors."""
        if self._lent is None:
            self._lend()
        if self._connection is None:
            self._connection = Connection(self._engine, self._lent)
            if self._begun or (self._single and self._watched):
                self._connection.begin()
        return self._connection

    def _tell(self, sql: str, arguments: Sequence[object]) -> None:
        connection = self._sqlalchemy()
        for listener in self._engine.dispatch.before_cursor_execute:
            listener(connection, None, sql, arguments, None, False)

    def _commit(self) -> None:
        try:
            self._lent.commit()
        except BaseException as error:
            self._fail(error, None)

    def _fail(self, error: BaseException, sql: str | None) -> NoReturn:
        """Raise the error that SQLAlchemy raises. It closes a connection that is lost, or whose statement was
        cancelled; where the server is lost, the pool replaces every connection."""
        connection, adapted = self._sqlalchemy(), self._lent.dbapi_connection
        try:
            if isinstance(error, Exception):
                adapted._handle_exception(error)
            raise error
        except BaseException as translated:
            connection._handle_dbapi_exception(translated, sql, None, None, None)

    def give_back(self) -> None:
        """Return the connection to the pool, with no transaction open. Within a greenlet."""
        connection, lent = self._connection, self._lent
        self._connection = self._lent = None
        if connection is not None and (connection.get_transaction() or connection.invalidated or self._has_options):
            connection.close()
        elif lent is not None:
            if self._in_transaction():
                self._roll_back(lent)
            if lent.is_valid:
                cast(KeepingPool, self._engine.pool).keep((lent, self._driver))
        self._begun = self._has_options = self._shared = False

    def _roll_back(self, lent: PoolProxiedConnection) -> None:
        clean = False
        try:
            with contextlib.suppress(Exception):  # why the work ends is known; the server rolls back what it loses
                lent.rollback()
                clean = not self._in_transaction()
        finally:
            if not clean:
                lent.invalidate()

    def _set_autocommit(self, connection: Connection) -> None:
        """Let each statement of the session be a transaction."""

    def _begin(self) -> None:
        raise NotImplementedError

    def _in_transaction(self) -> bool:
        raise NotImplementedError

    def _fetch(self, plan: Plan, arguments: list[object]) -> Sequence[ResultRow]:
        raise NotImplementedError


class WorkSession(Session):
    """The ORM session of a piece of work."""

    def __init__(self, work: Work, **named: object) -> None:
        super().__init__(expire_on_commit=False, autoflush=work.is_transaction)
        self._work = work

    def get_bind(self, *_: object, **_named: object) -> Connection:
        """Return the connection of the work, which is lent now at the latest."""
        return self._work.connect()


Executor = Session | Work
"""What runs statements: a session, or a piece of work."""


def session_of(executor: Executor) -> Session:
    """Return the ORM session of what runs the statements, for what is rare."""
    return executor.session if isinstance(executor, Work) else executor


class PostgresWork(Work):
    """Work on PostgreSQL, by asyncpg. A statement is one call of its protocol: ``fetch`` of a prepared statement does
    what stands in :meth:`_fetch`, with ten calls."""

    def _set_autocommit(self, connection: Connection) -> None:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        self._has_options = True  # they end when SQLAlchemy's connection is closed

    def _begin(self) -> None:
        await_(self._lent.dbapi_connection._start_transaction())

    def _in_transaction(self) -> bool:
        return bool(self._driver.is_in_transaction())

    def _fetch(self, plan: Plan, arguments: list[object]) -> Sequence[ResultRow]:
        known = self._lent.info
        prepared = known.get(plan)
        if prepared is None:
            prepared = known[plan] = await_(self._driver.prepare(plan.sql))
        state = prepared._state
        if state.closed or self._driver.is_closed():
            return cast(Sequence[ResultRow], await_(prepared.fetch(*arguments)))  # which says so
        try:
            answer = await_(self._driver._protocol.bind_execute(state, arguments, "", 0, True, None))
        except Exception as error:
            if type(error).__name__ == OUTDATED_SCHEMA:
                await_(self._driver.reload_schema_state())
                state.mark_closed()
            raise
        records: Sequence[ResultRow] = answer[0]
        return records


class SqliteWork(Work):
    """Work on SQLite, in the thread of the event loop: a message to the thread of aiosqlite and back costs more than
    the statement. The connection is aiosqlite's, whose thread serves the session of the work and waits for the disk;
    it is lent to one piece of work at a time. ``sqlite3`` keeps the prepared statements."""

    own_listeners = 1

    def _lend(self) -> None:
        super()._lend()
        self._execute = self._driver._conn.execute

    def _begin(self) -> None:
        self._write_back()
        patiently(lambda: self._driver._conn.execute("BEGIN IMMEDIATE"))
        self._lent.dbapi_connection.note_begin()

    def _commit(self) -> None:
        if self._lent.dbapi_connection.has_changed_much():
            super()._commit()  # in the thread
            return
        try:
            self._execute("COMMIT")
        except BaseException as error:
            self._fail(error, None)

    def _in_transaction(self) -> bool:
        return bool(self._driver.in_transaction)

    def _fetch(self, plan: Plan, arguments: list[object]) -> Sequence[ResultRow]:
        execute = self._execute
        if not self._single:
            records: Sequence[ResultRow] = execute(plan.sql, arguments).fetchall()
            return records
        self._write_back()
        return patiently(lambda: execute(plan.sql, arguments).fetchall())

    def _write_back(self) -> None:
        if has_large_wal(self._engine.url.database):
            await_(self._driver.execute_fetchall(CHECKPOINT))
