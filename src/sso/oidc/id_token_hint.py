"""Reading an ID token that comes back as a hint (OpenID Connect Core section 3.1.2.1, RP-Initiated Logout 2)."""

from __future__ import annotations

from sso.oidc.token.issue import ID_TOKEN_TYP
from sso.platform.keys import InvalidToken, KeyRing
from sso.platform.security.jwe import CannotDecryptJwe, is_encrypted
from sso.settings import Settings


def read_hint(settings: Settings, keys: KeyRing, hint: str, audience: str | None = None) -> dict[str, object]:
    """Return the claims of an ID token that we signed. An expired one is accepted; one that was encrypted for the
    application may come encrypted for us.

    Args:
        settings: the settings.
        keys: the keys of the provider.
        hint: the ID token.
        audience: the application for which it must have been made, where that is known.

    Raises:
        InvalidToken: when it is not ours, or not that application's.
    """
    try:
        token = keys.decrypt(hint) if is_encrypted(hint) else hint
    except CannotDecryptJwe as error:
        raise InvalidToken(str(error)) from None
    issuer = settings.issuer
    return keys.verify(token, typ=ID_TOKEN_TYP, issuer=issuer, audience=audience, expired=True)
