"""The page of administrators about settings and processes."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.http.admin.setting_labels import SECTIONS, SOURCES
from sso.http.admin.setting_texts import setting_views
from sso.http.common.late_routes import new_router
from sso.http.common.pages import locale_of
from sso.http.common.services import CurrentSettings, Db, ProcessId
from sso.http.console.access import ADMIN, Here, Needs, admin_page
from sso.platform.metrics import store as usage

router = new_router()
SeesSettings = Annotated[Here, Depends(Needs("settings:read"))]


@router.get(ADMIN + "/system")
async def system_page(
    request: Request, here: SeesSettings, db: Db, settings: CurrentSettings, process: ProcessId
) -> Response:
    """Show the settings in effect, with secrets masked, and the processes that reported recently."""
    now = clock.now()
    async with db.read() as session:
        processes = await usage.processes(session)
    return admin_page(
        request,
        here,
        "system",
        "admin_system.html",
        processes=[(known, (now - known.seen_at) < timedelta(minutes=1)) for known in processes],
        this=process,
        groups=setting_views(settings, locale_of(request)),
        sections=SECTIONS,
        sources=SOURCES,
        stored=set(settings.stored),
        may_change=here.may("settings:write"),
        database=db.engine.dialect.name,
    )
