"""PostgreSQL databases for tests: filled once, lent to one test at a time, and set back to what they held at first.

Creating a database from a template takes 57 ms, and dropping it again as much; setting one back takes about 3 ms.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from sso.platform.db import Database
from sso.platform.db.prepared import Plans

NAMES = """SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"""
SEQUENCES = """SELECT quote_ident(sequencename), coalesce(last_value, start_value), last_value IS NOT NULL
    FROM pg_sequences WHERE schemaname = 'public'"""
OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""

_dialects: dict[tuple[str, int], tuple[Any, Any]] = {}
_plans: dict[str, Plans] = {}


def share_compiled_statements(database: Database) -> None:
    """Give the engines of a database the compiled statements of those that were made before.

    SQLAlchemy compiles each statement once for each engine, and each test makes an engine: compiling was a fifth of the
    work of a short test. What an engine knows about the server stays with its own pool.
    """
    for number, engine in enumerate(database.engines):
        sync = engine.sync_engine
        known = _dialects.setdefault((sync.dialect.name, number), (sync.dialect, sync._compiled_cache))
        sync.dialect, sync._compiled_cache = known
    database.plans = _plans.setdefault(database.engine.dialect.name, database.plans)
    if not database.is_sqlite:
        reader, writer = database._reader.sync_engine, database.engine.sync_engine
        reader.dialect, reader._compiled_cache = writer.dialect, writer._compiled_cache


async def run_statement(postgres: str, statement: str) -> None:
    """Run a statement that creates or drops a database.

    Args:
        postgres: the address of the server, with DATABASE in place of a name.
        statement: the statement.
    """
    connection = await asyncpg.connect(postgres.replace("DATABASE", "postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def take_snapshot(url: str) -> str:
    """Copy the rows of a filled database into a schema of their own.

    Returns:
        The statements that set every table and sequence back to these rows, in one transaction.
    """
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE SCHEMA snapshot")
        tables = [row[0] for row in await connection.fetch(NAMES)]
        filled = [name for name in tables if await connection.fetchval(f"SELECT EXISTS (SELECT FROM public.{name})")]
        for name in filled:
            await connection.execute(f"CREATE TABLE snapshot.{name} AS TABLE public.{name}")
        sequences = await connection.fetch(SEQUENCES)
    finally:
        await connection.close()
    return ";\n".join(
        [
            "BEGIN",
            # Neither triggers nor foreign keys take part, so that the order of the tables is free.
            "SET LOCAL session_replication_role = replica",
            *(f"DELETE FROM public.{name}" for name in tables),
            *(f"INSERT INTO public.{name} OVERRIDING SYSTEM VALUE TABLE snapshot.{name}" for name in filled),
            *(f"SELECT setval('public.{name}', {value}, {called})" for name, value, called in sequences),
            "COMMIT",
        ]
    )


@dataclass
class Databases:
    """The databases of one worker.

    ``postgres`` is the address of the server, ``template`` the name of a filled database that nobody uses, and
    ``restore`` what sets a copy of it back.
    """

    postgres: str
    template: str
    restore: str
    free: list[str] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def url(self, name: str) -> str:
        """Return the address of a database."""
        return self.postgres.replace("DATABASE", name)

    async def lend(self) -> str:
        """Return the name of a database that holds what the template holds."""
        if self.free:
            return self.free.pop()
        name = f"{self.template}_{next(self.numbers)}"
        await run_statement(self.postgres, f"CREATE DATABASE {name} TEMPLATE {self.template}")
        return name

    async def take_back(self, name: str) -> None:
        """Set a database back for the next test; drop one that cannot be set back."""
        try:
            connection = await asyncpg.connect(self.url(name), timeout=10)
            try:
                await connection.execute(OTHERS)
                await connection.execute(self.restore)
            finally:
                await connection.close()
        except (asyncpg.PostgresError, OSError, TimeoutError):
            await run_statement(self.postgres, f"DROP DATABASE {name} WITH (FORCE)")
        else:
            self.free.append(name)
