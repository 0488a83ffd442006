"""What pages say when a step of sign-up, recovery or the own account is refused."""

from __future__ import annotations

from collections.abc import Mapping

from sso.accounts.flows import Problem
from sso.http.common.i18n import N_

NOT_A_CONTACT = N_("Type an e-mail address such as siti@example.id, or a telephone number such as 0812 3456 7890.")
TOO_MANY = N_("There were very many registrations from your network. Please try again in %(minutes)d minutes.")
WEAK = {
    "short": N_("The password must have at least %(minimum)d characters. Several words are easy to remember."),
    "long": N_("The password must have at most 256 characters."),
    "common": N_("This password is easily guessed. Use several words that do not belong together."),
    "breached": N_("This password was stolen elsewhere, and is known to thieves. Choose another."),
}
"""Why a new password is refused, by the code of ``WeakPassword``."""

_TEXTS: dict[Problem, tuple[str, int]] = {
    Problem.NOT_A_CONTACT: (NOT_A_CONTACT, 400),
    Problem.NO_SMS: (
        N_("This telephone number cannot receive an SMS. Type the number of a mobile telephone."),
        400,
    ),
    Problem.PREFIX_NOT_SERVED: (
        N_("We do not send messages to telephone numbers of this country. Enter another number or an e-mail address."),
        400,
    ),
    Problem.WRONG_CODE: (
        N_("This code is not right, or not right any more. Check it, and type the newest."),
        400,
    ),
    Problem.TOO_MANY_CODES: (N_("There were too many wrong codes. Ask for a new one."), 429),
    Problem.TOO_MANY_TRIES: (
        N_("There were too many wrong codes. Please try again in %(minutes)d minutes."),
        429,
    ),
    Problem.NOT_SENT: (
        N_("We cannot send another code just now. Look for the last one, or try again in a minute."),
        429,
    ),
    Problem.WRONG_FACTOR: (N_("That is not right. Check it and try again."), 400),
}
_OWN_TEXTS: dict[Problem, tuple[str, int]] = {
    **_TEXTS,
    Problem.TOO_MANY_TRIES: (
        N_("There were too many wrong attempts. Please try again in %(minutes)d minutes."),
        429,
    ),
    Problem.WRONG_PASSWORD: (N_("Your present password is not right."), 400),
    Problem.PASSKEY_FAILED: (N_("The passkey could not be added. Try again."), 400),
    Problem.NEEDS_LONGER_PASSWORD: (
        N_("Choose a longer password first: without a second step it needs %(minimum)d characters."),
        409,
    ),
    Problem.LAST_CREDENTIAL: (N_("This is your only way to sign in. Add another one first."), 409),
    Problem.LAST_CONTACT: (N_("This is the only way to reach you. Add another one first."), 409),
    Problem.TAKEN: (N_("This cannot be used. Choose another."), 409),
    Problem.INVALID_USERNAME: (
        N_("A user name has 3 to 64 small letters, digits, dots or hyphens, and at least one letter."),
        400,
    ),
    Problem.INVALID_NIK: (
        N_("This is not a NIK: it has 16 digits, and holds a place and a date of birth. Check it."),
        400,
    ),
    Problem.NIK_CHECKED: (N_("Your NIK was checked at a counter. Only a counter can change it."), 409),
    Problem.TOO_MANY_CONTACTS: (N_("That is too many. Remove one first."), 409),
}
_SIGN_UP_TEXTS: dict[Problem, tuple[str, int]] = {
    **_TEXTS,
    Problem.TAKEN: (
        N_("Somebody has registered with this address or number meanwhile. Sign in, or recover your account."),
        409,
    ),
    Problem.PASSKEY_FAILED: (N_("The passkey could not be made. Try again."), 400),
}
RECOVERY_TEXTS: Mapping[Problem, tuple[str, int]] = _TEXTS
OWN_ACCOUNT_TEXTS: Mapping[Problem, tuple[str, int]] = _OWN_TEXTS
SIGN_UP_TEXTS: Mapping[Problem, tuple[str, int]] = _SIGN_UP_TEXTS
"""The text and the HTTP status of each problem, for the pages of recovery, of the own account, and of sign-up."""
