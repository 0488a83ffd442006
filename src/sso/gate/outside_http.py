"""Sends the requests of ``sso gate check``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2 as httpx

from sso.gate.outside import Reply, Send, Unreachable

SECONDS = 10


@asynccontextmanager
async def sender(*, verify: bool) -> AsyncIterator[Send]:
    """Yield what sends requests. ``verify``: certificates are verified."""
    async with httpx.AsyncClient(verify=verify, timeout=SECONDS) as http:

        async def send(url: str, headers: Mapping[str, str]) -> Reply:
            try:
                async with http.stream("GET", url, headers=dict(headers)) as answer:
                    return Reply(answer.status_code, dict(answer.headers.items()))
            except httpx.TransportError as error:
                raise Unreachable(f"{type(error).__name__}: {error}") from None

        yield send
