"""Applications of teams: begun, changed, opened in the sandbox, adopted, commented.

A team writes what it requests (``document``). The sandbox follows at once; production only when an administrator has
approved it. What only administrators decide (``granted``) lies on top of it in both.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store
from sso.clients.metadata import ClientMetadata
from sso.clients.models import REMOVED, SANDBOX, SANDBOX_END, Application, ClientRow
from sso.clients.privileges import OPERATOR, Authority, check_hold
from sso.clients.registry import stored_metadata
from sso.clients.secrets import ClientError, secret_row
from sso.platform.actor import Actor
from sso.platform.security.encryption import SecretBox
from sso.platform.security.tokens import random_token
from sso.portal.applications.history import add_note, record_event
from sso.portal.applications.metadata import sandbox_metadata
from sso.portal.applications.registration import catalogue_of, check_managed_here, check_privileges, put_client
from sso.portal.applications.settings import (
    GRANTED,
    ID,
    THEIRS,
    TOGETHER,
    RequestedSettings,
    Stale,
    Unfinished,
    kind_of_type,
    registered_as,
    requested_settings_of,
    sandbox_id,
)


async def create_application(
    session: AsyncSession, application_id: str, requested: RequestedSettings, *, actor: Actor
) -> Application:
    """Begin an application: a draft, of which nothing is registered yet.

    Raises:
        Unfinished: when its name cannot be had, or it holds what a team does not decide.
    """
    requested = requested.checked()
    if not ID.fullmatch(application_id) or application_id.endswith(SANDBOX_END):
        raise Unfinished({"client_id": "must be made of a to z, 0 and 9 and single hyphens, 60 at the most"})
    for name in (application_id, sandbox_id(application_id)):
        if await store.get_client(session, name) is not None:
            raise Unfinished({"client_id": "is taken"})
    if await session.get(Application, application_id) is not None:
        raise Unfinished({"client_id": "is taken"})
    await check_privileges(session, application_id, requested)
    now = clock.now()
    application = Application(application_id=application_id, state="draft", kind=requested.kind, revision=1)
    application.granted, application.created_at = {}, now
    _write(application, requested)
    session.add(application)
    await session.flush()
    add_note(session, application, "created", actor)
    record_event(session, "application.created", application_id, actor)
    return application


async def adopt(session: AsyncSession, row: ClientRow, *, actor: Actor, authority: Authority = OPERATOR) -> Application:
    """Give a team to an application that a catalogue file, the API or the application itself registered. A catalogue
    file still manages its configuration; everything else the team manages from then on.

    Raises:
        ClientError: when it is a sandbox, or another application has the name of its sandbox.
        PrivilegeRefused: when the application may do more than the actor.
    """
    beside = await store.get_client(session, sandbox_id(row.client_id))
    if row.client_id.endswith(SANDBOX_END) or (beside is not None and beside.status != REMOVED):
        raise ClientError(f"the name {row.client_id!r} and that of its sandbox are not both free for a team")
    await check_hold(session, row.client_id, authority)
    metadata, now = stored_metadata(row.metadata_), clock.now()
    application = Application(application_id=row.client_id, revision=1, created_at=now, approved_at=row.created_at)
    application.state = "approved" if row.status == "active" else "suspended"
    application.first_sign_in_at = application.approved_at  # what happened before the team is no news to it
    application.granted = {}
    _write(application, RequestedSettings(kind_of_type(metadata.type)))
    if not catalogue_of(row):
        registered = metadata.stored()
        application.granted = {name: registered[name] for name in GRANTED if name in registered}
        _write(application, registered_as(application, metadata))
    application.name, application.group = metadata.client_name, metadata.group
    session.add(application)
    await session.flush()
    record_event(session, "application.adopted", row.client_id, actor)
    return application


def _write(application: Application, requested: RequestedSettings) -> None:
    application.kind = requested.kind
    application.document, application.sandbox = dict(requested.document), dict(requested.sandbox)
    application.name = str(requested.document.get("client_name") or application.application_id)[:100]
    group = requested.document.get("group")
    application.group = str(group)[:60] if group else None
    application.updated_at = clock.now()


async def change_application(
    session: AsyncSession,
    application: Application,
    requested: RequestedSettings,
    *,
    revision: int | None,
    own_uri: str,
    actor: Actor,
) -> None:
    """Store the requested settings. The sandbox, where there is one, changes at once; production waits for approval.

    Raises:
        Stale: when somebody else changed it since ``revision``.
        Unfinished: when the sandbox cannot follow.
        ClientError: when it is a catalogue file's, waits for a decision, or is over.
    """
    await check_managed_here(session, application)
    if revision is not None and revision != application.revision:
        raise Stale("the application has just been changed: read the application again")
    if application.state not in ("draft", "sandbox", "approved"):
        raise ClientError(f"it is {application.state}: it cannot be changed now")
    requested = requested.checked()
    await check_privileges(session, application.application_id, requested)
    before = {**application.document, "sandbox": application.sandbox}
    _write(application, requested)
    application.revision += 1
    if application.state != "draft":
        metadata = sandbox_metadata(requested, application.granted, own_uri)
        await put_client(session, sandbox_id(application.application_id), metadata, SANDBOX)
    after = {**application.document, "sandbox": application.sandbox}
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    record_event(session, "application.changed", application.application_id, actor, {"changed": changed})


async def open_sandbox(
    session: AsyncSession,
    box: SecretBox,
    application: Application,
    *,
    own_uri: str,
    actor: Actor,
) -> str | None:
    """Register the sandbox of a draft, and return its secret, which is not shown again; None where it needs none.

    Raises:
        Unfinished: naming each field that is wrong.
        ClientError: when it is no draft.
    """
    if application.state != "draft":
        raise ClientError("it has a sandbox already")
    metadata = sandbox_metadata(requested_settings_of(application), application.granted, own_uri)
    client_id = sandbox_id(application.application_id)
    await put_client(session, client_id, metadata, SANDBOX)
    secret = random_token() if metadata.needs_secret else None
    if secret is not None:
        session.add(secret_row(box, client_id, metadata, secret, created_by=actor.name))
    application.state, application.updated_at = "sandbox", clock.now()
    add_note(session, application, "sandbox", actor)
    record_event(session, "application.sandbox_opened", client_id, actor)
    return secret


async def follow_client(
    session: AsyncSession, application: Application, before: ClientMetadata, after: ClientMetadata, *, own_uri: str
) -> None:
    """Copy what an administrator changed in production into the requested settings. Changes of the team that are not
    submitted stay, except for fields that belong together with a changed one (``TOGETHER``).

    Args:
        session: the transaction.
        application: what its team looks after.
        before: what was registered for production.
        after: what is registered now.
        own_uri: our own redirect URI of every sandbox.

    Raises:
        Unfinished: when the sandbox cannot follow.
    """
    granted = after.stored()
    application.granted = {name: granted[name] for name in GRANTED if name in granted}
    had, now = registered_as(application, before).document, registered_as(application, after)
    registered = now.document
    changed = {name for name in THEIRS if had.get(name) != registered.get(name)}
    changed |= {name for group in TOGETHER if changed & group for name in group}
    document = {name: value for name, value in application.document.items() if name not in changed}
    document |= {name: registered[name] for name in THEIRS if name in changed and name in registered}
    requested = RequestedSettings(now.kind, document, dict(application.sandbox))
    _write(application, requested)
    application.revision += 1
    sandbox = sandbox_metadata(requested, application.granted, own_uri)
    await put_client(session, sandbox_id(application.application_id), sandbox, SANDBOX)


async def comment(session: AsyncSession, application: Application, text: str, *, actor: Actor) -> None:
    """Add a comment for the team of an application and the administrators.

    Raises:
        ClientError: when it is empty.
    """
    if not text.strip():
        raise ClientError("write a message")
    add_note(session, application, "comment", actor, text)
    record_event(session, "application.commented", application.application_id, actor)
