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
from sso.oidc.authorize.authorization_request import AuthorizationRequest
from sso.oidc.authorize.decision import Progress
from sso.oidc.authorize.stored import WaitingRequest
from sso.platform.visitor import Visitor

NOTHING_DONE = Progress()


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """An authorization request that waits for a person.

    Args:
        request: what the application asked for.
        token: the value that carries or identifies it in URLs and forms; empty: nobody was asked anything yet.
        waiting: what the token carries or identifies; None: the request came a moment ago.
        progress: which pages are done.
    """

    request: AuthorizationRequest
    token: str = ""
    waiting: WaitingRequest | None = None
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
    """Give a request the token with which it waits for the person of this browser. No statement: the token carries the
    request. Where it is too long for a URL, it is stored.

    Raises:
        TooManyFailures: when too many long requests were stored for this network.
    """
    provider, browser = services.provider, visitor.browser_id
    waiting = stored_requests.waiting_request(provider.settings, pending.request)
    token = stored_requests.encrypt_request(provider.box, waiting, browser)
    if len(token) > stored_requests.MAX_ENCRYPTED_CHARS:
        await services.limits.stored_requests.take(visitor.ip_address)
        async with provider.db.write() as session:
            token = await stored_requests.store_request(session, provider.box, waiting, browser)
    return replace(pending, token=token)


async def recall_request(
    services: SignInServices, visitor: Visitor, token: str
) -> tuple[PendingRequest, CurrentAccount | None]:
    """Return a waiting request of this browser, and the account that answers it.

    Raises:
        RequestExpired: when there is no such request, or it was answered.
        PageError, RedirectError: when it is not valid any more, because the application was changed.
        AccountLocked: when the account is locked.
    """
    provider = services.provider
    async with provider.db.read() as session:
        waiting = await stored_requests.recall_request(session, provider.box, token, visitor.browser_id)
        if waiting is None:
            raise RequestExpired(token)
        current = await current_account(provider, session, visitor, waiting.client_id)
    request = await stored_requests.checked_again(services.server, waiting)
    current = await account_for_request(provider, visitor, request, current)
    return PendingRequest(request, token, waiting, stored_requests.progress_of(waiting)), current


async def mark_done(services: SignInServices, visitor: Visitor, pending: PendingRequest, step: str) -> PendingRequest:
    """Record that a page of a waiting request is done: in its row, or in a new token of it."""
    assert pending.waiting is not None
    provider, waiting = services.provider, stored_requests.with_done(pending.waiting, step)
    token = pending.token
    if waiting.is_stored:
        async with provider.db.write() as session:
            await stored_requests.store_progress(session, token, waiting)
    else:
        token = stored_requests.encrypt_request(provider.box, waiting, visitor.browser_id)
    return replace(pending.with_done(step), token=token, waiting=waiting)


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
    """Return the account that answers a request that came a moment ago. No statement without cookie.

    Raises:
        AccountLocked: when the account is locked.
    """
    current = None
    if visitor.session_token:
        current = await current_account_alone(services.provider, visitor, request.client.client_id)
    return await account_for_request(services.provider, visitor, request, current)
