"""Deleting the own account: the user proves right then, with the password or a passkey, to be the owner.

A live session is not enough: a phone that is lent, or a session that was stolen, must not delete an account. The
passkey signs a challenge that was made for this act in this session, so an answer that was given for a sign-in, or in
another session, deletes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sso.accounts.attempts import reserve_attempt
from sso.accounts.deletion import plan_deletion
from sso.accounts.flows import FlowRefused, Problem
from sso.accounts.own_account import OwnSession, lock_own_account
from sso.accounts.passwords import check_present_password
from sso.accounts.services import AccountServices
from sso.identity.authn.factors import PasskeyRefused
from sso.identity.users import store as users
from sso.identity.users.models import Credential
from sso.platform.actor import Actor
from sso.platform.security.rate_limits import Purpose
from sso.platform.visitor import Visitor


@dataclass(frozen=True, slots=True)
class OwnerCredential:
    """What the user gave: the password, or the answer of a passkey as JSON."""

    password: str = ""
    credential: str = ""


@dataclass(frozen=True, slots=True)
class CredentialOptions:
    """How the owner of an account can prove it.

    Args:
        password: the account has a password.
        passkey: the options with which the browser asks for a passkey; empty: the account has none.
    """

    password: bool
    passkey: str


async def deletion_credentials(services: AccountServices, visitor: Visitor, own: OwnSession) -> CredentialOptions:
    """Return how the user can prove to be the owner of the account."""
    async with services.db.read() as session:
        known = await users.credentials_of(session, own.user_id)
    passkeys = [credential for credential in known if credential.kind == "passkey"]
    options = services.passkeys.request_options(visitor.browser_id, _purpose(own), passkeys) if passkeys else ""
    return CredentialOptions(any(credential.kind == "password" for credential in known), options)


async def delete_own_account(
    services: AccountServices, visitor: Visitor, own: OwnSession, credential: OwnerCredential, actor: Actor
) -> datetime:
    """Plan the deletion of the own account; the user is signed out everywhere at once.

    Args:
        services: the database, passwords, passkeys and limits.
        visitor: the browser of the user.
        own: the session in which the user asks for it.
        credential: the password or a passkey.
        actor: the user.

    Returns:
        When the account will be deleted.

    Raises:
        FlowRefused: when the proof is missing or wrong.
        TooManyFailures: after too many wrong proofs.
        Busy: when too many passwords are waiting.
        UserError: when no administrator would be left, or an application would have no owner.
        SessionEnded: when the session is not active any more.
    """
    if credential.credential:
        attempt = await reserve_attempt(services, visitor, Purpose.PASSKEY, own.user_id)
    else:
        await check_present_password(services, visitor, own, await _password_of(services, own), credential.password)
    async with services.db.write() as session:
        user = await lock_own_account(session, own)
        if credential.credential:
            try:
                await services.passkeys.check(
                    session, visitor.browser_id, credential.credential, user.id, _purpose(own)
                )
            except PasskeyRefused:
                raise FlowRefused(Problem.PASSKEY_FAILED) from None
        await plan_deletion(session, services.changes, user, actor=actor)
        assert user.delete_at is not None
        until = user.delete_at
    if credential.credential:
        await attempt.succeeded()
    return until


async def _password_of(services: AccountServices, own: OwnSession) -> Credential:
    async with services.db.read() as session:
        known = await users.credentials_of(session, own.user_id)
    password = next((credential for credential in known if credential.kind == "password"), None)
    if password is None:
        raise FlowRefused(Problem.NO_CREDENTIAL)
    return password


def _purpose(own: OwnSession) -> str:
    return f"delete {own.user_id} {own.session_id}"
