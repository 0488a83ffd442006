"""Signing in with an identifier and a password."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sso import clock
from sso.authn.passwords import Passwords
from sso.db import Database
from sso.security.limits import FailureLimits
from sso.users import store
from sso.users.identifiers import normalise
from sso.users.models import User

ACR_PASSWORD = "urn:sso:acr:password"
ACR_VALUES = (ACR_PASSWORD,)
"""Every level at which somebody can sign in here."""
AMR_PASSWORD = ["pwd"]


class WrongCredentials(Exception):
    """The identifier, the password or both are wrong, or the account is disabled: one answer for all of them."""

    def __init__(self, user_id: uuid.UUID | None = None) -> None:
        super().__init__("wrong identifier or password")
        self.user_id = user_id


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Somebody who has proven who they are, and how (``acr``, ``amr``: OpenID Connect Core section 2)."""

    user: User
    acr: str
    amr: list[str]


async def sign_in_with_password(
    db: Database, passwords: Passwords, limits: FailureLimits, identifier: str, password: str, address: str
) -> Authenticated:
    """Check an identifier and a password. One statement; nothing is held open while the hash is computed.

    Args:
        db: the database.
        passwords: computes the hash.
        limits: counts failures.
        identifier: what was typed.
        password: what was typed.
        address: the network address it came from.

    Raises:
        WrongCredentials: whatever is wrong.
        TooManyFailures: after too many of them.
        Busy: when too many passwords are waiting.
    """
    try:
        lookup = normalise(identifier).lookup
    except ValueError:
        lookup = ""
    limits.check(lookup, address)
    found = None
    if lookup:
        async with db.read() as session:
            found = await store.find_for_password(session, lookup)
    user, credential = found or (None, None)
    right, stronger = await passwords.verify(password, credential.secret if credential else None)
    if not right or user is None or user.disabled_at is not None:
        limits.failed(lookup, address)
        raise WrongCredentials(user.id if user else None)
    limits.succeeded(lookup, address)
    if stronger and credential:
        async with db.write() as session:
            await store.upgrade_password_hash(session, credential.id, stronger, clock.now())
    return Authenticated(user, ACR_PASSWORD, list(AMR_PASSWORD))
