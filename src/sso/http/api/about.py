"""The caller of the API, and the permissions that exist."""

from __future__ import annotations

import uuid

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request

from sso.http.api.common import PREFIX, caller_in, needs_nothing, problems
from sso.platform.permissions import PERMISSIONS, ROLES, permissions_of

router = APIRouter(prefix=PREFIX, tags=["about"])


class CallerShown(BaseModel):
    """Who calls, and what they may do."""

    client_id: str
    user_id: uuid.UUID | None
    scopes: list[str]
    roles: list[str]
    permissions: list[str]


class PermissionShown(BaseModel):
    """Something that not everybody may do."""

    name: str
    scope: str
    meaning: str
    dangerous: bool
    roles: list[str]


@router.get("/me", summary="Who calls", responses=problems(), **needs_nothing())
async def me(request: Request) -> CallerShown:
    """Who the access token belongs to, and what can be done with it."""
    caller = caller_in(request)
    scoped = {name for name, one in PERMISSIONS.items() if one.scope in caller.scopes}
    allowed = scoped if caller.roles is None else scoped & permissions_of(caller.roles)
    return CallerShown(
        client_id=caller.client.client_id,
        user_id=caller.user_id,
        scopes=sorted(caller.scopes),
        roles=caller.roles or [],
        permissions=sorted(allowed),
    )


@router.get("/permissions", summary="List permissions and roles", responses=problems(), **needs_nothing())
async def list_permissions() -> list[PermissionShown]:
    """Every permission, the scope that an application needs for it, and the roles that have it."""
    return [
        PermissionShown(
            name=one.name,
            scope=one.scope,
            meaning=one.meaning,
            dangerous=one.dangerous,
            roles=[role for role, names in ROLES.items() if one.name in names],
        )
        for one in PERMISSIONS.values()
    ]
