"""how applications learn of the end of a session, and where notices go

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.add_column(sa.Column("receiver", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("first_attempt_at", sa.DateTime(timezone=True), nullable=True))

    with op.batch_alter_table("session_clients", schema=None) as batch_op:
        batch_op.add_column(sa.Column("told_by", sa.String(length=16), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("session_clients", schema=None) as batch_op:
        batch_op.drop_column("told_by")

    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.drop_column("first_attempt_at")
        batch_op.drop_column("receiver")
