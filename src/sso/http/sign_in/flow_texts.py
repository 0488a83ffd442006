"""What pages say when a step of sign-up, recovery or the own account is refused."""

from __future__ import annotations

from collections.abc import Mapping

from sso.accounts.flows import Problem
from sso.http.common.i18n import N_

WRONG_APP_CODE = N_(
    "The code is wrong. Check that the clock of your phone is set automatically, then enter the newest code."
)
NOT_A_CONTACT = N_("Enter an e-mail address like siti@example.id, or a phone number like 0812 3456 7890.")
TOO_MANY = N_("Too many requests from your network. Try again in %(minutes)d minutes.")
NO_MESSAGES = N_("We cannot send text messages now. Use e-mail or an authenticator app, or try again tomorrow.")
WEAK = {
    "short": N_("The password must have at least %(minimum)d characters. Combine 3 or 4 unrelated words."),
    "long": N_("The password must have at most 256 characters."),
    "common": N_("This password is easy to guess. Combine 3 or 4 unrelated words."),
    "breached": N_("This password was leaked from another service. Choose a different one."),
    "example": N_("This password is the example on our pages. Choose words of your own."),
}
"""Why a new password is refused, by the code of ``WeakPassword``."""

_TEXTS: dict[Problem, tuple[str, int]] = {
    Problem.NOT_A_CONTACT: (NOT_A_CONTACT, 400),
    Problem.NO_SMS: (
        N_("This phone number cannot receive SMS. Enter a mobile number."),
        400,
    ),
    Problem.PREFIX_NOT_SERVED: (
        N_("We do not send messages to phone numbers of this country. Enter another number or an e-mail address."),
        400,
    ),
    Problem.WRONG_CODE: (
        N_("The code is wrong or has expired. Enter the newest code."),
        400,
    ),
    Problem.TOO_MANY_CODES: (N_("Too many wrong codes. Request a new code."), 429),
    Problem.TOO_MANY_TRIES: (
        N_("Too many wrong codes. Try again in %(minutes)d minutes."),
        429,
    ),
    Problem.NOT_SENT: (
        N_("We cannot send another code yet. Use the last code that you received, or try again in a minute."),
        429,
    ),
    Problem.NO_MESSAGES: (NO_MESSAGES, 503),
    Problem.TOO_MANY_NUMBERS: (
        N_("You have requested codes for too many phone numbers today. Try again tomorrow, or use an e-mail address."),
        429,
    ),
    Problem.WRONG_FACTOR: (N_("The code or passkey is wrong. Check it and try again."), 400),
}
_OWN_TEXTS: dict[Problem, tuple[str, int]] = {
    **_TEXTS,
    Problem.TOO_MANY_TRIES: (
        N_("Too many failed attempts. Try again in %(minutes)d minutes."),
        429,
    ),
    Problem.WRONG_PASSWORD: (N_("The current password is wrong."), 400),
    Problem.PASSKEY_FAILED: (N_("The passkey could not be added. Try again."), 400),
    Problem.NEEDS_LONGER_PASSWORD: (
        N_("Change your password first. Without two-step verification it must have at least %(minimum)d characters."),
        409,
    ),
    Problem.LAST_CREDENTIAL: (N_("This is your only way to sign in. Add another way first."), 409),
    Problem.LAST_CONTACT: (N_("This is your only contact. Add another contact first."), 409),
    Problem.TAKEN: (N_("This value cannot be used. Choose a different one."), 409),
    Problem.INVALID_USERNAME: (
        N_("A username has 3 to 64 lower-case letters, digits, dots or hyphens, with at least one letter."),
        400,
    ),
    Problem.INVALID_NIK: (
        N_("This is not a valid NIK. A NIK has 16 digits, as printed on your identity card."),
        400,
    ),
    Problem.NIK_CHECKED: (N_("Your NIK was checked at a service counter. Only a service counter can change it."), 409),
    Problem.TOO_MANY_CONTACTS: (N_("You have reached the maximum number. Remove one first."), 409),
}
_SIGN_UP_TEXTS: dict[Problem, tuple[str, int]] = {
    **_TEXTS,
    Problem.TAKEN: (
        N_("This address or number has just been registered. Sign in, or recover your account."),
        409,
    ),
    Problem.PASSKEY_FAILED: (N_("The passkey could not be created. Try again."), 400),
}
RECOVERY_TEXTS: Mapping[Problem, tuple[str, int]] = _TEXTS
OWN_ACCOUNT_TEXTS: Mapping[Problem, tuple[str, int]] = _OWN_TEXTS
SIGN_UP_TEXTS: Mapping[Problem, tuple[str, int]] = _SIGN_UP_TEXTS
"""The text and the HTTP status of each problem, for the pages of recovery, of the own account, and of sign-up."""
