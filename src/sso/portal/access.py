"""Who may see and change an application: its team, and administrators who may see every application."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import and_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients.models import HERE, Application, ClientRow, TeamMember

RequiredRole = Literal["owner", "member", "reader"]
"""``owner``: only owners; ``member``: everybody in the team; ``reader``: administrators who may see it too."""
Access = Literal["member", "viewer", "hidden", "forbidden"]
"""``viewer``: sees it without a role in its team; ``hidden``: must not learn whether it exists."""


@dataclass(frozen=True, slots=True)
class TeamApplication:
    """An application as one user sees it.

    Args:
        application: the application; one that a catalogue file manages has the state that the file gives it.
        role: the role of the user in its team; None: they have none.
        catalogue: the catalogue file that manages its configuration; empty: its team does.
    """

    application: Application
    role: str | None
    catalogue: str


_TEAM_APPLICATION = (
    select(Application, TeamMember.role, ClientRow.catalogue, ClientRow.status)
    .outerjoin(ClientRow, ClientRow.client_id == Application.application_id)
    .outerjoin(
        TeamMember,
        and_(TeamMember.application_id == Application.application_id, TeamMember.user_id == bindparam("user_id")),
    )
    .where(Application.application_id == bindparam("application_id"))
)


async def team_application(session: AsyncSession, application_id: str, user_id: uuid.UUID) -> TeamApplication | None:
    """Return an application as a user sees it; None: there is none. One statement."""
    values = {"application_id": application_id, "user_id": user_id}
    row = (await session.execute(_TEAM_APPLICATION, values)).first()
    if row is None:
        return None
    application, role, catalogue, status = row
    if catalogue is None or catalogue == HERE:  # there is no client, or it is managed here
        return TeamApplication(application, role, "")
    application.state = "approved" if status == "active" else "suspended"
    return TeamApplication(application, role, catalogue)


def access_to(
    required: RequiredRole, seen: TeamApplication | None, *, sees_applications: bool, groups: Collection[str] | None
) -> Access:
    """Decide whether a user may use a page of an application.

    Args:
        required: the role that the page needs.
        seen: the application; None: there is none.
        sees_applications: whether the user has the permission ``clients:read``.
        groups: the groups of applications that the permission is limited to; None: all.
    """
    if seen is None:
        return "hidden"
    if seen.role is None:
        may_view = sees_applications and (groups is None or seen.application.group in groups)
        return "viewer" if required == "reader" and may_view else "hidden"
    return "forbidden" if required == "owner" and seen.role != "owner" else "member"
