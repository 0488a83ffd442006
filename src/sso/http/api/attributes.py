"""The attributes of a user that the city declared."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import Body, Query
from pydantic import JsonValue

from sso.accounts.attributes import attribute_views, change_values, staff_of
from sso.accounts.role_assignments import checked_reason
from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.problems import not_found, problems
from sso.http.api.schemas import attributes as schemas
from sso.http.api.schemas.groups import REASON
from sso.http.api.users import present_person
from sso.http.common.late_routes import new_router
from sso.http.common.services import AccountActor, Db
from sso.identity.groups.schemas import MAX_REASON_CHARS
from sso.identity.users.models import User

router = new_router(prefix=PREFIX, tags=["users"])
MAX_CHANGED = 100


@router.get(
    "/users/{user_id}/attributes",
    summary="Show the attributes of a user",
    responses=problems(404),
    **needs("users:read"),
)
async def get_attributes(user_id: uuid.UUID, access: Access, db: Db, accounts: AccountActor) -> schemas.UserAttributes:
    """The values that the caller may read: `administrators` are callers with `sso:users:write`, `helpdesk` are callers
    with `sso:users:recover`. An attribute without a value is `null`."""
    async with db.read() as session:
        if await session.get(User, user_id) is None:
            raise not_found("person")
        city, who = accounts.registry.city, staff_of(access.rights)
        attributes = await attribute_views(session, accounts.box, city, user_id, who)
    return schemas.UserAttributes(attributes={each.name: each.value for each in attributes if each.readable})


@router.patch(
    "/users/{user_id}/attributes",
    summary="Change attributes of a user",
    responses=problems(404, 409, 422),
    **needs("users:write"),
)
async def patch_attributes(
    user_id: uuid.UUID,
    body: Annotated[
        dict[str, JsonValue],
        Body(max_length=MAX_CHANGED, examples=[{"household_size": 4, "languages": None}]),
    ],
    reason: Annotated[str, Query(min_length=1, max_length=MAX_REASON_CHARS, description=REASON)],
    access: Access,
    db: Db,
    accounts: AccountActor,
) -> schemas.UserAttributes:
    """Change the attributes that the body names (RFC 7396), all or none; `null` deletes a value. The caller must be
    allowed to write each of them."""
    note = checked_reason(reason)
    async with db.write() as session:
        await present_person(access, accounts.registry, session, user_id, opens=False)
        who = staff_of(access.rights)
        await change_values(session, accounts.box, user_id, body, who=who, actor=access.actor, reason=note)
    return await get_attributes(user_id, access, db, accounts)
