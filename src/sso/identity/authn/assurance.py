"""How surely it is known who somebody is: the levels of a sign-in and of an identity, as ``acr`` names them.

The level of a sign-in belongs to a session, the level of an identity to a person. An application may ask for either by
``acr_values``, by an essential ``acr``, or have a minimum registered; a higher level is as good as a lower one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

ACR_PASSWORD = "urn:sso:acr:password"
ACR_CODE = "urn:sso:acr:code"
ACR_MFA = "urn:sso:acr:mfa"
ACR_PASSKEY = "urn:sso:acr:passkey"
SIGN_IN_LEVELS = (ACR_PASSWORD, ACR_CODE, ACR_MFA, ACR_PASSKEY)
"""A password; with a code by mail or SMS; with an authenticator app or a recovery code; a passkey, which cannot be
phished. From the weakest to the strongest."""

IDENTITY_SELF = "urn:sso:identity:self-asserted"
IDENTITY_CONTACT = "urn:sso:identity:contact-verified"
IDENTITY_COUNTER = "urn:sso:identity:counter-verified"
IDENTITY_LEVELS = (IDENTITY_SELF, IDENTITY_CONTACT, IDENTITY_COUNTER)
"""What the person says; somebody whom a mail or an SMS reaches; compared with a document by an officer."""

ACR_VALUES = (*SIGN_IN_LEVELS, *IDENTITY_LEVELS)
"""Every level that can be asked for."""

SignInLevel = Literal["urn:sso:acr:password", "urn:sso:acr:code", "urn:sso:acr:mfa", "urn:sso:acr:passkey"]
IdentityLevel = Literal[
    "urn:sso:identity:self-asserted", "urn:sso:identity:contact-verified", "urn:sso:identity:counter-verified"
]


def identity_level(*, contact_verified: bool, checked: bool) -> str:
    """Return how surely it is known who a person is: ``checked`` says that an officer saw a document of theirs."""
    if checked:
        return IDENTITY_COUNTER
    return IDENTITY_CONTACT if contact_verified else IDENTITY_SELF


def is_met(level: str, acr: str, identity: str) -> bool:
    """Tell whether a level is reached: by the session's ``acr``, or by the person's ``identity``."""
    if level in IDENTITY_LEVELS:
        return identity in IDENTITY_LEVELS and IDENTITY_LEVELS.index(identity) >= IDENTITY_LEVELS.index(level)
    if level in SIGN_IN_LEVELS and acr in SIGN_IN_LEVELS:
        return SIGN_IN_LEVELS.index(acr) >= SIGN_IN_LEVELS.index(level)
    return level == acr


def answered_acr(levels: Iterable[str], acr: str, identity: str) -> str:
    """Return the ``acr`` of a token: the first that was asked for and is reached; otherwise the session's own."""
    return next((level for level in levels if is_met(level, acr, identity)), acr)


def easiest(levels: Collection[str]) -> str | None:
    """Return the lowest of the levels of a sign-in among ``levels``, or None."""
    return min((level for level in levels if level in SIGN_IN_LEVELS), key=SIGN_IN_LEVELS.index, default=None)


def highest(levels: Iterable[str]) -> str:
    """Return the highest of several levels of a sign-in."""
    return max((level for level in levels if level in SIGN_IN_LEVELS), key=SIGN_IN_LEVELS.index, default=ACR_PASSWORD)


def as_good_as(level: str) -> Sequence[str]:
    """Return a level of a sign-in and every higher one."""
    return SIGN_IN_LEVELS[SIGN_IN_LEVELS.index(level) :]
