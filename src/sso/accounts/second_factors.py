"""Changes of the credentials of the own account: authenticator app, passkeys, recovery codes, removing a credential.

Each is recorded, and the user and the applications are told.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.attempts import reserve_attempt
from sso.accounts.flows import FlowEnded, FlowRefused, Problem
from sso.accounts.own_account import OwnSession, lock_own_account
from sso.accounts.services import AccountChanges, AccountServices
from sso.identity.authn import factors, pending_flows
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.authn.second_factor_policy import STRONG
from sso.identity.notifications import notify
from sso.identity.users import store as users
from sso.identity.users.models import Credential, User
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.security.rate_limits import Purpose, TooManyFailures
from sso.platform.visitor import Visitor
from sso.ssf import events as signals
from sso.ssf.events import CredentialChange

FLOW_SECONDS = 1800
MAX_APP_ATTEMPTS = 10
MAX_CODE_CHARS = 20
NAMES = {"totp": "TOTP", "passkey": "passkey", "recovery_code": "recovery codes", "password": "password"}
"""What messages call each kind of credential."""


async def begin_app(services: AccountServices, visitor: Visitor, own: OwnSession) -> RunningFlow:
    """Begin to set up an authenticator app: its seed is stored in a pending flow until a code confirms it."""
    async with services.db.write() as session:
        return await pending_flows.begin(
            session,
            services.box,
            "contact",
            visitor.browser_id,
            {"seed": factors.new_totp_seed()},
            user_id=own.user_id,
            seconds=FLOW_SECONDS,
        )


async def recall_app(services: AccountServices, visitor: Visitor, own: OwnSession, token: str) -> RunningFlow | None:
    """Return the pending flow of an authenticator app of this user and browser; None: there is none."""
    async with services.db.read() as session:
        flow = await pending_flows.recall(session, services.box, "contact", token, visitor.browser_id)
    return flow if flow is not None and flow.user_id == own.user_id and "seed" in flow.data else None


async def confirm_app(
    services: AccountServices, visitor: Visitor, own: OwnSession, flow: RunningFlow, typed: str, actor: Actor
) -> list[str]:
    """Check the first code of an authenticator app, and let the user use the app.

    Args:
        services: the database, encryption, passwords and limits.
        visitor: the browser of the user.
        own: the session in which the user sets the app up.
        flow: the pending flow.
        typed: the code.
        actor: the user.

    Returns:
        The recovery codes of a user who had none; empty otherwise.

    Raises:
        FlowRefused: when the code is wrong, or cannot be tried now.
        FlowEnded: when the flow has ended, or too many codes were wrong.
        SessionEnded: when the session is not active any more.
    """
    seed = str(flow.data["seed"])
    async with services.db.write() as session:
        counted = await pending_flows.count_attempt(session, flow, MAX_APP_ATTEMPTS)
    if not counted:
        raise FlowEnded
    try:
        attempt = await reserve_attempt(services, visitor, Purpose.NEW_TOTP, own.user_id)
    except TooManyFailures as error:
        raise FlowRefused(Problem.TOO_MANY_TRIES, error.retry_after, error.minutes) from None
    step = factors.totp_step(seed, typed[:MAX_CODE_CHARS])
    if step is None:
        raise FlowRefused(Problem.WRONG_CODE)
    await attempt.succeeded()
    async with services.db.write() as session:
        user = await lock_own_account(session, own)
        if not await pending_flows.finish(session, flow):
            raise FlowEnded
        return await add_app(session, services.changes, user, seed, step, actor)


async def add_app(
    session: AsyncSession, services: AccountChanges, user: User, seed: str, step: int, actor: Actor
) -> list[str]:
    """Let a user use an authenticator app, in place of any other.

    Args:
        session: the transaction.
        services: how users and applications are told.
        user: the user, locked.
        seed: the seed of the app.
        step: the time step of the code with which the user confirmed the app.
        actor: the user.

    Returns:
        The recovery codes of a user who had none; empty otherwise.
    """
    known = await users.credentials_of(session, user.id)
    await factors.add_totp(session, services.box, user.id, seed, step)
    codes, changes = await first_codes(session, known, user)
    changes = [signals.replaced(known, "totp"), *changes]
    await _changed(session, services, user, ("factor.added", "factor_added"), "totp", changes, actor)
    return codes


async def add_passkey(
    session: AsyncSession,
    services: AccountServices,
    own: OwnSession,
    browser_id: str,
    answer: str,
    name: str,
    actor: Actor,
) -> list[str]:
    """Add a passkey to the own account.

    Args:
        session: the transaction. The challenge is used up before the account is locked, by the order of locks.
        services: the database, encryption, passwords and limits.
        own: the session in which the user adds it.
        browser_id: the browser that the challenge was made for.
        answer: what the browser made of the challenge.
        name: the name of the passkey.
        actor: the user.

    Returns:
        The recovery codes of a user who had none; empty otherwise.

    Raises:
        PasskeyRefused: when the answer is not right.
        SessionEnded: when the session is not active any more.
    """
    passkey = await services.passkeys.add(session, own.user_id, browser_id, answer, name)
    user = await lock_own_account(session, own)
    codes, changes = await first_codes(session, await users.credentials_of(session, user.id), user)
    changes = [*signals.factor_changes([passkey], "create"), *changes]
    await _changed(session, services.changes, user, ("factor.added", "factor_added"), "passkey", changes, actor, name)
    return codes


async def new_codes(session: AsyncSession, services: AccountChanges, user: User, actor: Actor) -> list[str]:
    """Return new recovery codes of a user, in place of any others. They are not stored readable."""
    changes = [signals.replaced(await users.credentials_of(session, user.id), "recovery_code")]
    codes = await factors.new_recovery_codes(session, user.id)
    events = ("factor.recovery_codes_made", "factor_added")
    await _changed(session, services, user, events, "recovery_code", changes, actor)
    return codes


async def first_codes(
    session: AsyncSession, known: Sequence[Credential], user: User
) -> tuple[list[str], list[CredentialChange]]:
    """Give a user recovery codes who sets up a second factor and has none; return them, and what changed."""
    if any(credential.kind == "recovery_code" for credential in known):
        return [], []
    return await factors.new_recovery_codes(session, user.id), [signals.replaced(known, "recovery_code")]


async def remove_credential(
    session: AsyncSession, services: AccountChanges, user: User, credential_id: str, actor: Actor
) -> Problem | None:
    """Remove a passkey, the authenticator app, or the password; with the last second factor go the recovery codes.

    Args:
        session: the transaction.
        services: how users and applications are told.
        user: the user, locked.
        credential_id: the id of the credential.
        actor: the user.

    Returns:
        Why it must stay; None: it was removed, or there is none.
    """
    known = await users.credentials_of(session, user.id)
    chosen = next(
        (
            credential
            for credential in known
            if str(credential.id) == credential_id and credential.kind != "recovery_code"
        ),
        None,
    )
    if chosen is None:
        return None
    left = [credential for credential in known if credential.id != chosen.id]
    problem = must_stay(left)
    if problem is not None:
        return problem
    await users.remove_credentials(session, user.id, [chosen.kind], chosen.id)
    removed = [chosen]
    if not {credential.kind for credential in left} & STRONG:
        await users.remove_credentials(session, user.id, ["recovery_code"])
        removed += [credential for credential in left if credential.kind == "recovery_code"]
    changes, name = signals.credential_changes(removed, "delete"), chosen.name or ""
    await _changed(session, services, user, ("factor.removed", "factor_removed"), chosen.kind, changes, actor, name)
    return None


def must_stay(left: Sequence[Credential]) -> Problem | None:
    """Return why the credentials that would be left are not enough; None: they are enough."""
    if not any(credential.kind in ("password", "passkey") for credential in left):
        return Problem.LAST_CREDENTIAL
    short = any(credential.kind == "password" and credential.data.get("long") is False for credential in left)
    return (
        Problem.NEEDS_LONGER_PASSWORD if short and not any(credential.kind in STRONG for credential in left) else None
    )


async def _changed(
    session: AsyncSession,
    services: AccountChanges,
    user: User,
    events: tuple[str, str],
    kind: str,
    changes: Sequence[CredentialChange],
    actor: Actor,
    name: str = "",
) -> None:
    """Record a change of a credential, and tell the user and the applications.

    Args:
        session: the transaction.
        services: how users and applications are told.
        user: the user.
        events: the type of the audit event, and the notice.
        kind: the kind of the credential.
        changes: what changed, for the applications.
        actor: the user.
        name: the name of the credential.
    """
    event, notice = events
    data = {"kind": kind, **({"name": name} if name else {})}
    record_by(session, actor, event, subject=str(user.id), data=data)
    notify(session, services, user, notice, what=f"{NAMES[kind]} ({name})" if name else NAMES[kind])
    await signals.credentials_changed(session, services, user.id, changes, "user")
