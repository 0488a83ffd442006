"""People: looking them up, making and changing them, disabling and deleting them, roles."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts.power import check_power, check_power_over, invited_power
from sso.accounts.service import change_person, delete_user, disable_user, enable_user, give_roles
from sso.http.api.common import (
    PREFIX,
    CursorText,
    IdempotencyKeyHeader,
    IfMatch,
    Limit,
    Made,
    Page,
    Problem,
    by,
    caller_in,
    check_etag,
    cut,
    etag_of,
    needs,
    not_found,
    once,
    problems,
    read_id_cursor,
    refused,
    request_id_of,
    require,
    rights_of,
    shown_response,
    site_of,
)
from sso.identity.users import store
from sso.identity.users.identifiers import Kind as IdentifierKind
from sso.identity.users.models import Identifier, User
from sso.identity.users.schemas import NewUser, Profile, UserChange, warnings_of
from sso.identity.users.service import UserError, create_users, find_all
from sso.platform.permissions import RoleName, power_of

router = APIRouter(prefix=PREFIX, tags=["users"])


class IdentifierShown(BaseModel):
    """What a person signs in with."""

    kind: IdentifierKind = Field(description="Of a NIK the value is masked.")
    value: str
    verified: bool
    primary: bool = Field(description="Of several of a kind, the one that applications are told.")


class UserShown(BaseModel):
    """A person."""

    id: uuid.UUID
    name: str
    status: Literal["active", "disabled", "deleted"]
    identifiers: list[IdentifierShown]
    roles: list[str]
    locale: str | None
    profile: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None


class UserWanted(NewUser):
    """A person to be made. Without a password nobody can sign in as them, until one is given."""

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={"examples": [{"username": "siti", "name": "Siti Rahmawati", "email": "siti@warga.example"}]},
    )

    profile: Profile = Field(default_factory=Profile)


class UserKept(UserShown):
    """A person who was made or changed."""

    warnings: list[str] = Field(
        description="What is unusual in the values that were given, such as a code that no table has. They are kept."
    )


class RolesWanted(BaseModel):
    """The roles that a person is to have, and no others."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"roles": ["citizen", "helpdesk"]}]})

    roles: Annotated[list[RoleName], Field(max_length=10)]


class Disabled(BaseModel):
    """A person who was disabled or deleted."""

    user: UserShown
    sessions_ended: int


@router.get("/users", summary="List people, or look one up", responses=problems(), **needs("users:read"))
async def list_users(
    request: Request,
    identifier: Annotated[
        str | None,
        Query(
            max_length=254,
            description="The person who has verified this identifier, or the only person who claims it: see "
            "`verified`. Two people where it is the user name of one, and the telephone number or NIK of another.",
        ),
    ] = None,
    role: Annotated[RoleName | None, Query()] = None,
    status: Annotated[Literal["active", "disabled", "deleted"] | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[UserShown]:
    async with site_of(request).provider.db.read() as session:
        if identifier is not None:
            try:
                found = await find_all(session, identifier, site_of(request).provider.box, unverified=True)
            except UserError:
                found = []
            return Page(items=await _shown(session, found))
        after = read_id_cursor(cursor)
        rows = await store.page_of_users(session, after, limit + 1, role=role, status=status)
        kept, following = cut(rows, limit, lambda one: one.id)
        return Page(items=await _shown(session, kept), next_cursor=following)


@router.post(
    "/users",
    status_code=201,
    summary="Make a person",
    response_model=UserKept,
    responses=problems(409),
    **needs("users:write"),
)
async def create_user(request: Request, wanted: UserWanted, key: IdempotencyKeyHeader = None) -> Response:
    """Make a person. Roles other than citizen need `sso:users:roles` too, and every permission of the roles; a NIK that
    is marked as verified needs `sso:users:check_identity`."""
    if set(wanted.roles) - {"citizen"}:
        require(request, "users:roles")
    if wanted.nik_verified:
        require(request, "users:check_identity")
    provider = site_of(request).provider

    async def check(session: AsyncSession) -> None:
        lookups = [one for one in (wanted.username, wanted.email, wanted.phone_number) if one]
        check_power(rights_of(request), power_of(wanted.roles, ()))
        check_power(rights_of(request), await invited_power(session, provider, lookups))

    async def make(session: AsyncSession) -> Made:
        try:
            made = (
                await create_users(session, [wanted], actor=caller_in(request).actor, box=site_of(request).provider.box)
            )[0]
        except UserError as error:
            raise refused(error) from None
        await session.flush()
        return Made(_kept((await _shown(session, [made]))[0], wanted), f"{PREFIX}/users/{made.id}")

    return await once(request, key, check, make)


@router.get(
    "/users/{user_id}",
    summary="Show a person",
    response_model=UserShown,
    responses=problems(404),
    **needs("users:read"),
)
async def get_user(request: Request, user_id: uuid.UUID) -> Response:
    async with site_of(request).provider.db.read() as session:
        found = await session.get(User, user_id)
        if found is None:
            raise not_found("person")
        return shown_response((await _shown(session, [found]))[0])


@router.patch(
    "/users/{user_id}",
    summary="Change a person",
    response_model=UserKept,
    responses=problems(404, 409, 412, 428),
    **needs("users:write"),
)
async def patch_user(request: Request, user_id: uuid.UUID, change: UserChange, if_match: IfMatch = None) -> Response:
    """Change what is named, and nothing else (RFC 7396). Every contact of the person is told of what opens the account.
    A contact that is marked as verified here is good for recovering the account alone only after a day."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        found = await present_person(request, session, user_id)
        check_etag(if_match, (await _shown(session, [found]))[0])
        try:
            lookups = [one for one in (change.username, change.email, change.phone_number) if one]
            check_power(rights_of(request), await invited_power(session, provider, lookups))
            who = by(request)
            await change_person(session, provider, found, change, **who)
        except UserError as error:
            raise refused(error) from None
        await session.flush()
        shown = (await _shown(session, [found]))[0]
    site_of(request).worker.nudge()
    return shown_response(_kept(shown, change), headers={"ETag": etag_of(shown)})


@router.put(
    "/users/{user_id}/roles",
    summary="Give a person roles",
    response_model=UserShown,
    responses=problems(404, 409, 412, 428),
    **needs("users:roles"),
)
async def put_roles(request: Request, user_id: uuid.UUID, wanted: RolesWanted, if_match: IfMatch = None) -> Response:
    """Put these roles in place of any others. Who calls holds every permission of the roles, those that the person has
    and those that they get. The last administrator stays one. With the first role that needs a second factor every
    session of the person ends."""
    site = site_of(request)
    async with site.provider.db.write() as session:
        found = await present_person(request, session, user_id, opens=False)
        check_etag(if_match, (await _shown(session, [found]))[0])
        check_power(rights_of(request), power_of(wanted.roles, ()))
        try:
            await give_roles(session, site.provider, found, wanted.roles, **by(request))
        except UserError as error:
            raise refused(error) from None
        await session.refresh(found)
        shown = (await _shown(session, [found]))[0]
    site.worker.nudge()
    return shown_response(shown)


@router.post(
    "/users/{user_id}/disable", summary="Disable a person", responses=problems(404, 409), **needs("users:write")
)
async def disable(request: Request, user_id: uuid.UUID) -> Disabled:
    """Refuse sign-in; every session and everything granted ends; applications are told."""
    site = site_of(request)
    async with site.provider.db.write() as session:
        found = await present_person(request, session, user_id, opens=False)
        try:
            count = await disable_user(
                session, site.provider, found, actor=caller_in(request).actor, request_id=request_id_of(request)
            )
        except UserError as error:
            raise refused(error) from None
        await session.refresh(found)
        shown = (await _shown(session, [found]))[0]
    site.worker.nudge()
    return Disabled(user=shown, sessions_ended=count)


@router.post(
    "/users/{user_id}/enable",
    summary="Enable a person",
    response_model=UserShown,
    responses=problems(404, 409),
    **needs("users:write"),
)
async def enable(request: Request, user_id: uuid.UUID) -> Response:
    """Let a disabled person sign in again."""
    site = site_of(request)
    async with site.provider.db.write() as session:
        found = await present_person(request, session, user_id, opens=False)
        await enable_user(
            session, site.provider, found, actor=caller_in(request).actor, request_id=request_id_of(request)
        )
        await session.refresh(found)
        shown = (await _shown(session, [found]))[0]
    site.worker.nudge()
    return shown_response(shown)


@router.delete(
    "/users/{user_id}", summary="Delete a person", responses=problems(404, 409, 412), **needs("users:delete")
)
async def delete(request: Request, user_id: uuid.UUID, if_match: IfMatch = None) -> Disabled:
    """As if disabled; and all that is known of the person but the id is erased. There is no way back."""
    site = site_of(request)
    async with site.provider.db.write() as session:
        found = await present_person(request, session, user_id, opens=False)
        check_etag(if_match, (await _shown(session, [found]))[0], required=False)
        try:
            count = await delete_user(
                session, site.provider, found, actor=caller_in(request).actor, request_id=request_id_of(request)
            )
        except UserError as error:
            raise refused(error) from None
        await session.refresh(found)
        shown = (await _shown(session, [found]))[0]
    site.worker.nudge()
    return Disabled(user=shown, sessions_ended=count)


async def present_person(request: Request, session: AsyncSession, user_id: uuid.UUID, *, opens: bool = True) -> User:
    """Return a person who is there and not deleted, held until the transaction ends, and whose account who calls may
    change. ``opens``: whether it changes what opens the account.

    Raises:
        Problem: when there is no such person.
        TooPowerful: when the account may do more than who calls.
    """
    found = await store.lock_user(session, user_id)
    if found is None:
        raise not_found("person")
    await check_power_over(session, site_of(request).provider, [user_id], rights_of(request), opens=opens)
    if found.deleted_at is not None:
        raise Problem(409, "deleted", "Who was deleted cannot be changed any more.")
    return found


async def _shown(session: AsyncSession, people: Sequence[User]) -> list[UserShown]:
    user_ids = [one.id for one in people]
    roles = await store.roles_of_many(session, user_ids)
    identifiers = await store.identifiers_of_many(session, user_ids)
    return [_shown_user(one, roles[one.id], identifiers[one.id]) for one in people]


def _kept(shown: UserShown, said: NewUser | UserChange) -> UserKept:
    return UserKept(**shown.model_dump(), warnings=warnings_of(said))


def _shown_user(user: User, roles: list[str], identifiers: Sequence[Identifier]) -> UserShown:
    status = "deleted" if user.deleted_at else "disabled" if user.disabled_at else "active"
    shown = [
        {
            "kind": one.kind,
            "value": one.value,
            "verified": one.verified_at is not None,
            "primary": one.is_primary,
        }
        for one in identifiers
    ]
    return UserShown.model_validate(
        {
            "id": user.id,
            "name": user.name,
            "status": status,
            "identifiers": shown,
            "roles": roles,
            "locale": user.locale,
            "profile": user.profile,
            "created_at": user.created_at,
            "updated_at": user.updated_at,
            "disabled_at": user.disabled_at,
        }
    )
