"""Where a user goes on who is signed in at the end of a registration or a recovery."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sso.accounts.sign_in.current_account import CurrentAccount
from sso.accounts.sign_in.destination import OPEN, Destination, named_application
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.pending_request import PendingRequest, RequestExpired, account_at, recall_request
from sso.http.sign_in.after_sign_in import own_destination
from sso.http.sign_in.page_request import PageRequest


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a user goes on.

    Args:
        page: the request, with the destination where no application is answered.
        destination: where the user wants to go, as far as it is still valid.
        pending: the authorization request; None: no application asked, or the request has expired.
        before: the account that is signed in at this browser.
        options: the options of the sign-in.
    """

    page: PageRequest
    destination: Destination
    pending: PendingRequest | None
    before: CurrentAccount | None
    options: SignInOptions


async def arrival_of(page: PageRequest, stored: Destination) -> Arrival:
    """Return where a user goes on who wanted to go to a destination. Where the authorization request has expired, the
    page that opens the application takes its place.

    Raises:
        AccountLocked: when another account of this browser is locked.
    """
    pending, before, then = None, None, stored.then
    try:
        if stored.i:
            pending, before = await recall_request(page.services, page.visitor, stored.i)
    except RequestExpired:
        pending = None
    if pending is None:
        before = await account_at(page.services, page.visitor)
        client = named_application(page.services.provider.registry, stored)
        if client is not None and client.meta.initiate_login_uri:
            then = OPEN + client.client_id
    i = pending.token if pending is not None else ""
    destination = replace(stored, i=i, then=then)
    options = SignInOptions(i=i, add=True, then=then, user_code=stored.user_code)
    page = replace(page, destination=own_destination(destination.fields))
    return Arrival(page, destination, pending, before, options)
