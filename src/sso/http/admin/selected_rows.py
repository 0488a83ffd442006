"""What happens to selected sessions, applications and deliveries: the plan of each row, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.administration import end_session_of_person
from sso.accounts.bulk_actions import Selected
from sso.accounts.power import TooPowerful, check_power_over
from sso.accounts.services import AccountActions
from sso.clients import store as clients
from sso.clients.models import REMOVED, SANDBOX, Application, ClientRow
from sso.clients.privileges import PrivilegeRefused
from sso.clients.secrets import ClientError
from sso.http.admin.application_page import name_of
from sso.http.common.dates import moment_text
from sso.http.common.i18n import translations
from sso.http.console.access import Here
from sso.http.console.delivery_texts import KINDS
from sso.identity.sessions import store as sessions
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.db import Database
from sso.platform.outbox import store as deliveries
from sso.platform.outbox.models import Delivery
from sso.portal.administration import is_in_groups, notify_team
from sso.portal.lifecycle import resume_client, suspend_client

ENDED = "the session has ended"
NOT_RETRIED = "the delivery was delivered, is fetched by its receiver, or is not sent"


async def plan_sessions(
    accounts: AccountActions, here: Here, session_ids: Sequence[UUID], locale: str
) -> list[Selected]:
    """Return what the end of each session would do."""
    async with accounts.db.read() as session:
        return [await _session(session, accounts, here, session_id, locale) for session_id in session_ids]


async def _session(
    session: AsyncSession, accounts: AccountActions, here: Here, session_id: UUID, locale: str
) -> Selected:
    present = await sessions.get(session, session_id)
    if present is None:
        return Selected(str(session_id), "", ENDED)
    sso_session, user = present
    when = moment_text(sso_session.auth_time, locale=locale, zone=accounts.settings.time_zone)
    name, refusal = f"{user.name} · {when}", ""
    if sso_session.ended_at is not None:
        refusal = ENDED
    else:
        try:
            await check_power_over(session, accounts.registry, [user.id], here.rights)
        except TooPowerful as error:
            refusal = str(error)
    return Selected(str(session_id), name, refusal)


async def end_sessions(
    accounts: AccountActions, here: Here, session_ids: Sequence[UUID], reason: str, locale: str
) -> list[Selected]:
    """End each session in a transaction of its own, and return the result of each."""
    actor = Actor(here.actor, stored_ip_address=here.stored_ip_address, request_id=here.request_id)
    results = []
    for session_id in session_ids:
        async with accounts.db.write() as session:
            planned = await _session(session, accounts, here, session_id, locale)
            if not planned.refusal:
                await end_session_of_person(session, accounts, session_id, actor=actor, note=reason)
        results.append(planned)
    return results


@dataclass(frozen=True, slots=True)
class SelectedApplications:
    """Applications that an administrator selected.

    Args:
        db: the database.
        changes: how users and applications are told.
        here: the administrator.
    """

    db: Database
    changes: AccountActions
    here: Here

    async def plan(self, act: str, client_ids: Sequence[str]) -> list[Selected]:
        """Return what an action would do to each application."""
        async with self.db.read() as session:
            return [await self._planned(session, act, client_id) for client_id in client_ids]

    async def carry_out(self, act: str, client_ids: Sequence[str], reason: str) -> list[Selected]:
        """Suspend or resume each application in a transaction of its own, and return the result of each."""
        return [await self._carry_out_action(act, client_id, reason) for client_id in client_ids]

    async def _planned(self, session: AsyncSession, act: str, client_id: str) -> Selected:
        row = await clients.get_client(session, client_id)
        application = await session.get(Application, client_id)
        row = row if row is not None and row.status != REMOVED else None
        if (row is None and application is None) or not is_in_groups(self.here.groups, row, application):
            return Selected(client_id, "", f"there is no application {client_id!r}")
        suspended = _is_suspended(row, application)
        refusal = ""
        if act == "suspend" and suspended:
            refusal = f"{client_id!r} is suspended already"
        elif act == "resume" and not suspended:
            refusal = f"{client_id!r} is not suspended"
        return Selected(client_id, name_of(row, application, client_id), refusal)

    async def _carry_out_action(self, act: str, client_id: str, reason: str) -> Selected:
        actor, planned = self.here.as_actor, Selected(client_id, "")
        try:
            async with self.db.write() as session:
                planned = await self._planned(session, act, client_id)
                if planned.refusal:
                    return planned
                if act == "suspend":
                    await suspend_client(session, self.changes, client_id, actor=actor, note=reason)
                else:
                    await resume_client(session, client_id, authority=self.here.authority, actor=actor, note=reason)
                application = await session.get(Application, client_id)
                if application is not None:
                    await notify_team(session, self.changes, application)
        except (ClientError, PrivilegeRefused) as error:
            return Selected(client_id, planned.name, str(error))
        return planned


def _is_suspended(row: ClientRow | None, application: Application | None) -> bool:
    if application is not None:
        return application.state == "suspended"
    return row is not None and row.status not in ("active", SANDBOX)


async def plan_deliveries(db: Database, delivery_ids: Sequence[UUID], locale: str) -> list[Selected]:
    """Return what sending each delivery again would do."""
    async with db.read() as session:
        return [await _delivery(session, delivery_id, locale) for delivery_id in delivery_ids]


async def _delivery(session: AsyncSession, delivery_id: UUID, locale: str) -> Selected:
    delivery = await session.get(Delivery, delivery_id)
    if delivery is None:
        return Selected(str(delivery_id), "", NOT_RETRIED)
    words = translations(locale).gettext
    name = words(KINDS.get(delivery.kind, delivery.kind))
    name += f" · {delivery.client_id}" if delivery.client_id else ""
    may = delivery.status in ("given_up", "pending") and delivery.kind != "ssf_poll"
    return Selected(str(delivery_id), name, "" if may else NOT_RETRIED)


async def retry_deliveries(
    db: Database, here: Here, delivery_ids: Sequence[UUID], reason: str, locale: str
) -> list[Selected]:
    """Send each delivery again, and return the result of each."""
    results = []
    for delivery_id in delivery_ids:
        async with db.write() as session:
            planned = await _delivery(session, delivery_id, locale)
            if not planned.refusal:
                delivery = await deliveries.retry(session, delivery_id)
                record_by(
                    session,
                    here.as_actor,
                    "delivery.retried",
                    subject=str(delivery_id),
                    client_id=delivery.client_id if delivery is not None else None,
                    data={"note": reason},
                )
        results.append(planned)
    return results
