"""Access to the API: the caller, and the permission that a route needs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, TypedDict

from fastapi import Depends
from fastapi.params import Depends as DependsParameter
from starlette.requests import Request

from sso import clock
from sso.accounts.role_assignments import sight_of
from sso.clients.privileges import Authority
from sso.http.api.problems import Problem
from sso.http.common.state import kept_address_of, request_id_of, site_of
from sso.oidc.token.bearer import REALM, Caller, caller_of
from sso.platform.actor import Actor
from sso.platform.permissions import PERMISSIONS, PermissionRefused, check_access, effective_permissions, permissions_of
from sso.settings import whole_seconds

PREFIX = "/api/v1"


class RouteOptions(TypedDict):
    """The options of a route that come from its permission: the check, and its description."""

    dependencies: list[DependsParameter]
    openapi_extra: dict[str, object]


class Audited(TypedDict):
    """Who asks, for log and audit, as arguments."""

    actor: str
    request_id: str


@dataclass(frozen=True, slots=True)
class CallerAccess:
    """What the caller may do.

    Args:
        caller: the caller.
        max_age: the longest time since the sign-in for dangerous operations.
        request_id: the reference of the request in the log.
        stored_ip_address: the IP address in the form in which it may be stored.
    """

    caller: Caller
    max_age: timedelta
    request_id: str
    stored_ip_address: str | None

    @property
    def actor(self) -> Actor:
        """The caller as the actor of a change."""
        return Actor(self.caller.actor, request_id=self.request_id)

    @property
    def actor_with_address(self) -> Actor:
        """The same, with the IP address for the audit log."""
        return Actor(self.caller.actor, stored_ip_address=self.stored_ip_address, request_id=self.request_id)

    @property
    def rights(self) -> frozenset[str]:
        """The permissions of the caller: those of the roles, limited to the scopes of the token."""
        return effective_permissions(self.caller.roles, self.caller.scopes)

    @property
    def authority(self) -> Authority:
        """What the caller may do with applications."""
        return self.caller.authority

    @property
    def audited(self) -> Audited:
        """The caller as the arguments ``actor`` and ``request_id``."""
        return {"actor": self.caller.actor, "request_id": self.request_id}

    @property
    def manages_all(self) -> bool:
        """Whether the caller manages every application."""
        return "clients:write" in self.authority.permissions

    def require(self, permission: str, *, roles: Collection[str] | None = None) -> None:
        """Check that the caller has a permission. ``roles``: counts in place of the roles of the user.

        Raises:
            Problem: when not.
        """
        caller = self.caller
        try:
            check_access(
                permission,
                roles=roles if roles is not None else caller.roles,
                scopes=caller.scopes,
                signed_in=caller.signed_in,
                since=clock.now() - self.max_age,
            )
        except PermissionRefused as error:
            raise _access_problem(error, whole_seconds(self.max_age)) from None


async def _access(request: Request) -> CallerAccess:
    """Return what the caller may do; asked once for each request."""
    provider, authorization = site_of(request).provider, request.headers.get("authorization", "")
    caller = await caller_of(provider, authorization, provider.url(PREFIX))
    age = provider.settings.reauthentication_age
    return CallerAccess(caller, age, request_id_of(request), kept_address_of(request))


Access = Annotated[CallerAccess, Depends(_access)]
"""What the caller may do, as a dependency of a route."""


def needs(permission: str) -> RouteOptions:
    """Return the options of a route that needs a permission."""

    async def check(access: Access) -> None:
        access.require(permission)

    return {
        "dependencies": [Depends(check)],
        "openapi_extra": {"security": [{"sso": [PERMISSIONS[permission].scope]}], "x-permission": permission},
    }


def needs_or_administers(permission: str) -> RouteOptions:
    """Return the options of a route that needs a permission, or somebody who is in the team of an application or looks
    after a unit. Their token needs the scope too; what exactly they may do is decided by the use case."""

    async def check(request: Request, access: Access) -> None:
        user_id = access.caller.user_id
        if user_id is None or permission in permissions_of(access.caller.roles or ()):
            access.require(permission)
            return
        async with site_of(request).provider.db.read() as session:
            administers = not (await sight_of(session, Actor(str(user_id)), user_id)).is_empty
        access.require(permission, roles=("admin",) if administers else access.caller.roles)

    return {
        "dependencies": [Depends(check)],
        "openapi_extra": {"security": [{"sso": [PERMISSIONS[permission].scope]}], "x-permission": permission},
    }


def needs_nothing() -> RouteOptions:
    """Return the options of a route that needs a valid access token and no permission."""

    return {"dependencies": [Depends(_access)], "openapi_extra": {"security": [{"sso": []}], "x-permission": ""}}


def _access_problem(error: PermissionRefused, seconds: int) -> Problem:
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
