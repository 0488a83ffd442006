"""The roles and groups of the user, where each comes from, and which application is told of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from sso import clock
from sso.accounts.access_changes import notified_applications
from sso.http.account.access import OwnPage, OwnVisit
from sso.http.common.late_routes import new_router
from sso.http.common.user_roles import name_of_group, roles_of_user
from sso.identity.groups import assignments

router = new_router()


@router.get("/account/access")
async def roles_and_groups(here: Annotated[OwnVisit, Depends(OwnPage("access"))]) -> Response:
    """The roles and groups of the user."""
    registry = here.services.changes.registry
    async with here.services.db.read() as session:
        groups = await assignments.groups_of_user(session, here.user.id, clock.now())
        held = await roles_of_user(session, registry, here.user.id)
        notified = await notified_applications(session, registry, here.user.id)
    return here.page("account_access.html", groups=groups, held=held, notified=notified, name_of_group=name_of_group)
