"""Running Alembic: the only way in which the schema changes."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from sso.db.database import Database
from sso.errors import Refusal
from sso.settings import Settings


class WrongSchema(Refusal):
    """The database's schema is not the one that this release needs."""


async def check_schema(database: Database, settings: Settings) -> None:
    """Bring the embedded database's schema up to date; elsewhere only look whether it is.

    A newer schema than this release knows is accepted: an upgrade is under way, and migrations keep the previous
    release working.

    Raises:
        WrongSchema: when it is older than this release needs.
    """
    if database.is_sqlite and not settings.database_url:
        await upgrade(database)
        return
    current, wanted = await current_revision(database), head_revision()
    if current is None or (wanted is not None and current < wanted):
        raise WrongSchema(
            f"the database has schema {current or 'none'}, this release needs {wanted}; run: sso db upgrade"
        )


def migrations_dir() -> Path:
    """Return the directory of the migrations: in a checkout, or inside an installed package."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent.parent / "migrations"


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, working on ``connection`` where one is given."""
    config = Config()
    config.set_main_option("script_location", str(migrations_dir()))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


async def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the schema to ``revision`` in one transaction. Nothing happens when it is there already."""
    async with database.engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), revision))


async def downgrade(database: Database, revision: str) -> None:
    """Bring the schema back to ``revision`` in one transaction."""
    async with database.engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), revision))


async def current_revision(database: Database) -> str | None:
    """Return the revision that the database has, or None when it is empty."""
    async with database.engine.connect() as connection:
        return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


def head_revision() -> str | None:
    """Return the revision that this release needs."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()
