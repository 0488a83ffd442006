"""The cookies of the accounts of one browser: each account has a session and a cookie value of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts.sign_in.current_account import AccountLocked, current_account
from sso.http.common.cookies import delete_cookie, own_cookies, set_cookie
from sso.http.common.destination import read_destination
from sso.http.common.forms import sent_fields
from sso.http.common.services import sign_in_services
from sso.http.common.visitor import visitor_of
from sso.http.sign_in.page_request import PageRequest
from sso.http.sign_in.pages import locked_page
from sso.oidc.authorize.signed_in import SignedIn
from sso.settings import whole_seconds


async def on_account_locked(request: Request, error: Exception) -> Response:
    """Answer with the page that says that the account is locked, and what to do."""
    assert isinstance(error, AccountLocked)
    query, authorizes = request.query_params, request.url.path == "/authorize"
    named = {"client": query.get("client_id", "")} if authorizes else dict(query)
    fields = {} if authorizes else await sent_fields(request)
    destination = read_destination(named)
    page = PageRequest(request, visitor_of(request, fields), fields, destination, sign_in_services(request))
    return locked_page(page, error.person, destination)


async def present_account(request: Request, session: AsyncSession, client_id: str | None = None) -> SignedIn | None:
    """Return who is signed in at this browser: the present account or, where its session has ended, the next one. One
    statement where the session of the present account is active.

    Raises:
        AccountLocked: when the account is locked. Every page of a person who is signed in comes through here; only help
            and signing out do not.
    """
    current = await current_account(sign_in_services(request).provider, session, visitor_of(request), client_id)
    return current.signed_in if current is not None else None


def with_accounts(
    request: Request,
    response: Response,
    tokens: Sequence[str],
    *,
    remember: Collection[str] = (),
    not_remembered: str = "",
) -> None:
    """Let the browser hold these accounts, in this order.

    Args:
        request: what is answered.
        response: the response.
        tokens: the cookie values of the accounts.
        remember: those that are remembered on this device from now on.
        not_remembered: one that is not remembered any more.
    """
    settings, remembered = sign_in_services(request).settings, own_cookies(request).remembered
    remembered_tokens = [
        token for token in tokens if token in remember or (token in remembered and token != not_remembered)
    ]
    if tokens:
        set_cookie(response, settings, "session", ".".join(tokens))
    else:
        delete_cookie(response, settings, "session")
    if remembered_tokens:
        max_age = whole_seconds(settings.remembered_session_lifetime)
        set_cookie(response, settings, "remembered", ".".join(remembered_tokens), max_age)
    elif remembered:
        delete_cookie(response, settings, "remembered")
