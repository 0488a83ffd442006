"""Rename tables and columns to the names of the field

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = {"ceremonies": "pending_flows", "mass_endings": "bulk_revocations"}
COLUMNS = (
    ("identifiers", "sealed", "encrypted"),
    ("merge_proposals", "sealed", "encrypted"),
    ("pending_flows", "sealed", "encrypted"),
    ("instance_secrets", "sealed", "encrypted"),
    ("client_secrets", "sealed", "encrypted"),
    ("signing_keys", "private_sealed", "encrypted_private_key"),
)
INDEXES = (
    ("ceremonies", "pending_flows", "expires_at"),
    ("ceremonies", "pending_flows", "user_id"),
    ("mass_endings", "bulk_revocations", "status"),
)
GAUGES = {"sessions_living": "sessions_active", "5m:sessions_living": "5m:sessions_active"}


def upgrade() -> None:
    for old, new in TABLES.items():
        op.rename_table(old, new)
    for old, new, column in INDEXES:
        op.drop_index(f"ix_{old}_{column}", table_name=new)
        op.create_index(f"ix_{new}_{column}", new, [column])
    for table, old, new in COLUMNS:
        op.alter_column(table, old, new_column_name=new)
    _rename_gauges(GAUGES)


def downgrade() -> None:
    _rename_gauges({new: old for old, new in GAUGES.items()})
    for table, old, new in COLUMNS:
        op.alter_column(table, new, new_column_name=old)
    for old, new, column in INDEXES:
        op.drop_index(f"ix_{new}_{column}", table_name=new)
        op.create_index(f"ix_{old}_{column}", new, [column])
    for old, new in TABLES.items():
        op.rename_table(new, old)


def _rename_gauges(names: dict[str, str]) -> None:
    counts = sa.table("usage_counts", sa.column("name", sa.String))
    for old, new in names.items():
        op.execute(counts.update().where(counts.c.name == old).values(name=new))
