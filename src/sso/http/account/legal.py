"""What is sent to people, to be looked at: every mail and SMS by administrators, in both languages; and for development
what would have been sent. And the terms and the privacy notice."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.http.common.pages import failure, page
from sso.http.common.state import site_of
from sso.platform.outbox.dev_mailbox import kept
from sso.settings import whole_days

router = APIRouter()


@router.get("/outbox")
async def outbox(request: Request) -> Response:
    """What would have been sent, where ``SSO_DEVELOPMENT_OUTBOX`` keeps it instead; nothing elsewhere."""
    settings = site_of(request).settings
    if not settings.development_outbox:
        return failure(request, "not_found", 404)
    return page(request, "outbox.html", display="wide", here="/outbox", messages=kept(settings))


@router.get("/terms")
async def terms(request: Request) -> Response:
    """The terms: the city's own page, or our short one."""
    return _document(request, "terms", site_of(request).settings.terms_url)


@router.get("/privacy")
async def privacy(request: Request) -> Response:
    """The privacy notice: the city's own page, or our short one."""
    return _document(request, "privacy", site_of(request).settings.privacy_url)


def _document(request: Request, name: str, address: str) -> Response:
    if address:
        return RedirectResponse(address, 303)
    settings = site_of(request).settings
    return page(
        request,
        f"{name}.html",
        here=f"/{name}",
        version=settings.terms_version,
        days=whole_days(settings.deletion_grace_period),
        kept_days=whole_days(settings.ended_session_retention),
    )
