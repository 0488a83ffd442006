"""Reading where a person wants to go (:class:`~sso.accounts.sign_in.destination.Destination`) from forms and URLs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

from starlette.requests import Request

from sso.accounts.sign_in.destination import OPEN, Destination, named_application
from sso.clients.registry import Client
from sso.http.common.cookies import own_cookies
from sso.http.common.state import site_of
from sso.oidc.authorize import stored as stored_requests
from sso.oidc.authorize.authorization_request import AuthorizationRequest, PageError, RedirectError
from sso.oidc.device.service import normal_user_code

MAX_CLIENT_CHARS, MAX_THEN_CHARS, MAX_USER_CODE_CHARS = 100, 2000, 40


def read_destination(fields: Mapping[str, str]) -> Destination:
    """Return what the fields of a form, or the parameters of a URL, name. Nothing of it is trusted: the token must be
    this browser's, the page one of ours, and the application registered."""
    return Destination(
        fields.get("i", "")[: stored_requests.MAX_TOKEN_CHARS],
        fields.get("then", "")[:MAX_THEN_CHARS],
        normal_user_code(fields.get("user_code", "")[:MAX_USER_CODE_CHARS]),
        fields.get("client", "")[:MAX_CLIENT_CHARS],
    )


async def find_destination(
    request: Request, destination: Destination
) -> tuple[Destination, AuthorizationRequest | None, Client | None]:
    """Look up where a person wants to go.

    Returns:
        What of the destination is still valid; the authorization request, where it has not expired; and the
        application, where it is known and enabled.
    """
    site, authorization = site_of(request), None
    if destination.i:
        box, browser = site.provider.box, own_cookies(request).browser
        async with site.provider.db.read() as session:
            waiting = await stored_requests.recall_request(session, box, destination.i, browser)
        try:
            authorization = await stored_requests.checked_again(site.server, waiting) if waiting is not None else None
        except (PageError, RedirectError):  # the application was changed meanwhile
            authorization = None
    client = authorization.client if authorization is not None and authorization.client.enabled else None
    client = client or named_application(site.provider.registry, destination)
    i, client_id = destination.i if authorization is not None else "", client.client_id if client else ""
    return replace(destination, i=i, client_id=client_id), authorization, client


def sign_in_address(destination: Destination, client: Client | None) -> str:
    """Return the URL of the sign-in page from which a person comes to where they want to go.

    Args:
        destination: what is still valid, from :func:`find_destination`.
        client: the application, where it is known.
    """
    if destination.i:
        return f"/login?{urlencode({'i': destination.i})}"
    if destination.user_code:
        return f"/login?{urlencode({'user_code': destination.user_code})}"
    if client is not None and client.meta.initiate_login_uri:
        return f"/login?{urlencode({'then': OPEN + client.client_id})}"
    return f"/login?{urlencode({'then': destination.then})}" if destination.then else "/login"
