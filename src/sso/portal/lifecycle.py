"""What happens to registered applications, with everything that follows for sessions and grants."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store as clients
from sso.clients.models import BLOCKED, OF_NO_FILE, REMOVED, SANDBOX, SANDBOX_END, Application, ClientRow
from sso.clients.privileges import OPERATOR, Authority, check_hold, end_all
from sso.clients.secrets import ClientError
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import SessionFilter
from sso.logout import bulk as mass_ending
from sso.logout.end_sessions import EndServices
from sso.oidc import subjects
from sso.oidc.store import store as tokens
from sso.platform.actor import Actor
from sso.platform.db import bump_version
from sso.portal.applications import lock_application, mark, sandbox_id
from sso.portal.applications.history import record_event

if TYPE_CHECKING:
    from sso.clients.catalogue_apply import Plan

COMMAND_LINE = Actor("cli")
"""The actor of commands on the server."""


async def apply_catalogue(
    session: AsyncSession,
    services: EndServices,
    plan: Plan,
    *,
    accepted: Collection[str] = (),
    actor: Actor = COMMAND_LINE,
) -> None:
    """Carry out a plan, and end the part in every session of the applications that it suspends or removes.

    Args:
        session: the transaction.
        services: how applications are told.
        plan: what to do.
        accepted: the applications of which every ``sub`` may change.
        actor: who asks.

    Raises:
        SubjectsWouldChange: when every ``sub`` of another application would change.
    """
    from sso.clients.catalogue_apply import apply_plan  # with YAML, which servers do not read

    changes = await subjects.counted(session, plan.subjects)
    subjects.require_acceptance(session, changes, accepted, actor=actor, accept="--accept-new-subjects")
    await apply_plan(session, plan, actor=actor)
    for action, reason in (("suspend", EndReason.CLIENT_SUSPENDED), ("delete", EndReason.CLIENT_REMOVED)):
        gone = [change.client_id for change in plan.changes if change.action == action]
        await end_client_sessions_everywhere(session, services, gone, reason, actor=actor)


async def suspend_client(
    session: AsyncSession,
    services: EndServices,
    client_id: str,
    *,
    actor: Actor,
    end_sessions: bool = False,
    note: str = "",
) -> None:
    """Suspend an application: it can do nothing, its grants are revoked, and its client sessions end.

    Args:
        session: the transaction.
        services: how applications are told.
        client_id: the application.
        actor: who suspends it.
        end_sessions: whether the sessions in which it takes part end too, for every application.
        note: the reason, for its team and the audit log.

    Raises:
        ClientError: when there is no such application, or it is suspended already.
    """
    application = await _application(session, client_id)
    row = await _row_of(session, client_id, application)
    if row.status not in ("active", SANDBOX):
        raise ClientError(f"{client_id!r} is suspended already")
    await _set_status(session, row, BLOCKED)
    if application is not None:
        await _sandbox_status(session, application, BLOCKED)
        mark(session, application, "suspended", actor, note)
    data = {"end_sessions": end_sessions, "note": note}
    record_event(session, "client.suspended", client_id, actor, data)
    if end_sessions:
        await mass_ending.begin(session, SessionFilter(client_id=client_id), EndReason.CLIENT_SUSPENDED, actor=actor)
        await tokens.revoke_grants_of_client(session, client_id, clock.now())
    else:
        await end_client_sessions_everywhere(session, services, [client_id], EndReason.CLIENT_SUSPENDED, actor=actor)
    if application is not None:
        sandbox = [sandbox_id(client_id)]
        await end_client_sessions_everywhere(session, services, sandbox, EndReason.CLIENT_SUSPENDED, actor=actor)


async def resume_client(
    session: AsyncSession,
    client_id: str,
    *,
    actor: Actor,
    authority: Authority = OPERATOR,
    note: str = "",
) -> None:
    """Resume a suspended application. Its earlier grants stay revoked.

    Raises:
        ClientError: when there is no such application, or it is not suspended.
        PrivilegeRefused: when the application may do more than the actor.
    """
    application = await _application(session, client_id)
    row = await _row_of(session, client_id, application)
    await check_hold(session, client_id, authority)
    if row.status in ("active", SANDBOX):
        raise ClientError(f"{client_id!r} is not suspended")
    await _set_status(session, row, "active" if row.client_id == client_id else SANDBOX)
    if application is not None:
        await _sandbox_status(session, application, SANDBOX)
        mark(session, application, "approved" if application.approved_at else "sandbox", actor, note)
    # Another host may have granted something in the moment before it learned of the suspension.
    for resumed_id in sorted({row.client_id, client_id, *([sandbox_id(client_id)] if application is not None else [])}):
        await tokens.revoke_grants_of_client(session, resumed_id, clock.now())
    record_event(session, "client.resumed", client_id, actor)


async def remove_client(
    session: AsyncSession,
    services: EndServices,
    client_id: str,
    *,
    actor: Actor,
    note: str = "",
) -> None:
    """Remove an application: as if it were suspended, and the consents of users are deleted.

    Raises:
        ClientError: when there is no such application, or a catalogue file manages it: with the next ``sso clients
            apply`` the application would be back, without the consents of its users.
    """
    application = await _application(session, client_id)
    row = await clients.lock_client(session, client_id) if application is not None else None
    if application is None:
        row = await present_client(session, client_id)
    if row is not None and row.status != REMOVED and row.catalogue not in OF_NO_FILE:
        raise ClientError(
            f"{client_id!r} is managed by the catalogue {row.catalogue!r}: remove it from that file, then apply the "
            "file with --delete"
        )
    names = [client_id, *([sandbox_id(client_id)] if application is not None else [])]
    await clients.remove_clients(session, names, clock.now())
    await end_all(session, client_id, actor=actor, reason="the application was removed")
    if application is not None:
        mark(session, application, "retired", actor, note)
    record_event(session, "client.removed", client_id, actor, {"note": note})
    await end_client_sessions_everywhere(session, services, names, EndReason.CLIENT_REMOVED, actor=actor)


async def end_client_sessions_everywhere(
    session: AsyncSession, services: EndServices, client_ids: Sequence[str], reason: EndReason, *, actor: Actor
) -> None:
    """Revoke the grants of clients and end their client sessions: many of them in the background."""
    for client_id in client_ids:
        if reason is EndReason.CLIENT_REMOVED:
            await tokens.delete_consents(session, client_id=client_id)
        await tokens.revoke_grants_of_client(session, client_id, clock.now())
        await mass_ending.begin_client_sessions(session, services, client_id, reason, actor=actor)


async def present_client(session: AsyncSession, client_id: str) -> ClientRow:
    """Return an application's row, locked until the transaction ends.

    Raises:
        ClientError: when there is no such application.
    """
    row = await clients.lock_client(session, client_id)
    if row is None or row.status == REMOVED:
        raise ClientError(f"there is no application {client_id!r}; see: sso clients list")
    return row


async def _application(session: AsyncSession, client_id: str) -> Application | None:
    """Return what a team looks after under this name, locked until the transaction ends.

    Raises:
        ClientError: when it is the sandbox of one: both go together.
    """
    stem = client_id.removesuffix(SANDBOX_END)
    application = await lock_application(session, stem)
    if application is not None and stem != client_id:
        raise ClientError(f"{client_id!r} is the sandbox of {stem!r}: name that")
    return application if application is not None and application.state != "retired" else None


async def _row_of(session: AsyncSession, client_id: str, application: Application | None) -> ClientRow:
    """Return the row of an application: of one that was never approved, that of its sandbox."""
    if application is not None and await clients.lock_client(session, client_id) is None:
        client_id = sandbox_id(client_id)
    return await present_client(session, client_id)


async def _sandbox_status(session: AsyncSession, application: Application, status: str) -> None:
    row = await clients.lock_client(session, sandbox_id(application.application_id))
    if row is not None and row.status != REMOVED:
        await _set_status(session, row, status)


async def _set_status(session: AsyncSession, row: ClientRow, status: str) -> None:
    version = await bump_version(session, "clients")
    await clients.update_client(session, row.client_id, version, clock.now(), status=status)
