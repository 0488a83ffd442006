"""The page of administrators about settings and processes."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.http.admin.setting_texts import settings_shown
from sso.http.common.pages import locale_of
from sso.http.common.state import site_of
from sso.http.console.access import ADMIN, Here, Needs, admin_page
from sso.platform.metrics import store as usage

router = APIRouter()
SeesSettings = Annotated[Here, Depends(Needs("settings:read"))]


@router.get(ADMIN + "/system")
async def system_page(request: Request, here: SeesSettings) -> Response:
    """Show the settings in effect, with secrets masked, and the processes that reported recently."""
    provider, now = site_of(request).provider, clock.now()
    async with provider.db.read() as session:
        found = await usage.processes(session)
    return admin_page(
        request,
        here,
        "system",
        "admin_system.html",
        processes=[(one, (now - one.seen_at) < timedelta(minutes=1)) for one in found],
        this=provider.process_id,
        groups=settings_shown(site_of(request).settings, locale_of(request)),
        database=provider.db.engine.dialect.name,
    )
