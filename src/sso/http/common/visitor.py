"""Reading the visitor of a request, once, where it arrives."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from sso.http.common.cookies import browser_of, cookie_values, read_cookie
from sso.http.common.pages import locale_of
from sso.http.common.state import address_of, kept_address_of, request_id_of, source_of
from sso.platform.visitor import Visitor

MAX_USER_AGENT_CHARS = 400


def visitor_of(request: Request) -> Visitor:
    """Return the visitor of ``request``."""
    tokens = cookie_values(request, "session") or cookie_values(request, "remembered")
    return Visitor(
        ip_address=address_of(request),
        network=source_of(request),
        stored_ip_address=kept_address_of(request),
        request_id=request_id_of(request),
        user_agent=request.headers.get("user-agent", "")[:MAX_USER_AGENT_CHARS],
        locale=locale_of(request),
        browser_id=browser_of(request),
        device_id=read_cookie(request, "device"),
        session_tokens=tuple(tokens),
    )


CurrentVisitor = Annotated[Visitor, Depends(visitor_of)]
"""The visitor, as a dependency of a route; read once for each request."""
