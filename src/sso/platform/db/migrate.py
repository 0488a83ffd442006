"""Running the migrations (Alembic).

Alembic is imported only to change the schema. The check at each start needs only the name of the newest migration and
one row of the database.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from sso.errors import Refusal
from sso.platform.db.database import Database
from sso.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config

log = logging.getLogger("sso.db")

VERSION_TABLE = "alembic_version"
LOCK = 0x5551
"""The advisory lock of the process that changes the schema."""
LOCK_LIMIT = timedelta(seconds=2)
"""How long a statement of a migration waits for a lock: everybody who comes after it waits as long."""
STATEMENT_LIMIT = timedelta(minutes=5)
"""How long a statement of a migration takes at most, except the building of an index."""
PATIENCE = timedelta(minutes=10)
"""How long a migration is tried again."""
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")
_TRY_SHARED_LOCK = text("SELECT pg_try_advisory_xact_lock_shared(:lock)")
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.2, 5.0
BLOCKED_STATES = ("55P03", "40P01")
"""SQLSTATE values of a migration that another transaction was in the way of."""


class WrongSchema(Refusal):
    """The schema of the database is older than this release requires."""


class MigrationBlocked(Refusal):
    """A migration does not get its locks."""


async def check_schema(database: Database, settings: Settings) -> None:
    """Upgrade the schema of the embedded database; check the schema of any other.

    A newer schema is accepted: an upgrade is under way, and migrations keep the previous release working.

    Raises:
        WrongSchema: when the schema is older than this release requires.
    """
    current, required = await current_revision(database), head_revision()
    if database.is_sqlite and not settings.database_url:
        if current is None or (required is not None and current < required):
            await upgrade(database)
        return
    if current is None or (required is not None and current < required):
        raise WrongSchema(
            f"the database has schema {current or 'none'}, this release needs {required}; run: sso db upgrade"
        )


def migrations_dir() -> Path:
    """Return the directory of the migrations: in a checkout, or inside an installed package."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent.parent / "migrations"


def alembic_config(connection: Connection | None = None) -> Config:
    """Return the configuration of Alembic, for ``connection`` if given."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_dir()))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


async def upgrade(database: Database, revision: str = "head", *, tell: Callable[[str], None] = log.info) -> None:
    """Upgrade the schema to ``revision``: each migration in a transaction of its own. Do nothing if it is there.

    On PostgreSQL one process upgrades at a time. A migration does not wait long for a lock, because everybody who
    comes after it waits too: it is rolled back and tried again.

    Args:
        database: the database.
        revision: how far.
        tell: is called with a line where something has to be waited for.

    Raises:
        MigrationBlocked: when a migration does not get its locks.
    """
    await _migrate(database, revision, tell, command="upgrade")


async def downgrade(database: Database, revision: str) -> None:
    """Downgrade the schema to ``revision``: each migration in a transaction of its own."""
    await _migrate(database, revision, log.info, command="downgrade")


async def _migrate(database: Database, revision: str, tell: Callable[[str], None], *, command: str) -> None:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(alembic_config())
    async with database.maintenance() as engine, _alone(engine, tell):
        async with engine.connect() as connection:
            current = await connection.run_sync(_current_revision)
        if current is None:  # nobody uses an empty database
            steps = []
            if command == "upgrade":
                await _run_step(engine, Step(command, revision, concurrent=False), tell)
        elif command == "upgrade":
            steps = [(script, script.revision) for script in reversed([*scripts.iterate_revisions(revision, current)])]
        else:
            steps = [
                (script, cast(str, script.down_revision or "base"))
                for script in scripts.iterate_revisions(current, revision)
            ]
        for script, target in steps:
            await _run_step(engine, Step(command, target, getattr(script.module, "concurrent", False)), tell)


@dataclass(frozen=True, slots=True)
class Step:
    """One migration: the command of Alembic, where it leads to, and whether it runs without a transaction."""

    command: str
    target: str
    concurrent: bool


async def _run_step(engine: AsyncEngine, step: Step, tell: Callable[[str], None]) -> None:
    """Run a migration, and again where another transaction holds a lock that it needs."""
    end = time.monotonic() + PATIENCE.total_seconds()
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            await _run_once(engine, step)
            return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", "") not in BLOCKED_STATES:
                raise
            if time.monotonic() > end:
                raise MigrationBlocked(
                    f"migration to {step.target}: other transactions held its locks for "
                    f"{PATIENCE // timedelta(minutes=1)} minutes; end them (pg_stat_activity shows them), and run "
                    "sso db upgrade again"
                ) from error
        tell(f"migration to {step.target}: another transaction holds a lock; trying again")
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (not a secret)
        pause = min(pause * 2, LAST_PAUSE_SECONDS)


async def _run_once(engine: AsyncEngine, step: Step) -> None:
    from alembic import command

    run = getattr(command, step.command)
    if step.concurrent and engine.dialect.name == "postgresql":
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            await connection.run_sync(lambda sync: run(alembic_config(sync), step.target))
        return
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            for name, limit in (("lock_timeout", LOCK_LIMIT), ("statement_timeout", STATEMENT_LIMIT)):
                await connection.execute(select(func.set_config(name, f"{limit.total_seconds()}s", True)))
        await connection.run_sync(lambda sync: run(alembic_config(sync), step.target))


@asynccontextmanager
async def _alone(engine: AsyncEngine, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Wait until no other process changes the schema, and keep others waiting. SQLite has one writer anyway.

    The lock belongs to a transaction, because a session is not kept behind PgBouncer. It is asked for again and again:
    a statement that waits for it would hold a snapshot, for which CREATE INDEX CONCURRENTLY of the other process waits.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    has_waited = False
    async with engine.connect() as connection:
        while not (await connection.execute(_TRY_LOCK, {"lock": LOCK})).scalar_one():
            await connection.rollback()
            if not has_waited:
                tell("another process is changing the schema, or backing it up; waiting for it")
            has_waited = True
            await asyncio.sleep(FIRST_PAUSE_SECONDS)
        # A result of the extended protocol keeps its snapshot until the next statement; one of the simple does not.
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute("SELECT 1")
        yield
        await connection.rollback()


async def keep_schema(connection: AsyncConnection) -> None:
    """Wait until no process changes the schema, and let nobody change it until the transaction of ``connection`` ends.

    A snapshot that was taken before a migration finds tables that the migration renamed or rewrote no more, or empty.
    """
    while not (await connection.execute(_TRY_SHARED_LOCK, {"lock": LOCK})).scalar_one():
        await connection.rollback()
        await asyncio.sleep(FIRST_PAUSE_SECONDS)


async def current_revision(database: Database) -> str | None:
    """Return the revision of the database; None if it is empty."""
    async with database.engine.connect() as connection:
        return await connection.run_sync(_current_revision)


def head_revision() -> str | None:
    """Return the newest revision of this release: the number with which the name of its file begins."""
    names = [path.name.partition("_")[0] for path in (migrations_dir() / "versions").glob("[0-9]*.py")]
    return max(names, default=None)


def _current_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608
    return revision
