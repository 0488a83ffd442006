"""The texts of the pages about roles of applications."""

from __future__ import annotations

from sso.accounts.role_refusal_texts import NO_DATE as NO_DATE
from sso.accounts.role_refusal_texts import NO_UNIT as NO_UNIT
from sso.accounts.role_refusal_texts import NOT_FOUND as NOT_FOUND
from sso.accounts.role_refusal_texts import NOTHING_CHOSEN as NOTHING_CHOSEN
from sso.accounts.role_refusal_texts import ONE_OF_BOTH as ONE_OF_BOTH
from sso.accounts.role_refusal_texts import OTHERWISE as OTHERWISE
from sso.accounts.role_refusal_texts import TEXTS as TEXTS
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
