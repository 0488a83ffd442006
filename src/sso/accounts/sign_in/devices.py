"""Browsers that a person has used before, and what is limited by them."""

from __future__ import annotations

from uuid import UUID

from sso import clock
from sso.identity.sessions import store as sessions
from sso.identity.sessions.service import Place
from sso.identity.users.models import User
from sso.platform.db import Database
from sso.platform.security.geoip import Countries
from sso.platform.security.rate_limits import Attempts, Purpose, Reservation
from sso.platform.security.tokens import token_hash
from sso.platform.visitor import Visitor
from sso.settings import Settings


def place_of(
    settings: Settings, countries: Countries, visitor: Visitor, device_id: str, *, trust: bool = False
) -> Place:
    """Return where a person signs in.

    Args:
        settings: the settings.
        countries: the countries of IP addresses.
        visitor: the browser.
        device_id: the value by which the browser is known at the next sign-in.
        trust: the person asks that this browser need no second factor from now on.
    """
    lifetime = settings.trusted_device_lifetime
    until = clock.now() + lifetime if trust and lifetime else None
    return Place(token_hash(device_id), countries.of(visitor.ip_address), until)


async def is_new_device(db: Database, visitor: Visitor, user: User) -> bool:
    """Tell whether this browser is new to a user who has signed in before. One statement."""
    async with db.read() as session:
        known, seen_before = await sessions.is_known(session, user.id, token_hash(visitor.device_id))
    return seen_before and not known


async def known_device(db: Database, visitor: Visitor, user_id: UUID | None) -> str:
    """Return the device id of a browser that a user has used before; empty where the browser is new, or there is no
    user. One statement in either case."""
    async with db.read() as session:
        known, _ = await sessions.is_known(session, user_id or UUID(int=0), token_hash(visitor.device_id))
    return visitor.device_id if known else ""


async def reserve_attempt(
    db: Database, attempts: Attempts, visitor: Visitor, purpose: Purpose, user_id: UUID
) -> Reservation:
    """Take a place for one attempt to guess a secret of an account. A browser that the user has used before has a share
    of its own.

    Raises:
        TooManyFailures: when there were too many.
    """
    device = await known_device(db, visitor, user_id)
    return await attempts.reserve(purpose, str(user_id), visitor.ip_address, device)
