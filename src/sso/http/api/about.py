"""The caller of the API, and the permissions that exist."""

from __future__ import annotations

from sso.http.api.access import PREFIX, Access, needs_nothing
from sso.http.api.problems import problems
from sso.http.api.schemas import about as schemas
from sso.http.common.late_routes import new_router
from sso.platform.permissions import PERMISSIONS, ROLES, permissions_of

router = new_router(prefix=PREFIX, tags=["about"])


@router.get("/me", summary="Show the caller", responses=problems(), **needs_nothing())
async def me(access: Access) -> schemas.Caller:
    """The application and user of the access token, and their permissions."""
    caller = access.caller
    scoped = {name for name, permission in PERMISSIONS.items() if permission.scope in caller.scopes}
    allowed = scoped if caller.roles is None else scoped & permissions_of(caller.roles)
    return schemas.Caller(
        client_id=caller.client.client_id,
        user_id=caller.user_id,
        scopes=sorted(caller.scopes),
        roles=caller.roles or [],
        permissions=sorted(allowed),
    )


@router.get("/permissions", summary="List permissions and roles", responses=problems(), **needs_nothing())
async def list_permissions() -> list[schemas.Permission]:
    """Every permission, the scope that an application needs for it, and the roles that have it."""
    return [
        schemas.Permission(
            name=permission.name,
            scope=permission.scope,
            meaning=permission.meaning,
            dangerous=permission.dangerous,
            roles=[role for role, names in ROLES.items() if permission.name in names],
        )
        for permission in PERMISSIONS.values()
    ]
