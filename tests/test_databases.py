"""How the databases of tests are set back: see :mod:`tests.databases`."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.databases import NAMES, SQLITE_NAMES, Connections, Databases, SqliteFile, run_statement

ADD = "INSERT INTO versions (name, value) VALUES ('another', 1)"
CHANGES = [
    "INSERT INTO setting_changes (name, at, reason) VALUES ('a', '2026-01-01 00:00:00', 'b')",  # it was empty
    ADD,
    "DELETE FROM versions WHERE name = 'clients'",
    f"DELETE FROM versions WHERE name = 'clients'; {ADD}",
    "DELETE FROM versions",
    "DELETE FROM users",
    "UPDATE versions SET value = value + 1",
    "UPDATE versions SET value = value + 1 WHERE name = 'clients'",
    f"{ADD}; UPDATE versions SET value = value + 1; UPDATE users SET name = 'Another'",
]
"""What a test may write, in a table that holds rows and in one that does not: added, deleted, exchanged, changed."""


@pytest.fixture
def sqlite_lent(sqlite_template: tuple[Path, dict[str, Any]], tmp_path: Path) -> Iterator[SqliteFile]:
    file = SqliteFile(sqlite_template[0], tmp_path, Connections())
    yield file
    file.close()


@pytest.fixture
async def postgres_lent(postgres_databases: tuple[Databases, dict[str, Any]]) -> AsyncIterator[Databases]:
    """Databases of this test alone, with connections of their own."""
    connections = Connections()
    shared = postgres_databases[0]
    apart = Databases(shared.postgres, shared.template, shared.prefix, connections, numbers=shared.numbers)
    yield apart
    await connections.close()
    for name in apart.free:
        await run_statement(apart.postgres, f"DROP DATABASE {name} WITH (FORCE)")


def sqlite_rows(path: str | Path) -> dict[str, list[Any]]:
    connection = sqlite3.connect(path)
    names = [name for (name,) in connection.execute(SQLITE_NAMES)]
    rows = {name: connection.execute(f'SELECT * FROM "{name}" NOT INDEXED').fetchall() for name in names}
    connection.close()
    return rows


async def test_sqlite_is_set_back_to_what_it_held(
    sqlite_lent: SqliteFile, sqlite_template: tuple[Path, dict[str, Any]]
) -> None:
    path = sqlite_lent.lend().removeprefix("sqlite:///")
    before = sqlite_rows(sqlite_template[0])
    other = sqlite3.connect(path)  # a connection that stays open, as those of the provider do
    for change in CHANGES:
        other.executescript(change)
        assert sqlite_rows(path) != before, change
        await sqlite_lent.take_back()
        assert sqlite_rows(path) == before, change
        assert sqlite_lent.lend() == f"sqlite:///{path}", change
    other.close()


async def test_sqlite_writes_nothing_where_nothing_has_changed(sqlite_lent: SqliteFile) -> None:
    path = Path(sqlite_lent.lend().removeprefix("sqlite:///"))
    other = sqlite3.connect(path)
    other.executescript(ADD)
    await sqlite_lent.take_back()
    written, *_ = other.execute("PRAGMA data_version").fetchone()
    await sqlite_lent.take_back()
    assert other.execute("PRAGMA data_version").fetchone() == (written,)
    other.executescript(ADD)
    await sqlite_lent.take_back()
    assert other.execute("PRAGMA data_version").fetchone() != (written,)
    other.close()


@pytest.mark.parametrize("change", ["CREATE TABLE more (id INTEGER)", "DROP TABLE pictures"])
async def test_sqlite_with_another_schema_is_not_lent_again(sqlite_lent: SqliteFile, change: str) -> None:
    first = sqlite_lent.lend()
    other = sqlite3.connect(first.removeprefix("sqlite:///"))
    other.executescript(change)
    other.close()
    await sqlite_lent.take_back()
    assert sqlite_lent.lend() != first


async def postgres_rows(connection: Any) -> dict[str, list[Any]]:
    """Return the rows of every table, and where the sequences stand."""
    names = [name for (name,) in await connection.fetch(NAMES)]
    rows = {name: await connection.fetch(f"SELECT t::text FROM public.{name} t ORDER BY 1") for name in names}
    return {**rows, "sequences": await connection.fetch("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1")}


@pytest.mark.parametrize("by_kept", [True, False])
async def test_postgresql_is_set_back_to_what_it_held(postgres_lent: Databases, by_kept: bool) -> None:
    name = await postgres_lent.lend()
    before: dict[str, list[Any]] | None = None
    for change in CHANGES:
        connection = await asyncpg.connect(postgres_lent.url(name))
        before = before or await postgres_rows(connection)
        await connection.execute(change)
        assert await postgres_rows(connection) != before, change
        await postgres_lent.take_back(name, by_kept=by_kept)
        assert await postgres_lent.lend() == name, change
        connection.terminate()
        connection = await asyncpg.connect(postgres_lent.url(name))
        assert await postgres_rows(connection) == before, change
        await connection.close()
    await postgres_lent.take_back(name)


async def test_postgresql_keeps_the_rows_of_a_table_that_has_only_more(postgres_lent: Databases) -> None:
    """Writing all of them anew for each test left so many dead rows that the server was busy with them."""
    name = await postgres_lent.lend()
    query = "SELECT xmin, ctid, * FROM versions ORDER BY name"
    connection = await postgres_lent.connections.restoring(name, postgres_lent.url(name))
    before = await connection.fetch(query)
    assert before
    await connection.execute(ADD)
    await postgres_lent.take_back(name, by_kept=True)
    assert await postgres_lent.lend() == name
    assert await connection.fetch(query) == before
    await connection.execute("UPDATE versions SET value = value")
    await postgres_lent.take_back(name, by_kept=True)
    assert await connection.fetch(query) != before


async def test_postgresql_ends_what_a_test_left_open(postgres_lent: Databases) -> None:
    name = await postgres_lent.lend()
    connection = await asyncpg.connect(postgres_lent.url(name))
    await connection.execute("BEGIN; UPDATE versions SET value = value + 1")
    await postgres_lent.take_back(name, by_kept=True)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
        await connection.execute("COMMIT")


async def test_a_kept_connection_that_was_ended_is_replaced(postgres_lent: Databases) -> None:
    name = await postgres_lent.lend()
    first = await postgres_lent.connections.restoring(name, postgres_lent.url(name))
    killer = await asyncpg.connect(postgres_lent.url(name))
    await killer.execute(f"SELECT pg_terminate_backend({first.get_server_pid()})")
    await killer.close()
    await postgres_lent.take_back(name, by_kept=True)
    lent = await postgres_lent.lend()
    second = await postgres_lent.connections.restoring(lent, postgres_lent.url(lent))
    assert await second.fetchval("SELECT 1") == 1


async def test_postgresql_that_cannot_be_set_back_is_not_lent_again(postgres_lent: Databases) -> None:
    name = await postgres_lent.lend()
    connection = await asyncpg.connect(postgres_lent.url(name))
    await connection.execute("DROP TABLE pictures CASCADE")
    await connection.close()
    await postgres_lent.take_back(name, by_kept=True)
    assert await postgres_lent.lend() != name
