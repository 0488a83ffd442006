"""The activity of the own account."""

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
    "sign_in.failed": N_("Failed sign-in attempt"),
    "consent.given": N_("Application allowed to see your data"),
    "consent.withdrawn": N_("Permission of an application withdrawn"),
    "grant.revoked": N_("Access of an application revoked"),
    "user.registered": N_("Account created"),
    "user.created": N_("Account created"),
    "user.imported": N_("Account imported from another application"),
    "user.changed": N_("Profile or contacts changed"),
    "user.attributes_changed": N_("More data about you changed"),
    "user.password_changed": N_("Password changed"),
    "user.recovered": N_("Account recovered"),
    "user.locked": N_("Sign-in reported as not yours"),
    "user.identity_checked": N_("Identity document checked at a service counter"),
    "user.exported": N_("Data downloaded"),
    "user.deletion_planned": N_("Deletion of the account requested"),
    "user.deletion_cancelled": N_("Deletion of the account cancelled"),
    "user.roles_changed": N_("Roles changed"),
    "membership.added": N_("Added to a unit or group"),
    "membership.ended": N_("Membership of a unit or group ended"),
    "role.given": N_("Role in an application given"),
    "role.changed": N_("Time of a role in an application changed"),
    "role.ended": N_("Role in an application ended"),
    "factor.added": N_("Sign-in method added"),
    "factor.removed": N_("Sign-in method removed"),
    "factor.recovery_codes_made": N_("Recovery codes created"),
    "factor.recovery_code_used": N_("Recovery code used"),
    "contact.added": N_("E-mail address or phone number added"),
    "contact.verified": N_("E-mail address or phone number verified"),
    "contact.removed": N_("E-mail address or phone number removed"),
    "recovery.begun": N_("Account recovery started"),
    "recovery.delayed": N_("Account recovery waiting"),
    "recovery.stopped": N_("Account recovery stopped"),
}
"""The events that users see, by their type."""


@router.get(ACTIVITY)
async def activity(here: Annotated[OwnVisit, Depends(OwnPage("activity"))]) -> Response:
    """The activity of the account, newest first."""
    before = read_id(here.request.query_params.get("before", ""))
    async with here.services.db.read() as session:
        about_user = AuditFilter(person=str(here.user.id))
        events = await page_of_events(session, about_user, before, EVENTS_SHOWN + 1)
    recent_events = [event for event in events[:EVENTS_SHOWN] if event.type in EVENTS]
    registry = here.services.changes.registry
    rows = [(event, registry.known(event.client_id) if event.client_id else None) for event in recent_events]
    following = f"{ACTIVITY}?before={events[EVENTS_SHOWN - 1].id}" if len(events) > EVENTS_SHOWN else ""
    return here.page("account_activity.html", rows=rows, names=EVENTS, following=following)
