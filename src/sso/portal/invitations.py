"""Joining a team by an invitation: who it is for, and whether it still holds.

An invitation by user name is for the person who had that name when they were invited: whoever takes the name later
inherits nothing. An invitation by e-mail or telephone is for whoever has verified that address or number. Whether it
holds is looked at again when it is accepted: the application, and who invited.
"""

from __future__ import annotations

import uuid

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.models import Application, TeamInvitation
from sso.clients.privileges import Authority, PrivilegeRefused, check_hold
from sso.identity.notifications import MessageServices, notify, send
from sso.identity.users.identifiers import NormalIdentifier, meanings, normalise_as
from sso.identity.users.models import User
from sso.identity.users.store import identifiers_of, roles_of, verified_user
from sso.platform.actor import Actor
from sso.platform.permissions import permissions_of
from sso.portal import teams
from sso.portal.applications import lock_application

JOINABLE = ("draft", "sandbox", "submitted", "approved")
"""The states of an application whose team can be joined: not a suspended one, and not one that is over."""


async def invite(
    session: AsyncSession, application_id: str, lookup: str, role: teams.Role, *, actor: Actor, authority: Authority
) -> User | None:
    """Invite whoever has a verified identifier now, or will have verified an address or number.

    Args:
        session: the transaction.
        application_id: the application.
        lookup: a user name, an e-mail address or a telephone number, normalised.
        role: their place in the team.
        actor: who invites.
        authority: what they may do.

    Returns:
        The person, where somebody has verified it. An invitation by a user name that nobody has is for nobody: the
        page shows it all the same, because who exists is not told.

    Raises:
        ClientError: when there are too many.
    """
    user = await verified_user(session, lookup)
    bound = user.id if user is not None and not teams.is_contact(lookup) else None
    await teams.invite(session, application_id, lookup, role, user_id=bound, actor=actor, authority=authority)
    return user


class NotInvitable(ValueError):
    """The text is neither an e-mail address nor a user name."""


def read_invitee(typed: str) -> NormalIdentifier:
    """Return the e-mail address or user name of somebody to be invited, normalised. A NIK or a telephone number would
    be readable in the invitation, so it is not taken for a user name.

    Raises:
        NotInvitable: when it is none.
    """
    try:
        invitee = normalise_as("email" if "@" in typed else "username", typed)
    except ValueError:
        raise NotInvitable from None
    if any(meaning.kind == "nik" or (meaning.kind == "phone" and meaning.provable) for meaning in meanings(typed)):
        raise NotInvitable
    return invitee


async def send_invitation(
    session: AsyncSession,
    services: MessageServices,
    application: Application,
    invitee: NormalIdentifier,
    role: teams.Role,
    *,
    actor: Actor,
    authority: Authority,
) -> None:
    """Invite somebody, and notify them. Whether somebody has the identifier is not told.

    Raises:
        ClientError: when the team has too many members.
        PrivilegeRefused: when the application may do more than the actor.
    """
    user = await invite(session, application.application_id, invitee.value, role, actor=actor, authority=authority)
    if user is not None:
        notify(session, services, user, "team_invitation", what=application.name)
    elif invitee.kind == "email" and services.settings.can_send("email"):
        send(session, services, "email", invitee.value, "team_invitation", None, what=application.name)


async def invitations_of_person(session: AsyncSession, user_id: uuid.UUID) -> list[TeamInvitation]:
    """Return the invitations that somebody can accept now. An address or number that somebody else marked as verified
    on their account is not one that they have verified: they add it once more, with a code, to accept."""
    known = await identifiers_of(session, user_id)
    reached = [identifier for identifier in known if identifier.kind in ("email", "phone")]
    contacts = [
        identifier.lookup
        for identifier in reached
        if identifier.verified_at is not None and identifier.asserted_at is None
    ]
    invitations = await teams.invitations_for(session, user_id, contacts)
    return [invitation for invitation in invitations if await _is_active(session, invitation)]


async def join(session: AsyncSession, application_id: str, user_id: uuid.UUID) -> None:
    """Join a team that one was invited to.

    Raises:
        ClientError: when one was not, or the invitation does not hold any more.
    """
    await lock_application(session, application_id)
    invitations = [
        invitation
        for invitation in await invitations_of_person(session, user_id)
        if invitation.application_id == application_id
    ]
    await teams.accept(session, application_id, user_id, invitations)


async def decline(
    session: AsyncSession, user_id: uuid.UUID, application_id: str, *, every_team: bool = False
) -> set[str]:
    """Decline the invitations of somebody to a team, or to every team. Return the identifiers by which they must not be
    invited again, their user id among them; empty: there was no invitation to that team.

    Args:
        session: the transaction.
        user_id: who declines.
        application_id: the application whose invitation is answered.
        every_team: whether the invitations of all other teams are declined too.
    """
    invitations = await invitations_of_person(session, user_id)
    for invitation in invitations:
        if every_team or invitation.application_id == application_id:
            await teams.withdraw_invitation(session, invitation.application_id, invitation.lookup)
    recipients = {invitation.lookup for invitation in invitations if invitation.application_id == application_id}
    return recipients | {str(user_id)} if recipients else set()


async def _is_active(session: AsyncSession, invitation: TeamInvitation) -> bool:
    """Tell whether an invitation is active: the application is in use, and the inviter may still invite."""
    application = await session.get(Application, invitation.application_id)
    if application is None or application.state not in JOINABLE:
        return False
    return await _may_invite(session, invitation.application_id, invitation.invited_by)


async def _may_invite(session: AsyncSession, application_id: str, actor: str) -> bool:
    """Tell whether an actor may invite to a team: an owner whose account is in order and who has every permission that
    the application was granted, or the command line."""
    try:
        inviter = uuid.UUID(actor)
    except ValueError:
        return actor == "cli"
    user = await session.get(User, inviter)
    if user is None or user.disabled_at is not None or (user.locked_until and user.locked_until > clock.now()):
        return False
    try:
        await check_hold(session, application_id, Authority(permissions_of(await roles_of(session, inviter))))
    except PrivilegeRefused:
        return False
    return await teams.role_of(session, application_id, inviter) == "owner"
