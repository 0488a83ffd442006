"""Messages that several pages of the sign-in show."""

from __future__ import annotations

from sso.accounts.sign_in.session_end import Cause
from sso.http.common.i18n import N_
from sso.identity.sessions.reasons import EndReason
from sso.oidc.demands import Demand

WRONG = N_("The e-mail, phone number, username, NIK or password is wrong. Try again.")
WRONG_OF_SEVERAL = N_(
    "The e-mail, phone number, username, NIK or password is wrong. Try again. If you use a phone number, enter it with "
    "the country code, like +62 812 3456 7890."
)
WRONG_PASSKEY = N_("This passkey was not accepted. Try again, or use your password.")
BUSY = N_("Many users are signing in right now. Try again in a few seconds.")
WAIT = N_("Too many failed attempts. Try again in %(minutes)d minutes, or contact the helpdesk.")
NO_IDENTIFIER = N_("Enter your e-mail, phone number, username or NIK.")
NO_PASSWORD = N_("Enter your password.")
STALE = N_("This page was open for too long. Submit the form again.")
NOT_ALLOWED_TEXTS: dict[Demand, str] = {
    Demand.APPLICATION: N_("This application is disabled for now. Try again later, or contact the helpdesk."),
    Demand.PERSON: N_("Your account is disabled. Contact the helpdesk."),
    Demand.LEAVING: N_(
        "Your account will be deleted because you asked for it. To keep the account, sign out and sign in again."
    ),
    Demand.LOCKED: N_(
        "Your account is locked because a sign-in was reported as not yours. Recover your account to use applications "
        "again."
    ),
    Demand.TEST_USER: N_("You are signed in as a test user. Test users can only use sandboxes."),
    Demand.ROLE: N_("Only these users can use this application:"),
    Demand.NETWORK: N_("This application can only be used from certain networks, such as the office network."),
    Demand.HOURS: N_("This application can only be used at certain hours. Try again during those hours."),
}
"""Why a person may not use an application."""
SESSION_END_TEXTS: dict[Cause, str] = {
    EndReason.SIGNED_OUT: N_("You signed out on %(when)s."),
    EndReason.BY_PERSON: N_(
        "This session was ended on %(when)s from another device that is signed in to your account. If that was not "
        "you, recover your account."
    ),
    EndReason.OTHER_PERSON: N_("Your session ended on %(when)s because somebody else signed in in this browser."),
    EndReason.EXPIRED: N_("Your session expired on %(when)s."),
    EndReason.TOO_MANY: N_(
        "Your session ended on %(when)s because your account was signed in on too many devices. The device that was "
        "unused for longest is signed out first."
    ),
    EndReason.ADMINISTRATOR: N_(
        "An administrator ended your session on %(when)s. If you do not know why, contact the helpdesk."
    ),
    EndReason.USER_DISABLED: N_("Your account was disabled on %(when)s. If you do not know why, contact the helpdesk."),
    EndReason.USER_DELETED: N_("Your account was deleted on %(when)s."),
    EndReason.PASSWORD_CHANGED: N_(
        "Your session ended on %(when)s because your password was changed. Sign in with the new password. If you did "
        "not change it, recover your account."
    ),
    EndReason.PASSWORD_REQUIRED: N_(
        "Your session ended on %(when)s because an administrator requires a new password. Select “Forgot your "
        "password?” to choose one."
    ),
    EndReason.FACTORS_RESET: N_(
        "Your session ended on %(when)s because an administrator removed your two-step verification."
    ),
    EndReason.RECOVERED: N_(
        "Your session ended on %(when)s because your account was recovered. Sign in with the new password."
    ),
    EndReason.NOT_ME: N_(
        "Your session ended on %(when)s because somebody reported a sign-in to your account as not theirs. Recover "
        "your account to use it again."
    ),
    EndReason.DELETION_PLANNED: N_(
        "Your session ended on %(when)s because you asked for your account to be deleted. Sign in to keep the account."
    ),
    EndReason.CONSENT_WITHDRAWN: N_("Your session ended on %(when)s."),
    EndReason.CLIENT_SUSPENDED: N_("Your session ended on %(when)s."),
    EndReason.CLIENT_REMOVED: N_("Your session ended on %(when)s."),
    EndReason.ROLE_LOST: N_("Your session ended on %(when)s."),
    "idle": N_("You were signed out on %(when)s because you had not used the service for a while."),
    "lifetime": N_(
        "You were signed out on %(when)s because a session has a maximum length. Sign in again to continue."
    ),
    "device_idle": N_("You were signed out on %(when)s because you had not used this remembered device for a while."),
    "device_lifetime": N_(
        "You were signed out on %(when)s because a device is remembered for a limited time. Sign in again to continue."
    ),
}
"""Why the session of a browser ended, as its sign-in page says once."""
