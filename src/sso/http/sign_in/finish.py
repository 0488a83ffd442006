"""Turning the result of a use case into a page, a redirect and cookies."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from sso.accounts.sign_in.current_account import CurrentAccount
from sso.accounts.sign_in.next_step import continue_request, refuse_request
from sso.accounts.sign_in.pending_request import PendingRequest
from sso.accounts.sign_in.results import (
    AccessRefused,
    AccountChooser,
    AuthenticationExpired,
    ConsentNeeded,
    ContactMustBeVerified,
    DeletionMustBeDecided,
    FlowExpired,
    FlowStarted,
    IdentityCheckNeeded,
    NextStep,
    PasskeyRefused,
    RegistrationNeeded,
    RequestAnswered,
    SecondFactorNeeded,
    ServerBusy,
    SessionStarted,
    SignInNeeded,
    SignInResult,
    TooManyAttempts,
    WrongCredentials,
)
from sso.accounts.sign_in.session_end import last_session_end
from sso.http.common.cookies import set_cookie, with_browser, with_browser_state
from sso.http.common.field_errors import FieldError, field_error
from sso.http.common.pages import to_application
from sso.http.common.responses import to_wait
from sso.http.sign_in.account_chooser import with_accounts
from sso.http.sign_in.after_sign_in import address_of_destination
from sso.http.sign_in.page_request import PageRequest
from sso.http.sign_in.pages import (
    account_page,
    consent_page,
    destination_of,
    identity_page,
    locked_page,
    refused_page,
    sign_in_form,
    wait_form,
)
from sso.http.sign_in.texts import BUSY, WRONG, WRONG_OF_SEVERAL, WRONG_PASSKEY
from sso.oidc.authorize.decision import Fail

DEVICE_COOKIE_SECONDS = 365 * 86400
SECOND_FACTOR = "/login/second"
MORE_DATA = "/more-data"
"""The page that asks for attributes which the city requires."""
_NO_STORE = {"Cache-Control": "no-store"}


async def proceed(page: PageRequest, pending: PendingRequest, current: CurrentAccount | None) -> Response:
    """Do what an authorization request needs next, and answer. Where nobody is signed in (any more), the cookie that
    holds the browser's state is deleted."""
    step = await continue_request(page.services, page.visitor, pending, current)
    if current is not None:
        return show_next_step(page, step)
    if isinstance(step, SignInNeeded):
        response = await ask_to_sign_in(page.without_input(), step.pending)
    else:
        response = show_next_step(page, step)
    return with_browser_state(page.request, response, "")


async def ask_to_sign_in(page: PageRequest, pending: PendingRequest | None, *, adding: bool = False) -> Response:
    """Return the sign-in page for a browser in which nobody is signed in. Where its session ended, the page says why,
    once: the cookie of that session is deleted."""
    provider = page.services.provider
    ended = await last_session_end(provider.db, provider.idle, page.visitor)
    response = sign_in_form(page, pending, adding=adding, ended=ended)
    if ended is not None:
        with_accounts(page.request, response, [])
    return response


async def refuse(page: PageRequest, pending: PendingRequest, error: str, description: str) -> Response:
    """Tell the application that it cannot have what it asked for."""
    return show_next_step(page, await refuse_request(page.services, pending, Fail(error, description)))


def show_next_step(page: PageRequest, step: NextStep) -> Response:
    """Return the answer to the application, or the page of what the person must do first."""
    if isinstance(step, RequestAnswered):
        return _answer(page, step)
    if isinstance(step, SignInNeeded):
        return sign_in_form(page.without_input(), step.pending, step.again)
    if isinstance(step, RegistrationNeeded):
        address = f"/signup?{urlencode({'i': step.pending.token})}"
        return with_browser(page.request, RedirectResponse(address, 303))
    if isinstance(step, AccountChooser):
        return account_page(page, step)
    if isinstance(step, ConsentNeeded):
        return consent_page(page, step)
    if isinstance(step, AccessRefused):
        return refused_page(page, step)
    if isinstance(step, IdentityCheckNeeded):
        return identity_page(page, step)
    return show_flow(page, step)


def show_flow(page: PageRequest, step: FlowStarted | FlowExpired) -> Response:
    """Return the way to the page of a pending flow."""
    if isinstance(step, FlowExpired):
        return page.failure("expired_interaction", 400)
    response = RedirectResponse(f"{SECOND_FACTOR}?{urlencode({'c': step.token})}", 303, _NO_STORE)
    return with_browser(page.request, response)


def _answer(page: PageRequest, step: RequestAnswered) -> Response:
    """Carry the browser back to the application."""
    response = to_application(page.request, step.answer, page.fields)
    if step.session_id is None:
        return response
    return with_browser_state(page.request, response, page.services.provider.browser_state(step.session_id))


def finish(
    page: PageRequest,
    result: SignInResult,
    pending: PendingRequest | None,
    before: CurrentAccount | None,
    landing: Response | None = None,
) -> Response:
    """Return what answers a sign-in.

    Args:
        page: the request.
        result: what the use case returned.
        pending: the authorization request; None: no application asked.
        before: the account that is signed in at this browser.
        landing: what answers where the session has started and no application is answered; None: the way to where the
            sign-in leads.
    """
    if isinstance(result, SessionStarted):
        return _with_session(page, result, pending, landing)
    if isinstance(result, (SecondFactorNeeded, ContactMustBeVerified, DeletionMustBeDecided, FlowExpired)):
        return show_flow(page, result)
    if isinstance(result, TooManyAttempts):
        return wait_form(page, pending, before, result.retry_after, result.minutes)
    if isinstance(result, ServerBusy):
        return to_wait(sign_in_form(page, pending, before, field_error("", BUSY), 503), result.retry_after)
    return sign_in_form(page, pending, before, _errors(result), 400)


def _errors(result: WrongCredentials | PasskeyRefused | AuthenticationExpired) -> list[FieldError]:
    if isinstance(result, PasskeyRefused):
        return field_error("", WRONG_PASSKEY)
    several = isinstance(result, WrongCredentials) and result.several
    return field_error("username", WRONG_OF_SEVERAL if several else WRONG)


def _with_session(
    page: PageRequest, started: SessionStarted, pending: PendingRequest | None, landing: Response | None
) -> Response:
    """Return what answers a person whose session has started, with its cookies."""
    if started.next_step is not None:
        response = show_next_step(page, started.next_step)
    elif started.person.locked:
        destination = started.destination if pending is None else destination_of(page, pending)
        response = locked_page(page, started.person, destination)
    elif started.lacks_attributes and landing is None:
        destination = started.destination if pending is None else destination_of(page, pending)
        response = RedirectResponse(destination.address(MORE_DATA), 303, _NO_STORE)
        with_browser_state(page.request, response, page.services.provider.browser_state(started.session_id))
    else:
        response = landing or RedirectResponse(address_of_destination(started.destination), 303)
        state = page.services.provider.browser_state(started.session_id)
        with_browser_state(page.request, response, state)
    remember = started.tokens[:1] if started.remember else []
    with_accounts(page.request, response, started.tokens, remember=remember)
    set_cookie(response, page.services.settings, "device", started.device_id, DEVICE_COOKIE_SECONDS)
    return response
