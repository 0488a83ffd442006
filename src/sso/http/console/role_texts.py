"""The texts of the pages about roles of applications."""

from __future__ import annotations

from sso.http.common.i18n import N_

DONE = {
    "give": N_("The role was given."),
    "end": N_("The selected roles were ended."),
    "confirm": N_("The selected roles were confirmed."),
    "review": N_(
        "The access review was started. The owners of the application are notified. If the application has no owner, "
        "you and the administrators who give roles are notified."
    ),
    "cancel": N_("The access review was cancelled."),
}
REVIEW_STATES = {"running": N_("running"), "done": N_("finished"), "cancelled": N_("cancelled")}
