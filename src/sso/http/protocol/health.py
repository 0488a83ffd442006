"""What load balancers ask."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sso.http.common.responses import json_response
from sso.http.common.state import site_of

router = APIRouter()
READY_SECONDS = 3


@router.get("/healthz")
async def healthz() -> Response:
    """The process lives."""
    return json_response(200, {"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """The process can serve; where not, the answer says why, in words that hold no secret.

    Keys and applications are loaded, can be decrypted and are followed, the database can be written, no disk is full,
    the clock agrees with that of the database, and the process was not asked to stop.
    """
    provider = site_of(request).provider
    reasons = provider.health.reasons()
    try:
        async with asyncio.timeout(READY_SECONDS):
            fault = await provider.health.check_writes(provider.say_alive)
    except TimeoutError:
        fault = "database"
    if fault is not None and fault not in reasons:
        reasons.append(fault)
    if reasons:
        return json_response(503, {"status": "not ready", "reasons": sorted(reasons)})
    return json_response(200, {"status": "ready"})
