"""Who may do what: every permission and every role, in one table, and the one place where they are checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Literal

SCOPE_PREFIX = "sso:"
"""What the scope of a permission begins with: ``sso:sessions:read``. Only the city's own applications have them."""

RoleName = Literal["citizen", "developer", "helpdesk", "officer", "group_admin", "auditor", "admin"]


@dataclass(frozen=True, slots=True)
class Permission:
    """Something that not everybody may do. ``dangerous``: only soon after signing in."""

    name: str
    meaning: str
    dangerous: bool = False

    @property
    def scope(self) -> str:
        """The scope that an application needs for it."""
        return SCOPE_PREFIX + self.name


PERMISSIONS: Mapping[str, Permission] = MappingProxyType(
    {
        one.name: one
        for one in (
            Permission("sessions:read", "See sessions, and the proof of their end."),
            Permission("sessions:end", "End one session."),
            Permission("sessions:end_many", "End every session of a person, of an application, or all.", True),
            Permission("users:read", "Look people up, with their identifiers and roles."),
            Permission("users:write", "Make, change, disable and enable people.", True),
            Permission("users:delete", "Delete people.", True),
            Permission("users:roles", "Give and take roles.", True),
            Permission("users:recover", "Make a code with which a person who lost everything gets back in.", True),
            Permission("users:check_identity", "Record that a person's document was checked at a counter.", True),
            Permission("users:merge", "Decide about people who were imported and seem to be here already.", True),
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
        "auditor": _READS,
        "helpdesk": frozenset(
            {"users:read", "users:recover", "sessions:read", "sessions:end", "grants:read", "deliveries:read"}
        ),
        "group_admin": frozenset(),
        "officer": frozenset({"users:read", "users:check_identity"}),
        "developer": frozenset({"applications:create"}),
        "citizen": frozenset(),
    }
)
"""What each role may. Everybody may look after their own sessions without any."""
GROUP_PERMISSIONS = frozenset({"clients:read", "clients:write", "applications:review"})
"""What the role ``group_admin`` may, for the applications of its groups alone: on the administrators' pages, which
check the group. The API does not know groups, and gives it nothing."""


RESTRICTED_SCOPES = ("nik",)
"""Scopes with data of people that only a full administrator gives to an application, one by one, like the scopes of
permissions. The one list of them."""
GRANTING = "clients:grant"
"""The permission to give privileges to applications. It needs a person, whatever the application was granted."""
GIVES_POWER = frozenset({GRANTING, "users:roles", "users:recover", "users:check_identity", "users:merge"})
"""Permissions that open accounts or give rights. A token without a person has one only where the grant of the
application says so (``without_person``); never :data:`GRANTING`."""


class AccessRefused(Exception):
    """It is not allowed. ``code``: ``insufficient_scope``, ``no_permission`` or ``sign_in_again``."""

    def __init__(self, code: Literal["insufficient_scope", "no_permission", "sign_in_again"], wanted: str) -> None:
        super().__init__(f"{code}: {wanted}")
        self.code = code
        self.wanted = PERMISSIONS[wanted]


def permissions_of(roles: Collection[str]) -> frozenset[str]:
    """Return everything that somebody with these roles may do."""
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))


def effective_permissions(roles: Collection[str] | None, scopes: Collection[str] | None) -> frozenset[str]:
    """Return the permissions of whoever acts: those of the person, limited to what the application was given.

    Args:
        roles: of the person; None where no person is behind the token.
        scopes: of the access token; None where the person's own browser acts.
    """
    of_person = frozenset(PERMISSIONS) if roles is None else permissions_of(roles)
    of_token = frozenset(PERMISSIONS) if scopes is None else permissions_in(scopes)
    return frozenset() if roles is None and scopes is None else of_person & of_token


def permissions_in(scopes: Collection[str]) -> frozenset[str]:
    """Return the permissions that scopes name."""
    return frozenset(name for name, one in PERMISSIONS.items() if one.scope in scopes)


def is_restricted(scope: str) -> bool:
    """Tell whether a scope is a privilege: it needs a grant to the application besides its registration."""
    return scope.startswith(SCOPE_PREFIX) or scope in RESTRICTED_SCOPES


def restricted(scopes: Collection[str]) -> list[str]:
    """Return those of ``scopes`` that are privileges, in order."""
    return sorted({one for one in scopes if is_restricted(one)})


def usable_alone(scope: str, without_person: bool) -> bool:
    """Tell whether a token without a person may have a privilege that its application was granted.

    Args:
        scope: the privilege.
        without_person: whether the grant says that it holds without a person too.
    """
    name = scope.removeprefix(SCOPE_PREFIX)
    return name != GRANTING and (without_person or name not in GIVES_POWER)


def needs_a_word(scope: str) -> bool:
    """Tell whether a grant must say ``without_person`` for a token without a person to have this privilege."""
    return not usable_alone(scope, False) and usable_alone(scope, True)


def yields(privileges: Collection[str]) -> frozenset[str]:
    """Return the permissions that somebody needs who takes hold of an application with these privileges: those that it
    has itself and, for restricted data, the permission to give that data."""
    data = frozenset({GRANTING}) if any(one in RESTRICTED_SCOPES for one in privileges) else frozenset()
    return permissions_in(privileges) | data


def lacking(actor: Collection[str], yielded: Collection[str]) -> list[str]:
    """Return the permissions that an act would yield and the actor does not have, in order. The act is allowed only
    where there are none: nobody gives, approves, owns, resets or takes over more than they have themselves.

    Args:
        actor: what the actor may do, from :func:`effective_permissions`.
        yielded: what somebody may do after the act: a role, the scopes of an application, the power over an account.
    """
    return sorted(set(yielded) - set(actor))


def power_of(roles: Collection[str], scopes: Collection[str]) -> frozenset[str]:
    """Return the power over an account: everything that somebody could do who takes the account over.

    Args:
        roles: of the person. ``group_admin`` counts with ``GROUP_PERMISSIONS``, whatever the groups are.
        scopes: of every application that the person can make a secret for.
    """
    of_groups = GROUP_PERMISSIONS if "group_admin" in roles else frozenset()
    return permissions_of(roles) | of_groups | permissions_in(scopes)


def check_access(
    wanted: str,
    *,
    roles: Collection[str] | None,
    scopes: Collection[str] | None,
    signed_in: datetime | None,
    since: datetime,
) -> None:
    """Check that something is allowed: to the application (its scopes), and to the person (the roles).

    Args:
        wanted: the name of a permission.
        roles: of the person; None where no person is behind it: a program of the city.
        scopes: of the application's token; None where the person's own browser is here.
        signed_in: when the person last proved who they are; None where no person is behind it.
        since: the moment after which that must have been for dangerous acts (RFC 9470 section 3).

    Raises:
        AccessRefused: when it is not.
    """
    permission = PERMISSIONS[wanted]
    if scopes is not None and permission.scope not in scopes:
        raise AccessRefused("insufficient_scope", wanted)
    if roles is None and scopes is None:
        raise AccessRefused("no_permission", wanted)
    if roles is not None and wanted not in permissions_of(roles):
        raise AccessRefused("no_permission", wanted)
    if permission.dangerous and roles is not None and (signed_in is None or signed_in < since):
        raise AccessRefused("sign_in_again", wanted)
