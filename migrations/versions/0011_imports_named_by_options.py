"""Imports are named by their options, and can update people

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("import_runs", sa.Column("content", sa.LargeBinary(length=32), nullable=True))
    op.add_column("import_runs", sa.Column("options", _JSON, nullable=True))
    op.add_column("import_runs", sa.Column("updated", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("import_runs", sa.Column("unchanged", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("local_accounts", sa.Column("imported_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("local_accounts", schema=None) as batch_op:
        batch_op.drop_column("imported_at")
    with op.batch_alter_table("import_runs", schema=None) as batch_op:
        batch_op.drop_column("unchanged")
        batch_op.drop_column("updated")
        batch_op.drop_column("options")
        batch_op.drop_column("content")


_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
