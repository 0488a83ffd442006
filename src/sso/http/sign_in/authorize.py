"""The authorization endpoint (RFC 6749 section 3.1, OpenID Connect Core section 3.1.2.1).

What a request needs next is decided in ``oidc/authorize/decision.py`` and done in ``accounts/sign_in/next_step.py``;
``finish.py`` turns it into pages.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.sign_in.current_account import AccountLocked
from sso.accounts.sign_in.pending_request import PendingRequest, RequestExpired, account_answering, store_request
from sso.http.common.cookies import with_browser
from sso.http.common.forms import form_pairs, query_pairs, sent_fields
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.services import sign_in_services
from sso.http.sign_in.finish import proceed, refuse
from sso.http.sign_in.page_request import PageRequest, without_form
from sso.http.sign_in.pages import request_address
from sso.oidc.authorize import request as flow
from sso.oidc.authorize.authorization_request import AuthorizationRequest
from sso.oidc.authorize.stored import client_of_token

router = new_router()


async def on_request_expired(request: Request, error: Exception) -> Response:
    """Answer :class:`RequestExpired`."""
    assert isinstance(error, RequestExpired)
    provider = sign_in_services(request).provider
    client = client_of_token(provider.box, provider.registry, error.token)
    return failure(request, "expired_interaction", 400, client=client, fields=await sent_fields(request))


@router.api_route("/authorize", methods=["GET", "POST"])
async def authorize(request: Request) -> Response:
    """The authorization endpoint."""
    page = without_form(request)
    parameters = await form_pairs(request) if request.method == "POST" else query_pairs(request)
    return await begin(page, await flow.read_request(page.services.server, parameters))


async def begin(page: PageRequest, authorization: AuthorizationRequest) -> Response:
    """Do what a request needs that came a moment ago, in whatever protocol.

    Raises:
        AccountLocked: when the account is locked, and the application did not ask for silence.
    """
    if page.request.method == "POST" and not page.visitor.session_token:
        return await _repeat_by_get(page, authorization)
    try:
        current = await account_answering(page.services, page.visitor, authorization)
    except AccountLocked:
        if "none" not in authorization.prompt:
            raise
        pending = PendingRequest(authorization)
        return await refuse(page, pending, "login_required", "The account of the person is locked.")
    return await proceed(page, PendingRequest(authorization), current)


async def _repeat_by_get(page: PageRequest, authorization: AuthorizationRequest) -> Response:
    """A form that another site posts brings no cookie (SameSite=Lax): look again by GET."""
    await page.services.limits.waiting_requests.take(page.visitor.ip_address)
    pending = await store_request(page.services, page.visitor, PendingRequest(authorization))
    response = RedirectResponse(request_address(pending), 303, {"Cache-Control": "no-store"})
    return with_browser(page.request, response)
