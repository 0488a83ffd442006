"""Browsers that a user has used before: each has a share of its own of what may be tried."""

from __future__ import annotations

from uuid import UUID

from sso.accounts.services import AccountServices
from sso.identity.sessions import store as sessions
from sso.oidc.provider import Provider
from sso.platform.security.rate_limits import Purpose, Reservation
from sso.platform.security.tokens import token_hash
from sso.platform.visitor import Visitor

NO_USER = UUID(int=0)


async def known_device(provider: Provider, visitor: Visitor, user_id: UUID | None) -> str:
    """Return the cookie of a browser that a user has used before; empty: the browser is new, or no user is meant. One
    statement in either case."""
    async with provider.db.read() as session:
        known, _ = await sessions.is_known(session, user_id or NO_USER, token_hash(visitor.device_id))
    return visitor.device_id if visitor.device_id and known else ""


async def reserve_attempt(services: AccountServices, visitor: Visitor, purpose: Purpose, user_id: UUID) -> Reservation:
    """Count one attempt to guess a secret of an account.

    Raises:
        TooManyFailures: when there were too many.
    """
    device = await known_device(services.provider, visitor, user_id)
    return await services.attempts.reserve(purpose, str(user_id), visitor.ip_address, device)
