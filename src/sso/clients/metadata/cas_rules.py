"""The rules between the fields of an application that speaks CAS."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from sso.clients.claims import withheld
from sso.clients.metadata.fields import MetadataFields

_OF_OPENID: tuple[tuple[str, object], ...] = (
    ("grant_types", []),
    ("response_types", []),
    ("token_endpoint_auth_method", "none"),
    ("token_endpoint_auth_signing_alg", None),
    ("jwks", None),
    ("jwks_uri", None),
    ("id_token_encrypted_response_alg", None),
    ("userinfo_signed_response_alg", None),
    ("userinfo_encrypted_response_alg", None),
    ("request_object_signing_alg", None),
    ("request_object_encryption_alg", None),
    ("request_uris", []),
    ("require_signed_request_object", False),
    ("require_pushed_authorization_requests", False),
    ("frontchannel_logout_uri", None),
    ("audience", None),
    ("resource_identifier", None),
)
"""Fields that mean nothing without OpenID Connect, and the value that an application of type ``cas`` has there."""
_SCOPE_OF_USERNAME = {"preferred_username": "profile", "email": "email"}


def cas_rules(client: MetadataFields) -> Iterator[str]:
    """Return what contradicts ``type: cas``, as ``field: text``."""
    if client.type != "cas":
        yield from _only_for_cas(client)
    else:
        yield from _nothing_of_openid(client)
        yield from _service_urls(client)
        yield from _username_is_released(client)


def _only_for_cas(client: MetadataFields) -> Iterator[str]:
    if client.cas_username != "sub":
        yield "cas_username: only for type: cas"
    if not client.cas_logout_requests:
        yield "cas_logout_requests: only for type: cas"


def _nothing_of_openid(client: MetadataFields) -> Iterator[str]:
    for name, value in _OF_OPENID:
        if getattr(client, name) != value:
            yield f"{name}: an application of type cas does not speak OpenID Connect: leave this out"
    if "offline_access" in client.scope.split():
        yield "scope: offline_access: an application of type cas has no refresh tokens"


def _service_urls(client: MetadataFields) -> Iterator[str]:
    if not client.redirect_uris:
        yield "redirect_uris: needs at least one: the service URLs of the application"
    for uri in client.redirect_uris:
        if "ticket" in dict(parse_qsl(urlsplit(uri).query, keep_blank_values=True)):
            yield "redirect_uris: the parameter ticket of a service URL is what this service adds: leave it out"


def _username_is_released(client: MetadataFields) -> Iterator[str]:
    needed = _SCOPE_OF_USERNAME.get(client.cas_username)
    if needed is not None and needed not in client.scope.split():
        yield f"cas_username: {client.cas_username} needs the scope {needed}, which is not among the scopes"
    elif client.cas_username in withheld(client.claim_reasons):
        yield f"cas_username: {client.cas_username} is not among the claims of claim_reasons"
