"""Running the migrations (Alembic).

Alembic is imported only to change the schema. The check at each start needs only the name of the newest migration and
one row of the database.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from sso.errors import Refusal
from sso.platform.db.database import Database
from sso.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "alembic_version"


class WrongSchema(Refusal):
    """The schema of the database is older than this release requires."""


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


async def upgrade(database: Database, revision: str = "head") -> None:
    """Upgrade the schema to ``revision`` in one transaction; do nothing if it is there already."""
    from alembic import command

    async with database.engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), revision))


async def downgrade(database: Database, revision: str) -> None:
    """Downgrade the schema to ``revision`` in one transaction."""
    from alembic import command

    async with database.engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), revision))


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
