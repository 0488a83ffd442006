"""An authorization request on its way through the pages of the sign-in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sso.accounts.sign_in.current_account import (
    CurrentAccount,
    account_for_request,
    current_account,
    current_account_alone,
)
from sso.accounts.sign_in.services import SignInServices
from sso.errors import Refusal
from sso.oidc.authorize import stored as stored_requests
from sso.oidc.authorize.decision import Progress
from sso.oidc.authorize.request import AuthorizationRequest
from sso.oidc.models import Interaction
from sso.platform.visitor import Visitor

NOTHING_DONE = Progress()


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """An authorization request that waits for a person.

    Args:
        request: what the application asked for.
        token: the value that identifies it in URLs and forms; empty: it is not stored.
        stored: the stored request.
        progress: which pages are done.
    """

    request: AuthorizationRequest
    token: str = ""
    stored: Interaction | None = None
    progress: Progress = NOTHING_DONE

    def with_done(self, step: str) -> PendingRequest:
        """Return the request with one more page done."""
        return replace(self, progress=replace(self.progress, done=self.progress.done | {step}))


class RequestExpired(Refusal):
    """The authorization request is unknown, expired, or another browser's. ``token`` is the value that was sent."""

    status = 400
    code = "expired_interaction"

    def __init__(self, token: str) -> None:
        super().__init__("the authorization request has expired")
        self.token = token


async def store_request(services: SignInServices, visitor: Visitor, pending: PendingRequest) -> PendingRequest:
    """Store a request, bound to the browser.

    Raises:
        TooManyFailures: when too many were stored for this IP address.
    """
    provider = services.provider
    await services.limits.waiting_requests.take(visitor.ip_address)
    async with provider.db.write() as session:
        token = await stored_requests.remember_request(
            provider.box, provider.settings, session, pending.request, visitor.browser_id
        )
    return replace(pending, token=token)


async def recall_request(
    services: SignInServices, visitor: Visitor, token: str
) -> tuple[PendingRequest, CurrentAccount | None]:
    """Return a stored request of this browser, and the account that answers it.

    Raises:
        RequestExpired: when there is no such request.
        PageError, RedirectError: when it is not valid any more, because the application was changed.
        AccountLocked: when the account is locked.
    """
    provider = services.provider
    async with provider.db.read() as session:
        stored = await stored_requests.recall_request(session, token, visitor.browser_id)
        if stored is None:
            raise RequestExpired(token)
        current = await current_account(provider, session, visitor, stored.client_id)
    request = await stored_requests.stored_request(services.server, stored)
    current = await account_for_request(provider, visitor, request, current)
    return PendingRequest(request, token, stored, stored_requests.progress_of(stored)), current


async def mark_done(services: SignInServices, pending: PendingRequest, step: str) -> PendingRequest:
    """Record that a page of a stored request is done."""
    assert pending.stored is not None
    advanced = pending.with_done(step)
    async with services.provider.db.write() as session:
        await stored_requests.remember_progress(session, pending.stored, advanced.progress.done)
    return advanced


async def account_at(services: SignInServices, visitor: Visitor) -> CurrentAccount | None:
    """Return the present account of this browser where no application asked. No statement without cookie.

    Raises:
        AccountLocked: when the account is locked.
    """
    if not visitor.session_token:
        return None
    async with services.provider.db.read() as session:
        return await current_account(services.provider, session, visitor)


async def account_answering(
    services: SignInServices, visitor: Visitor, request: AuthorizationRequest
) -> CurrentAccount | None:
    """Return the account that answers a request that is not stored. No statement without cookie.

    Raises:
        AccountLocked: when the account is locked.
    """
    current = None
    if visitor.session_token:
        current = await current_account_alone(services.provider, visitor, request.client.client_id)
    return await account_for_request(services.provider, visitor, request, current)
