"""Who can sign in to a sandbox: its team, and test users. Nobody else has or is shown a role there."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients.models import SANDBOX_END
from sso.clients.registry import Client
from sso.identity.test_users import MARK, PEOPLE
from sso.identity.users.models import Identifier, User
from sso.portal import teams


async def can_try(session: AsyncSession, client_id: str, user: User) -> bool:
    """Tell whether a user can sign in to a sandbox."""
    in_team = await teams.role_of(session, client_id.removesuffix(SANDBOX_END), user.id) is not None
    return in_team or bool(user.preferences.get(MARK))


async def users_of_sandbox(session: AsyncSession, client: Client) -> frozenset[uuid.UUID] | None:
    """Return everybody who can sign in to a sandbox; None: the application is none. Two statements."""
    if not client.sandbox:
        return None
    team = await teams.team_of(session, client.client_id.removesuffix(SANDBOX_END))
    named = select(User).join(Identifier, Identifier.user_id == User.id).where(Identifier.lookup.in_(PEOPLE))
    test_users = {user.id for user in (await session.execute(named)).scalars() if user.preferences.get(MARK)}
    return frozenset(test_users | {member.user_id for member in team})
