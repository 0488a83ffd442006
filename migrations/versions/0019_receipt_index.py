"""Index by which a delivery is found for a receipt, built while the server runs

Revision ID: 0019
Revises: 0018
"""

from sso.platform.db.indexes import put_index, take_index

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
concurrent = True


def upgrade() -> None:
    put_index("ix_deliveries_receipt_key", "deliveries", ["receipt_key"], "receipt_key IS NOT NULL")


def downgrade() -> None:
    take_index("ix_deliveries_receipt_key")
