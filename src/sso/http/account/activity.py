"""What happened in the own account."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from sso.http.account.access import OwnPage, OwnVisit
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.platform.audit.service import AuditFilter, page_of_events

router = new_router()

ACTIVITY = "/account/activity"
EVENTS_SHOWN = 50
EVENTS = {
    "session.started": N_("Signed in"),
    "session.renewed": N_("Signed in again"),
    "session.ended": N_("Signed out"),
    "sign_in.failed": N_("A sign-in failed"),
    "consent.given": N_("An application was allowed to receive data"),
    "consent.withdrawn": N_("The permission of an application was withdrawn"),
    "grant.revoked": N_("What an application was given was taken back"),
    "user.registered": N_("The account was made"),
    "user.created": N_("The account was made"),
    "user.imported": N_("The account was taken over from another application"),
    "user.changed": N_("The profile was changed"),
    "user.password_changed": N_("The password was changed"),
    "user.recovered": N_("The account was recovered"),
    "user.locked": N_("A sign-in was said to be somebody else's"),
    "user.identity_checked": N_("A document was checked at a counter"),
    "user.exported": N_("The data were exported"),
    "user.deletion_planned": N_("The account is to be deleted"),
    "user.deletion_cancelled": N_("The account stays"),
    "user.roles_changed": N_("The roles were changed"),
    "factor.added": N_("A way to sign in was added"),
    "factor.removed": N_("A way to sign in was removed"),
    "factor.recovery_codes_made": N_("Recovery codes were made"),
    "factor.recovery_code_used": N_("A recovery code was used"),
    "contact.added": N_("An address or number was added"),
    "contact.verified": N_("An address or number was proven"),
    "contact.removed": N_("An address or number was removed"),
    "recovery.begun": N_("A recovery of the account was begun"),
    "recovery.delayed": N_("A recovery of the account waits"),
    "recovery.stopped": N_("A recovery of the account was stopped"),
}


@router.get(ACTIVITY)
async def activity(here: Annotated[OwnVisit, Depends(OwnPage("activity"))]) -> Response:
    """What happened in the account, the newest first."""
    before = read_id(here.request.query_params.get("before", ""))
    async with here.services.db.read() as session:
        about_user = AuditFilter(person=str(here.user.id))
        events = await page_of_events(session, about_user, before, EVENTS_SHOWN + 1)
    shown = [event for event in events[:EVENTS_SHOWN] if event.type in EVENTS]
    registry = here.services.changes.registry
    rows = [(event, registry.known(event.client_id) if event.client_id else None) for event in shown]
    following = f"{ACTIVITY}?before={events[EVENTS_SHOWN - 1].id}" if len(events) > EVENTS_SHOWN else ""
    return here.page("account_activity.html", rows=rows, names=EVENTS, following=following)
