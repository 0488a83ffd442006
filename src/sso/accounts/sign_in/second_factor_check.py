"""Checking a second factor, and finishing the sign-in after it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.contacts import verify_contact
from sso.accounts.deletion import cancel_deletion
from sso.accounts.second_factors import first_codes
from sso.accounts.sign_in.current_account import CurrentAccount
from sso.accounts.sign_in.devices import reserve_attempt
from sso.accounts.sign_in.passkey import MAX_CREDENTIAL_CHARS
from sso.accounts.sign_in.pending_request import account_at, recall_request
from sso.accounts.sign_in.results import (
    DeletionConfirmed,
    FlowExpired,
    RecoveryCodesIssued,
    SecondFactorNeeded,
    SecondFactorResult,
    TooManyAttempts,
    TooManyTries,
    WrongSecondFactor,
)
from sso.accounts.sign_in.second_factor import (
    CODES,
    UNVERIFIED,
    SecondFactorFlow,
    begin_second_factor,
    may_send_code,
    reaches,
    send_second_factor_code,
)
from sso.accounts.sign_in.services import SignInServices
from sso.accounts.sign_in.start import start_session
from sso.identity.authn import factors, pending_flows
from sso.identity.authn.assurance import ACR_PASSKEY
from sso.identity.authn.authenticated import Authenticated, with_factor
from sso.identity.authn.factors import PasskeyRefused
from sso.identity.notifications import notify
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.platform.actor import Actor
from sso.platform.audit import record
from sso.platform.security.rate_limits import Purpose, TooManyFailures
from sso.platform.visitor import Visitor
from sso.ssf import events as signals

MAX_CODE_CHARS = 100
PURPOSES: dict[str, Purpose] = {
    "passkey": Purpose.PASSKEY_FACTOR,
    "totp": Purpose.TOTP,
    "recovery_code": Purpose.RECOVERY_CODE,
    "email": Purpose.MESSAGE_CODE,
    "phone": Purpose.MESSAGE_CODE,
}
"""Under which purpose each method is counted."""


@dataclass(frozen=True, slots=True)
class SecondFactorAnswer:
    """What the person sent: a code, or the answer of a passkey as JSON. ``trust``: this browser needs no second factor
    from now on."""

    code: str = ""
    credential: str = ""
    trust: bool = False


async def check_second_factor(
    services: SignInServices, visitor: Visitor, flow: SecondFactorFlow, answer: SecondFactorAnswer
) -> SecondFactorResult:
    """Check what was typed, or the passkey, within the limits; then start the session, or continue with what is due.

    Raises:
        TooManyFailures: when too many flows or requests were stored because of this visitor.
        RedirectError: when the application cannot be answered.
    """
    provider = services.provider
    async with provider.db.write() as session:
        if not await pending_flows.count_attempt(session, flow.running):
            return TooManyTries()
    purpose = Purpose.NEW_TOTP if flow.enrols else PURPOSES[flow.method or ""]
    try:
        attempt = await reserve_attempt(provider.db, services.limits.attempts, visitor, purpose, flow.available.user.id)
    except TooManyFailures as error:
        provider.usage.count("sign_in_failed", label="too_many")
        return TooManyAttempts(error.retry_after, error.minutes)
    try:
        async with provider.db.write() as session:
            allowed = await _may_change(session, flow)
            authenticated = await _check(services, session, visitor, flow, answer) if allowed else None
            codes = await _first_codes(services, session, flow) if authenticated is not None and flow.enrols else []
    except IntegrityError:  # another account verified the contact at the same moment
        authenticated, codes = None, []
    if authenticated is None:
        await _record_failure(services, visitor, flow)
        provider.usage.count("sign_in_failed", label=flow.method or "")
        return WrongSecondFactor()
    await attempt.succeeded()
    if codes:
        return await _show_codes(services, flow, authenticated, codes)
    return await finish_second_factor(services, visitor, flow, authenticated, trust=answer.trust)


async def finish_second_factor(
    services: SignInServices, visitor: Visitor, flow: SecondFactorFlow, authenticated: Authenticated, *, trust: bool
) -> SecondFactorResult:
    """End the flow: start the session, or begin what is still missing.

    Args:
        services: what is needed.
        visitor: the browser.
        flow: the flow.
        authenticated: what is authenticated now.
        trust: the person asks that this browser need no second factor from now on.
    """
    provider, due = services.provider, not flow.verifies and not flow.shows_codes
    if flow.method is not None and due and not reaches(flow.method, flow.level):
        # A code sent to a contact was only the beginning: now an app is set up.
        async with provider.db.write() as session:
            flow.data["contact_used"] = True
            await pending_flows.keep(session, provider.box, flow.running, code_used=True)
        return SecondFactorNeeded(flow.token)
    contact = "" if flow.verifies else flow.data["contact"]
    trust = (trust and flow.may_trust) or bool(flow.data.get("trust"))
    async with provider.db.write() as session:
        if not await pending_flows.finish(session, flow.running):
            return FlowExpired()
    options = flow.options
    if contact:
        following = await begin_second_factor(
            services, visitor, authenticated, UNVERIFIED, authenticated.acr, options, contact=contact, trust=trust
        )
        assert following is not None, "only a precaution can be left out"
        return following
    before = await _account_before(services, visitor, flow)
    return await start_session(
        services, visitor, authenticated, options, pending=flow.pending, before=before, trust=trust
    )


async def decide_deletion(
    services: SignInServices, visitor: Visitor, flow: SecondFactorFlow, *, keep: bool
) -> SecondFactorResult:
    """A person whose account is to be deleted signs in: keep the account and sign in, or leave it."""
    provider, user_id = services.provider, flow.available.user.id
    async with provider.db.write() as session:
        await users.lock_user(session, user_id)
        if not await pending_flows.finish(session, flow.running):
            return FlowExpired()
        if not keep:
            return DeletionConfirmed()
        user = await session.get(User, user_id)
        assert user is not None
        await cancel_deletion(session, provider, user, actor=Actor(str(user.id), request_id=visitor.request_id))
    services.worker.nudge()
    before = await _account_before(services, visitor, flow)
    return await start_session(
        services,
        visitor,
        flow.authenticated_so_far,
        flow.options,
        pending=flow.pending,
        before=before,
        keeps_account=True,
    )


async def resend_code(services: SignInServices, visitor: Visitor, flow: SecondFactorFlow, channel: str = "") -> bool:
    """Send another code; tell whether it was sent. Where the user has chosen a channel (``sms``, ``whatsapp``), it is
    remembered with the contact when the code was right.

    Raises:
        TooManyFailures: when there were too many.
    """
    assert flow.method is not None
    if not await may_send_code(services, visitor, flow.available, flow.method):
        return False
    async with services.provider.db.write() as session:
        return await send_second_factor_code(services, session, flow.running, flow.available, flow.method, channel)


async def _account_before(services: SignInServices, visitor: Visitor, flow: SecondFactorFlow) -> CurrentAccount | None:
    if flow.options.i:
        return (await recall_request(services, visitor, flow.options.i))[1]
    return await account_at(services, visitor)


async def _may_change(session: AsyncSession, flow: SecondFactorFlow) -> bool:
    """Tell whether a flow that changes the credentials may do so: not where the account was recovered or its password
    changed meanwhile."""
    if not flow.enrols and not flow.verifies:
        return True
    await users.lock_user(session, flow.available.user.id)
    return await pending_flows.lock(session, flow.running)


async def _check(
    services: SignInServices,
    session: AsyncSession,
    visitor: Visitor,
    flow: SecondFactorFlow,
    answer: SecondFactorAnswer,
) -> Authenticated | None:
    """Return what is authenticated now; None: the second factor is wrong."""
    typed = answer.code.strip()[:MAX_CODE_CHARS]
    if flow.enrols:
        return await _enrol(services, session, flow, typed)
    assert flow.method is not None
    if flow.method in ("email", "phone"):
        return await _check_message(services, session, flow, typed)
    if flow.method == "passkey":
        right = await _check_passkey(services, session, visitor, flow, answer.credential)
    elif flow.method == "totp":
        credential = flow.available.credential("totp")
        box = services.provider.box
        right = credential is not None and await factors.check_totp(session, box, credential, typed)
    else:
        right = await _use_recovery_code(session, flow.available.user, typed)
    return with_factor(flow.authenticated_so_far, flow.method) if right else None


async def _check_passkey(
    services: SignInServices, session: AsyncSession, visitor: Visitor, flow: SecondFactorFlow, credential: str
) -> bool:
    try:
        await services.provider.passkeys.check(
            session, visitor.browser_id, credential[:MAX_CREDENTIAL_CHARS], flow.available.user.id
        )
    except PasskeyRefused:
        return False
    return True


async def _use_recovery_code(session: AsyncSession, user: User, typed: str) -> bool:
    if not await factors.use_recovery_code(session, user.id, typed):
        return False
    record(session, "factor.recovery_code_used", actor=str(user.id), subject=str(user.id))
    return True


async def _check_message(
    services: SignInServices, session: AsyncSession, flow: SecondFactorFlow, typed: str
) -> Authenticated | None:
    """Check a code that was sent to a contact."""
    assert flow.method is not None
    provider, user = services.provider, flow.available.user
    contact = flow.available.received(flow.data, flow.method)
    valid = services.settings.one_time_code_lifetime
    if contact is None or not pending_flows.is_code(provider.box, flow.running, typed, valid):
        return None
    channel = flow.running.channel
    if flow.method == "phone" and channel in provider.settings.phone_channels and channel != contact.channel:
        # Only now: whoever knows the password alone must not choose where the codes of the user go.
        await users.remember_channel(session, user.id, contact.lookup, channel)
    if not flow.verifies:
        return with_factor(flow.authenticated_so_far, flow.method)
    return flow.authenticated_so_far if await verify_contact(session, provider, user, contact) else None


async def _enrol(
    services: SignInServices, session: AsyncSession, flow: SecondFactorFlow, typed: str
) -> Authenticated | None:
    """Set up the app whose code was typed."""
    provider, user, seed = services.provider, flow.available.user, flow.data["seed"]
    if flow.level == ACR_PASSKEY:
        return None
    used = factors.totp_step(seed, typed)
    if used is None:
        return None
    changes = [signals.replaced(await users.credentials_of(session, user.id), "totp")]
    await factors.add_totp(session, provider.box, user.id, seed, used)
    record(session, "factor.added", actor=str(user.id), subject=str(user.id), data={"kind": "totp"})
    notify(session, provider, user, "factor_added", what="TOTP")
    await signals.credentials_changed(session, provider, user.id, changes, "user")
    return with_factor(flow.authenticated_so_far, "totp")


async def _first_codes(services: SignInServices, session: AsyncSession, flow: SecondFactorFlow) -> list[str]:
    """Return the recovery codes of a user who has just set up their first app; none where they have some already."""
    user = flow.available.user
    codes, changes = await first_codes(session, await users.credentials_of(session, user.id), user)
    if changes:
        await signals.credentials_changed(session, services.provider, user.id, changes, "user")
    return codes


async def _show_codes(
    services: SignInServices, flow: SecondFactorFlow, authenticated: Authenticated, codes: list[str]
) -> SecondFactorResult:
    """Store that the recovery codes are shown. The sign-in continues when the person confirms that they kept them."""
    provider, data = services.provider, flow.data
    data["acr"], data["amr"], data["reason"], data["seed"] = authenticated.acr, authenticated.amr, CODES, ""
    data["auth_time"] = authenticated.auth_time.isoformat() if authenticated.auth_time else None
    async with provider.db.write() as session:
        if not await pending_flows.lock(session, flow.running):
            return FlowExpired()
        await pending_flows.keep(session, provider.box, flow.running, code_used=True)
    services.worker.nudge()
    return RecoveryCodesIssued(codes)


async def _record_failure(services: SignInServices, visitor: Visitor, flow: SecondFactorFlow) -> None:
    pending = flow.pending
    async with services.provider.db.write() as session:
        record(
            session,
            "sign_in.failed",
            outcome="failure",
            subject=str(flow.available.user.id),
            client_id=pending.request.client.client_id if pending is not None else None,
            address=visitor.stored_ip_address,
            request_id=visitor.request_id,
            data={"method": flow.method or "totp"},
        )
