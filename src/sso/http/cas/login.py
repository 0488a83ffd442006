"""The login page of the CAS protocol (CAS Protocol 3.0 section 2.1). It leads to the same as ``/authorize``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.gate.cas.parameters import LoginRefused, read_login
from sso.gate.cas.request import LOGIN, login_request
from sso.http.common.forms import form_pairs, query_pairs
from sso.http.common.late_routes import new_router
from sso.http.sign_in.authorize import begin
from sso.http.sign_in.page_request import without_form
from sso.oidc.authorize.authorization_request import AuthorizationRequest, PageError
from sso.oidc.authorize.request import with_news

router = new_router()


@router.api_route(LOGIN, methods=["GET", "POST"])
async def login(request: Request) -> Response:
    """Sign a user in for an application that speaks CAS. A request without an application leads to the start page."""
    pairs = await form_pairs(request) if request.method == "POST" else query_pairs(request)
    try:
        wish = read_login(pairs)
    except LoginRefused as refused:
        raise PageError("bad_service_request", refused.parameter) from None
    if wish is None:
        return RedirectResponse("/", 303, {"Cache-Control": "no-store"})
    page = without_form(request)
    server = page.services.server

    async def check() -> AuthorizationRequest:
        return login_request(server, wish)

    return await begin(page, await with_news(server.provider, check))
