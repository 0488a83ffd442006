"""What load balancers ask."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from sqlalchemy import text
from starlette.responses import Response

from sso.http.common.responses import json_response
from sso.http.protocol.current import CurrentSite
from sso.platform.db import DatabaseUnavailable

router = APIRouter()
READY_SECONDS = 3


@router.get("/healthz")
async def healthz() -> Response:
    """The process lives."""
    return json_response(200, {"status": "ok"})


@router.get("/readyz")
async def readyz(site: CurrentSite) -> Response:
    """The process can serve: keys and applications are loaded, and the database can be written."""
    status = 200 if site.provider.loaded else 503
    try:
        async with asyncio.timeout(READY_SECONDS), site.provider.db.write() as session:
            # Takes a row lock and changes nothing: a read-only or full database is found out here.
            await session.execute(text("UPDATE versions SET value = value WHERE name = 'ready'"))
    except (DatabaseUnavailable, TimeoutError):
        status = 503
    return json_response(status, {"status": "ready" if status == 200 else "not ready"})
