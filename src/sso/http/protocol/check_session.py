"""The page that applications frame to see whether the session is still the same (Session Management section 3.2).

It is the only page that others may frame. It asks nobody: it compares what the application got (``session_state``)
with a cookie that holds nothing but a value for this, which scripts may read.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from sso.http.common.cookies import cookie_name
from sso.http.protocol.current import CurrentSite

router = APIRouter()

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Session</title>
<script src="{script}" data-cookie="{cookie}"></script></head><body></body></html>
"""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; base-uri 'none'; frame-ancestors *",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "public, max-age=300",
}


@router.get("/check_session")
async def check_session(site: CurrentSite) -> Response:
    """The check_session_iframe."""
    cookie = cookie_name(site.settings, "state")
    html = _PAGE.format(script=site.assets.paths["check_session_js"], cookie=cookie)
    return Response(html, headers=_HEADERS, media_type="text/html")
