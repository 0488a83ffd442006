"""What happens to registered applications, with everything that follows for sessions and grants."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.audit import record
from sso.clients import store as clients
from sso.clients.apply import Plan, apply_plan
from sso.clients.models import BLOCKED, REMOVED, ClientRow
from sso.clients.service import ClientError
from sso.db import bump_version
from sso.oidc import mass_ending
from sso.oidc.provider import Provider
from sso.sessions.store import SessionFilter
from sso.tokens import store as tokens


async def apply_catalogue(session: AsyncSession, provider: Provider, plan: Plan, *, actor: str = "cli") -> None:
    """Carry out a plan, and end the part in every session of the applications that it suspends or removes."""
    await apply_plan(session, plan, actor=actor)
    for action, reason in (("suspend", "client_suspended"), ("delete", "client_removed")):
        gone = [change.client_id for change in plan.changes if change.action == action]
        await end_part_everywhere(session, provider, gone, reason, actor=actor)


async def suspend_client(
    session: AsyncSession,
    provider: Provider,
    client_id: str,
    *,
    actor: str,
    end_sessions: bool = False,
    request_id: str | None = None,
) -> None:
    """Suspend an application: it can do nothing, what was granted to it is over, its part in every session ends.

    Args:
        session: the transaction.
        provider: the provider.
        client_id: the application.
        actor: who asks.
        end_sessions: end the sessions themselves too, in which it takes part, for every application.
        request_id: the reference for log and audit.

    Raises:
        ClientError: when there is no such application, or it is suspended already.
    """
    row = await present_client(session, client_id)
    if row.status != "active":
        raise ClientError(f"{client_id!r} is suspended already")
    await _set_status(session, row, BLOCKED)
    data = {"end_sessions": end_sessions}
    record(session, "client.suspended", actor=actor, client_id=client_id, request_id=request_id, data=data)
    if end_sessions:
        await mass_ending.begin(session, SessionFilter(client_id=client_id), "client_suspended", actor=actor)
        await tokens.revoke_grants_of_client(session, client_id, clock.now())
    else:
        await end_part_everywhere(session, provider, [client_id], "client_suspended", actor=actor)


async def resume_client(session: AsyncSession, client_id: str, *, actor: str, request_id: str | None = None) -> None:
    """Let a suspended application work again. What was granted to it before stays over.

    Raises:
        ClientError: when there is no such application, or it is not suspended.
    """
    row = await present_client(session, client_id)
    if row.status == "active":
        raise ClientError(f"{client_id!r} is not suspended")
    await _set_status(session, row, "active")
    record(session, "client.resumed", actor=actor, client_id=client_id, request_id=request_id)


async def remove_client(
    session: AsyncSession, provider: Provider, client_id: str, *, actor: str, request_id: str | None = None
) -> None:
    """Remove an application: as if suspended, and what people allowed it is forgotten.

    Raises:
        ClientError: when there is no such application.
    """
    await present_client(session, client_id)
    await clients.remove_clients(session, [client_id], await bump_version(session, "clients"), clock.now())
    record(session, "client.removed", actor=actor, client_id=client_id, request_id=request_id)
    await end_part_everywhere(session, provider, [client_id], "client_removed", actor=actor)


async def end_part_everywhere(
    session: AsyncSession, provider: Provider, client_ids: Sequence[str], reason: str, *, actor: str
) -> None:
    """End what was granted to applications and their part in every session: many of them in the background."""
    for client_id in client_ids:
        await tokens.revoke_grants_of_client(session, client_id, clock.now())
        if reason == "client_removed":
            await tokens.forget_consents(session, client_id=client_id)
        await mass_ending.begin_parts(session, provider, client_id, reason, actor=actor)


async def present_client(session: AsyncSession, client_id: str) -> ClientRow:
    """Return an application's row, locked until the transaction ends.

    Raises:
        ClientError: when there is no such application.
    """
    row = await clients.lock_client(session, client_id)
    if row is None or row.status == REMOVED:
        raise ClientError(f"there is no application {client_id!r}; see: sso clients list")
    return row


async def _set_status(session: AsyncSession, row: ClientRow, status: str) -> None:
    version = await bump_version(session, "clients")
    await clients.update_client(session, row.client_id, version, clock.now(), status=status)
