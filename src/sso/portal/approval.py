"""Submitting and approving an application, with every condition that other parts set: the relying-party check, the
subjects (``sub``) of its users, and the sector that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients import store as clients
from sso.clients.dynamic_registration import RegistrationRefused, check_sector
from sso.clients.metadata import ClientMetadata
from sso.clients.models import REMOVED, Application
from sso.clients.privileges import Authority
from sso.clients.registry import stored_metadata
from sso.clients.secrets import ClientError
from sso.clients.sectors import SubjectChange, SubjectsWouldChange
from sso.oidc import subjects
from sso.platform.actor import Actor
from sso.platform.db import Database
from sso.portal.applications import (
    RequestedSettings,
    Stale,
    Unfinished,
    production_metadata,
    requested_settings_of,
    sandbox_id,
    sandbox_metadata,
)
from sso.portal.applications.review import approve, submit
from sso.portal.applications.settings import without_empty
from sso.portal.rp_check.results import passes_now
from sso.portal.rp_check.store import last_check
from sso.portal.sandbox import own_redirect_uri
from sso.settings import Settings

if TYPE_CHECKING:
    from sso.platform.security.outbound_http import Outbound

CHECKED_KINDS = ("web", "proxy")
"""The kinds of applications that can be checked: a server of theirs signs users in."""


class NotChecked(ClientError):
    """The application has not passed the relying-party check."""


async def submit_application(
    session: AsyncSession, settings: Settings, application: Application, text: str, *, actor: Actor, accepted: str = ""
) -> None:
    """Ask that what a team requests be used in production. A web application must have passed the relying-party check,
    where the settings require it.

    Args:
        session: the transaction.
        settings: whether the check is required, and loopback addresses are allowed.
        application: the application, locked.
        text: a note for the administrators.
        actor: who submits it.
        accepted: the client_id, where the team accepts that every ``sub`` changes.

    Raises:
        NotChecked: when it has not.
        SubjectsWouldChange: when every ``sub`` would change, and the team has not accepted that.
        Unfinished: naming each field that is wrong.
        ClientError: when there is nothing to ask for.
    """
    requested = production_metadata(
        requested_settings_of(application), application.granted, allow_http_loopback=settings.loopback
    )
    await _require_check(session, settings, application)
    change = await subjects_of(session, application, requested)
    if change is not None and change.users and accepted != application.application_id:
        raise SubjectsWouldChange([change], subjects.ACCEPT)
    await submit(session, application, text, allow_http_loopback=settings.loopback, actor=actor)


async def approve_application(
    session: AsyncSession,
    settings: Settings,
    application: Application,
    text: str,
    granted: Mapping[str, object],
    *,
    revision: int,
    authority: Authority,
    actor: Actor,
    accepted: str = "",
) -> None:
    """Register in production what was submitted, in exactly the revision that the administrator saw.

    Args:
        session: the transaction.
        settings: whether the relying-party check is required, and loopback addresses are allowed.
        application: the application, locked.
        text: a note for the team.
        granted: what the administrator decides.
        revision: the revision that the administrator saw.
        authority: what the actor may do.
        actor: who decides.
        accepted: the client_id, where it is accepted that every ``sub`` changes.

    Raises:
        Stale: when it was changed, or submitted anew, since that revision.
        SubjectsWouldChange: when every ``sub`` would change, and nobody has accepted that.
        NotChecked: when the required relying-party check was of another version of the application.
        Unfinished: when it cannot be registered like this.
        ClientError: when nothing was submitted.
    """
    if application.state == "submitted" and revision == application.revision:
        await _require_check(session, settings, application)
        await _require_acceptance(session, settings, application, granted, accepted=accepted, actor=actor)
    await approve(
        session,
        application,
        text,
        granted,
        revision=revision,
        own_uri=own_redirect_uri(settings),
        allow_http_loopback=settings.loopback,
        authority=authority,
        actor=actor,
    )


async def _require_acceptance(
    session: AsyncSession,
    settings: Settings,
    application: Application,
    granted: Mapping[str, object],
    *,
    accepted: str,
    actor: Actor,
) -> None:
    """Raise SubjectsWouldChange where an approval would change every ``sub``, and nobody has accepted that."""
    await clients.lock_clients(session, [application.application_id, sandbox_id(application.application_id)])
    decided = without_empty({**application.granted, **granted})
    await subjects.check_subjects(
        session,
        application.application_id,
        await _present_metadata(session, application),
        production_metadata(requested_settings_of(application), decided, allow_http_loopback=settings.loopback),
        accepted=accepted,
        actor=actor,
    )


async def subjects_of(
    session: AsyncSession, application: Application, requested: ClientMetadata
) -> SubjectChange | None:
    """Return the change of every ``sub`` in production that what a team wants would bring; None: there is none.

    Raises:
        ClientError: when a kept sector is not the application's own alone.
    """
    present = await _present_metadata(session, application)
    await subjects.check_kept(session, application.application_id, present, requested)
    return await subjects.change_of(session, application.application_id, present, requested)


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
        requested = production_metadata(
            requested_settings_of(application), application.granted, allow_http_loopback=allow_http_loopback
        )
        return await subjects_of(session, application, requested)
    except ClientError:
        return None


async def _present_metadata(session: AsyncSession, application: Application) -> ClientMetadata | None:
    row = await clients.get_client(session, application.application_id)
    return stored_metadata(row.metadata_) if row is not None and row.status != REMOVED else None


async def check_sector_of(
    db: Database, outbound: Outbound, application_id: str, revision: int, *, allow_http_loopback: bool
) -> None:
    """Check that an application that waits for a decision may be in the sector that it names (OpenID Connect
    Registration section 5). It fetches a document: call it before the transaction that decides.

    Args:
        db: the database.
        outbound: fetches the document.
        application_id: the application.
        revision: the revision that is decided about; the document is fetched for this one alone.
        allow_http_loopback: whether loopback addresses over http are allowed.

    Raises:
        Stale: when it was changed since that revision.
        ClientError: when the document does not name its redirect URIs, or cannot be read.
    """
    async with db.read() as session:
        application = await session.get(Application, application_id)
    if application is None or application.state != "submitted" or not application.document.get("sector_identifier_uri"):
        return
    if application.revision != revision:
        raise Stale("the application has just been changed: read the application again")
    metadata = production_metadata(
        requested_settings_of(application), application.granted, allow_http_loopback=allow_http_loopback
    )
    await check_sector_named(outbound, metadata)


async def check_sector_named(outbound: Outbound, metadata: ClientMetadata) -> None:
    """Check that an application may be in the sector that it names.

    Raises:
        ClientError: when the document does not name its redirect URIs, or cannot be read.
    """
    try:
        await check_sector(outbound, metadata)
    except RegistrationRefused as error:
        raise ClientError(str(error).rstrip(".")) from None


async def _require_check(session: AsyncSession, settings: Settings, application: Application) -> None:
    """Raise NotChecked where the relying-party check is required, and the application did not pass it as it is now."""
    required = settings.relying_party_check == "required" and application.kind in CHECKED_KINDS
    if required and not passes_now(await last_check(session, application.application_id), application):
        raise NotChecked("it has not passed the relying-party check as it is now")


def missing_for_production(application: Application, *, allow_http_loopback: bool) -> dict[str, str]:
    """Return what production still needs, by the name of the field; empty: nothing, or it cannot be submitted now."""
    if application.state not in ("draft", "sandbox", "approved"):
        return {}
    try:
        production_metadata(
            requested_settings_of(application), application.granted, allow_http_loopback=allow_http_loopback
        )
    except Unfinished as error:
        return error.problems
    return {} if application.document.get("contacts") else {"contacts": "name at least one"}


def missing_for_sandbox(requested: RequestedSettings, granted: Mapping[str, object], own_uri: str) -> dict[str, str]:
    """Return what the sandbox still needs, by the name of the field."""
    try:
        sandbox_metadata(requested, granted, own_uri)
    except Unfinished as error:
        return error.problems
    return {}
