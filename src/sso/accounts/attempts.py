"""Counting attempts to guess a secret of an account."""

from __future__ import annotations

from uuid import UUID

from sso.accounts.services import AccountServices
from sso.accounts.sign_in import devices
from sso.platform.security.rate_limits import Purpose, Reservation
from sso.platform.visitor import Visitor


async def reserve_attempt(services: AccountServices, visitor: Visitor, purpose: Purpose, user_id: UUID) -> Reservation:
    """Count one attempt to guess a secret of an account. A browser that the user has used before has a share of its
    own.

    Raises:
        TooManyFailures: when there were too many.
    """
    return await devices.reserve_attempt(services.db, services.attempts, visitor, purpose, user_id)
