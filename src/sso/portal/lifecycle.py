"""What happens to registered applications, with everything that follows for sessions and grants."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store as clients
from sso.clients.catalogue_apply import Plan, apply_plan
from sso.clients.dynamic_registration import RegistrationRefused, check_sector
from sso.clients.metadata import ClientMetadata
from sso.clients.models import BLOCKED, REMOVED, SANDBOX, SANDBOX_END, Application, ClientRow
from sso.clients.privileges import OPERATOR, Authority, check_hold, end_all
from sso.clients.registry import stored_metadata
from sso.clients.secrets import ClientError
from sso.clients.sectors import SubjectChange, SubjectsWouldChange
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import SessionFilter
from sso.logout import bulk as mass_ending
from sso.oidc import subjects
from sso.oidc.provider import Provider
from sso.oidc.store import store as tokens
from sso.platform.audit import record
from sso.platform.db import bump_version
from sso.portal.applications import (
    Stale,
    approve,
    lock_application,
    mark,
    production_metadata,
    sandbox_id,
    submit,
    wanted_of,
)
from sso.portal.rp_check.runner import holds, last_check

CHECKED_KINDS = ("web", "proxy")
"""Which applications can be checked: those where a server of theirs signs people in."""


TRY_PATH = "/developer/try"


def own_redirect_uri(provider: Provider) -> str:
    """Return our own redirect URI of every sandbox: where the portal tries an application."""
    return provider.url(TRY_PATH)


class NotChecked(ClientError):
    """The application has not passed the relying-party check."""


async def apply_catalogue(
    session: AsyncSession, provider: Provider, plan: Plan, *, accepted: Collection[str] = (), actor: str = "cli"
) -> None:
    """Carry out a plan, and end the part in every session of the applications that it suspends or removes.

    Args:
        session: the transaction.
        provider: the provider.
        plan: what to do.
        accepted: the applications of which every ``sub`` may change.
        actor: who asks.

    Raises:
        SubjectsWouldChange: when every ``sub`` of another application would change.
    """
    changes = await subjects.counted(session, plan.subjects)
    subjects.require_acceptance(session, changes, accepted, actor=actor, accept="--accept-new-subjects")
    await apply_plan(session, plan, actor=actor)
    for action, reason in (("suspend", EndReason.CLIENT_SUSPENDED), ("delete", EndReason.CLIENT_REMOVED)):
        gone = [change.client_id for change in plan.changes if change.action == action]
        await end_client_sessions_everywhere(session, provider, gone, reason, actor=actor)


async def submit_application(
    session: AsyncSession,
    provider: Provider,
    application: Application,
    text: str,
    *,
    actor: str,
    accepted: str = "",
    request_id: str | None = None,
) -> None:
    """Ask that what a team wants be used in production. Where every ``sub`` would change, ``accepted`` is the client_id
    if the team wants that. A web application must have passed the relying-party check,
    where the city requires it.

    Raises:
        NotChecked: when it has not.
        SubjectsWouldChange: when every ``sub`` would change, and the team has not accepted that.
        Unfinished: naming each field that is wrong.
        ClientError: when there is nothing to ask for.
    """
    loopback = provider.settings.loopback
    wanted = production_metadata(wanted_of(application), application.granted, allow_http_loopback=loopback)
    await _must_be_checked(session, provider, application)
    change = await subjects_of(session, application, wanted)
    if change is not None and change.users and accepted != application.application_id:
        raise SubjectsWouldChange([change], subjects.ACCEPT)
    await submit(session, application, text, allow_http_loopback=loopback, actor=actor, request_id=request_id)


async def approve_application(
    session: AsyncSession,
    provider: Provider,
    application: Application,
    text: str,
    granted: Mapping[str, Any],
    *,
    revision: int,
    authority: Authority,
    actor: str,
    accepted: str = "",
    request_id: str | None = None,
) -> None:
    """Let production be what was submitted, in exactly the revision that was looked at. The relying-party check must
    hold for it still, where the city requires one.

    Args:
        session: the transaction.
        provider: the provider.
        application: the application, locked.
        text: what is said to the team.
        granted: what the administrator decides.
        revision: of what was looked at.
        authority: what the actor may do.
        actor: who decides.
        accepted: the client_id, where it is accepted that every ``sub`` changes.
        request_id: the reference for log and audit.

    Raises:
        Stale: when it was changed, or submitted anew, since that revision.
        SubjectsWouldChange: when every ``sub`` would change, and nobody has accepted that.
        NotChecked: when the check does not hold for it.
        Unfinished: when it cannot be registered like this.
        ClientError: when nothing was submitted.
    """
    if application.state == "submitted" and revision == application.revision:
        await _must_be_checked(session, provider, application)
        await clients.lock_clients(session, [application.application_id, sandbox_id(application.application_id)])
        await subjects.check_subjects(
            session,
            application.application_id,
            await _present_metadata(session, application),
            _decided(provider, application, granted),
            accepted=accepted,
            actor=actor,
            request_id=request_id,
        )
    await approve(
        session,
        application,
        text,
        granted,
        revision=revision,
        own_uri=own_redirect_uri(provider),
        allow_http_loopback=provider.settings.loopback,
        authority=authority,
        actor=actor,
        request_id=request_id,
    )


async def subjects_of(session: AsyncSession, application: Application, wanted: ClientMetadata) -> SubjectChange | None:
    """Return the change of every ``sub`` in production that what a team wants would bring; None: there is none.

    Raises:
        ClientError: when a kept sector is not the application's own alone.
    """
    present = await _present_metadata(session, application)
    await subjects.check_kept(session, application.application_id, present, wanted)
    return await subjects.change_of(session, application.application_id, present, wanted)


async def pending_subject_change(
    session: AsyncSession, application: Application, *, allow_http_loopback: bool
) -> SubjectChange | None:
    """Return the change of every ``sub`` in production that the settings of a team would bring as they stand. None:
    there is none, or the settings cannot be registered yet, which is said where they are checked.

    Args:
        session: the transaction.
        application: the application of a team.
        allow_http_loopback: whether loopback addresses over http are allowed.
    """
    try:
        wanted = production_metadata(
            wanted_of(application), application.granted, allow_http_loopback=allow_http_loopback
        )
        return await subjects_of(session, application, wanted)
    except ClientError:
        return None


async def _present_metadata(session: AsyncSession, application: Application) -> ClientMetadata | None:
    row = await clients.get_client(session, application.application_id)
    return stored_metadata(row.metadata_) if row is not None and row.status != REMOVED else None


def _decided(provider: Provider, application: Application, granted: Mapping[str, Any]) -> ClientMetadata:
    """Return what an approval would register."""
    decided = {name: value for name, value in {**application.granted, **granted}.items() if value not in _NOTHING}
    loopback = provider.settings.loopback
    return production_metadata(wanted_of(application), decided, allow_http_loopback=loopback)


_NOTHING: tuple[Any, ...] = (None, "", [], {})


async def check_sector_of(provider: Provider, application_id: str, revision: int) -> None:
    """Check that an application that waits for a decision may be in the sector that it names (OpenID Connect
    Registration section 5). It fetches a document: call it before the transaction that decides.

    Args:
        provider: the provider.
        application_id: the application.
        revision: of what was looked at; what is fetched is for this one alone.

    Raises:
        Stale: when it was changed since that revision.
        ClientError: when the document does not name its redirect URIs, or cannot be read.
    """
    async with provider.db.read() as session:
        application = await session.get(Application, application_id)
    if application is None or application.state != "submitted" or not application.document.get("sector_identifier_uri"):
        return
    if application.revision != revision:
        raise Stale("somebody else changed it meanwhile")
    loopback = provider.settings.loopback
    await check_sector_named(
        provider, production_metadata(wanted_of(application), application.granted, allow_http_loopback=loopback)
    )


async def check_sector_named(provider: Provider, metadata: ClientMetadata) -> None:
    """Check that an application may be in the sector that it names.

    Raises:
        ClientError: when the document does not name its redirect URIs, or cannot be read.
    """
    try:
        await check_sector(provider.outbound, metadata)
    except RegistrationRefused as error:
        raise ClientError(str(error).rstrip(".")) from None


async def _must_be_checked(session: AsyncSession, provider: Provider, application: Application) -> None:
    """Raise NotChecked where the city requires the relying-party check, and it does not hold for what is wanted now."""
    required = provider.settings.relying_party_check == "required" and application.kind in CHECKED_KINDS
    if required and not holds(await last_check(session, application.application_id), application):
        raise NotChecked("it has not passed the relying-party check as it is now")


async def suspend_client(
    session: AsyncSession,
    provider: Provider,
    client_id: str,
    *,
    actor: str,
    end_sessions: bool = False,
    note: str = "",
    request_id: str | None = None,
) -> None:
    """Suspend an application: it can do nothing, what was granted to it is over, its part in every session ends.

    Args:
        session: the transaction.
        provider: the provider.
        client_id: the application.
        actor: who asks.
        end_sessions: end the sessions themselves too, in which it takes part, for every application.
        note: why, for its team and the audit log.
        request_id: the reference for log and audit.

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
    record(session, "client.suspended", actor=actor, client_id=client_id, request_id=request_id, data=data)
    if end_sessions:
        await mass_ending.begin(session, SessionFilter(client_id=client_id), EndReason.CLIENT_SUSPENDED, actor=actor)
        await tokens.revoke_grants_of_client(session, client_id, clock.now())
    else:
        await end_client_sessions_everywhere(session, provider, [client_id], EndReason.CLIENT_SUSPENDED, actor=actor)
    if application is not None:
        sandbox = [sandbox_id(client_id)]
        await end_client_sessions_everywhere(session, provider, sandbox, EndReason.CLIENT_SUSPENDED, actor=actor)


async def resume_client(
    session: AsyncSession,
    client_id: str,
    *,
    actor: str,
    authority: Authority = OPERATOR,
    note: str = "",
    request_id: str | None = None,
) -> None:
    """Let a suspended application work again. What was granted to it before stays over.

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
    for one in sorted({row.client_id, client_id, *([sandbox_id(client_id)] if application is not None else [])}):
        await tokens.revoke_grants_of_client(session, one, clock.now())
    record(session, "client.resumed", actor=actor, client_id=client_id, request_id=request_id)


async def remove_client(
    session: AsyncSession,
    provider: Provider,
    client_id: str,
    *,
    actor: str,
    note: str = "",
    request_id: str | None = None,
) -> None:
    """Remove an application: as if suspended, and what people allowed it is forgotten.

    Raises:
        ClientError: when there is no such application.
    """
    application = await _application(session, client_id)
    if application is None:
        await present_client(session, client_id)
    names = [client_id, *([sandbox_id(client_id)] if application is not None else [])]
    await clients.remove_clients(session, names, clock.now())
    await end_all(session, client_id, actor=actor, reason="the application was removed")
    if application is not None:
        mark(session, application, "retired", actor, note)
    record(session, "client.removed", actor=actor, client_id=client_id, request_id=request_id, data={"note": note})
    await end_client_sessions_everywhere(session, provider, names, EndReason.CLIENT_REMOVED, actor=actor)


async def end_client_sessions_everywhere(
    session: AsyncSession, provider: Provider, client_ids: Sequence[str], reason: EndReason, *, actor: str
) -> None:
    """End what was granted to applications and their part in every session: many of them in the background."""
    for client_id in client_ids:
        if reason is EndReason.CLIENT_REMOVED:
            await tokens.delete_consents(session, client_id=client_id)
        await tokens.revoke_grants_of_client(session, client_id, clock.now())
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


async def _application(session: AsyncSession, client_id: str) -> Application | None:
    """Return what a team looks after under this name, locked until the transaction ends.

    Raises:
        ClientError: when it is the sandbox of one: both go together.
    """
    stem = client_id.removesuffix(SANDBOX_END)
    found = await lock_application(session, stem)
    if found is not None and stem != client_id:
        raise ClientError(f"{client_id!r} is the sandbox of {stem!r}: name that")
    return found if found is not None and found.state != "retired" else None


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
