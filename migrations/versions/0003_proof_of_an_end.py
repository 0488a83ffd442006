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

    op.create_table(
        "mass_endings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("client_id", sa.String(length=100), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mass_endings")),
    )
    with op.batch_alter_table("mass_endings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_mass_endings_status"), ["status"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("mass_endings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_mass_endings_status"))
    op.drop_table("mass_endings")
    with op.batch_alter_table("session_clients", schema=None) as batch_op:
        batch_op.drop_column("told_by")

    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.drop_column("first_attempt_at")
        batch_op.drop_column("receiver")
