"""Access to the API: the caller, and the permission that a route needs."""

from __future__ import annotations

from typing import TypedDict

from fastapi import Depends
from fastapi.params import Depends as DependsParameter
from starlette.requests import Request

from sso import clock
from sso.http.api.problems import Problem
from sso.http.common.state import request_id_of, site_of
from sso.oidc.token.bearer import REALM, Caller, caller_of
from sso.platform.actor import Actor
from sso.platform.permissions import PERMISSIONS, AccessRefused, check_access, effective_permissions
from sso.settings import whole_seconds

PREFIX = "/api/v1"


class RouteOptions(TypedDict):
    """The options of a route that come from its permission: the check, and its description."""

    dependencies: list[DependsParameter]
    openapi_extra: dict[str, object]


def needs(permission: str) -> RouteOptions:
    """Return the options of a route that needs a permission."""

    async def check(request: Request) -> None:
        request.state.caller = await _caller(request)
        require(request, permission)

    found = PERMISSIONS[permission]
    return {
        "dependencies": [Depends(check)],
        "openapi_extra": {"security": [{"sso": [found.scope]}], "x-permission": permission},
    }


def needs_nothing() -> RouteOptions:
    """Return the options of a route that needs a valid access token and no permission."""

    async def check(request: Request) -> None:
        request.state.caller = await _caller(request)

    return {"dependencies": [Depends(check)], "openapi_extra": {"security": [{"sso": []}], "x-permission": ""}}


def require(request: Request, permission: str) -> None:
    """Check that the caller has a permission.

    Raises:
        Problem: when not.
    """
    caller, max_age = caller_in(request), site_of(request).settings.reauthentication_age
    try:
        check_access(
            permission,
            roles=caller.roles,
            scopes=caller.scopes,
            signed_in=caller.signed_in,
            since=clock.now() - max_age,
        )
    except AccessRefused as error:
        raise _access_problem(error, whole_seconds(max_age)) from None


def rights_of(request: Request) -> frozenset[str]:
    """Return the permissions of the caller: those of the roles, limited to the scopes of the token."""
    caller = caller_in(request)
    return effective_permissions(caller.roles, caller.scopes)


def caller_in(request: Request) -> Caller:
    """Return the caller."""
    caller: Caller = request.state.caller
    return caller


def actor_of(request: Request) -> Actor:
    """Return the caller as the actor of a change."""
    return Actor(caller_in(request).actor, request_id=request_id_of(request))


async def _caller(request: Request) -> Caller:
    provider = site_of(request).provider
    return await caller_of(provider, request.headers.get("authorization", ""), provider.url(PREFIX))


def _access_problem(error: AccessRefused, seconds: int) -> Problem:
    scope = error.permission.scope
    if error.code == "sign_in_again":
        text = f"This needs somebody who signed in within {seconds} seconds: ask for max_age={seconds}."
        code = "insufficient_user_authentication"
        challenge = f'{REALM}, error="{code}", error_description="{text}", max_age="{seconds}"'
        return Problem(401, code, text, headers={"WWW-Authenticate": challenge})
    if error.code == "insufficient_scope":
        text = f"The access token needs the scope {scope}."
        challenge = f'{REALM}, error="insufficient_scope", error_description="{text}", scope="{scope}"'
        return Problem(403, "insufficient_scope", text, headers={"WWW-Authenticate": challenge})
    return Problem(403, "no_permission", f"No role of this person has the permission {error.permission.name}.")
