"""Reading the visitor of a request, once, where it arrives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from sso.http.common.cookies import new_browser_id, own_cookies
from sso.http.common.forms import sent_fields
from sso.http.common.pages import NO_FIELDS, locale_of
from sso.http.common.state import address_of, kept_address_of, request_id_of, source_of
from sso.identity.sessions.devices import MAX_USER_AGENT_CHARS
from sso.platform.visitor import Visitor


def visitor_of(request: Request, fields: Mapping[str, str] = NO_FIELDS) -> Visitor:
    """Return the visitor of ``request``. ``fields`` are those of the form that was sent: they hold the language."""
    cookies = own_cookies(request)
    return Visitor(
        ip_address=address_of(request),
        network=source_of(request),
        stored_ip_address=kept_address_of(request),
        request_id=request_id_of(request),
        user_agent=request.headers.get("user-agent", "")[:MAX_USER_AGENT_CHARS],
        locale=locale_of(request, fields=fields),
        browser_id=cookies.browser or new_browser_id(request),
        device_id=cookies.device,
        session_tokens=cookies.session_tokens,
    )


async def current_visitor(request: Request) -> Visitor:
    """Return the visitor of a request that may have sent a form."""
    return visitor_of(request, await sent_fields(request))


CurrentVisitor = Annotated[Visitor, Depends(current_visitor)]
"""The visitor, as a dependency of a route; read once for each request."""
