"""Roles of applications: their definitions, who has them, and access reviews."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from sso import clock
from sso.accounts import access_reviews as reviews
from sso.accounts.role_assignments import (
    NewAssignment,
    RoleError,
    Sight,
    confirm_role,
    end_role,
    give_roles,
    giver_of,
    may_see,
    seen_by,
    sight_of,
)
from sso.accounts.role_rules import Giver
from sso.accounts.services import AccountActions
from sso.clients.models import SANDBOX_END
from sso.http.api.access import PREFIX, Access, CallerAccess, needs_or_administers
from sso.http.api.idempotency import Created, Creation
from sso.http.api.paging import CursorText, Limit, cut, read_id_cursor
from sso.http.api.problems import not_found, problems
from sso.http.api.schemas import role_assignments as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import AccountActor, Db, Limits, Outbox
from sso.http.common.state import RateLimits
from sso.identity.groups import assignments as store
from sso.identity.groups.assignments import AssignmentFilter, Listed, State
from sso.identity.groups.models import AccessReview
from sso.platform.actor import Actor

router = new_router(prefix=PREFIX, tags=["roles"])

SEES, GIVES = "assignments:read", "assignments:write"
ClientId = Annotated[str | None, Query(max_length=100)]


def _actor(access: CallerAccess) -> Actor:
    """Return the caller with the permissions of roles and token."""
    actor = access.actor_with_address
    return Actor(actor.name, access.rights, None, actor.stored_ip_address, actor.request_id)


async def _giver(access: CallerAccess, session: AsyncSession, client_id: str) -> Giver:
    return await giver_of(session, _actor(access), client_id, access.caller.user_id)


async def _sight(access: CallerAccess, session: AsyncSession) -> Sight:
    return await sight_of(session, _actor(access), access.caller.user_id)


@asynccontextmanager
async def _counted(limits: RateLimits, access: CallerAccess, *, counts: bool) -> AsyncIterator[None]:
    """Count one miss of a caller who does not see everybody, unless what follows finds the user: so that nobody tries
    ids in bulk. Pages count towards the same limit. Enter this outside any transaction.

    Args:
        limits: the rate limits.
        access: the caller.
        counts: whether the request names a user.

    Raises:
        TooManyFailures: when there were too many misses.
    """
    if not counts or GIVES in access.rights:
        yield
        return
    place, missed = await limits.lookups.take(access.caller.actor), False
    try:
        yield
    except RoleError as error:
        missed = error.code in ("not_found", "not_yours")
        raise
    finally:
        if not missed:
            await place.give_back()


def _sees_application(sight: Sight, client_id: str) -> bool:
    return sight.everything or client_id in sight.teams


@router.get(
    "/applications/{application_id}/roles",
    summary="List the roles that an application defines",
    responses=problems(404),
    **needs_or_administers(SEES),
)
async def list_roles(
    application_id: str, access: Access, db: Db, accounts: AccountActor
) -> list[schemas.ApplicationRole]:
    """`application_id` is the client_id in production, or that of the sandbox. Change the definitions with the
    metadata of the application: `application_roles`."""
    client = accounts.registry.get(application_id)
    async with db.read() as session:
        sight = await _sight(access, session)
    if client is None or not (_sees_application(sight, application_id) or sight.units):
        raise not_found("application")
    return [
        schemas.ApplicationRole(name=name, **role.model_dump())
        for name, role in sorted(client.meta.application_roles.items())
        if _sees_application(sight, application_id) or role.units_give != "no"
    ]


@router.get("/role-assignments", summary="List role assignments", responses=problems(), **needs_or_administers(SEES))
async def list_role_assignments(
    access: Access,
    db: Db,
    accounts: AccountActor,
    client_id: ClientId = None,
    user_id: Annotated[uuid.UUID | None, Query()] = None,
    group_id: Annotated[uuid.UUID | None, Query()] = None,
    role: Annotated[str | None, Query(max_length=64)] = None,
    unit_id: Annotated[
        uuid.UUID | None, Query(description="Given to this unit or group, or limited to this unit.")
    ] = None,
    unconfirmed: Annotated[
        bool, Query(description="Only those that a running access review has yet to confirm.")
    ] = False,
    state: Annotated[State, Query(description="`current`: those that have not ended.")] = "current",
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.RoleAssignmentPage:
    """The newest first. Members of a team see the roles of their applications; administrators of units see the roles
    of a user or unit of theirs, of the applications that let them give roles."""
    before = read_id_cursor(cursor)
    async with db.read() as session:
        sight = await _sight(access, session)
        filter_ = AssignmentFilter(client_id, user_id, group_id, role, state, unit_id=unit_id, unconfirmed=unconfirmed)
        chosen = await seen_by(session, accounts, sight, filter_)
        rows = await store.page_of(session, chosen, before, clock.now(), limit + 1)
    page_rows, following = cut(rows, limit, lambda listed: listed.assignment.id)
    return schemas.RoleAssignmentPage(items=[_representation(listed) for listed in page_rows], next_cursor=following)


@router.post(
    "/role-assignments",
    status_code=201,
    summary="Give roles of an application",
    response_model=schemas.RoleAssignmentList,
    responses=problems(404, 409, 429),
    **needs_or_administers(GIVES),
)
async def give(
    body: schemas.RoleAssignmentsCreate,
    creation: Creation,
    access: Access,
    accounts: AccountActor,
    outbox: Outbox,
    limits: Limits,
) -> Response:
    """All of them are given, or none. Besides callers with the permission, members of the team give the roles of their
    application where it allows that (`team_gives_roles`), and administrators of units the roles with `units_give`.
    Nobody gives a role to themselves. Callers without the permission wait for an hour after 30 requests that name a
    user that they may not name."""

    async def check(session: AsyncSession) -> None:
        giver = await _giver(access, session, body.client_id)
        client = accounts.registry.get(body.client_id)
        if client is None or not (giver.gives_all or giver.in_team or giver.units):
            raise not_found("application")

    async def make(session: AsyncSession) -> Created:
        new = [NewAssignment(reason=body.reason, **entry.model_dump()) for entry in body.assignments]
        giver = await _giver(access, session, body.client_id)
        given = await give_roles(session, accounts, body.client_id, new, giver=giver, actor=_actor(access))
        rows = [await store.get(session, assignment.id) for assignment in given]
        representation = schemas.RoleAssignmentList(
            items=[_representation(listed) for listed in rows if listed is not None]
        )
        return Created(representation, f"{PREFIX}/role-assignments?client_id={body.client_id}")

    names_user = any(entry.user_id is not None for entry in body.assignments)
    async with _counted(limits, access, counts=names_user):
        response = await creation.once(check, make)
    outbox.nudge()
    return response


@router.get(
    "/role-assignments/{assignment_id}",
    summary="Show a role assignment",
    responses=problems(404),
    **needs_or_administers(SEES),
)
async def get_role_assignment(
    assignment_id: uuid.UUID, access: Access, db: Db, accounts: AccountActor
) -> schemas.RoleAssignment:
    async with db.read() as session:
        return _representation(await _present(access, session, accounts, assignment_id))


@router.post(
    "/role-assignments/{assignment_id}/end",
    summary="End a role assignment",
    responses=problems(404, 409),
    **needs_or_administers(GIVES),
)
async def end_role_assignment(
    assignment_id: uuid.UUID,
    body: schemas.RoleChange,
    access: Access,
    db: Db,
    accounts: AccountActor,
    outbox: Outbox,
) -> schemas.RoleAssignment:
    """The role is gone at once from tokens, userinfo and introspection. The assignment is kept and shown as ended."""
    async with db.write() as session:
        listed = await _present(access, session, accounts, assignment_id)
        giver = await _giver(access, session, listed.assignment.client_id)
        await end_role(session, accounts, assignment_id, giver=giver, actor=_actor(access), reason=body.reason)
        representation = _representation(await _present(access, session, accounts, assignment_id))
    outbox.nudge()
    return representation


@router.post(
    "/role-assignments/{assignment_id}/confirm",
    summary="Confirm a role assignment",
    responses=problems(404, 409),
    **needs_or_administers(GIVES),
)
async def confirm_role_assignment(
    assignment_id: uuid.UUID, access: Access, db: Db, accounts: AccountActor
) -> schemas.RoleAssignment:
    """Record that the role is still right, for a running access review. Nobody confirms their own role."""
    async with db.write() as session:
        listed = await _present(access, session, accounts, assignment_id)
        giver = await _giver(access, session, listed.assignment.client_id)
        await confirm_role(session, accounts, assignment_id, giver=giver, actor=_actor(access))
        await session.flush()
        return _representation(await _present(access, session, accounts, assignment_id))


@router.get("/access-reviews", summary="List access reviews", responses=problems(404), **needs_or_administers(SEES))
async def list_access_reviews(
    access: Access, db: Db, client_id: Annotated[str, Query(max_length=100)]
) -> list[schemas.AccessReview]:
    """The newest 20 reviews of an application."""
    async with db.read() as session:
        if not _sees_application(await _sight(access, session), client_id):
            raise not_found("application")
        return [await _review(session, review) for review in await reviews.reviews_of(session, client_id)]


@router.post(
    "/access-reviews",
    status_code=201,
    summary="Start an access review",
    response_model=schemas.AccessReview,
    responses=problems(404, 409),
    **needs_or_administers(GIVES),
)
async def start_access_review(
    body: schemas.AccessReviewCreate, creation: Creation, access: Access, accounts: AccountActor, outbox: Outbox
) -> Response:
    """The owners of the application are told, and reminded 7 days and 1 day before the end. Where it has no owner,
    who starts the review and the administrators with `assignments:write` are told. What nobody confirms by then
    ends, where the application has `end_unconfirmed_roles`."""

    async def check(session: AsyncSession) -> None:
        if accounts.registry.get(body.client_id) is None or body.client_id.endswith(SANDBOX_END):
            raise not_found("application")
        await reviews.check_reviewer(session, body.client_id, await _giver(access, session, body.client_id))

    async def make(session: AsyncSession) -> Created:
        review = await reviews.start_review(
            session,
            accounts,
            body.client_id,
            ends_at=body.ends_at,
            giver=await _giver(access, session, body.client_id),
            actor=_actor(access),
            reason=body.reason,
        )
        return Created(await _review(session, review), f"{PREFIX}/access-reviews/{review.id}")

    response = await creation.once(check, make)
    outbox.nudge()
    return response


@router.get(
    "/access-reviews/{review_id}",
    summary="Show an access review",
    responses=problems(404),
    **needs_or_administers(SEES),
)
async def get_access_review(review_id: uuid.UUID, access: Access, db: Db) -> schemas.AccessReview:
    async with db.read() as session:
        return await _review(session, await _present_review(access, session, review_id))


@router.post(
    "/access-reviews/{review_id}/cancel",
    summary="Cancel an access review",
    responses=problems(404, 409),
    **needs_or_administers(GIVES),
)
async def cancel_access_review(
    review_id: uuid.UUID, body: schemas.RoleChange, access: Access, db: Db, accounts: AccountActor
) -> schemas.AccessReview:
    """Nothing that is not confirmed ends."""
    async with db.write() as session:
        review = await _present_review(access, session, review_id)
        giver = await _giver(access, session, review.client_id)
        await reviews.cancel_review(session, accounts, review_id, giver=giver, actor=_actor(access), reason=body.reason)
        return await _review(session, review)


async def _present(
    access: CallerAccess, session: AsyncSession, accounts: AccountActions, assignment_id: uuid.UUID
) -> Listed:
    """Return an assignment that the caller sees.

    Raises:
        Problem: when there is none.
    """
    listed = await store.get(session, assignment_id)
    if listed is None or not await may_see(session, accounts, await _sight(access, session), listed.assignment):
        raise not_found("role assignment")
    return listed


async def _present_review(access: CallerAccess, session: AsyncSession, review_id: uuid.UUID) -> AccessReview:
    review = await session.get(AccessReview, review_id)
    if review is None or not _sees_application(await _sight(access, session), review.client_id):
        raise not_found("access review")
    return review


async def _review(session: AsyncSession, review: AccessReview) -> schemas.AccessReview:
    representation = schemas.AccessReview.model_validate(review, from_attributes=True)
    if review.status == "running":
        representation.unconfirmed = await store.count_unconfirmed(
            session, review.client_id, review.started_at, clock.now()
        )
    return representation


def _representation(listed: Listed) -> schemas.RoleAssignment:
    assignment = listed.assignment
    return schemas.RoleAssignment(
        id=assignment.id,
        client_id=assignment.client_id,
        role=assignment.role,
        user_id=assignment.user_id,
        user_name=listed.user_name,
        group_id=assignment.group_id,
        group_code=listed.group.code if listed.group is not None else None,
        with_units_below=assignment.with_units_below,
        unit_id=assignment.unit_id,
        unit_code=listed.unit.code if listed.unit is not None else None,
        valid_from=assignment.valid_from,
        valid_until=assignment.valid_until,
        reason=assignment.reason,
        given_by=assignment.given_by,
        created_at=assignment.created_at,
        confirmed_at=assignment.confirmed_at,
        ended_by=assignment.ended_by,
        end_reason=assignment.end_reason,
    )
