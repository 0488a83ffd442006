"""The forms of pages that belong to an authorization request and to a person who is signed in."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from sso.accounts.sign_in.current_account import CurrentAccount
from sso.accounts.sign_in.pending_request import PendingRequest, recall_request
from sso.http.sign_in.finish import proceed
from sso.http.sign_in.page_request import PageRequest


async def read_form(
    page: PageRequest, purpose: str | Callable[[PendingRequest], str]
) -> tuple[PendingRequest, CurrentAccount] | Response:
    """Return the authorization request and the account of a form. Where the form is not of this session, because
    another person signed in or nobody is, return the page that is right now, and nothing is done.

    Args:
        page: the request.
        purpose: what the form is for.

    Raises:
        RequestExpired: when the authorization request has expired.
    """
    pending, current = await recall_request(page.services, page.visitor, page.fields.get("i", ""))
    expected = purpose if isinstance(purpose, str) else purpose(pending)
    if current is None or not page.has_valid_csrf_token(expected, current.token):
        return await proceed(page, pending, current)
    return pending, current
