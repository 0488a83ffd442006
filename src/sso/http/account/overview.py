"""The start page of the account: protection, devices, applications, recent sign-ins and contacts."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from sso import clock
from sso.accounts.protection import protection_of
from sso.http.account.access import OwnPage, OwnVisit, first_admin_page
from sso.http.account.sessions import Row
from sso.http.common.late_routes import new_router
from sso.identity.sessions import store as sessions
from sso.identity.sessions.devices import device_of
from sso.identity.sessions.store import SessionFilter, Status
from sso.identity.users import store as users
from sso.platform.permissions import permissions_of

router = new_router()

DEVICES = 3
SIGN_INS = 4
RECENT = 4


@router.get("/account")
async def overview(here: Annotated[OwnVisit, Depends(OwnPage("account"))]) -> Response:
    """What the account has, and what the user should do next."""
    user, roles = here.user, here.visit.roles
    async with here.services.db.read() as session:
        kinds = {credential.kind for credential in await users.credentials_of(session, user.id)}
        identifiers = await users.identifiers_of(session, user.id)
        picture = await users.picture_of(session, user.id)
        devices = await _newest(session, here, "active", DEVICES + 1)
        sign_ins = await _newest(session, here, "all", SIGN_INS)
        used = await sessions.last_used_clients(session, user.id)
    reached = [contact for contact in identifiers if contact.kind in ("email", "phone") and contact.verified_at]
    known = [(here.services.changes.registry.get(client_id), at) for client_id, at in used.items()]
    recent = sorted(((client, at) for client, at in known if client), key=lambda pair: pair[1], reverse=True)
    this = here.own.session_id
    return here.page(
        "account.html",
        kinds=kinds,
        protection=protection_of(kinds, len(reached)),
        reached=reached,
        checked=user.identity_checked_at,
        picture=picture.id if picture else "",
        devices=sorted(devices[:DEVICES], key=lambda row: row.session.id != this),
        more_devices=len(devices) > DEVICES,
        this=this,
        sign_ins=sign_ins,
        recent=recent[:RECENT],
        may_administer=first_admin_page(roles),
        may_develop="applications:create" in permissions_of(roles),
    )


async def _newest(session: AsyncSession, here: OwnVisit, status: Status, limit: int) -> list[Row]:
    """Return the newest sessions of the user."""
    now = clock.now()
    unused_since = now - here.services.settings.session_idle_timeout
    listed = await sessions.page_of(
        session, SessionFilter(user_id=here.user.id), status, now, unused_since, None, limit
    )
    return [Row(stored, user.name, device_of(stored.user_agent or "").text, []) for stored, user in listed]
