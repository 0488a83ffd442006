"""The roles of one user in applications, as pages show them: each with where it comes from."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.registry import Client, Registry
from sso.identity.groups import assignments as store
from sso.identity.groups.assignments import HeldFrom
from sso.identity.groups.models import Group, RoleAssignment


@dataclass(frozen=True, slots=True)
class RoleOfUser:
    """A role of a user in an application now.

    Args:
        client: the application.
        assignment: gives the role.
        unit: the unit that it is limited to.
        group: the group that it comes from; None: it was given to the user.
        member_of: the group that the user is a member of.
    """

    client: Client
    assignment: RoleAssignment
    unit: Group | None
    group: Group | None
    member_of: Group | None

    def title(self, locale: str) -> str:
        """Return the title of the role in the language of ``locale``."""
        return self.client.meta.application_roles[self.assignment.role].title_in(locale)


def name_of_group(group: Group, locale: str) -> str:
    """Return the name of a unit or group in the language of ``locale``."""
    return (group.name_en if locale == "en" else None) or group.name_id


async def roles_of_user(session: AsyncSession, registry: Registry, user_id: uuid.UUID) -> list[RoleOfUser]:
    """Return the roles of a user, by application. Roles that an application does not define any more are left out."""
    held = await store.held_from(session, clock.now(), user_id=user_id)
    roles = [role for row in held if (role := _role_of_user(registry, row)) is not None]
    return sorted(roles, key=lambda role: (role.client.meta.client_name.casefold(), role.assignment.role))


def _role_of_user(registry: Registry, row: HeldFrom) -> RoleOfUser | None:
    client = registry.get(row.assignment.client_id)
    if client is None or row.assignment.role not in client.meta.application_roles:
        return None
    return RoleOfUser(client, row.assignment, row.unit, row.group, row.member_of)
