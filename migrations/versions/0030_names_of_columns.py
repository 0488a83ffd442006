"""Call columns and values by the words of the field

Revision ID: 0030
Revises: 0029
"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_COLUMNS = (("session_clients", "told_by", "notified_by"), ("audit_checkpoints", "proof", "mac"))


def upgrade() -> None:
    for table, old, new in _COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    op.execute("UPDATE bulk_revocations SET what = 'client_sessions' WHERE what = 'parts'")
    # What they remember has other names now, and is encrypted. These users begin again.
    op.execute("DELETE FROM pending_flows WHERE purpose IN ('recover', 'sign_in')")


def downgrade() -> None:
    for table, old, new in _COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")
    op.execute("UPDATE bulk_revocations SET what = 'parts' WHERE what = 'client_sessions'")
