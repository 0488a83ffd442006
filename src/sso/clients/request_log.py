"""For which applications requests are logged: every sandbox, and production for some hours where its team wants it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.models import Application
from sso.platform.metrics.request_log import LoggedRequest


async def with_log_on(session: AsyncSession, entries: Sequence[LoggedRequest]) -> list[LoggedRequest]:
    """Return the entries that are to be stored."""
    production = {entry.client_id for entry in entries if not entry.sandbox}
    logged = await _logged(session, production, clock.now()) if production else set()
    return [entry for entry in entries if entry.sandbox or entry.client_id in logged]


_LOGGED = select(Application.application_id).where(
    Application.application_id.in_(bindparam("client_ids", expanding=True)),
    Application.request_log_until > bindparam("now"),
)


async def _logged(session: AsyncSession, client_ids: set[str], now: datetime) -> set[str]:
    return set((await session.execute(_LOGGED, {"client_ids": [*client_ids], "now": now})).scalars())
