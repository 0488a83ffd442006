"""Add access reviews, the end of role assignments, and pending changes of access

Revision ID: 0026
Revises: 0025
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("role_assignments", sa.Column("ended_by", sa.String(length=200), nullable=True))
    op.add_column("role_assignments", sa.Column("end_reason", sa.String(length=500), nullable=True))
    op.create_table(
        "access_reviews",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("started_by", sa.String(length=200), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ends_at", TIME, nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("reminders", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unconfirmed", sa.BigInteger(), nullable=True),
        sa.Column("ended_unconfirmed", sa.Boolean(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_access_reviews_client_id_clients"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_reviews")),
    )
    op.create_index(op.f("ix_access_reviews_client_id"), "access_reviews", ["client_id"])
    op.create_index(op.f("ix_access_reviews_status"), "access_reviews", ["status"])
    op.create_table(
        "pending_access_changes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_ids", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("client_ids", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("since", TIME, nullable=False),
        sa.Column("before", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("actor", sa.String(length=200), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_access_changes")),
    )
    op.create_table(
        "access_clock",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("looked_until", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_access_clock")),
    )


def downgrade() -> None:
    for table in ("access_clock", "pending_access_changes", "access_reviews"):
        op.drop_table(table)
    for column in ("end_reason", "ended_by"):
        op.drop_column("role_assignments", column)
