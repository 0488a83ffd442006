"""Invitations are bound to the person, relying-party checks to what was checked

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("team_invitations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("user_id", sa.Uuid(), nullable=True))
        batch_op.create_index(batch_op.f("ix_team_invitations_user_id"), ["user_id"], unique=False)
        batch_op.create_foreign_key(
            batch_op.f("fk_team_invitations_user_id_users"), "users", ["user_id"], ["id"], ondelete="CASCADE"
        )
    with op.batch_alter_table("relying_party_checks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("digest", sa.LargeBinary(length=32), nullable=True))
    # An invitation by user name is for the user who had that name then: the user who has it now, where that account
    # was not changed since. Other invitations by user name are deleted.
    op.execute(
        "UPDATE team_invitations SET user_id = (SELECT users.id FROM users JOIN identifiers"
        " ON identifiers.user_id = users.id WHERE identifiers.lookup = team_invitations.lookup"
        " AND identifiers.verified_at IS NOT NULL AND users.updated_at <= team_invitations.created_at)"
        " WHERE user_id IS NULL AND lookup NOT LIKE '%@%' AND lookup NOT LIKE '+%'"
    )
    op.execute("DELETE FROM team_invitations WHERE user_id IS NULL AND lookup NOT LIKE '%@%' AND lookup NOT LIKE '+%'")
    # User names need no verification, but a merge stored them as unverified: mark them as verified where they are
    # unique.
    op.execute(
        "UPDATE identifiers SET verified_at = created_at WHERE kind = 'username' AND verified_at IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM identifiers AS other"
        " WHERE other.lookup = identifiers.lookup AND other.id <> identifiers.id)"
    )


def downgrade() -> None:
    with op.batch_alter_table("relying_party_checks", schema=None) as batch_op:
        batch_op.drop_column("digest")
    with op.batch_alter_table("team_invitations", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_team_invitations_user_id_users"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_team_invitations_user_id"))
        batch_op.drop_column("user_id")
