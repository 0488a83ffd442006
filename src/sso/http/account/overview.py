"""The overview of the own account."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from sso.http.account.access import OwnPage, OwnVisit, first_admin_page
from sso.http.common.late_routes import new_router
from sso.identity.users import store as users
from sso.platform.permissions import permissions_of

router = new_router()


@router.get("/account")
async def overview(here: Annotated[OwnVisit, Depends(OwnPage("account"))]) -> Response:
    """What the account has, and what the user should do."""
    user, roles = here.user, here.visit.roles
    async with here.services.db.read() as session:
        credentials = await users.credentials_of(session, user.id)
        identifiers = await users.identifiers_of(session, user.id)
        picture = await users.picture_of(session, user.id)
    return here.page(
        "account.html",
        kinds={credential.kind for credential in credentials},
        reached=[contact for contact in identifiers if contact.kind in ("email", "phone") and contact.verified_at],
        checked=user.identity_checked_at,
        picture=picture.id if picture else "",
        may_administer=first_admin_page(roles),
        may_develop="applications:create" in permissions_of(roles),
    )
