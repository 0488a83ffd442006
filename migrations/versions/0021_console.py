"""Invitations of users, saved searches of administrators, and the recipients of deliveries

Revision ID: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from sso.platform.db.indexes import put_index, take_index

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None
concurrent = True

INDEXES = (
    ("ix_deliveries_user_id", "deliveries", ["user_id"], "user_id IS NOT NULL"),
    ("ix_deliveries_recipient_hash", "deliveries", ["recipient_hash"], "recipient_hash IS NOT NULL"),
    ("ix_audit_events_client_id", "audit_events", ["client_id"], "client_id IS NOT NULL"),
)
"""Name, table, column and condition of each new index on a large table."""


def _has(table: str, column: str = "") -> bool:
    """Tell whether a table, or a column of it, exists: the migration may have been broken off."""
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table(table):
        return False
    return not column or column in {found["name"] for found in inspector.get_columns(table)}


def _limit_locks(limit: str) -> None:
    """Wait for a lock no longer than this: a migration without a transaction has no limit of its own."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"SET lock_timeout = '{limit}'")


def upgrade() -> None:
    _limit_locks("2s")
    if not _has("user_invitations"):
        op.create_table(
            "user_invitations",
            sa.Column("id", sa.Uuid(), nullable=False),
            sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
            sa.Column("email", sa.String(length=320), nullable=False),
            sa.Column("name", sa.String(length=200), nullable=False),
            sa.Column("username", sa.String(length=64), nullable=True),
            sa.Column("roles", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
            sa.Column("locale", sa.String(length=16), nullable=True),
            sa.Column("created_by", sa.String(length=200), nullable=False),
            sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("times_sent", sa.BigInteger(), nullable=False),
            sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
            sa.PrimaryKeyConstraint("id", name=op.f("pk_user_invitations")),
            sa.UniqueConstraint("token_hash", name=op.f("uq_user_invitations_token_hash")),
            sa.UniqueConstraint("email", name=op.f("uq_user_invitations_email")),
        )
    put_index("ix_user_invitations_expires_at", "user_invitations", ["expires_at"])
    if not _has("saved_searches"):
        op.create_table(
            "saved_searches",
            sa.Column("id", sa.Uuid(), nullable=False),
            sa.Column("user_id", sa.Uuid(), nullable=False),
            sa.Column("page", sa.String(length=32), nullable=False),
            sa.Column("name", sa.String(length=80), nullable=False),
            sa.Column("query", sa.String(length=2000), nullable=False),
            sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
            sa.ForeignKeyConstraint(
                ["user_id"], ["users.id"], name=op.f("fk_saved_searches_user_id_users"), ondelete="CASCADE"
            ),
            sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_searches")),
            sa.UniqueConstraint("user_id", "page", "name", name=op.f("uq_saved_searches_user_id_page_name")),
        )
    put_index("ix_saved_searches_user_id", "saved_searches", ["user_id"])
    if not _has("deliveries", "user_id"):
        op.add_column("deliveries", sa.Column("user_id", sa.Uuid(), nullable=True))
    if not _has("deliveries", "recipient_hash"):
        op.add_column("deliveries", sa.Column("recipient_hash", sa.LargeBinary(length=32), nullable=True))
    _limit_locks("0")
    for name, table, columns, condition in INDEXES:
        put_index(name, table, columns, condition)


def downgrade() -> None:
    for name, _, _, _ in reversed(INDEXES):
        take_index(name)
    _limit_locks("2s")
    for column in ("recipient_hash", "user_id"):
        if _has("deliveries", column):
            op.drop_column("deliveries", column)
    for table in ("saved_searches", "user_invitations"):
        if _has(table):
            op.drop_table(table)
