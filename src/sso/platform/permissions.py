"""Permissions and roles, and the function that checks them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

SCOPE_PREFIX = "sso:"
"""Prefix of the scope of a permission, as in ``sso:sessions:read``. Only applications of the city get these scopes."""

RoleName = Literal["citizen", "employee", "developer", "helpdesk", "officer", "group_admin", "auditor", "admin"]


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission. ``dangerous``: the user must have signed in recently."""

    name: str
    meaning: str
    dangerous: bool = False

    @property
    def scope(self) -> str:
        """The scope that an application needs for the permission."""
        return SCOPE_PREFIX + self.name


PERMISSIONS: Mapping[str, Permission] = MappingProxyType(
    {
        permission.name: permission
        for permission in (
            Permission("sessions:read", "See sessions, and the report of deliveries."),
            Permission("sessions:end", "End one session."),
            Permission("sessions:end_many", "End every session of a person, of an application, or all.", True),
            Permission("users:read", "Look people up, with their identifiers and roles."),
            Permission("users:export", "Download lists with personal data.", True),
            Permission("users:write", "Make, change, disable and enable people.", True),
            Permission("users:delete", "Delete people.", True),
            Permission("users:roles", "Give and take roles.", True),
            Permission("users:recover", "Make a code with which a person who lost everything gets back in.", True),
            Permission("users:check_identity", "Record that a person's document was checked at a counter.", True),
            Permission("users:merge", "Decide about people who were imported and seem to be here already.", True),
            Permission("groups:read", "See units and groups, and who belongs to them."),
            Permission("groups:write", "Change units and groups, and who belongs to them.", True),
            Permission("assignments:read", "See which users have which roles of applications."),
            Permission("assignments:write", "Give and take roles of applications.", True),
            Permission("mails:read", "See what mails and SMS say."),
            Permission("clients:read", "See registered applications."),
            Permission("clients:write", "Register, change, suspend and resume applications; make secrets.", True),
            Permission("clients:delete", "Remove applications.", True),
            Permission(
                "clients:grant",
                "Give applications administration permissions and restricted data, and take them.",
                True,
            ),
            Permission("applications:create", "Begin applications in the developers' portal."),
            Permission("applications:review", "Approve applications of teams, or send them back.", True),
            Permission("statistics:read", "See how often what happens."),
            Permission("keys:read", "See the signing keys."),
            Permission("keys:rotate", "Make new signing keys.", True),
            Permission("settings:read", "See the settings in effect, and how each host is."),
            Permission("settings:write", "Change the settings that are kept in the database.", True),
            Permission("grants:read", "See what people allowed applications."),
            Permission("grants:revoke", "End what was granted."),
            Permission("deliveries:read", "See what is sent to applications, and what failed."),
            Permission("deliveries:retry", "Send once more what failed."),
            Permission("webhooks:read", "See which servers are told of events."),
            Permission("webhooks:write", "Decide which servers are told of events.", True),
            Permission("audit:read", "Read the audit log."),
        )
    }
)

_READS = frozenset(name for name in PERMISSIONS if name.endswith(":read"))
ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "admin": frozenset(PERMISSIONS),
        "auditor": _READS | {"users:export"},
        "helpdesk": frozenset(
            {"users:read", "users:recover", "sessions:read", "sessions:end", "grants:read", "deliveries:read"}
        ),
        "group_admin": frozenset(),
        "officer": frozenset({"users:read", "users:check_identity"}),
        "developer": frozenset({"applications:create"}),
        "employee": frozenset(),
        "citizen": frozenset(),
    }
)
"""The permissions of each role. Users manage their own sessions without a permission."""
GROUP_PERMISSIONS = frozenset({"clients:read", "clients:write", "applications:review"})
"""The permissions of the role ``group_admin`` for the applications of its groups, on the administrators' pages, which
check the group. The API does not know groups and gives the role no permission."""

UNIT_PERMISSIONS = frozenset({"groups:read", "groups:write"})
"""What the power over the account of a unit administrator counts with. On the administrators' pages, which check the
unit, unit administrators see their units and add and end memberships there; they have neither permission."""


def is_staff(roles: Collection[str]) -> bool:
    """Tell whether a user works for the city: ``employee`` says so and permits nothing, and so does every role with
    permissions."""
    return not set(roles) <= {"citizen"}


RESTRICTED_SCOPES = ("nik",)
"""Scopes of personal data that only a full administrator grants to an application, one by one, as for permissions."""
SPECIFIC_PREFIX = "specific_"
"""How the scopes begin that a city declares for specific personal data (UU PDP article 4): they are restricted too."""
GRANTING = "clients:grant"
"""The permission to grant privileges to applications. It always requires a user."""
GIVES_POWER = frozenset(
    {
        GRANTING,
        "users:roles",
        "users:recover",
        "users:check_identity",
        "users:merge",
        "groups:write",
        "assignments:write",
    }
)
"""Permissions over accounts and rights. A token without a user has one only if the grant of the application allows it
(``without_person``); never :data:`GRANTING`."""


class PermissionRefused(Exception):
    """Access is denied. ``code``: ``insufficient_scope``, ``no_permission`` or ``sign_in_again``."""

    def __init__(self, code: Literal["insufficient_scope", "no_permission", "sign_in_again"], name: str) -> None:
        super().__init__(f"{code}: {name}")
        self.code = code
        self.permission = PERMISSIONS[name]


def permissions_of(roles: Collection[str]) -> frozenset[str]:
    """Return every permission that one of the roles gives; a role that does not exist gives none."""
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))


def effective_permissions(roles: Collection[str] | None, scopes: Collection[str] | None) -> frozenset[str]:
    """Return the permissions of a user, limited to the scopes of the application.

    Args:
        roles: of the user; None for a token without a user.
        scopes: of the access token; None in the browser of the user.
    """
    of_person = frozenset(PERMISSIONS) if roles is None else permissions_of(roles)
    of_token = frozenset(PERMISSIONS) if scopes is None else permissions_in(scopes)
    return frozenset() if roles is None and scopes is None else of_person & of_token


def permissions_in(scopes: Collection[str]) -> frozenset[str]:
    """Return the permissions that scopes name."""
    return frozenset(name for name, permission in PERMISSIONS.items() if permission.scope in scopes)


@lru_cache(maxsize=1000)
def is_restricted(scope: str) -> bool:
    """Tell whether a scope is a privilege, which the application needs a grant for in addition to its registration."""
    return scope.startswith(SCOPE_PREFIX) or is_restricted_data(scope)


def is_restricted_data(scope: str) -> bool:
    """Tell whether a scope is of personal data that an application needs a grant for."""
    return scope in RESTRICTED_SCOPES or scope.startswith(SPECIFIC_PREFIX)


def restricted(scopes: Collection[str]) -> list[str]:
    """Return those of ``scopes`` that are privileges, in order."""
    return sorted({scope for scope in scopes if is_restricted(scope)})


def usable_alone(scope: str, without_person: bool) -> bool:
    """Tell whether a token without a user may have a privilege of its application.

    Args:
        scope: the privilege.
        without_person: whether the grant allows tokens without a user.
    """
    name = scope.removeprefix(SCOPE_PREFIX)
    if scope.startswith(SPECIFIC_PREFIX):
        return False
    return name != GRANTING and (without_person or name not in GIVES_POWER)


def needs_a_word(scope: str) -> bool:
    """Tell whether a token without a user has this privilege only if the grant says ``without_person``."""
    return not usable_alone(scope, False) and usable_alone(scope, True)


def yields(privileges: Collection[str]) -> frozenset[str]:
    """Return the permissions that a user must have to control an application with these privileges: its permissions
    and, for restricted data, the permission to grant the data."""
    data = frozenset({GRANTING}) if any(is_restricted_data(scope) for scope in privileges) else frozenset()
    return permissions_in(privileges) | data


def lacking(actor: Collection[str], yielded: Collection[str]) -> list[str]:
    """Return the permissions that an action would give and that the actor lacks, sorted. The action is allowed only if
    there are none: nobody can give, approve, own, reset or take over more than they have themselves.

    Args:
        actor: the permissions of the actor, from :func:`effective_permissions`.
        yielded: the permissions after the action: of a role, of the scopes of an application, over an account.
    """
    return sorted(set(yielded) - set(actor))


def roles_with(permission: str) -> list[str]:
    """Return the roles that have a permission."""
    return [role for role, permissions in ROLES.items() if permission in permissions]


def power_of(roles: Collection[str], scopes: Collection[str]) -> frozenset[str]:
    """Return the permissions of anybody who controls an account.

    Args:
        roles: of the user. ``group_admin`` counts with ``GROUP_PERMISSIONS``, for any groups.
        scopes: of every application whose secrets the user can create.
    """
    of_groups = GROUP_PERMISSIONS if "group_admin" in roles else frozenset()
    return permissions_of(roles) | of_groups | permissions_in(scopes)


def check_access(
    name: str,
    *,
    roles: Collection[str] | None,
    scopes: Collection[str] | None,
    signed_in: datetime | None,
    since: datetime,
) -> None:
    """Check that the application (by its scopes) and the user (by the roles) have a permission.

    Args:
        name: of the permission.
        roles: of the user; None for a program without a user.
        scopes: of the access token; None in the browser of the user.
        signed_in: the time of the authentication of the user; None without a user.
        since: the earliest authentication that is accepted for dangerous permissions (RFC 9470 section 3).

    Raises:
        PermissionRefused: when the permission is missing, or the authentication is too old.
    """
    permission = PERMISSIONS[name]
    if scopes is not None and permission.scope not in scopes:
        raise PermissionRefused("insufficient_scope", name)
    if roles is None and scopes is None:
        raise PermissionRefused("no_permission", name)
    if roles is not None and name not in permissions_of(roles):
        raise PermissionRefused("no_permission", name)
    if permission.dangerous and roles is not None and (signed_in is None or signed_in < since):
        raise PermissionRefused("sign_in_again", name)
