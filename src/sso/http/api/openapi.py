"""The API about itself: who calls, which permissions there are, and its description (OpenAPI 3.1)."""

from __future__ import annotations

import uuid
from functools import cache
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from sso import __version__
from sso.http.api.common import PREFIX, ProblemBody, caller_in, needs_nothing, problems, site_of
from sso.platform.permissions import PERMISSIONS, ROLES, permissions_of

router = APIRouter(prefix=PREFIX, tags=["about"])
public = APIRouter(prefix=PREFIX)

_ABOUT = """Sessions, people, applications, grants, deliveries, webhooks and the audit log of the city's sign-on.

Get an access token from this same server, for an application of the city (`first_party: true`) that registered the
scopes and was granted them: by `client_credentials`, for a program; or by signing somebody in, and then both the scopes
and the person's roles must allow what is asked for. What is dangerous needs somebody who signed in within ten minutes
(RFC 9470).

Lists come in pages: pass `next_cursor` as `cursor`. Errors are problems (RFC 9457). What is changed is sent with
`If-Match` and the ETag of what was seen; what is made, with an `Idempotency-Key` where it may be sent twice."""


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


@public.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """The description of the API (OpenAPI 3.1)."""
    return Response(_document(site_of(request).settings.issuer), media_type="application/json")


@cache
def _document(issuer: str) -> bytes:
    return orjson.dumps(description(issuer))


def description(issuer: str) -> dict[str, Any]:
    """Return the description of the API.

    Args:
        issuer: the provider's address.
    """
    from sso.http.api.routers import routers

    app = FastAPI()
    for one in routers:
        app.include_router(one)
    document = get_openapi(title="Sign-on administration", version=__version__, description=_ABOUT, routes=app.routes)
    document["servers"] = [{"url": issuer}]
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= _schemas_of(ProblemBody)
    document["components"]["securitySchemes"] = {"sso": _security(issuer)}
    for methods in document["paths"].values():
        for operation in methods.values():
            _say_what_is_needed(operation)
            for parameter in operation.get("parameters", []):
                _leave_out_null(parameter)
    return document


def _schemas_of(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), model.__name__: schema}


def _security(issuer: str) -> dict[str, Any]:
    scopes = {one.scope: one.meaning for one in PERMISSIONS.values()}
    return {
        "type": "oauth2",
        "flows": {
            "clientCredentials": {"tokenUrl": f"{issuer}/token", "scopes": scopes},
            "authorizationCode": {
                "authorizationUrl": f"{issuer}/authorize",
                "tokenUrl": f"{issuer}/token",
                "scopes": scopes,
            },
        },
    }


def _leave_out_null(parameter: dict[str, Any]) -> None:
    """A parameter that may be left out is never null: in an address or a header that would be a word."""
    schema = parameter["schema"]
    kinds = [one for one in schema.pop("anyOf", []) if one != {"type": "null"}]
    if len(kinds) == 1:
        schema.update(kinds[0])


def _say_what_is_needed(operation: dict[str, Any]) -> None:
    permission = PERMISSIONS.get(operation.pop("x-permission", ""))
    if permission is None:
        return
    said = f"Needs `{permission.scope}`" + (", and a sign-in within ten minutes." if permission.dangerous else ".")
    operation["description"] = "\n\n".join(part for part in (operation.get("description", ""), said) if part)
