"""The team of an application: owners, members, invitations. An application always has an owner."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.models import Application, TeamInvitation, TeamMember
from sso.clients.privileges import OPERATOR, Authority, check_hold
from sso.clients.secrets import ClientError
from sso.platform.actor import Actor
from sso.platform.audit import record
from sso.platform.db import delete_batch, fetch, fetch_objects, table_of
from sso.portal.choices import ROLES as ROLES
from sso.portal.choices import Role as Role

INVITATION_DAYS = 14
MAX_MEMBERS = 50
"""The number of members of a team, those invited included."""
_a = table_of(Application).c


_members = table_of(TeamMember)
_m = _members.c
_TEAM = select(_members).where(_m.application_id == bindparam("application_id")).order_by(_m.since, _m.user_id)
_ROLE = select(_m.role).where(_m.application_id == bindparam("application_id"), _m.user_id == bindparam("user_id"))
_TEAMS = select(_m.application_id, _m.role).where(_m.user_id == bindparam("user_id"))


def read_role(text: str) -> Role | None:
    """Return the role that a form names; None: it is none."""
    return next((role for role in ROLES if role == text), None)


async def team_of(session: AsyncSession, application_id: str) -> list[TeamMember]:
    """Return the members of a team, the longest members first."""
    return await fetch_objects(session, TeamMember, _TEAM, {"application_id": application_id})


async def role_of(session: AsyncSession, application_id: str, user_id: uuid.UUID) -> str | None:
    """Return the role of somebody in a team; None: they are not in it."""
    values = {"application_id": application_id, "user_id": user_id}
    role: str | None = (await fetch(session, _ROLE, values)).scalar_one_or_none()
    return role


async def teams_with(session: AsyncSession, user_id: uuid.UUID) -> dict[str, str]:
    """Return the role of somebody in each team, by the application's id."""
    return {row[0]: row[1] for row in await fetch(session, _TEAMS, {"user_id": user_id})}


async def add_member(
    session: AsyncSession,
    application_id: str,
    user_id: uuid.UUID,
    role: Role,
    *,
    actor: Actor,
    authority: Authority = OPERATOR,
) -> None:
    """Add somebody to a team, or give them another role.

    Raises:
        ClientError: when the last owner would be one no more, or there are too many.
        PrivilegeRefused: when the application may do more than the actor.
    """
    await check_hold(session, application_id, authority)
    team = {member.user_id: member for member in await _locked_team(session, application_id)}
    if role == "member":
        _keep_an_owner(team.values(), user_id)
    is_new = user_id not in team
    if not is_new:
        team[user_id].role = role
    else:
        if len(team) >= MAX_MEMBERS:
            raise ClientError(f"a team has at most {MAX_MEMBERS} members")
        session.add(TeamMember(application_id=application_id, user_id=user_id, role=role, since=clock.now()))
    await session.flush()
    data = {"role": role, "new": is_new}
    record(session, "team.member_set", actor=actor.name, subject=str(user_id), client_id=application_id, data=data)


async def remove_member(session: AsyncSession, application_id: str, user_id: uuid.UUID, *, actor: Actor) -> None:
    """Take somebody out of a team: by an owner, or by themselves.

    Raises:
        ClientError: when it is the last owner.
    """
    team = await _locked_team(session, application_id)
    _keep_an_owner(team, user_id)
    for member in team:
        if member.user_id == user_id:
            await session.delete(member)
            record(session, "team.member_removed", actor=actor.name, subject=str(user_id), client_id=application_id)
    await session.flush()


def _keep_an_owner(team: Collection[TeamMember], leaving: uuid.UUID) -> None:
    owners = {member.user_id for member in team if member.role == "owner"}
    if owners == {leaving}:
        raise ClientError("this is the last owner: make somebody else an owner first")


_LOCK_APPLICATION = (
    select(_a.application_id).where(_a.application_id == bindparam("application_id")).with_for_update(key_share=True)
)


async def _locked_team(session: AsyncSession, application_id: str) -> list[TeamMember]:
    """Return a team that nobody else changes until the transaction ends."""
    await fetch(session, _LOCK_APPLICATION, {"application_id": application_id})
    return await team_of(session, application_id)


async def owned_alone(session: AsyncSession, user_id: uuid.UUID) -> list[str]:
    """Return the applications of which somebody is the only owner: they cannot go before somebody else is one."""
    mine = select(TeamMember.application_id).where(TeamMember.user_id == user_id, TeamMember.role == "owner")
    others = select(TeamMember.application_id).where(TeamMember.user_id != user_id, TeamMember.role == "owner")
    present = select(Application.application_id).where(Application.state != "retired")
    chosen = mine.where(TeamMember.application_id.not_in(others), TeamMember.application_id.in_(present))
    return sorted((await session.execute(chosen)).scalars())


async def leave_all(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Take somebody out of every team, and let every invitation of theirs be void, because nothing is known of them any
    more."""
    await session.execute(delete(TeamMember).where(TeamMember.user_id == user_id))
    await session.execute(delete(TeamInvitation).where(TeamInvitation.user_id == user_id))


def is_contact(lookup: str) -> bool:
    """Tell whether an identifier is an e-mail address or a telephone number, which somebody can verify."""
    return "@" in lookup or lookup.startswith("+")


async def invite(
    session: AsyncSession,
    application_id: str,
    lookup: str,
    role: Role,
    *,
    user_id: uuid.UUID | None,
    actor: Actor,
    authority: Authority,
) -> None:
    """Let somebody join.

    Args:
        session: the transaction.
        application_id: the application.
        lookup: the identifier by which they are invited.
        role: their place in the team.
        user_id: who has that user name now; None where it is an e-mail address or telephone number.
        actor: who invites.
        authority: what they may do.

    Raises:
        ClientError: when there are too many.
        PrivilegeRefused: when the application may do more than the actor.
    """
    await check_hold(session, application_id, authority)
    invited = await invitations_of(session, application_id)
    if len(await _locked_team(session, application_id)) + len(invited) >= MAX_MEMBERS:
        raise ClientError(f"a team has at most {MAX_MEMBERS} members")
    await withdraw_invitation(session, application_id, lookup)
    now = clock.now()
    invitation = TeamInvitation(
        application_id=application_id, lookup=lookup, role=role, invited_by=str(actor.name), created_at=now
    )
    invitation.user_id = user_id
    invitation.expires_at = now + timedelta(days=INVITATION_DAYS)
    session.add(invitation)
    await session.flush()
    record(session, "team.invited", actor=actor.name, client_id=application_id, data={"role": role})


_INVITATIONS = (
    select(TeamInvitation).where(TeamInvitation.expires_at > bindparam("now")).order_by(TeamInvitation.created_at)
)
_INVITATIONS_OF = _INVITATIONS.where(TeamInvitation.application_id == bindparam("application_id"))
_BY_CONTACT = TeamInvitation.user_id.is_(None) & TeamInvitation.lookup.in_(bindparam("contacts", expanding=True))
_INVITATIONS_BY_CONTACT = _INVITATIONS.where(_BY_CONTACT)
_INVITATIONS_FOR = _INVITATIONS.where((TeamInvitation.user_id == bindparam("user_id")) | _BY_CONTACT)


async def invitations_of(session: AsyncSession, application_id: str) -> list[TeamInvitation]:
    """Return who was invited and has not answered."""
    values = {"application_id": application_id, "now": clock.now()}
    return list((await session.execute(_INVITATIONS_OF, values)).scalars())


async def invitations_for(
    session: AsyncSession, user_id: uuid.UUID | None, contacts: Collection[str]
) -> list[TeamInvitation]:
    """Return the invitations of somebody.

    Args:
        session: for reading.
        user_id: who: invitations by user name are bound to the person; None: only those by contact.
        contacts: the e-mail addresses and telephone numbers that they have verified.
    """
    values: dict[str, object] = {"contacts": [*filter(is_contact, contacts)], "now": clock.now()}
    if user_id is None:
        return list((await session.execute(_INVITATIONS_BY_CONTACT, values)).scalars())
    return list((await session.execute(_INVITATIONS_FOR, {**values, "user_id": user_id})).scalars())


async def accept(
    session: AsyncSession, application_id: str, user_id: uuid.UUID, invitations: Collection[TeamInvitation]
) -> None:
    """Join a team by the invitations that hold (``portal/invitations.py``).

    Raises:
        ClientError: when there are none.
    """
    if not invitations:
        raise ClientError("there is no such invitation, or it is over")
    role: Role = "owner" if any(invitation.role == "owner" for invitation in invitations) else "member"
    present = await role_of(session, application_id, user_id)
    if present != "owner":
        await add_member(session, application_id, user_id, role, actor=Actor(str(user_id)))
    for invitation in invitations:
        await session.delete(invitation)
    await session.flush()


async def withdraw_invitation(session: AsyncSession, application_id: str, lookup: str) -> None:
    """Take an invitation back, or decline it."""
    mine = (TeamInvitation.application_id == application_id) & (TeamInvitation.lookup == lookup)
    await session.execute(delete(TeamInvitation).where(mine))


async def delete_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete invitations that are over, at most ``limit``; return how many."""
    expired = TeamInvitation.expires_at <= now
    return await delete_batch(session, TeamInvitation, TeamInvitation.expires_at, limit, expired)
