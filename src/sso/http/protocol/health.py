"""What load balancers ask."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from sso.http.common.late_routes import new_router
from sso.http.common.responses import json_response
from sso.http.protocol.current import CurrentSite
from sso.platform.security.tokens import equal

router = new_router()
READY_SECONDS = 3
PROMETHEUS_TEXT = "text/plain; version=0.0.4"


@router.get("/healthz")
async def healthz() -> Response:
    """The process lives."""
    return json_response(200, {"status": "ok"})


@router.get("/metrics")
async def metrics(request: Request, site: CurrentSite) -> Response:
    """The metrics in the form of Prometheus, for who knows the token; see ``SSO_METRICS_TOKEN``."""
    token = site.settings.metrics_token
    if site.observer is None or token is None:
        return Response(status_code=404)
    if not equal(request.headers.get("authorization", ""), f"Bearer {token.get_secret_value()}"):
        return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
    return Response(await asyncio.to_thread(site.observer.text), media_type=PROMETHEUS_TEXT)


@router.get("/readyz")
async def readyz(site: CurrentSite) -> Response:
    """The process can serve; where not, the answer says why, in words that hold no secret.

    Keys and applications are loaded, can be decrypted and are followed, the database can be written, no disk is full,
    the clock agrees with that of the database, and the process was not asked to stop.
    """
    provider = site.provider
    reasons = provider.health.reasons()
    try:
        async with asyncio.timeout(READY_SECONDS):
            fault = await provider.health.check_writes(provider.report_alive)
    except TimeoutError:
        fault = "database"
    if fault is not None and fault not in reasons:
        reasons.append(fault)
    if reasons:
        return json_response(503, {"status": "not ready", "reasons": sorted(reasons)})
    return json_response(200, {"status": "ready"})
