"""Telling applications that the roles or groups of users changed."""

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
    """Tell applications that the roles or groups of users changed, in the transaction of the change.

    Args:
        session: the transaction.
        services: how applications are told.
        user_ids: the users.
        client_ids: the applications; None: every application that defines roles or asks for groups.
        actor: who acts.
    """
