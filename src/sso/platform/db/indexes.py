"""Indexes in migrations, made while the server runs.

CREATE INDEX keeps writers of a table waiting until it is done, and DROP INDEX readers too. On PostgreSQL a migration
therefore builds indexes CONCURRENTLY, in a file of its own that says ``concurrent = True`` and runs without a
transaction. Such a migration may be broken off and is then run again from its beginning: :func:`put_index` goes on
where it stopped. An empty database is filled in one transaction.

This module is used by migrations of every release: what it does for a given index must never change.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op
from sqlalchemy import text

_FIND = text("""
    SELECT i.indisvalid, pg_get_expr(i.indpred, i.indrelid) IS NOT NULL,
        array(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY k (number, place)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place)
    FROM pg_index i WHERE i.indexrelid = to_regclass(:name)
""")


def put_index(name: str, table: str, columns: Sequence[str], where: str | None = None) -> None:
    """Make an index what a migration wants, whatever is under its name: nothing, the index, the rest of an attempt that
    was broken off, or an index of other columns or of other rows, which serves until the new one is complete.

    Args:
        name: of the index.
        table: its table.
        columns: its columns.
        where: the rows that it contains; None: all.
    """
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"DROP INDEX IF EXISTS {name}")
        op.create_index(name, table, list(columns), sqlite_where=text(where) if where else None)
        return
    desired, building = (True, where is not None, list(columns)), f"{name}_new"
    old = _definition_of(name)
    if old == desired:
        return
    if _definition_of(building) != desired:
        take_index(building)
        target = building if old is not None and old[0] else name
        take_index(target)
        condition = text(where) if where else None
        op.create_index(
            target, table, list(columns), postgresql_where=condition, postgresql_concurrently=_is_concurrent()
        )
        if target == name:
            return
    take_index(name)
    op.execute(f"ALTER INDEX {building} RENAME TO {name}")


def take_index(name: str) -> None:
    """Drop an index if it exists."""
    op.execute(f"DROP INDEX {'CONCURRENTLY ' if _is_concurrent() else ''}IF EXISTS {name}")


def _is_concurrent() -> bool:
    """Tell whether the migration runs without a transaction."""
    return op.get_bind().get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def _definition_of(name: str) -> tuple[bool, bool, list[str]] | None:
    """Return whether an index is complete, whether it has a condition, and its columns; None: there is none."""
    row = op.get_bind().execute(_FIND, {"name": name}).first()
    return (row[0], row[1], list(row[2])) if row is not None else None
