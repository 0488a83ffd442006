"""The parameters of each protocol endpoint: those that are known, and those that are known but not supported.

A parameter that is not known is ignored, repeated or not (RFC 6749 sections 3.1 and 3.2). A known parameter must not be
repeated, and one that is not supported has an error of its own: it is never ignored.
"""

from __future__ import annotations

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError

from sso.clients.registry import Client
from sso.oidc.requests import Payload, ProtocolRequest, description

_OF_THE_CLIENT = frozenset({"client_id", "client_secret", "client_assertion", "client_assertion_type"})
_EXTENSIONS = frozenset({"authorization_details", "dpop_jkt", "registration"})
AUTHORIZATION = _EXTENSIONS | {
    "response_type", "client_id", "redirect_uri", "scope", "state", "response_mode", "nonce", "display", "prompt",
    "max_age", "ui_locales", "claims_locales", "id_token_hint", "login_hint", "acr_values", "claims", "request",
    "request_uri", "code_challenge", "code_challenge_method",
}  # fmt: skip
"""Of an authorization request: OpenID Connect Core sections 3.1.2.1, 5.2, 5.5, 6, 7.2.1, RFC 6749, 7636, 9396, 9449."""
TOKEN = _OF_THE_CLIENT | {
    "grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope", "device_code", "assertion",
    "username", "password", "authorization_details",
}  # fmt: skip
KNOWN: dict[str, frozenset[str]] = {
    "/authorize": AUTHORIZATION,
    "/par": AUTHORIZATION | _OF_THE_CLIENT,
    "/token": TOKEN,
    "/device_authorization": _OF_THE_CLIENT | {"scope", "authorization_details"},
    "/introspect": _OF_THE_CLIENT | {"token", "token_type_hint"},
    "/revoke": _OF_THE_CLIENT | {"token", "token_type_hint"},
}
"""By the path of the endpoint. /userinfo and /logout have lists of their own."""
_GRANTING = frozenset({"/authorize", "/par", "/token", "/device_authorization"})


class InvalidTarget(OAuth2Error):
    """The resource is not one for which the client gets access tokens (RFC 8707 section 2)."""

    error = "invalid_target"


class InvalidAuthorizationDetails(OAuth2Error):
    """No type of authorization details is supported (RFC 9396 section 5)."""

    error = "invalid_authorization_details"


class RegistrationNotSupported(OAuth2Error):
    """Clients of self-issued providers are not supported (OpenID Connect Core section 3.1.2.6)."""

    error = "registration_not_supported"


def repeated(request: ProtocolRequest) -> str | None:
    """Return a known parameter of a request that stands more than once, or None."""
    return request.payload.repeated(KNOWN[request.path])


def check_supported(request: ProtocolRequest, client: Client) -> None:
    """Check that what a request for tokens asks for by extensions can be had. Nothing is checked of other requests.

    Args:
        request: the request.
        client: the client that sent it, authenticated where the endpoint demands it.

    Raises:
        InvalidTarget: for a resource other than the audience of the client's access tokens.
        InvalidAuthorizationDetails: for authorization details of any type.
        RegistrationNotSupported: for ``registration``.
        InvalidRequestError: for ``dpop_jkt``: the tokens would not be bound to the key.
    """
    if request.path not in _GRANTING:
        return
    data = request.payload.data
    _check_resources(request, request.payload, client)
    if "authorization_details" in data:
        raise InvalidAuthorizationDetails("authorization_details is not supported: ask for scopes (RFC 9396).")
    if request.path in ("/authorize", "/par"):
        if "registration" in data:
            raise RegistrationNotSupported("registration is not supported: register the client before.")
        if "dpop_jkt" in data:
            raise InvalidRequestError("dpop_jkt is not supported: access tokens are not bound to a key (RFC 9449).")


def _check_resources(request: ProtocolRequest, payload: Payload, client: Client) -> None:
    """A resource is honoured where the access token is for it anyway: nothing has to be narrowed."""
    names = ("resource", "audience") if request.path == "/token" else ("resource",)
    resources = [value for name in names for value in payload.datalist.get(name, []) if value]
    issuer = request.provider.settings.issuer
    own = client.meta.audience or issuer
    had = {own, issuer} if "openid" in client.scopes else {own}
    for value in resources:
        if value not in had and value.rstrip("/") not in had:
            text = f"resource must be {own}, the audience of this client's access tokens (RFC 8707 section 2)."
            raise InvalidTarget(description(text))
