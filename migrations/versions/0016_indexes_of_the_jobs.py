"""Indexes for the jobs, built while the server runs

Revision ID: 0016
Revises: 0015
"""

from sso.platform.db.indexes import put_index, take_index

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
concurrent = True

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
    for name, table, columns, condition in PARTIAL:
        put_index(name, table, columns, condition)
    put_index("ix_credentials_kind_user_id", "credentials", ["kind", "user_id"])


def downgrade() -> None:
    replaced = {name for name, _, _ in REPLACED}
    take_index("ix_credentials_kind_user_id")
    for name, _, _, _ in reversed(PARTIAL):
        if name not in replaced:
            take_index(name)
    for name, table, column in REPLACED:
        put_index(name, table, [column])
