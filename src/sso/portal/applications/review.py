"""The way of an application into production: submitted by its team, decided by an administrator.

The conditions that other parts set, such as the relying-party check, are in ``portal/approval.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store
from sso.clients.metadata import ClientMetadata
from sso.clients.models import REMOVED, SANDBOX, Application
from sso.clients.privileges import OPERATOR, Authority, check_registration
from sso.clients.registry import stored_metadata
from sso.clients.secrets import ClientError
from sso.platform.actor import Actor
from sso.portal.applications.history import add_note, record_event
from sso.portal.applications.metadata import production_metadata, sandbox_metadata
from sso.portal.applications.registration import check_managed_here, check_privileges, put_client
from sso.portal.applications.settings import (
    GRANTED,
    Stale,
    Unfinished,
    requested_settings_of,
    sandbox_id,
    without_empty,
)

MAX_AUDITED_CHARS = 500
FieldChanges = dict[str, tuple[object, object]]
"""The present and the future value of each field that differs, by its name."""


async def submit(
    session: AsyncSession, application: Application, text: str, *, allow_http_loopback: bool, actor: Actor
) -> None:
    """Ask that what is requested be used in production.

    Raises:
        Unfinished: naming each field that is wrong.
        ClientError: when there is nothing to ask for.
    """
    await check_managed_here(session, application)
    if application.state not in ("sandbox", "approved"):
        raise ClientError(f"it is {application.state}: it cannot be submitted now")
    metadata = production_metadata(
        requested_settings_of(application), application.granted, allow_http_loopback=allow_http_loopback
    )
    await check_privileges(session, application.application_id, requested_settings_of(application))
    if not application.document.get("contacts"):
        raise Unfinished({"contacts": "name at least one"})
    if application.approved_at is not None and not await difference(session, application, metadata):
        raise ClientError("nothing differs from what is approved")
    application.state, application.submitted_at = "submitted", clock.now()
    add_note(session, application, "submitted", actor, text)
    record_event(session, "application.submitted", application.application_id, actor)


async def withdraw(session: AsyncSession, application: Application, *, actor: Actor) -> None:
    """Take back what was submitted.

    Raises:
        ClientError: when nothing was.
    """
    _leave_review(application)
    add_note(session, application, "withdrawn", actor)
    record_event(session, "application.withdrawn", application.application_id, actor)


async def send_back(session: AsyncSession, application: Application, text: str, *, actor: Actor) -> None:
    """Tell the team what must be different before the application can be approved.

    Raises:
        ClientError: when nothing was submitted, or ``text`` is empty.
    """
    if not text.strip():
        raise ClientError("write what the team must change")
    _leave_review(application)
    add_note(session, application, "sent_back", actor, text)
    data = {"text": text[:MAX_AUDITED_CHARS]}
    record_event(session, "application.sent_back", application.application_id, actor, data)


def _leave_review(application: Application) -> None:
    if application.state != "submitted":
        raise ClientError("the application is not waiting for a decision")
    application.state = "approved" if application.approved_at else "sandbox"
    application.revision += 1  # a decision about what was submitted does not hold for what is submitted later
    application.updated_at = clock.now()


async def approve(
    session: AsyncSession,
    application: Application,
    text: str,
    granted: Mapping[str, object],
    *,
    revision: int,
    own_uri: str,
    allow_http_loopback: bool,
    actor: Actor,
    authority: Authority = OPERATOR,
) -> None:
    """Register in production what was submitted.

    Args:
        session: the transaction.
        application: the application.
        text: a note for the team.
        granted: what the administrator decides of ``GRANTED``; the rest stays.
        revision: the revision that the administrator saw.
        own_uri: our own redirect URI of every sandbox.
        allow_http_loopback: whether loopback addresses over http are allowed: in the demo only.
        actor: who decides.
        authority: what the actor may do. Each requested privilege needs their decision, in every revision.

    Raises:
        Stale: when it was changed, or taken back and submitted anew, meanwhile.
        Unfinished: when it cannot be registered like this.
        ClientError: when nothing was submitted.
        PrivilegeRefused: when this yields more than the actor may decide.
    """
    _check_decision(application, granted, revision)
    decided = without_empty({**application.granted, **granted})
    requested, client_id = requested_settings_of(application), application.application_id
    metadata = production_metadata(requested, decided, allow_http_loopback=allow_http_loopback)
    await _register_production(session, application, metadata, actor, authority)
    await put_client(session, sandbox_id(client_id), sandbox_metadata(requested, decided, own_uri), SANDBOX)
    application.granted, application.state = decided, "approved"
    application.approved_at = application.updated_at = clock.now()
    add_note(session, application, "approved", actor, text)
    data = {"granted": decided, "text": text[:MAX_AUDITED_CHARS]}
    record_event(session, "application.approved", client_id, actor, data)


async def _register_production(
    session: AsyncSession, application: Application, metadata: ClientMetadata, actor: Actor, authority: Authority
) -> None:
    """Register the metadata of production, with the privileges among its scopes."""
    client_id = application.application_id
    await store.lock_clients(session, [client_id, sandbox_id(client_id)])
    row = await check_managed_here(session, application)
    await check_privileges(session, client_id, requested_settings_of(application))
    await check_registration(
        session,
        client_id,
        stored_metadata(row.metadata_) if row is not None and row.status != REMOVED else None,
        metadata,
        authority,
        actor=actor,
        decided=True,
    )
    await put_client(session, client_id, metadata, row.status if row else "active")


def _check_decision(application: Application, granted: Mapping[str, object], revision: int) -> None:
    """Check that a decision is about what waits for one, and decides only what administrators decide."""
    if application.state != "submitted":
        raise ClientError("the application is not waiting for a decision")
    if revision != application.revision:
        raise Stale("the application has just been changed: read the application again")
    foreign = [name for name in granted if name not in GRANTED]
    if foreign:
        raise Unfinished(dict.fromkeys(foreign, "cannot be granted"))


async def difference(session: AsyncSession, application: Application, metadata: ClientMetadata) -> FieldChanges:
    """Return what would change in production."""
    row = await store.get_client(session, application.application_id)
    present = stored_metadata(row.metadata_).effective() if row is not None and row.status != REMOVED else {}
    after = metadata.effective()
    names = [name for name in after if _comparable(present.get(name)) != _comparable(after[name])]
    if not present:  # of a new application what it does not do is no change
        names = [name for name in names if after[name] is not False]
    return {name: (present.get(name), after.get(name)) for name in names}


def _comparable(value: object) -> object:
    return None if value in ("", [], {}) else value


async def outlook(
    session: AsyncSession, application: Application, *, allow_http_loopback: bool
) -> tuple[FieldChanges, dict[str, str]]:
    """Return what would change in production (see :func:`difference`); and what production still needs, by the name of
    the field. One of the two is empty."""
    try:
        metadata = production_metadata(
            requested_settings_of(application), application.granted, allow_http_loopback=allow_http_loopback
        )
    except Unfinished as error:
        return {}, error.problems
    return await difference(session, application, metadata), {}
