"""Switching the request log of an application in production on for some hours."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.models import Application
from sso.platform.actor import Actor
from sso.portal.applications.history import record_event

HOURS = (1, 8, 24)
"""For how many hours a team can log the failed requests of production."""


async def log_production(session: AsyncSession, application: Application, hours: int, *, actor: Actor) -> None:
    """Log the failed requests of production for ``hours``, which is 0 or one of :data:`HOURS`.

    Args:
        session: the transaction.
        application: the application, locked.
        hours: for how long; 0: no longer.
        actor: who decides.
    """
    application.request_log_until = clock.now() + timedelta(hours=hours) if hours in HOURS else None
    changed = {"changed": ["request_log_until"], "hours": hours}
    record_event(session, "application.changed", application.application_id, actor, changed)
