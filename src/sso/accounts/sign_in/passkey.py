"""Signing in with a passkey alone: the person has the device, and the device recognised the person."""

from __future__ import annotations

from dataclasses import replace

from sso.accounts.sign_in.current_account import CurrentAccount
from sso.accounts.sign_in.devices import is_new_device
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.pending_request import PendingRequest
from sso.accounts.sign_in.results import PasskeyRefused, SignInResult, TooManyAttempts
from sso.accounts.sign_in.services import SignInServices
from sso.accounts.sign_in.start import start_session
from sso.identity.authn import factors
from sso.identity.authn.assurance import ACR_PASSKEY
from sso.identity.authn.authenticated import AMR_PASSKEY, Authenticated
from sso.platform.audit import record
from sso.platform.security.rate_limits import Purpose, TooManyFailures
from sso.platform.visitor import Visitor

MAX_CREDENTIAL_CHARS = 20_000


async def sign_in_with_passkey(
    services: SignInServices,
    visitor: Visitor,
    credential: str,
    options: SignInOptions,
    *,
    pending: PendingRequest | None,
    before: CurrentAccount | None,
) -> SignInResult:
    """Check a passkey, start the session and continue with the authorization request.

    Args:
        services: what is needed.
        visitor: the browser.
        credential: the answer of the browser, as JSON.
        options: what was chosen on the sign-in page.
        pending: the authorization request; None: no application asked.
        before: the account that is signed in at this browser.

    Raises:
        TooManyFailures: when too many flows or requests were stored because of this visitor.
        RedirectError: when the application cannot be answered.
    """
    provider = services.provider
    try:
        attempt = await services.limits.attempts.reserve(Purpose.PASSKEY, "", visitor.ip_address)
        async with provider.db.write() as session:
            user, _, _ = await provider.passkeys.check(session, visitor.browser_id, credential[:MAX_CREDENTIAL_CHARS])
    except TooManyFailures as error:
        return TooManyAttempts(error.retry_after, error.minutes)
    except factors.PasskeyRefused as error:
        await _record_failure(services, visitor, str(error))
        return PasskeyRefused()
    await attempt.succeeded()
    await services.limits.attempts.succeeded(str(user.id))
    options = replace(options, is_new=await is_new_device(provider.db, visitor, user))
    authenticated = Authenticated(user, ACR_PASSKEY, list(AMR_PASSKEY))
    return await start_session(services, visitor, authenticated, options, pending=pending, before=before)


async def _record_failure(services: SignInServices, visitor: Visitor, why: str) -> None:
    async with services.provider.db.write() as session:
        record(
            session,
            "sign_in.failed",
            outcome="failure",
            address=visitor.stored_ip_address,
            request_id=visitor.request_id,
            data={"method": "passkey", "why": why[:200]},
        )
