"""Members and administrators of units and groups."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from sso import clock
from sso.accounts import groups
from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.groups import present_group, reference
from sso.http.api.idempotency import Created, Creation
from sso.http.api.paging import CursorText, Limit, cut, read_id_cursor
from sso.http.api.preconditions import IfMatch, check_etag, representation_response
from sso.http.api.problems import not_found, problems
from sso.http.api.schemas import groups as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import AccountActor, Db, Outbox
from sso.identity.groups import members, tree
from sso.identity.groups.members import ListedMember, MemberFilter
from sso.identity.groups.models import Group, Membership
from sso.identity.users.models import User

router = new_router(prefix=PREFIX, tags=["groups"])


@router.get(
    "/groups/{group_id}/members",
    summary="List the members of a unit or group",
    responses=problems(404),
    **needs("groups:read"),
)
async def list_members(
    group_id: uuid.UUID,
    db: Db,
    below: Annotated[bool, Query(description="The members of the units below it too.")] = False,
    q: Annotated[str, Query(max_length=200, description="Beginnings of parts of the name.")] = "",
    status: Annotated[members.Status, Query()] = "current",
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.MembershipPage:
    """The oldest membership first."""
    after, now = read_id_cursor(cursor), clock.now()
    async with db.read() as session:
        await present_group(session, group_id)
        chosen = MemberFilter(below, q, status)
        rows = await members.page_of_members(session, group_id, chosen, after, limit + 1, now)
    page_rows, following = cut(rows, limit, lambda row: row.membership.id)
    return schemas.MembershipPage(items=[_representation(row) for row in page_rows], next_cursor=following)


@router.post(
    "/groups/{group_id}/members",
    status_code=201,
    summary="Add a member to a unit or group",
    response_model=schemas.Membership,
    responses=problems(404, 409),
    **needs("groups:write"),
)
async def add_member(
    group_id: uuid.UUID,
    body: schemas.MembershipCreate,
    creation: Creation,
    access: Access,
    accounts: AccountActor,
    outbox: Outbox,
) -> Response:
    """A user has one membership in a unit at a time. Applications are told."""

    async def check(session: AsyncSession) -> None:
        await present_group(session, group_id)

    async def make(session: AsyncSession) -> Created:
        membership = await groups.add_member(
            session,
            accounts,
            user_id=body.user_id,
            group_id=group_id,
            position=body.position,
            valid_from=body.valid_from,
            valid_until=body.valid_until,
            actor=access.actor_with_address,
            reason=body.reason,
        )
        return Created(await _read(session, membership), f"{PREFIX}/groups/{group_id}/members")

    response = await creation.once(check, make)
    outbox.nudge()
    return response


@router.post(
    "/groups/{group_id}/members/{membership_id}/end",
    summary="End a membership",
    response_model=schemas.Membership,
    responses=problems(404, 409),
    **needs("groups:write"),
)
async def end_membership(
    group_id: uuid.UUID,
    membership_id: uuid.UUID,
    body: schemas.MembershipEnd,
    access: Access,
    accounts: AccountActor,
    outbox: Outbox,
) -> Response:
    """The membership stays as history. Applications are told."""
    async with accounts.db.write() as session:
        membership = await members.get(session, membership_id)
        if membership is None or membership.group_id != group_id:
            raise not_found("membership")
        ended = await groups.end_membership(
            session,
            accounts,
            membership_id=membership_id,
            at=body.valid_until,
            actor=access.actor_with_address,
            reason=body.reason,
        )
        representation = await _read(session, ended)
    outbox.nudge()
    return representation_response(representation)


@router.get(
    "/users/{user_id}/memberships",
    summary="List the memberships of a user",
    responses=problems(404),
    **needs("groups:read"),
)
async def list_memberships(user_id: uuid.UUID, db: Db) -> list[schemas.Membership]:
    """The newest first, with those that ended."""
    async with db.read() as session:
        user = await session.get(User, user_id)
        if user is None:
            raise not_found("person")
        rows = await members.memberships_of(session, user_id)
    return [_representation(ListedMember(membership, user.name, group)) for membership, group in rows]


@router.get(
    "/groups/{group_id}/administrators",
    summary="List the administrators of a unit",
    response_model=schemas.Administrators,
    responses=problems(404),
    **needs("groups:read"),
)
async def list_administrators(group_id: uuid.UUID, db: Db) -> Response:
    """Those of the unit itself, and those of the units above it."""
    async with db.read() as session:
        await present_group(session, group_id)
        return representation_response(await _administrators(session, group_id))


@router.put(
    "/groups/{group_id}/administrators",
    summary="Set the administrators of a unit",
    response_model=schemas.Administrators,
    responses=problems(404, 409, 412, 428),
    **needs("groups:write"),
)
async def put_administrators(
    group_id: uuid.UUID, body: schemas.AdministratorsUpdate, access: Access, db: Db, if_match: IfMatch = None
) -> Response:
    """They add and end memberships of the unit and of every unit below it, in the console."""
    async with db.write() as session:
        await present_group(session, group_id)
        check_etag(if_match, await _administrators(session, group_id))
        await groups.set_unit_administrators(
            session, group_id, body.user_ids, actor=access.actor_with_address, reason=body.reason
        )
        representation = await _administrators(session, group_id)
    return representation_response(representation)


async def _administrators(session: AsyncSession, group_id: uuid.UUID) -> schemas.Administrators:
    rows = await tree.administrators_of(session, group_id)
    return schemas.Administrators(
        items=[
            schemas.Administrator(
                user=schemas.UserReference(id=row.user_id, name=row.name), group=reference(row.group), since=row.since
            )
            for row in rows
        ]
    )


async def _read(session: AsyncSession, membership: Membership) -> schemas.Membership:
    user, group = await session.get(User, membership.user_id), await session.get(Group, membership.group_id)
    assert user is not None
    assert group is not None
    return _representation(ListedMember(membership, user.name, group))


def _representation(row: ListedMember) -> schemas.Membership:
    membership = row.membership
    return schemas.Membership(
        id=membership.id,
        user=schemas.UserReference(id=membership.user_id, name=row.name),
        group=reference(row.group),
        position=membership.position,
        source=membership.source,
        status=members.status_of(membership, clock.now()),
        valid_from=membership.valid_from,
        valid_until=membership.valid_until,
        created_at=membership.created_at,
        created_by=membership.created_by,
    )
