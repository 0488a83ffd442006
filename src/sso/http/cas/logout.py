"""Signing out in the CAS protocol (CAS Protocol 3.0 section 2.3)."""

from __future__ import annotations

from starlette.responses import Response

from sso.http.common.late_routes import new_router
from sso.http.sign_in.logout import CurrentSignOut, LogoutEndpoint, answer_logout
from sso.logout.cas_sign_out import check_cas_logout

router = new_router()

CAS_LOGOUT = LogoutEndpoint("/cas/logout", ("service", "url"))


@router.api_route("/cas/logout", methods=["GET", "POST"])
async def logout(visit: CurrentSignOut) -> Response:
    """Sign the user out after they have confirmed it: nothing proves that the application speaks of them."""
    return await answer_logout(visit, CAS_LOGOUT, check_cas_logout)
