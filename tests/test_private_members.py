"""The members of libraries that are not public and that we use: docs/decisions/0070."""

from __future__ import annotations

from pathlib import Path

import aiosqlite
import asyncpg
import pytest
from asyncpg.prepared_stmt import PreparedStatement
from prometheus_client import CollectorRegistry, Histogram
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection
from sqlalchemy.engine import Connection
from sqlalchemy.sql.compiler import SQLCompiler

DECISION = (Path(__file__).parents[1] / "docs/decisions/0070-private-members-of-libraries.md").read_text()
HISTOGRAM = Histogram("x", "x", registry=CollectorRegistry())
MEMBERS = {
    "asyncpg": [
        (asyncpg.Connection, "_cancel_current_command"),
        (asyncpg.Connection, "_transport"),
        (asyncpg.Connection, "_loop"),
        (asyncpg.Connection, "_protocol"),
        (PreparedStatement, "_state"),
    ],
    "aiosqlite": [(aiosqlite.Connection, "_conn")],
    "prometheus-client": [(HISTOGRAM, "_buckets"), (HISTOGRAM, "_sum")],
    "sqlalchemy": [
        (SQLCompiler, "_result_columns"),
        (Connection, "_handle_dbapi_exception"),
        (AsyncAdapt_asyncpg_connection, "_handle_exception"),
        (AsyncAdapt_aiosqlite_connection, "_handle_exception"),
    ],
}


@pytest.mark.parametrize("package", MEMBERS)
def test_every_private_member_that_we_use_is_there_and_listed(package: str) -> None:
    for owner, member in MEMBERS[package]:
        named = owner if isinstance(owner, type) else type(owner)
        assert hasattr(owner, member), (
            f"{package} has no {named.__name__}.{member} any more: docs/decisions/0070 says what uses it and what to do"
        )
        assert f"`{named.__name__}.{member}`" in DECISION
