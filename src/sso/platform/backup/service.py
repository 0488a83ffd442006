"""Create a backup, check one in a scratch database, and restore one.

The secret key (``SSO_SECRET_KEY``) is not in a backup: without it, nobody can use the keys that the copy holds.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import make_url, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from sso import __version__, clock
from sso.errors import Refusal
from sso.platform.audit import record, verify
from sso.platform.backup import postgres, sqlite
from sso.platform.backup.container import BackupKey, Reader, Writer
from sso.platform.backup.manifest import Contents, Manifest, look
from sso.platform.db import Database
from sso.platform.db.migrate import head_revision, keep_schema, upgrade
from sso.platform.keys.models import SigningKey
from sso.platform.security.encryption import CannotDecrypt, SecretBox
from sso.platform.security.models import InstanceSecret
from sso.settings import Settings, SettingsError

RENAMED_SCHEMA = "sso_before_restore"
OTHERS = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND coalesce(backend_type, 'client backend') = 'client backend'
    AND usesysid IS NOT NULL AND pid <> pg_backend_pid()"""
"""A role that is no member of pg_monitor does not see ``backend_type`` of the connections of other roles."""
CLOSING_SECONDS = 5.0
"""How long the connections of a server that was stopped, or of a command that has ended, may take to close."""
LOOK_SECONDS = 0.05
PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restored database was found to hold. ``locked``: what the configured secret key cannot decrypt."""

    manifest: Manifest
    upgraded_to: str | None
    locked: list[str]
    chain: str

    @property
    def usable(self) -> bool:
        """Whether a server can start on the database, and its audit log is whole."""
        return not self.locked and not self.chain


async def check_scratch(settings: Settings) -> None:
    """Check that :func:`check` will find a scratch database, before a backup is written.

    Raises:
        Refusal: when the role may not create one, or the one that is named is not empty.
    """
    if settings.database_address is None:
        return
    settings = _for_scratch(settings)
    if settings.backup_scratch_database_url is None:
        await _check_may_create(settings)
    else:
        await _check_empty(_at(settings, settings.backup_scratch_database_url.get_secret_value()))


async def create(db: Database, settings: Settings, path: Path, *, actor: str) -> Manifest:
    """Write a backup to ``path``, which appears there when it is complete, and record ``backup.created``.

    Args:
        db: the database; it may be in use.
        settings: the key, and what the manifest says.
        path: a file that does not exist.
        actor: who asked for it.

    Raises:
        Refusal: with one line that says why there is no backup.
    """
    with _complete_or_absent(path) as partial:
        key = BackupKey.of(settings)
        create_from = _create_sqlite if db.is_sqlite else _create_postgres
        manifest = await create_from(db, settings, partial, key)
    data = {"file": path.name, "entry": manifest.contents.chain_seq}
    try:
        async with db.write() as session:
            record(session, "backup.created", actor=actor, data=data)
    except DBAPIError:
        if manifest.contents.revision == head_revision():
            raise  # else the schema is older than this release, and its table of events may be too
    return manifest


async def check(settings: Settings, path: Path) -> Restored:
    """Restore a backup into a scratch database, look at it there, and delete it.

    The scratch database of PostgreSQL is ``SSO_BACKUP_SCRATCH_DATABASE_URL``, which must be empty, or a new database on
    the server of ``SSO_DATABASE_URL``.

    Raises:
        Refusal: when the backup cannot be restored, or the copy differs from its manifest.
    """
    with _opened(path, settings) as (reader, manifest):
        _check_kind(manifest, settings)
        if manifest.database == "sqlite":
            with sqlite.scratch_file() as scratch:
                await asyncio.to_thread(sqlite.receive, reader, scratch)
                _compare(manifest, sqlite.examine(scratch))
                return await _finish(_at(settings, f"sqlite:///{scratch}"), manifest)
        async with _scratch_database(_for_scratch(settings)) as elsewhere:
            return await _load_postgres(elsewhere, reader, manifest)


async def restore(settings: Settings, path: Path, *, replace_contents: bool, actor: str) -> Restored:
    """Restore a backup into the configured database, bring its schema to this release, record ``backup.restored``.

    Args:
        settings: the key and the database.
        path: the file.
        replace_contents: replace what the database holds. Without it, a database with a table is refused.
        actor: who asked for it.

    Raises:
        Refusal: when the backup cannot be restored. The database is then what it was before.
    """
    with _opened(path, settings) as (reader, manifest):
        _check_kind(manifest, settings)
        if manifest.database == "sqlite":
            restored = await _restore_sqlite(settings, reader, manifest, replace_contents)
        else:
            restored = await _restore_postgres(_direct(settings), reader, manifest, replace_contents)
    db = Database(settings)
    try:
        async with db.write() as session:
            data = {"file": path.name, "made": manifest.created_at.isoformat(), "entry": manifest.contents.chain_seq}
            record(session, "backup.restored", actor=actor, data=data)
    finally:
        await db.close()
    return restored


async def _create_sqlite(db: Database, settings: Settings, path: Path, key: BackupKey) -> Manifest:
    source = Path(db.url.database or "")
    sqlite.delete_leftovers(path.parent)
    with sqlite.scratch_file(path.parent) as copied:
        await asyncio.to_thread(sqlite.copy, source, copied)
        contents = sqlite.examine(copied)
        manifest = _manifest(settings, contents, "sqlite", "")
        await asyncio.to_thread(_write_file, path, key, manifest, lambda writer: sqlite.send(copied, writer))
    return manifest


async def _create_postgres(_db: Database, settings: Settings, path: Path, key: BackupKey) -> Manifest:
    settings = _direct(settings)
    async with _connected(settings) as before, _connected(settings) as connection:
        await keep_schema(before)
        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        snapshot = (await connection.execute(text("SELECT pg_export_snapshot()"))).scalar_one()
        schema = (await connection.execute(text("SELECT quote_ident(current_schema())"))).scalar_one()
        server, version = await _server(settings, connection)
        postgres.check_program("pg_dump", server.major)
        manifest = _manifest(settings, await connection.run_sync(look), "postgresql", version)
        await asyncio.to_thread(
            _write_file, path, key, manifest, lambda writer: postgres.dump(server, snapshot, schema, writer)
        )
    return manifest


def _manifest(settings: Settings, contents: Contents | None, kind: str, server: str) -> Manifest:
    if contents is None:
        raise Refusal("the database is empty: there is nothing to back up")
    return Manifest.model_validate(
        {
            "release": __version__,
            "issuer": settings.issuer,
            "created_at": clock.now(),
            "database": kind,
            "server": server,
            "contents": contents,
        }
    )


def _write_file(path: Path, key: BackupKey, manifest: Manifest, send: Callable[[Writer], None]) -> None:
    with open(path, "wb", opener=_private) as file:
        writer = Writer(file, key)
        manifest.write(writer)
        send(writer)
        writer.close()
        file.flush()
        os.fsync(file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def _complete_or_absent(path: Path) -> Iterator[Path]:
    """Yield the name of a file that becomes ``path`` when the block ends, and is deleted when it raises."""
    if path.exists():
        raise Refusal(f"{path} exists; a backup never replaces a file")
    partial = path.with_name(path.name + PARTIAL)
    try:
        yield partial
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path, settings: Settings) -> Iterator[tuple[Reader, Manifest]]:
    with path.open("rb") as file:
        reader = Reader(file, BackupKey.of(settings))
        yield reader, Manifest.read(reader)


def _check_kind(manifest: Manifest, settings: Settings) -> None:
    kind = "sqlite" if settings.database_address is None else "postgresql"
    if manifest.database != kind:
        names = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
        raise Refusal(f"this is a backup of {names[manifest.database]}, and SSO_DATABASE_URL names {names[kind]}")


def _compare(manifest: Manifest, contents: Contents | None) -> None:
    if contents is None:
        raise Refusal("the restored database is empty")
    if lines := manifest.contents.differences(contents):
        raise Refusal(f"the restored database differs from the backup: {'; '.join(lines[:5])}")


def _at(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"database_url": url})


def _direct(settings: Settings) -> Settings:
    """Return the settings with an address of PostgreSQL itself.

    pg_dump and pg_restore set the search path of their connection to nothing, outside of a transaction. PgBouncer in
    transaction mode lends that connection to a server next, which finds no table.

    Raises:
        Refusal: when the only address is that of PgBouncer.
    """
    if settings.backup_database_url is not None:
        url = settings.backup_database_url.get_secret_value()
        return settings.model_copy(update={"database_url": url, "database_pooler": "none"})
    if settings.database_pooler != "none":
        raise Refusal(
            "SSO_DATABASE_URL leads to PgBouncer, which pg_dump and pg_restore would disturb: set "
            "SSO_BACKUP_DATABASE_URL to the address of PostgreSQL itself"
        )
    return settings


def _for_scratch(settings: Settings) -> Settings:
    """Return the settings for a scratch database: one that is named has an address of its own.

    Raises:
        Refusal: when it must be made beside the database, whose only address is that of PgBouncer.
    """
    if settings.backup_scratch_database_url is not None:
        return settings.model_copy(update={"database_pooler": "none"})
    return _direct(settings)


async def _restore_sqlite(settings: Settings, reader: Reader, manifest: Manifest, replace_contents: bool) -> Restored:
    target = Path(make_url(settings.effective_database_url()).database or "")
    present = await asyncio.to_thread(sqlite.contents_of, target)
    if present is not None and not replace_contents:
        raise Refusal(_not_empty(len(present.rows)))
    with sqlite.scratch_file(sqlite.prepare_file(target)) as scratch:
        await asyncio.to_thread(sqlite.receive, reader, scratch)
        _compare(manifest, sqlite.examine(scratch))
        restored = await _finish(_at(settings, f"sqlite:///{scratch}"), manifest)
        if present is not None:
            _check_fits(settings, restored)
        await asyncio.to_thread(sqlite.copy, scratch, target)
    return restored


async def _restore_postgres(settings: Settings, reader: Reader, manifest: Manifest, replace_contents: bool) -> Restored:
    async with _connected(settings) as connection:
        schema = await _schema(connection)
        if (await connection.execute(text("SELECT to_regnamespace(:name)"), {"name": RENAMED_SCHEMA})).scalar_one():
            raise Refusal(_broken_off(schema))
        contents = await connection.run_sync(look)
        if contents is not None and not replace_contents:
            raise Refusal(_not_empty(len(contents.rows)))
        if contents is not None and (others := await _other_connections(connection)):
            raise Refusal(f"{others} other connections use the database: stop every server, worker and command first")
    if contents is None:
        return await _load_postgres(settings, reader, manifest)
    await _run(settings, f"ALTER SCHEMA {schema} RENAME TO {RENAMED_SCHEMA}", f"CREATE SCHEMA {schema}")
    try:
        restored = await _load_postgres(settings, reader, manifest)
        _check_fits(settings, restored)
    except BaseException:
        await _run(settings, f"DROP SCHEMA {schema} CASCADE", f"ALTER SCHEMA {RENAMED_SCHEMA} RENAME TO {schema}")
        raise
    await _run(settings, f"DROP SCHEMA {RENAMED_SCHEMA} CASCADE")
    return restored


async def _other_connections(connection: AsyncConnection) -> int:
    """Return how many other connections use the database, once those that are closing have had time to close."""
    end = clock.steady() + CLOSING_SECONDS
    while True:
        await connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        others = int((await connection.execute(text(OTHERS))).scalar_one())
        if not others or clock.steady() >= end:
            return others
        await asyncio.sleep(LOOK_SECONDS)


def _check_fits(settings: Settings, restored: Restored) -> None:
    """Check that a backup may replace what the database holds, which is deleted.

    Raises:
        Refusal: when it is of another provider, or the secret key is not the one of the backup.
    """
    if restored.manifest.issuer != settings.issuer:
        raise Refusal(
            f"this is a backup of {restored.manifest.issuer}, and SSO_ISSUER is {settings.issuer}: nothing was "
            "replaced; it can be restored into an empty database"
        )
    if restored.locked:
        raise Refusal(
            f"SSO_SECRET_KEY cannot decrypt the keys of this backup ({len(restored.locked)} values, such as "
            f"{restored.locked[0]}): nothing was replaced; it can be restored into an empty database"
        )


async def _schema(connection: AsyncConnection) -> str:
    """Return the schema in which the tables are, quoted."""
    schema: str = (await connection.execute(text("SELECT quote_ident(current_schema())"))).scalar_one()
    return schema


def _broken_off(schema: str) -> str:
    return (
        f"an earlier restore was broken off: what the database held before it is in the schema {RENAMED_SCHEMA}. To "
        f"get that back: DROP SCHEMA {schema} CASCADE; ALTER SCHEMA {RENAMED_SCHEMA} RENAME TO {schema}; to delete it: "
        f"DROP SCHEMA {RENAMED_SCHEMA} CASCADE; then run this command again"
    )


def _not_empty(tables: int) -> str:
    return f"the database is not empty ({tables} tables): restore into an empty one, or replace it with --replace"


async def _load_postgres(settings: Settings, reader: Reader, manifest: Manifest) -> Restored:
    """Restore the rest of the stream into an empty database, and look at it."""
    async with _connected(settings) as connection:
        server, _ = await _server(settings, connection)
    postgres.check_program("pg_restore", server.major)
    await asyncio.to_thread(postgres.load, server, reader)
    async with _connected(settings) as connection:
        _compare(manifest, await connection.run_sync(look))
    return await _finish(settings, manifest)


async def _server(settings: Settings, connection: AsyncConnection) -> tuple[postgres.Server, str]:
    number = int((await connection.execute(text("SHOW server_version_num"))).scalar_one())
    version: str = (await connection.execute(text("SHOW server_version"))).scalar_one()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    return postgres.Server.of(settings, number // 10_000, driver.host), version


@asynccontextmanager
async def _scratch_database(settings: Settings) -> AsyncIterator[Settings]:
    """Yield settings that name an empty database, and delete what was restored into it at the end."""
    if settings.backup_scratch_database_url is not None:
        elsewhere = _at(settings, settings.backup_scratch_database_url.get_secret_value())
        await _check_empty(elsewhere)  # before anything is deleted: the setting may name another database by mistake
        async with _connected(elsewhere) as connection:
            schema = await _schema(connection)
        try:
            yield elsewhere
        finally:
            await _run(elsewhere, f"DROP SCHEMA {schema} CASCADE", f"CREATE SCHEMA {schema}")
        return
    name = f"sso_check_{os.urandom(6).hex()}"
    url = f"{settings.database_url}{'&' if '?' in settings.database_url else '?'}dbname={name}"
    await _check_may_create(settings)
    await _run(settings, f"CREATE DATABASE {name} TEMPLATE template0", autocommit=True)
    try:
        yield _at(settings, url)
    finally:
        await _run(settings, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", autocommit=True)


async def _check_empty(settings: Settings) -> None:
    async with _connected(settings) as connection:
        if await connection.run_sync(look) is not None:
            raise Refusal("SSO_BACKUP_SCRATCH_DATABASE_URL names a database that is not empty")


async def _check_may_create(settings: Settings) -> None:
    async with _connected(settings) as connection:
        may = text("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
        if not (await connection.execute(may)).scalar_one():
            raise Refusal(
                "the role of SSO_DATABASE_URL may not create a scratch database: name an empty database in "
                "SSO_BACKUP_SCRATCH_DATABASE_URL"
            )


@asynccontextmanager
async def _connected(settings: Settings, *, autocommit: bool = False) -> AsyncIterator[AsyncConnection]:
    """Yield a connection to PostgreSQL, whose statements may take as long as they need, in one transaction."""
    db = Database(settings)
    try:
        async with db.maintenance() as engine, engine.connect() as connection:
            if autocommit:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection
            await connection.commit()
    finally:
        await db.close()


async def _run(settings: Settings, *statements: str, autocommit: bool = False) -> None:
    """Run statements in one transaction, or each in its own."""
    async with _connected(settings, autocommit=autocommit) as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def _finish(settings: Settings, manifest: Manifest) -> Restored:
    """Bring the schema of a restored database to this release, and check that the secret key and the audit log fit."""
    head, before = head_revision(), manifest.contents.revision
    db = Database(settings)
    try:
        if before < (head or ""):
            await upgrade(db)
        async with db.read() as session:
            keys = (await session.execute(select(SigningKey.kid, SigningKey.encrypted_private_key))).all()
            secrets = (await session.execute(select(InstanceSecret.name, InstanceSecret.encrypted))).all()
            stored = [(f"signing-key:{kid}", data) for kid, data in keys]
            stored += [(f"instance:{name}", data) for name, data in secrets]
            box = _box(settings)
            locked = [name for name, data in stored if not _opens(box, data, name)]
            report = None if locked or box is None else await verify(session, box)
    finally:
        await db.close()
    broken = report.reason if report is not None and report.broken_at is not None else ""
    return Restored(manifest, head if before != head else None, locked, broken)


def _box(settings: Settings) -> SecretBox | None:
    try:
        return SecretBox(settings.secrets(create=False))
    except SettingsError:
        return None


def _opens(box: SecretBox | None, data: bytes, purpose: str) -> bool:
    try:
        return box is not None and bool(box.decrypt(data, purpose))
    except CannotDecrypt:
        return False
