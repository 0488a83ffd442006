"""The start page: who is signed in here, and the way out."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.oidc import authorize as flow
from sso.web.http import form_token, read_cookie
from sso.web.pages import page
from sso.web.site import site_of

router = APIRouter()


@router.get("/")
async def home(request: Request) -> Response:
    """Who is signed in, with a button to sign out; the sign-in page otherwise."""
    provider, cookie = site_of(request).provider, read_cookie(request, "session")
    async with provider.db.read() as session:
        who = await flow.signed_in(provider, session, cookie, None)
    if who is None:
        return RedirectResponse("/login", 303, {"Cache-Control": "no-store"})
    return page(request, "home.html", person=who.user.name, form_token=form_token(request, "logout", cookie))
