"""People: looking them up, making and changing them, disabling and deleting them, roles."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from sso.accounts.administration import change_person, disable_user, enable_user, give_roles
from sso.accounts.deletion import delete_user
from sso.accounts.power import check_power, check_power_over, invited_power
from sso.clients.registry import Registry
from sso.http.api.access import PREFIX, Access, CallerAccess, needs
from sso.http.api.idempotency import Created, Creation
from sso.http.api.paging import CursorText, Limit, cut, read_id_cursor
from sso.http.api.preconditions import IfMatch, check_etag, etag_of, representation_response
from sso.http.api.problems import Problem, not_found, problems
from sso.http.api.schemas import users as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import AccountActor, Box, Db, Outbox
from sso.identity.users import store
from sso.identity.users.models import Identifier, User
from sso.identity.users.schemas import NewUser, UserChange, warnings_of
from sso.identity.users.service import UserError, create_users, find_all
from sso.platform.permissions import RoleName, power_of

router = new_router(prefix=PREFIX, tags=["users"])


@router.get("/users", summary="List users, or find one", responses=problems(), **needs("users:read"))
async def list_users(
    db: Db,
    box: Box,
    identifier: Annotated[
        str | None,
        Query(
            max_length=254,
            description="Find the user who verified this identifier, or the only user who has it unverified (see "
            "`verified`). Two users where the text is the username of one and the phone number or NIK of the other.",
        ),
    ] = None,
    role: Annotated[RoleName | None, Query()] = None,
    status: Annotated[Literal["active", "disabled", "deleted"] | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.UserPage:
    async with db.read() as session:
        if identifier is not None:
            try:
                users = await find_all(session, identifier, box, unverified=True)
            except UserError:
                users = []
            return schemas.UserPage(items=await _representation(session, users))
        after = read_id_cursor(cursor)
        rows = await store.page_of_users(session, after, limit + 1, role=role, status=status)
        page_rows, following = cut(rows, limit, lambda user: user.id)
        return schemas.UserPage(items=await _representation(session, page_rows), next_cursor=following)


@router.post(
    "/users",
    status_code=201,
    summary="Create a user",
    response_model=schemas.UserWithWarnings,
    responses=problems(409),
    **needs("users:write"),
)
async def create_user(
    body: schemas.UserCreate,
    creation: Creation,
    access: Access,
    box: Box,
    accounts: AccountActor,
) -> Response:
    """Roles other than citizen need `sso:users:roles` too, and every permission of the roles. A NIK that is marked as
    verified needs `sso:users:check_identity`."""
    if set(body.roles) - {"citizen"}:
        access.require("users:roles")
    if body.nik_verified:
        access.require("users:check_identity")

    async def check(session: AsyncSession) -> None:
        lookups = [lookup for lookup in (body.username, body.email, body.phone_number) if lookup]
        check_power(access.rights, power_of(body.roles, ()))
        check_power(access.rights, await invited_power(session, accounts.registry, lookups))

    async def make(session: AsyncSession) -> Created:
        created = (await create_users(session, [body], actor=access.caller.actor, box=box))[0]
        await session.flush()
        return Created(
            _with_warnings((await _representation(session, [created]))[0], body), f"{PREFIX}/users/{created.id}"
        )

    return await creation.once(check, make)


@router.get(
    "/users/{user_id}",
    summary="Show a user",
    response_model=schemas.User,
    responses=problems(404),
    **needs("users:read"),
)
async def get_user(user_id: uuid.UUID, db: Db) -> Response:
    async with db.read() as session:
        user = await session.get(User, user_id)
        if user is None:
            raise not_found("person")
        return representation_response((await _representation(session, [user]))[0])


@router.patch(
    "/users/{user_id}",
    summary="Change a user",
    response_model=schemas.UserWithWarnings,
    responses=problems(404, 409, 412, 428),
    **needs("users:write"),
)
async def patch_user(
    user_id: uuid.UUID,
    change: schemas.UserUpdate,
    access: Access,
    db: Db,
    accounts: AccountActor,
    outbox: Outbox,
    if_match: IfMatch = None,
) -> Response:
    """Change the members that the body names (RFC 7396). Every contact of the user is notified when identifiers change.
    A contact that is marked as verified here recovers the account by itself only after a day."""
    async with db.write() as session:
        user = await present_person(access, accounts.registry, session, user_id)
        check_etag(if_match, (await _representation(session, [user]))[0])
        lookups = [lookup for lookup in (change.username, change.email, change.phone_number) if lookup]
        check_power(access.rights, await invited_power(session, accounts.registry, lookups))
        await change_person(session, accounts, user, change, actor=access.actor)
        await session.flush()
        representation = (await _representation(session, [user]))[0]
    outbox.nudge()
    return representation_response(_with_warnings(representation, change), headers={"ETag": etag_of(representation)})


@router.put(
    "/users/{user_id}/roles",
    summary="Set the roles of a user",
    response_model=schemas.User,
    responses=problems(404, 409, 412, 428),
    **needs("users:roles"),
)
async def put_roles(
    user_id: uuid.UUID,
    body: schemas.RolesUpdate,
    access: Access,
    db: Db,
    accounts: AccountActor,
    outbox: Outbox,
    if_match: IfMatch = None,
) -> Response:
    """Replace all roles. The caller needs every permission of the old and of the new roles. The last administrator
    stays one. With the first role that needs a second factor every session of the user ends."""
    async with db.write() as session:
        user = await present_person(access, accounts.registry, session, user_id, opens=False)
        check_etag(if_match, (await _representation(session, [user]))[0])
        check_power(access.rights, power_of(body.roles, ()))
        await give_roles(session, accounts, user, body.roles, actor=access.actor)
        await session.refresh(user)
        representation = (await _representation(session, [user]))[0]
    outbox.nudge()
    return representation_response(representation)


@router.post("/users/{user_id}/disable", summary="Disable a user", responses=problems(404, 409), **needs("users:write"))
async def disable(
    user_id: uuid.UUID,
    access: Access,
    db: Db,
    accounts: AccountActor,
    outbox: Outbox,
) -> schemas.UserEnded:
    """Refuse sign-in, end every session, revoke every grant, and notify applications."""
    async with db.write() as session:
        user = await present_person(access, accounts.registry, session, user_id, opens=False)
        count = await disable_user(session, accounts, user, actor=access.actor)
        await session.refresh(user)
        representation = (await _representation(session, [user]))[0]
    outbox.nudge()
    return schemas.UserEnded(user=representation, sessions_ended=count)


@router.post(
    "/users/{user_id}/enable",
    summary="Enable a user",
    response_model=schemas.User,
    responses=problems(404, 409),
    **needs("users:write"),
)
async def enable(
    user_id: uuid.UUID,
    access: Access,
    db: Db,
    accounts: AccountActor,
    outbox: Outbox,
) -> Response:
    """Let a disabled user sign in again."""
    async with db.write() as session:
        user = await present_person(access, accounts.registry, session, user_id, opens=False)
        await enable_user(session, accounts, user, actor=access.actor)
        await session.refresh(user)
        representation = (await _representation(session, [user]))[0]
    outbox.nudge()
    return representation_response(representation)


@router.delete("/users/{user_id}", summary="Delete a user", responses=problems(404, 409, 412), **needs("users:delete"))
async def delete(
    user_id: uuid.UUID,
    access: Access,
    db: Db,
    accounts: AccountActor,
    outbox: Outbox,
    if_match: IfMatch = None,
) -> schemas.UserEnded:
    """Like disabling; all data of the user except the id is erased. This cannot be undone."""
    async with db.write() as session:
        user = await present_person(access, accounts.registry, session, user_id, opens=False)
        check_etag(if_match, (await _representation(session, [user]))[0], required=False)
        count = await delete_user(session, accounts, user, actor=access.actor)
        await session.refresh(user)
        representation = (await _representation(session, [user]))[0]
    outbox.nudge()
    return schemas.UserEnded(user=representation, sessions_ended=count)


async def present_person(
    access: CallerAccess, registry: Registry, session: AsyncSession, user_id: uuid.UUID, *, opens: bool = True
) -> User:
    """Return a person who is there and not deleted, held until the transaction ends, and whose account who calls may
    change. ``opens``: whether it changes what opens the account.

    Raises:
        Problem: when there is no such person.
        TooPowerful: when the account may do more than who calls.
    """
    user = await store.lock_user(session, user_id)
    if user is None:
        raise not_found("person")
    await check_power_over(session, registry, [user_id], access.rights, opens=opens)
    if user.deleted_at is not None:
        raise Problem(409, "deleted", "Who was deleted cannot be changed any more.")
    return user


async def _representation(session: AsyncSession, people: Sequence[User]) -> list[schemas.User]:
    user_ids = [user.id for user in people]
    roles = await store.roles_of_many(session, user_ids)
    identifiers = await store.identifiers_of_many(session, user_ids)
    return [_user_representation(user, roles[user.id], identifiers[user.id]) for user in people]


def _with_warnings(representation: schemas.User, values: NewUser | UserChange) -> schemas.UserWithWarnings:
    return schemas.UserWithWarnings(**representation.model_dump(), warnings=warnings_of(values))


def _user_representation(user: User, roles: list[str], identifiers: Sequence[Identifier]) -> schemas.User:
    status = "deleted" if user.deleted_at else "disabled" if user.disabled_at else "active"
    identifier_list = [
        {
            "kind": identifier.kind,
            "value": identifier.value,
            "verified": identifier.verified_at is not None,
            "primary": identifier.is_primary,
        }
        for identifier in identifiers
    ]
    return schemas.User.model_validate(
        {
            "id": user.id,
            "name": user.name,
            "status": status,
            "identifiers": identifier_list,
            "roles": roles,
            "locale": user.locale,
            "profile": user.profile,
            "created_at": user.created_at,
            "updated_at": user.updated_at,
            "disabled_at": user.disabled_at,
        }
    )
