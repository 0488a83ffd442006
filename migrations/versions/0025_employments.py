"""Add employments, and the time in which an identifier is valid

Revision ID: 0025
Revises: 0024
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("identifiers", sa.Column("valid_from", TIME, nullable=True))
    op.add_column("identifiers", sa.Column("valid_until", TIME, nullable=True))
    op.create_table(
        "employments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("nip", sa.String(length=18), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("grade", sa.String(length=40), nullable=True),
        sa.Column("membership_id", sa.Uuid(), nullable=True),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("valid_from", TIME, nullable=True),
        sa.Column("valid_until", TIME, nullable=True),
        sa.Column("verified_at", TIME, nullable=False),
        sa.Column("verified_by", sa.String(length=200), nullable=False),
        sa.Column("begun_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_employments_user_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["membership_id"],
            ["memberships.id"],
            name=op.f("fk_employments_membership_id_memberships"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_employments")),
    )
    for column in ("user_id", "membership_id", "valid_until"):
        op.create_index(op.f(f"ix_employments_{column}"), "employments", [column])
    op.create_index(
        "uq_employments_open_user_id",
        "employments",
        ["user_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("employments")
    # The release before knows no NIP: it is a user name again, as it was.
    op.execute("UPDATE identifiers SET kind = 'username' WHERE kind = 'nip' AND is_primary")
    op.execute("DELETE FROM identifiers WHERE kind = 'nip'")
    with op.batch_alter_table("identifiers") as table:
        table.drop_column("valid_until")
        table.drop_column("valid_from")
