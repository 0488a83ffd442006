"""The page of a team: members and invitations."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients.secrets import ClientError
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.responses import to_wait
from sso.http.common.services import AccountActor, Db, Limits, Outbox
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent, cut
from sso.http.console.access import DEVELOPER, OwnForm, There
from sso.http.developer.application_page import APPS, CANNOT, Member, Owner, Reader, application_page
from sso.identity.notifications import MessageServices
from sso.identity.users.store import names_of
from sso.platform.db import Database
from sso.platform.security.rate_limits import TooManyFailures
from sso.portal import invitations as joining
from sso.portal import teams
from sso.portal.invitation_limits import InvitationLimits, count_invitation

router = new_router()

MANY_INVITATIONS = N_("Too many invitations were sent today. Please try again in %(hours)s hours.")
NOT_A_PERSON = N_("Enter an e-mail address or a username.")
LAST_OWNER = N_("This is the last owner. Make another member an owner first.")


class TeamForm(FormModel):
    """A change of the team. ``who`` and ``role`` are of an invitation."""

    choice: ChoiceField = Choice()
    who: Annotated[str, cut(254)] = ""
    role: str = ""

    @property
    def member_role(self) -> teams.Role:
        """The role of whoever is invited."""
        return "owner" if self.role == "owner" else "member"


TeamChange = Annotated[Sent[TeamForm], Depends(OwnForm(TeamForm, "team {application_id}"))]
Leaving = Annotated[Sent[FormModel], Depends(OwnForm(FormModel, "team {application_id}"))]


@router.get(APPS + "/{application_id}/team")
async def team_page(request: Request, there: Reader, db: Db) -> Response:
    """Show the members of a team, and its invitations."""
    return await _team_page(request, there, db)


async def _team_page(
    request: Request, there: There, db: Database, problem: str = "", status: int = 200, **values: str
) -> Response:
    async with db.read() as session:
        members = await teams.team_of(session, there.application_id)
        invitations = await teams.invitations_of(session, there.application_id)
        names = await names_of(session, [str(member.user_id) for member in members])
    return await application_page(
        request,
        there,
        "team",
        "developer_team.html",
        status,
        purpose="team",
        team=[(member, names.get(str(member.user_id), "")) for member in members],
        invited=invitations,
        me=there.here.visit.user.id,
        problem=problem,
        values=values,
    )


@router.post(APPS + "/{application_id}/team")
async def change_team(
    request: Request, there: Owner, sent: TeamChange, db: Db, limits: Limits, messages: AccountActor, outbox: Outbox
) -> Response:
    """Invite somebody, change a role, remove a member, or withdraw an invitation."""
    if sent.form.choice.act == "invite":
        try:
            await _invite(there, sent.form, db, limits, messages)
        except (joining.NotInvitable, TooManyFailures, ClientError) as error:
            return await _not_invited(request, there, db, sent.form, error)
        outbox.nudge()
        return RedirectResponse(f"{APPS}/{there.application_id}/team", 303)
    try:
        async with db.write() as session:
            await _change_member(session, there, sent.form.choice)
    except ClientError:
        return await _team_page(request, there, db, LAST_OWNER, 409)
    return RedirectResponse(f"{APPS}/{there.application_id}/team", 303)


async def _change_member(session: AsyncSession, there: There, choice: Choice) -> None:
    """Carry out a change of the team.

    Raises:
        ClientError: when it would leave the application without an owner.
    """
    here, application_id, user_id = there.here, there.application_id, read_id(choice.target)
    if choice.act == "withdraw":
        await teams.withdraw_invitation(session, application_id, choice.target)
    elif choice.act == "remove" and user_id is not None:
        await teams.remove_member(session, application_id, user_id, actor=here.as_actor)
    elif (
        (role := teams.read_role(choice.act)) is not None
        and user_id is not None
        and await teams.role_of(session, application_id, user_id)
    ):
        await teams.add_member(session, application_id, user_id, role, actor=here.as_actor, authority=here.authority)


@router.post(APPS + "/{application_id}/leave")
async def leave(request: Request, there: Member, _: Leaving, db: Db) -> Response:
    """Leave a team."""
    here = there.here
    try:
        async with db.write() as session:
            await teams.remove_member(session, there.application_id, here.visit.user.id, actor=here.as_actor)
    except ClientError:
        return await _team_page(request, there, db, LAST_OWNER, 409)
    return RedirectResponse(DEVELOPER, 303)


async def _invite(
    there: There, form: TeamForm, db: Database, limits: InvitationLimits, messages: MessageServices
) -> None:
    """Invite whoever has what was typed. Nothing tells whether somebody has it.

    Raises:
        NotInvitable: when it is neither an e-mail address nor a user name.
        TooManyFailures: when too many were invited.
        ClientError: when the team has too many members.
    """
    invitee = joining.read_invitee(form.who)
    allowed = await count_invitation(
        limits,
        db,
        application_id=there.application_id,
        inviter=there.here.visit.user.id,
        lookup=invitee.value,
    )
    if not allowed:  # the page is the same where it is not
        return
    async with db.write() as session:
        await joining.send_invitation(
            session,
            messages,
            there.application,
            invitee,
            form.member_role,
            actor=there.here.as_actor,
            authority=there.here.authority,
        )


async def _not_invited(request: Request, there: There, db: Database, form: TeamForm, error: Exception) -> Response:
    """Return the page that says why nobody was invited."""
    typed = {"typed": form.who, "role": form.member_role}
    if isinstance(error, joining.NotInvitable):
        return await _team_page(request, there, db, NOT_A_PERSON, 400, **typed)
    if isinstance(error, TooManyFailures):
        hours = str(-(-error.retry_after // 3600))
        page = await _team_page(request, there, db, MANY_INVITATIONS, 429, **typed, hours=hours)
        return to_wait(page, error.retry_after)
    return await _team_page(request, there, db, CANNOT, 409, **typed, detail=str(error))
