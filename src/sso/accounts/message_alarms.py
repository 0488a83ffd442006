"""Alarms about the daily budgets of SMS and WhatsApp messages."""

from __future__ import annotations

import logging
from typing import Protocol

from sso.identity.notifications import MessageServices, notify
from sso.identity.users import store as users
from sso.identity.users.service import ADMIN
from sso.platform.audit import record
from sso.platform.db import Database
from sso.platform.security.message_limits import Budget, BudgetUse
from sso.platform.services import HasDatabase

log = logging.getLogger(__name__)

MAX_ADMINISTRATORS = 100


class AlarmServices(MessageServices, HasDatabase, Protocol):
    """What telling administrators needs."""


async def alarm_administrators(services: AlarmServices, use: BudgetUse) -> None:
    """Record that a budget is almost used up, and write a mail to each administrator. Call this once a day for each
    budget."""
    log.warning("%d %% of the daily budget of %s is used", use.percent, use.budget.name)
    async with services.db.write() as session:
        record(
            session,
            "messages.budget_alarm",
            actor="system",
            data={"channel": use.budget.channel, "prefix": use.budget.prefix, "used": use.used},
        )
        for user in await users.page_of_users(session, None, MAX_ADMINISTRATORS, role=ADMIN, status="active"):
            notify(session, services, user, "message_budget", what=use.budget.name, percent=str(use.percent))


async def record_used_up(db: Database, budget: Budget) -> None:
    """Record that a budget is used up: messages are refused now. Call this once a day for each budget."""
    log.error("the daily budget of %s is used up", budget.name)
    async with db.write() as session:
        data = {"channel": budget.channel, "prefix": budget.prefix, "maximum": budget.maximum}
        record(session, "messages.budget_used_up", outcome="failure", actor="system", data=data)
