"""Changing the password of the own account, and checking the present one."""

from __future__ import annotations

from sso.accounts.attempts import reserve_attempt
from sso.accounts.credentials import change_password
from sso.accounts.flows import FlowRefused, Problem
from sso.accounts.own_account import OwnSession, lock_own_account
from sso.accounts.services import AccountServices
from sso.identity.authn.passwords import Busy
from sso.identity.authn.second_factor_policy import STRONG
from sso.identity.users import store as users
from sso.identity.users.models import Credential
from sso.platform.actor import Actor
from sso.platform.security.rate_limits import Purpose
from sso.platform.visitor import Visitor


async def change_own_password(
    services: AccountServices, visitor: Visitor, own: OwnSession, name: str, present: str, new: str
) -> None:
    """Change the password of the own account. Every other session ends.

    Args:
        services: the database, encryption, passwords and limits.
        visitor: the browser of the user.
        own: the session in which the user changes it, which stays.
        name: the name of the user, which the password may not consist of.
        present: the present password; nothing where the account has none.
        new: the new password.

    Raises:
        FlowRefused: when the present password is wrong.
        WeakPassword: when the new password is too weak.
        TooManyFailures: after too many wrong passwords.
        Busy: when too many passwords are waiting.
        SessionEnded: when the session is not active any more.
    """
    source = visitor.network
    async with services.db.read() as session:
        known = await users.credentials_of(session, own.user_id)
        identifiers = await users.identifiers_of(session, own.user_id)
    credential = next((credential for credential in known if credential.kind == "password"), None)
    if credential is not None:
        await check_present_password(services, visitor, own, credential, present)
    second = any(credential.kind in STRONG for credential in known)
    personal_words = [name, *(identifier.value for identifier in identifiers)]
    await services.passwords.judge(new, personal_words, second_factor=second, source=source)
    hashed = await services.passwords.hash(new, source=source)
    long = len(new) >= services.settings.password_min_length
    async with services.db.write() as session:
        locked = await lock_own_account(session, own)
        await change_password(
            session, services.changes, locked, hashed, actor=Actor(str(locked.id)), long=long, keep=own.session_id
        )


async def check_present_password(
    services: AccountServices, visitor: Visitor, own: OwnSession, credential: Credential, typed: str
) -> None:
    """Check the present password of the own account. Wrong ones are counted for the account and for the visitor.

    Raises:
        FlowRefused: when it is wrong.
        TooManyFailures: after too many wrong passwords.
        Busy: when too many passwords are waiting.
    """
    attempt = await reserve_attempt(services, visitor, Purpose.PRESENT_PASSWORD, own.user_id)
    try:
        right, _ = await services.passwords.verify(typed, credential.secret, source=visitor.network)
    except Busy:
        await attempt.give_back()
        raise
    if not right:
        raise FlowRefused(Problem.WRONG_PASSWORD)
    await attempt.succeeded()
