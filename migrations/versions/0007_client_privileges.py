"""Privileges of applications: administration permissions and restricted data, granted one by one

Revision ID: 0007
Revises: 0006
"""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

REASON = "registered before privileges were granted one by one"
GRANT_TYPES_WITHOUT_PEOPLE = {"client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"}
GIVE_POWER = {"sso:users:roles", "sso:users:recover", "sso:users:check_identity", "sso:users:merge"}
"""Privileges that a token without a user has only where the grant says so."""


def upgrade() -> None:
    op.create_table(
        "client_privileges",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.String(length=100), nullable=False),
        sa.Column("privilege", sa.String(length=60), nullable=False),
        sa.Column("without_person", sa.Boolean(), nullable=False),
        sa.Column("granted_by", sa.String(length=200), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_by", sa.String(length=200), nullable=True),
        sa.Column("revoked_reason", sa.String(length=500), nullable=True),
        sa.Column("stays_revoked", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["clients.client_id"],
            name=op.f("fk_client_privileges_client_id_clients"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_privileges")),
    )
    with op.batch_alter_table("client_privileges", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_client_privileges_client_id"), ["client_id"], unique=False)
    _grant_what_is_registered()


def _grant_what_is_registered() -> None:
    """Grant the privileges that the city's own production applications have registered, so that an upgrade stops
    nothing. Sandboxes get none."""
    bind, now = op.get_bind(), datetime.now(UTC)
    clients = sa.table("clients", sa.column("client_id"), sa.column("status"), sa.column("metadata", sa.Text()))
    text = sa.cast(clients.c.metadata, sa.Text())
    some = sa.or_(text.like("%sso:%"), text.like("%nik%"))
    registered = sa.select(clients.c.client_id, text).where(clients.c.status.not_in(("sandbox", "removed")), some)
    rows = [
        row for client_id, said in bind.execute(registered).all() for row in _rows(client_id, json.loads(said), now)
    ]
    privileges = sa.table(
        "client_privileges",
        *(sa.column(name, sa.String()) for name in ("client_id", "privilege", "granted_by", "reason")),
        sa.column("without_person", sa.Boolean()),
        sa.column("stays_revoked", sa.Boolean()),
        sa.column("id", sa.Uuid()),
        sa.column("granted_at", sa.DateTime(timezone=True)),
    )
    for start in range(0, len(rows), 500):
        bind.execute(privileges.insert(), rows[start : start + 500])


def _rows(client_id: str, metadata: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
    if metadata.get("first_party") is not True:
        return []
    scopes = dict.fromkeys(str(metadata.get("scope", "")).split())
    grant_types = metadata.get("grant_types") or (
        ["client_credentials"] if metadata.get("type") == "service" else ["authorization_code"]
    )
    return [
        {
            "id": uuid.uuid4(),
            "client_id": client_id,
            "privilege": scope,
            "without_person": scope in GIVE_POWER and bool(GRANT_TYPES_WITHOUT_PEOPLE & set(grant_types)),
            "granted_by": "migrated",
            "granted_at": now,
            "reason": REASON,
            "stays_revoked": False,
        }
        for scope in scopes
        if scope.startswith("sso:") or scope == "nik"
    ]


def downgrade() -> None:
    with op.batch_alter_table("client_privileges", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_client_privileges_client_id"))
    op.drop_table("client_privileges")
