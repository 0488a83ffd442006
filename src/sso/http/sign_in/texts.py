"""Messages that several pages of the sign-in show."""

from __future__ import annotations

from sso.http.common.i18n import N_
from sso.oidc.demands import Demand

WRONG = N_("The name or the password is not right. Check both and try again.")
WRONG_OF_SEVERAL = N_(
    "The name or the password is not right. Check both and try again. Write a telephone number with its country code, "
    "such as +62 812 3456 7890."
)
WRONG_PASSKEY = N_("This passkey did not work. Try again, or sign in with your password.")
BUSY = N_("Very many people are signing in just now. Please try again in a few seconds.")
WAIT = N_("There were too many wrong attempts. Please try again in %(minutes)d minutes, or ask for help.")
MISSING = N_("Type your e-mail, telephone number or user name, and your password.")
STALE = N_("This page was open for too long. Please try again.")
NOT_ALLOWED_TEXTS: dict[Demand, str] = {
    Demand.APPLICATION: N_("The city has suspended this application. Please try again later, or ask for help."),
    Demand.PERSON: N_("Your account is disabled. Contact the helpdesk."),
    Demand.LEAVING: N_("You asked us to delete your account. To keep the account, sign out and sign in again."),
    Demand.LOCKED: N_(
        "Your account is locked because a sign-in was reported as not yours. Recover your account to use applications "
        "again."
    ),
    Demand.TEST_USER: N_("You are signed in as a test user. Test users can only use sandboxes."),
    Demand.ROLE: N_("This application is only for certain people: your account has no role that it is for."),
    Demand.NETWORK: N_("This application can only be used from certain networks, such as that of the office."),
    Demand.HOURS: N_("This application can only be used at certain hours. Try again then."),
}
"""Why a person may not use an application."""
