"""Webhooks of applications

Revision ID: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "application_webhooks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("application_id", sa.String(length=100), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret", sa.LargeBinary(), nullable=True),
        sa.Column("old_secret_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(length=16), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["applications.application_id"],
            name=op.f("fk_application_webhooks_application_id_applications"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_application_webhooks")),
    )
    op.create_index(op.f("ix_application_webhooks_application_id"), "application_webhooks", ["application_id"])
    op.add_column("applications", sa.Column("first_sign_in_at", sa.DateTime(timezone=True), nullable=True))
    # Applications that are in production already: their first sign-in is no news.
    op.execute("UPDATE applications SET first_sign_in_at = approved_at WHERE approved_at IS NOT NULL")


def downgrade() -> None:
    op.drop_column("applications", "first_sign_in_at")
    op.drop_index(op.f("ix_application_webhooks_application_id"), table_name="application_webhooks")
    op.drop_table("application_webhooks")
