"""The terms, privacy notice and accessibility statement; for development the messages that would have been sent."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, page
from sso.http.common.services import Clients, CurrentSettings
from sso.identity.attributes.definitions import Attribute
from sso.platform.outbox.dev_mailbox import stored_messages
from sso.settings import Settings, whole_days

router = new_router()


@router.get("/outbox")
async def outbox(request: Request, settings: CurrentSettings) -> Response:
    """The messages that would have been sent, where ``SSO_DEVELOPMENT_OUTBOX`` keeps them instead."""
    if not settings.development_outbox:
        return failure(request, "not_found", 404)
    return page(request, "outbox.html", display="wide", here="/outbox", messages=stored_messages(settings))


@router.get("/terms")
async def terms(request: Request, settings: CurrentSettings) -> Response:
    """The terms: the city's own page, or our short one."""
    return _document(request, settings, "terms", settings.terms_url)


@router.get("/privacy")
async def privacy(request: Request, settings: CurrentSettings, known: Clients) -> Response:
    """The privacy notice: the city's own page, or our short one, with the attributes that the city declared."""
    attributes = known.registry.city.declaration.attributes.values()
    return _document(request, settings, "privacy", settings.privacy_url, attributes=list(attributes))


@router.get("/accessibility")
async def accessibility(request: Request) -> Response:
    """The accessibility statement."""
    return page(request, "accessibility.html", here="/accessibility")


def _document(
    request: Request, settings: Settings, name: str, address: str, attributes: Sequence[Attribute] = ()
) -> Response:
    if address:
        return RedirectResponse(address, 303)
    return page(
        request,
        f"{name}.html",
        here=f"/{name}",
        version=settings.terms_version,
        days=whole_days(settings.deletion_grace_period),
        kept_days=whole_days(settings.ended_session_retention),
        attributes=attributes,
    )
