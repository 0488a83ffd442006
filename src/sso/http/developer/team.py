"""The page of a team: members and invitations."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients.secrets import ClientError
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.responses import to_wait
from sso.http.common.state import site_of
from sso.http.console.access import DEVELOPER, There, own_form
from sso.http.developer.application_page import APPS, CANNOT, Member, Owner, Reader, application_page
from sso.identity.users.store import names_of
from sso.platform.security.rate_limits import TooManyFailures
from sso.portal import invitations as joining
from sso.portal import teams
from sso.portal.invitation_limits import count_invitation

router = APIRouter()

MANY_INVITATIONS = N_("Too many invitations were sent today. Please try again in %(hours)s hours.")
NOT_A_PERSON = N_("Type an e-mail address or a user name.")
LAST_OWNER = N_("This is the last owner. Make somebody else an owner first: an application is never without one.")


@router.get(APPS + "/{application_id}/team")
async def team_page(request: Request, there: Reader) -> Response:
    """Show the members of a team, and its invitations."""
    return await _team_page(request, there)


async def _team_page(request: Request, there: There, problem: str = "", status: int = 200, **values: str) -> Response:
    async with site_of(request).provider.db.read() as session:
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
async def change_team(request: Request, there: Owner) -> Response:
    """Invite somebody, change a role, remove a member, or withdraw an invitation."""
    fields = await own_form(request, f"team {there.application_id}")
    choice, _, target = fields.get("choice", "").partition(" ")
    if choice == "invite":
        role: teams.Role = "owner" if fields.get("role") == "owner" else "member"
        return await _invite(request, there, fields.get("who", "").strip()[:254], role)
    try:
        await _change_member(request, there, choice, target)
    except ClientError:
        return await _team_page(request, there, LAST_OWNER, 409)
    return RedirectResponse(f"{APPS}/{there.application_id}/team", 303)


async def _change_member(request: Request, there: There, choice: str, target: str) -> None:
    """Carry out a change of the team.

    Raises:
        ClientError: when it would leave the application without an owner.
    """
    here, application_id = there.here, there.application_id
    user_id = read_id(target)
    async with site_of(request).provider.db.write() as session:
        if choice == "withdraw":
            await teams.withdraw_invitation(session, application_id, target)
        elif choice == "remove" and user_id is not None:
            await teams.remove_member(session, application_id, user_id, actor=here.as_actor)
        elif (
            (role := teams.read_role(choice)) is not None
            and user_id is not None
            and await teams.role_of(session, application_id, user_id)
        ):
            await teams.add_member(
                session, application_id, user_id, role, actor=here.as_actor, authority=here.authority
            )


@router.post(APPS + "/{application_id}/leave")
async def leave(request: Request, there: Member) -> Response:
    """Leave a team."""
    await own_form(request, f"team {there.application_id}")
    here = there.here
    try:
        async with site_of(request).provider.db.write() as session:
            await teams.remove_member(session, there.application_id, here.visit.user.id, actor=here.as_actor)
    except ClientError:
        return await _team_page(request, there, LAST_OWNER, 409)
    return RedirectResponse(DEVELOPER, 303)


async def _invite(request: Request, there: There, typed: str, role: teams.Role) -> Response:
    site, sent = site_of(request), {"typed": typed, "role": role}
    try:
        invitee = joining.read_invitee(typed)
        allowed = await count_invitation(
            site.limits,
            site.provider.db,
            application_id=there.application_id,
            inviter=there.here.visit.user.id,
            lookup=invitee.value,
        )
        if allowed:  # the page is the same where it is not
            async with site.provider.db.write() as session:
                await joining.send_invitation(
                    session,
                    site.provider,
                    there.application,
                    invitee,
                    role,
                    actor=there.here.as_actor,
                    authority=there.here.authority,
                )
    except joining.NotInvitable:
        return await _team_page(request, there, NOT_A_PERSON, 400, **sent)
    except TooManyFailures as error:
        hours = str(-(-error.retry_after // 3600))
        return to_wait(await _team_page(request, there, MANY_INVITATIONS, 429, **sent, hours=hours), error.retry_after)
    except ClientError as error:
        return await _team_page(request, there, CANNOT, 409, **sent, detail=str(error))
    site.worker.nudge()
    return RedirectResponse(f"{APPS}/{there.application_id}/team", 303)
