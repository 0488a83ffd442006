"""What an application may learn of a person: the standard claims of each scope (OpenID Connect Core section 5.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sso.users.models import Identifier, User

SCOPE_CLAIMS: dict[str, tuple[str, ...]] = {
    "profile": (
        "name",
        "family_name",
        "given_name",
        "middle_name",
        "nickname",
        "preferred_username",
        "profile",
        "picture",
        "website",
        "gender",
        "birthdate",
        "zoneinfo",
        "locale",
        "updated_at",
    ),
    "email": ("email", "email_verified"),
    "address": ("address",),
    "phone": ("phone_number", "phone_number_verified"),
}
ID_TOKEN_CLAIMS = ("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "c_hash")


def user_claims(
    user: User, identifiers: Sequence[Identifier], scopes: Iterable[str], names: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the claims that ``scopes`` allow, and those of ``names``; what is not known is left out (5.3.2)."""
    known: dict[str, Any] = {
        **user.profile,
        "name": user.name,
        "locale": user.locale,
        "updated_at": int(user.updated_at.timestamp()),
    }
    for identifier in identifiers:
        if identifier.is_primary:
            known.update(_identifier_claims(identifier))
    wanted = [name for scope in scopes for name in SCOPE_CLAIMS.get(scope, ())]
    wanted += names
    return {name: known[name] for name in wanted if known.get(name) is not None}


def claims_supported() -> list[str]:
    """Return every claim that can be in an ID token or at userinfo."""
    return [*ID_TOKEN_CLAIMS, *(name for names in SCOPE_CLAIMS.values() for name in names)]


def _identifier_claims(identifier: Identifier) -> dict[str, Any]:
    verified = identifier.verified_at is not None
    if identifier.kind == "email":
        return {"email": identifier.value, "email_verified": verified}
    if identifier.kind == "phone":
        return {"phone_number": identifier.value, "phone_number_verified": verified}
    return {"preferred_username": identifier.value}
