"""What load balancers ask."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from sso.http.common.responses import json_response
from sso.http.common.state import site_of
from sso.platform.db import DatabaseUnavailable
from sso.platform.security.tokens import equal

router = APIRouter()
READY_SECONDS = 3
PROMETHEUS_TEXT = "text/plain; version=0.0.4"


@router.get("/healthz")
async def healthz() -> Response:
    """The process lives."""
    return json_response(200, {"status": "ok"})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The metrics in the form of Prometheus, for who knows the token; see ``SSO_METRICS_TOKEN``."""
    site = site_of(request)
    token = site.settings.metrics_token
    if site.observer is None or token is None:
        return Response(status_code=404)
    if not equal(request.headers.get("authorization", ""), f"Bearer {token.get_secret_value()}"):
        return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
    return Response(await asyncio.to_thread(site.observer.text), media_type=PROMETHEUS_TEXT)


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """The process can serve: keys and applications are loaded, and the database can be written."""
    site = site_of(request)
    status = 200 if site.provider.loaded else 503
    try:
        async with asyncio.timeout(READY_SECONDS), site.provider.db.write() as session:
            # Takes a row lock and changes nothing: a read-only or full database is found out here.
            await session.execute(text("UPDATE versions SET value = value WHERE name = 'ready'"))
    except (DatabaseUnavailable, TimeoutError):
        status = 503
    return json_response(status, {"status": "ready" if status == 200 else "not ready"})
