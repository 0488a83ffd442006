"""Receipts of WhatsApp messages, and the channel that a user has chosen for a telephone number

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("receipt", sa.String(length=16), nullable=True))
    op.add_column("deliveries", sa.Column("receipt_key", sa.LargeBinary(length=32), nullable=True))
    op.add_column("deliveries", sa.Column("fallback_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("identifiers", sa.Column("channel", sa.String(length=16), nullable=True))


def downgrade() -> None:
    op.drop_column("identifiers", "channel")
    for name in ("fallback_at", "receipt_key", "receipt"):
        op.drop_column("deliveries", name)
