"""What follows a change of roles, groups and memberships: applications are told, and sessions end by policy."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.services import AccountChanges
from sso.platform.actor import Actor


async def access_changed(
    session: AsyncSession,
    services: AccountChanges,
    *,
    user_ids: Collection[uuid.UUID],
    client_ids: Collection[str] | None,
    actor: Actor,
) -> None:
    """Tell applications of changed roles and groups of users."""
