"""Units and groups: listing, creating, changing, moving, closing and deleting them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from sso import clock
from sso.accounts import groups
from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.idempotency import Created, Creation
from sso.http.api.paging import CursorText, Limit, cut, read_cursor
from sso.http.api.preconditions import IfMatch, check_etag, representation_response
from sso.http.api.problems import not_found, problems
from sso.http.api.schemas import groups as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import AccountActor, Db, Outbox
from sso.identity.groups import tree
from sso.identity.groups.models import Group
from sso.identity.groups.schemas import MAX_REASON_CHARS, GroupChange, Kind, NewGroup
from sso.identity.groups.tree import GroupFilter, Status

router = new_router(prefix=PREFIX, tags=["groups"])


@router.get("/groups", summary="List units and groups", responses=problems(), **needs("groups:read"))
async def list_groups(
    db: Db,
    q: Annotated[str, Query(max_length=200, description="Parts of the name or code.")] = "",
    kind: Annotated[Kind | None, Query()] = None,
    parent_id: Annotated[uuid.UUID | None, Query(description="Only the units directly below this one.")] = None,
    top: Annotated[bool, Query(description="Only those that are below no unit.")] = False,
    status: Annotated[Status, Query()] = "open",
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.GroupPage:
    """In the order of their codes."""
    chosen, now = GroupFilter(q, kind, parent_id, top, status=status), clock.now()
    after = read_cursor(cursor)
    async with db.read() as session:
        rows = await tree.page_of_groups(session, chosen, after, limit + 1, now)
        page_rows, following = cut(rows, limit, lambda group: group.code)
        listed = await tree.counted(session, page_rows, now)
    items = [
        schemas.ListedGroup(**_fields(row.group), units_below=row.units_below, members=row.members) for row in listed
    ]
    return schemas.GroupPage(items=items, next_cursor=following)


@router.post(
    "/groups",
    status_code=201,
    summary="Create a unit or group",
    response_model=schemas.Group,
    responses=problems(409),
    **needs("groups:write"),
)
async def create_group(body: schemas.GroupCreate, creation: Creation, access: Access) -> Response:
    async def check(_session: AsyncSession) -> None:
        return None

    async def make(session: AsyncSession) -> Created:
        new = NewGroup.model_validate(body.model_dump(exclude={"reason"}))
        group = await groups.create_group(session, new, actor=access.actor_with_address, reason=body.reason)
        return Created(group_representation(group), f"{PREFIX}/groups/{group.id}")

    return await creation.once(check, make)


@router.get(
    "/groups/{group_id}",
    summary="Show a unit or group",
    response_model=schemas.GroupWithPath,
    responses=problems(404),
    **needs("groups:read"),
)
async def get_group(group_id: uuid.UUID, db: Db) -> Response:
    """The ETag is that of the unit itself: members who come and go do not change it."""
    async with db.read() as session:
        group = await present_group(session, group_id)
        path = (await tree.way_to(session, [group_id]))[group_id][:-1]
        (counts,) = await tree.counted(session, [group], clock.now())
    representation = schemas.GroupWithPath(
        **_fields(group),
        path=[reference(upper) for upper in path],
        units_below=counts.units_below,
        members=counts.members,
    )
    tag = representation_response(group_representation(group)).headers["ETag"]
    return representation_response(representation, headers={"ETag": tag})


@router.patch(
    "/groups/{group_id}",
    summary="Change a unit or group",
    response_model=schemas.Group,
    responses=problems(404, 409, 412, 428),
    **needs("groups:write"),
)
async def patch_group(
    group_id: uuid.UUID,
    body: schemas.GroupUpdate,
    access: Access,
    accounts: AccountActor,
    outbox: Outbox,
    if_match: IfMatch = None,
) -> Response:
    """Change the members that the body names (RFC 7396). A new code changes tokens, and applications are told."""
    change = GroupChange.model_validate(body.model_dump(exclude_unset=True, exclude={"reason"}))

    async def work(session: AsyncSession) -> Group:
        check_etag(if_match, group_representation(await present_group(session, group_id)))
        return await groups.change_group(
            session, accounts, group_id, change, actor=access.actor_with_address, reason=body.reason
        )

    return await _changed(accounts, outbox, work)


@router.post(
    "/groups/{group_id}/move",
    summary="Move a unit with the units below it",
    response_model=schemas.Group,
    responses=problems(404, 409, 412),
    **needs("groups:write"),
)
async def move_group(
    group_id: uuid.UUID,
    body: schemas.GroupMove,
    access: Access,
    accounts: AccountActor,
    outbox: Outbox,
    if_match: IfMatch = None,
) -> Response:
    async def work(session: AsyncSession) -> Group:
        check_etag(if_match, group_representation(await present_group(session, group_id)), required=False)
        return await groups.move_group(
            session, accounts, group_id, body.parent_id, actor=access.actor_with_address, reason=body.reason
        )

    return await _changed(accounts, outbox, work)


@router.post(
    "/groups/{group_id}/close",
    summary="Close a unit or group",
    response_model=schemas.Group,
    responses=problems(404, 409),
    **needs("groups:write"),
)
async def close_group(
    group_id: uuid.UUID, body: schemas.GroupClose, access: Access, accounts: AccountActor, outbox: Outbox
) -> Response:
    """From its end on nobody counts as its member. Nothing is deleted."""

    async def work(session: AsyncSession) -> Group:
        await present_group(session, group_id)
        return await groups.close_group(
            session,
            accounts,
            group_id,
            at=body.valid_until,
            with_units_below=body.with_units_below,
            actor=access.actor_with_address,
            reason=body.reason,
        )

    return await _changed(accounts, outbox, work)


@router.post(
    "/groups/{group_id}/reopen",
    summary="Take back the end of a unit or group",
    response_model=schemas.Group,
    responses=problems(404, 409),
    **needs("groups:write"),
)
async def reopen_group(
    group_id: uuid.UUID, body: schemas.GroupReopen, access: Access, accounts: AccountActor, outbox: Outbox
) -> Response:
    """Units below it that were closed with it stay closed."""

    async def work(session: AsyncSession) -> Group:
        await present_group(session, group_id)
        return await groups.reopen_group(
            session, accounts, group_id, actor=access.actor_with_address, reason=body.reason
        )

    return await _changed(accounts, outbox, work)


@router.delete(
    "/groups/{group_id}",
    status_code=204,
    summary="Delete an empty unit or group",
    responses=problems(404, 409, 412),
    **needs("groups:write"),
)
async def delete_group(
    group_id: uuid.UUID,
    access: Access,
    db: Db,
    reason: Annotated[str, Query(min_length=1, max_length=MAX_REASON_CHARS, description=schemas.REASON)],
    if_match: IfMatch = None,
) -> Response:
    """Only a unit without members, earlier members, units below it and roles. Close any other."""
    async with db.write() as session:
        group = await present_group(session, group_id)
        check_etag(if_match, group_representation(group), required=False)
        await groups.delete_group(session, group_id, actor=access.actor_with_address, reason=reason)
    return Response(status_code=204)


async def _changed(
    accounts: AccountActor, outbox: Outbox, work: Callable[[AsyncSession], Awaitable[Group]]
) -> Response:
    async with accounts.db.write() as session:
        representation = group_representation(await work(session))
    outbox.nudge()
    return representation_response(representation)


async def present_group(session: AsyncSession, group_id: uuid.UUID) -> Group:
    """Return a unit or group.

    Raises:
        Problem: when there is none.
    """
    group = await tree.get(session, group_id)
    if group is None:
        raise not_found("unit or group")
    return group


def group_representation(group: Group) -> schemas.Group:
    """Return a unit or group as the API shows it."""
    return schemas.Group(**_fields(group))


def _fields(group: Group) -> dict[str, object]:
    return {name: getattr(group, name) for name in schemas.Group.model_fields}


def reference(group: Group) -> schemas.GroupReference:
    """Return the name of a unit or group."""
    return schemas.GroupReference.model_validate(group, from_attributes=True)
