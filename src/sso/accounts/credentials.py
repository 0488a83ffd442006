"""Passwords and second factors of an account: changing, requiring and resetting them, and recovering the account."""

from __future__ import annotations

import uuid

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.revocation import (
    FACTORS_RESET,
    PASSWORD_CHANGED,
    PASSWORD_REQUIRED,
    RECOVERED,
    credentials_changed,
    end_pending,
)
from sso.accounts.services import AccountChanges
from sso.identity.authn import recovery_requests as recovery
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.identity.users.service import UserError
from sso.platform.actor import Actor
from sso.ssf import events as signals

SECOND_FACTORS = ("totp", "recovery_code", "passkey")
"""The kinds of credentials that a reset removes."""


async def change_password(
    session: AsyncSession,
    services: AccountChanges,
    user: User,
    hashed: str,
    *,
    actor: Actor,
    long: bool = True,
    keep: uuid.UUID | None = None,
) -> int:
    """Give an account another password, and end everything that the old one opened.

    Args:
        session: the transaction.
        services: how users and applications are told.
        user: the user.
        hashed: the hash of the new password.
        actor: who acts.
        long: whether the password is long enough to be the only factor.
        keep: the session in which the user changes it, which stays.

    Returns:
        How many sessions ended.
    """
    await end_pending(session, user)
    known = await users.credentials_of(session, user.id)
    await users.set_password_hash(session, user.id, hashed, clock.now(), long=long)
    await recovery.delete_of_user(session, user.id)
    changes = [signals.replaced(known, "password")]
    return await credentials_changed(session, services, user, PASSWORD_CHANGED, changes, actor, keep)


async def require_new_password(session: AsyncSession, services: AccountChanges, user: User, *, actor: Actor) -> int:
    """Remove the password of an account, and end everything that it opened. The user chooses another one by recovering
    the account, with a code to a contact.

    Returns:
        How many sessions ended.

    Raises:
        UserError: when the user could not get back in.
    """
    await end_pending(session, user)
    identifiers = await users.identifiers_of(session, user.id)
    if not any(
        identifier.kind in ("email", "phone") and identifier.verified_at is not None for identifier in identifiers
    ):
        raise UserError("the user has no verified e-mail address or phone number and could not choose a new password")
    passwords = [
        credential for credential in await users.credentials_of(session, user.id) if credential.kind == "password"
    ]
    await users.remove_credentials(session, user.id, ["password"])
    changes = signals.credential_changes(passwords, "revoke")
    return await credentials_changed(session, services, user, PASSWORD_REQUIRED, changes, actor)


async def reset_factors(session: AsyncSession, services: AccountChanges, user: User, *, actor: Actor) -> int:
    """Remove every second factor of a user who lost them, passkeys too; end everything that they opened, and tell the
    user.

    Returns:
        How many sessions ended.

    Raises:
        UserError: when a passkey is the only way to sign in.
    """
    await end_pending(session, user)
    known = await users.credentials_of(session, user.id)
    kinds = {credential.kind for credential in known}
    if "password" not in kinds and "passkey" in kinds:
        raise UserError("a passkey is the only sign-in method of the user: create a recovery code instead")
    await users.remove_credentials(session, user.id, SECOND_FACTORS)
    changes = signals.factor_changes(known, "revoke")
    return await credentials_changed(session, services, user, FACTORS_RESET, changes, actor)


async def recover(
    session: AsyncSession,
    services: AccountChanges,
    user: User,
    hashed: str,
    *,
    actor: Actor,
    long: bool,
    drop_factors: bool,
) -> int:
    """Give a user who verified enough a new password, and end everything that was open.

    Args:
        session: the transaction.
        services: how users and applications are told.
        user: the user.
        hashed: the hash of the new password.
        actor: the user.
        long: whether the password is long enough to be the only factor.
        drop_factors: the second factors are lost, and are removed.

    Returns:
        How many sessions ended.
    """
    await end_pending(session, user)
    user.locked_until = None
    known = await users.credentials_of(session, user.id)
    changes = [signals.replaced(known, "password")]
    if drop_factors:
        await users.remove_credentials(session, user.id, SECOND_FACTORS)
        changes += signals.factor_changes(known, "revoke")
    await users.set_password_hash(session, user.id, hashed, clock.now(), long=long)
    await recovery.delete_of_user(session, user.id)
    return await credentials_changed(session, services, user, RECOVERED, changes, actor)
