"""What a proof yields, and checking a password."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sso.identity.authn.assurance import ACR_CODE, ACR_MFA, ACR_PASSKEY, ACR_PASSWORD
from sso.identity.authn.passwords import Passwords
from sso.identity.authn.second_factor_policy import Method
from sso.identity.users.models import Credential, User

AMR_PASSWORD = ["pwd"]
AMR_PASSKEY = ["pop", "user", "mfa"]
AMR_OF: dict[Method, list[str]] = {
    "totp": ["otp", "mfa"],
    "recovery_code": ["otp", "mfa"],
    "email": ["otp"],
    "phone": ["sms"],
    "passkey": AMR_PASSKEY,
}
"""How each second factor is named (RFC 8176)."""
ACR_OF: dict[Method, str] = {
    "totp": ACR_MFA,
    "recovery_code": ACR_MFA,
    "email": ACR_CODE,
    "phone": ACR_CODE,
    "passkey": ACR_PASSKEY,
}


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Somebody who has proven who they are, and how (``acr``, ``amr``: OpenID Connect Core section 2).

    ``auth_time`` is there where they did that before, and now added a second factor.
    """

    user: User
    acr: str
    amr: list[str]
    auth_time: datetime | None = None


def by_password(user: User) -> Authenticated:
    """Return what a right password proves."""
    return Authenticated(user, ACR_PASSWORD, list(AMR_PASSWORD))


def with_factor(authenticated: Authenticated, method: Method) -> Authenticated:
    """Return what a second factor adds to an authentication."""
    amr = list(dict.fromkeys([*authenticated.amr, *AMR_OF[method]]))
    return Authenticated(authenticated.user, ACR_OF[method], amr, authenticated.auth_time)


async def is_password(
    passwords: Passwords, user: User | None, credential: Credential | None, password: str, *, source: str
) -> tuple[bool, str | None]:
    """Tell whether a password is right, and return a stronger hash where the stored one is outdated. Whatever is wrong
    takes as long. ``source``: the network that asks.

    Raises:
        Busy: when too many passwords are waiting.
    """
    right, stronger = await passwords.verify(password, credential.secret if credential else None, source=source)
    return right and user is not None and user.disabled_at is None, stronger
