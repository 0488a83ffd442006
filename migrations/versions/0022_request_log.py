"""The request log of applications

Revision ID: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "client_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.String(length=100), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("endpoint", sa.String(length=60), nullable=False),
        sa.Column("outcome", sa.String(length=60), nullable=False),
        sa.Column("grant_type", sa.String(length=80), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("network", sa.String(length=45), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_requests")),
    )
    op.create_index(op.f("ix_client_requests_at"), "client_requests", ["at"])
    op.create_index("ix_client_requests_client_id_id", "client_requests", ["client_id", "id"])
    op.add_column("applications", sa.Column("request_log_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("applications", "request_log_until")
    op.drop_index("ix_client_requests_client_id_id", table_name="client_requests")
    op.drop_index(op.f("ix_client_requests_at"), table_name="client_requests")
    op.drop_table("client_requests")
