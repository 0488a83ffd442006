"""Alembic's environment. ``sso db upgrade`` hands it a connection; migrations never open their own."""

from typing import Any

from alembic import context
from sqlalchemy import JSON

from sso.platform.db import UtcDateTime
from sso.schema import metadata


def render_item(type_: str, item: Any, autogen_context: Any) -> str | bool:
    """Write column types without names of ours, so that an old migration never depends on today's code."""
    if type_ == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if type_ == "type" and isinstance(item, JSON):
        autogen_context.imports.add("from sqlalchemy.dialects import postgresql")
        return "sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')"
    return False


connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run migrations with: sso db upgrade")

context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,
    render_item=render_item,
    compare_type=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
