"""Indexes for the jobs, the lease of the jobs, and refresh tokens that name their family

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

PARTIAL = (
    ("ix_sessions_expires_at", "sessions", ["expires_at"], "ended_at IS NULL"),
    ("ix_sessions_idle", "sessions", ["last_seen_at"], "ended_at IS NULL AND remembered_until IS NULL"),
    ("ix_sessions_ended_at", "sessions", ["ended_at"], "ended_at IS NOT NULL"),
    ("ix_grants_revoked_at", "grants", ["revoked_at"], "revoked_at IS NOT NULL"),
    ("ix_refresh_tokens_used_at", "refresh_tokens", ["used_at"], "used_at IS NOT NULL AND format IS NOT NULL"),
    ("ix_refresh_tokens_expires_at", "refresh_tokens", ["expires_at"], "format IS NULL"),
    ("ix_deliveries_finished_at", "deliveries", ["finished_at"], "finished_at IS NOT NULL"),
    ("ix_deliveries_held", "deliveries", ["created_at"], "status = 'held'"),
    ("ix_audit_events_unchained", "audit_events", ["id"], "seq IS NULL"),
)
"""Name, table, columns and condition of each new index. The indexes that they replace have the same name."""
REPLACED = (
    ("ix_sessions_expires_at", "sessions", "expires_at"),
    ("ix_sessions_ended_at", "sessions", "ended_at"),
    ("ix_refresh_tokens_expires_at", "refresh_tokens", "expires_at"),
)


def upgrade() -> None:
    op.create_table(
        "job_runs",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=True),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("milliseconds", sa.BigInteger(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job_runs")),
    )
    op.add_column("refresh_tokens", sa.Column("format", sa.BigInteger(), nullable=True))
    for name, table, _ in REPLACED:
        op.drop_index(name, table_name=table)
    for name, table, columns, condition in PARTIAL:
        where = sa.text(condition)
        op.create_index(name, table, columns, postgresql_where=where, sqlite_where=where)
    op.create_index("ix_credentials_kind_user_id", "credentials", ["kind", "user_id"])


def downgrade() -> None:
    op.drop_index("ix_credentials_kind_user_id", table_name="credentials")
    for name, table, _, _ in reversed(PARTIAL):
        op.drop_index(name, table_name=table)
    for name, table, column in REPLACED:
        op.create_index(name, table, [column])
    with op.batch_alter_table("refresh_tokens", schema=None) as batch_op:
        batch_op.drop_column("format")
    op.drop_table("job_runs")
