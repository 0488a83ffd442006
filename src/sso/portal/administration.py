"""What administrators do with applications: reviews, and changes that are registered at once, without approval."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients import store as clients
from sso.clients.metadata import ClientMetadata
from sso.clients.models import HERE, Application, ClientRow
from sso.clients.privileges import Authority
from sso.clients.registry import stored_metadata
from sso.clients.secrets import replace_client
from sso.identity.notifications import MessageServices, notify
from sso.identity.users.models import User
from sso.oidc.subjects import check_subjects
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.portal import applications, teams
from sso.portal.applications import Stale
from sso.portal.approval import approve_application
from sso.portal.sandbox import own_redirect_uri
from sso.settings import Settings


@dataclass(frozen=True, slots=True)
class Review:
    """The decision about a submitted application.

    Args:
        choice: the decision; ``comment`` decides nothing.
        text: the comment for the team.
        revision: the revision that was reviewed.
        granted: the metadata that only administrators decide.
        accepted: the client_id, to accept that the ``sub`` of every user changes.
    """

    choice: Literal["approve", "send_back", "comment"]
    text: str
    revision: int
    granted: Mapping[str, object] = field(default_factory=dict)
    accepted: str = ""


async def review_application(
    session: AsyncSession,
    settings: Settings,
    application: Application,
    review: Review,
    *,
    actor: Actor,
    authority: Authority,
) -> None:
    """Approve a submitted application, send it back, or comment on it.

    Raises:
        Stale: when the team changed the application after the review.
        SubjectsWouldChange: when every ``sub`` would change, and that was not accepted.
        ClientError: when the application cannot be approved or sent back.
    """
    if review.choice == "approve":
        await approve_application(
            session,
            settings,
            application,
            review.text,
            review.granted,
            revision=review.revision,
            authority=authority,
            accepted=review.accepted,
            actor=actor,
        )
    elif review.choice == "send_back":
        if review.revision != application.revision:
            raise Stale("the application has just been changed: read the application again")
        await applications.send_back(session, application, review.text, actor=actor)
    else:
        await applications.comment(session, application, review.text, actor=actor)


async def lock_both(session: AsyncSession, client_id: str) -> tuple[ClientRow | None, Application | None]:
    """Lock the client and its application until the transaction ends, in the order of an approval, so that the two
    transactions do not wait for each other."""
    application = await applications.lock_application(session, client_id)
    return await clients.lock_client(session, client_id), application


def is_in_groups(groups: Collection[str] | None, row: ClientRow | None, application: Application | None) -> bool:
    """Tell whether an administrator of some groups manages an application: both the registered and the requested group
    must be among them. ``groups``: None for all."""
    if groups is None:
        return True
    registered = stored_metadata(row.metadata_).group if row is not None else None
    requested = application.group if application is not None else None
    named = {group for group in (registered, requested) if group}
    return bool(named) and named <= set(groups)


async def register_at_once(
    session: AsyncSession,
    services: MessageServices,
    row: ClientRow,
    application: Application | None,
    metadata: ClientMetadata,
    *,
    event: str,
    note: str,
    actor: Actor,
    authority: Authority,
    accepted: str = "",
) -> None:
    """Register the metadata of an administrator. The sandbox and the requested metadata of the team follow, and the
    team is notified.

    Args:
        session: the transaction.
        services: how users are told.
        row: the client, locked.
        application: its application, locked; None: the client has no team.
        metadata: the new metadata.
        event: the type of the audit event.
        note: the reason.
        actor: the administrator.
        authority: what the administrator may do with applications.
        accepted: the client_id, to accept that the ``sub`` of every user changes.

    Raises:
        SubjectsWouldChange: when every ``sub`` would change, and that was not accepted.
        ClientError: when a catalogue file manages the client, or the sandbox cannot follow.
    """
    before, client_id = stored_metadata(row.metadata_), row.client_id
    await check_subjects(session, client_id, before, metadata, accepted=accepted, actor=actor)
    await replace_client(session, row, metadata, catalogue=HERE, authority=authority, actor=actor)
    if application is not None:
        own_uri = own_redirect_uri(services.settings)
        await applications.follow_client(session, application, before, metadata, own_uri=own_uri)
        applications.mark_changed(session, application, actor, note)
        await notify_team(session, services, application)
    record_by(session, actor, event, client_id=client_id, address=actor.stored_ip_address, data={"note": note})


def with_policies(before: ClientMetadata, policies: Mapping[str, object]) -> ClientMetadata:
    """Return the metadata with other policies. None removes a policy.

    Raises:
        ValidationError: when a policy is not valid.
    """
    unchanged = {name: value for name, value in before.stored().items() if name not in policies}
    chosen = {name: value for name, value in policies.items() if value is not None}
    context = {"allow_http_loopback": True, "own_secret": before.has_shared_secret}
    return ClientMetadata.model_validate({**unchanged, **chosen}, context=context)


async def make_owner(
    session: AsyncSession,
    row: ClientRow | None,
    application: Application | None,
    client_id: str,
    user: User,
    *,
    actor: Actor,
    authority: Authority,
) -> None:
    """Make a user an owner of an application. An application without a team, such as one of a catalogue file, gets one.

    Raises:
        ClientError: when the user cannot be added.
    """
    if application is None:
        assert row is not None
        await applications.adopt(session, row, actor=actor, authority=authority)
    await teams.add_member(session, client_id, user.id, "owner", actor=actor, authority=authority)


async def notify_team(session: AsyncSession, services: MessageServices, application: Application) -> None:
    """Notify every member of a team of a decision."""
    for member in await teams.team_of(session, application.application_id):
        user = await session.get(User, member.user_id)
        if user is not None and user.disabled_at is None:
            notify(session, services, user, "application_decided", what=application.name)
