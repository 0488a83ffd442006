"""Subjects that an application excludes from its Shared Signals, by the name that it uses

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_stream_excluded_names",
        sa.Column("stream_id", sa.Uuid(), nullable=False),
        sa.Column("name_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["stream_id"], ["event_streams.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("stream_id", "name_hash"),
    )


def downgrade() -> None:
    op.drop_table("event_stream_excluded_names")
