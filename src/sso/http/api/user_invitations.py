"""Invitations of users, as in the console: somebody without an account gets a link by e-mail."""

from __future__ import annotations

import uuid

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from sso.accounts import user_invitations as inviting
from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.idempotency import Created, Creation
from sso.http.api.paging import CursorText, Limit, cut, read_id_cursor
from sso.http.api.problems import not_found, problems
from sso.http.api.schemas import user_invitations as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import AccountActor, Db, Outbox
from sso.identity.users import user_invitations as store
from sso.identity.users.models import UserInvitation

router = new_router(prefix=PREFIX, tags=["users"])


@router.get("/user-invitations", summary="List invitations of users", responses=problems(), **needs("users:write"))
async def list_invitations(db: Db, limit: Limit = 50, cursor: CursorText = None) -> schemas.UserInvitationPage:
    """Invitations that were neither accepted nor withdrawn, the newest first."""
    async with db.read() as session:
        rows = await store.page_of(session, read_id_cursor(cursor), limit + 1)
    page_rows, following = cut(rows, limit, lambda invitation: invitation.id)
    return schemas.UserInvitationPage(items=[_representation(row) for row in page_rows], next_cursor=following)


@router.post(
    "/user-invitations",
    status_code=201,
    summary="Invite a user",
    response_model=schemas.UserInvitation,
    responses=problems(409),
    **needs("users:write"),
)
async def invite(
    body: schemas.UserInvitationCreate, creation: Creation, access: Access, accounts: AccountActor, outbox: Outbox
) -> Response:
    """The user gets a link by e-mail, and chooses a password or a passkey. Roles other than citizen need
    `sso:users:roles` too, and every permission of the roles."""

    async def check(session: AsyncSession) -> None:
        await inviting.check_invited(session, accounts.registry, body, access.rights)

    async def make(session: AsyncSession) -> Created:
        invitation = await inviting.invite_in(
            session, accounts, body, actor=access.actor, rights=access.rights, reason=body.reason
        )
        return Created(_representation(invitation), f"{PREFIX}/user-invitations/{invitation.id}")

    response = await creation.once(check, make)
    outbox.nudge()
    return response


@router.get(
    "/user-invitations/{invitation_id}",
    summary="Show an invitation of a user",
    responses=problems(404),
    **needs("users:write"),
)
async def get_invitation(invitation_id: uuid.UUID, db: Db) -> schemas.UserInvitation:
    async with db.read() as session:
        invitation = await session.get(UserInvitation, invitation_id)
    if invitation is None:
        raise not_found("invitation")
    return _representation(invitation)


@router.post(
    "/user-invitations/{invitation_id}/send",
    summary="Send an invitation of a user again",
    responses=problems(404, 409),
    **needs("users:write"),
)
async def send_again(
    invitation_id: uuid.UUID, access: Access, accounts: AccountActor, outbox: Outbox
) -> schemas.UserInvitation:
    """With a new link, which is valid from now on: the earlier link is not valid any more."""
    invitation = await inviting.send_again(accounts, invitation_id, actor=access.actor, rights=access.rights)
    if invitation is None:
        raise not_found("invitation")
    outbox.nudge()
    return _representation(invitation)


@router.delete(
    "/user-invitations/{invitation_id}",
    status_code=204,
    summary="Withdraw an invitation of a user",
    responses=problems(404),
    **needs("users:write"),
)
async def withdraw(invitation_id: uuid.UUID, access: Access, accounts: AccountActor) -> Response:
    """The link is not valid any more."""
    invitation = await inviting.withdraw(accounts, invitation_id, actor=access.actor, rights=access.rights)
    if invitation is None:
        raise not_found("invitation")
    return Response(status_code=204)


def _representation(invitation: UserInvitation) -> schemas.UserInvitation:
    return schemas.UserInvitation.model_validate(invitation, from_attributes=True)
