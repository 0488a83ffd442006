"""The rules between the fields of a client's metadata: each is one function, so that one field that cannot be read
hides no error in others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import cast
from urllib.parse import urlsplit

from sso.clients.access_policy import OWN_ROLE
from sso.clients.claims import COMES_WITH, SCOPE_OF, WITH_ANY, withheld
from sso.clients.mappers import GROUPS, ROLES, mistakes_between
from sso.clients.metadata.cas_rules import cas_rules
from sso.clients.metadata.fields import MetadataFields, host_of
from sso.clients.metadata.gate import gate_lists_are_distinct, roles_of_paths_are_defined, type_and_gate_fit
from sso.clients.metadata.types import DEVICE_CODE, FIRST_PARTY_SCOPES, JWT_BEARER
from sso.clients.profiles import RELAXATIONS, forbidden
from sso.platform.permissions import PERMISSIONS, SCOPE_PREFIX, is_restricted_data

_ASYMMETRIC = ("RS256", "PS256", "ES256", "EdDSA")


class _Unreadable(Exception):
    """A rule asks for a field that cannot be read."""


class _ReadableFields:
    """Metadata of which some fields cannot be read: a rule that asks for one of these is left out."""

    def __init__(self, readable: MetadataFields, unreadable: Collection[str]) -> None:
        self._readable, self._unreadable = readable, unreadable

    def __getattr__(self, name: str) -> object:
        if name in self._unreadable:
            raise _Unreadable(name)
        attribute = getattr(MetadataFields, name, None)
        if isinstance(attribute, property) and attribute.fget:
            return attribute.fget(self)
        return getattr(self._readable, name)


def without_unreadable(readable: MetadataFields, unreadable: Collection[str]) -> MetadataFields:
    """Return metadata in which a rule that asks for one of the fields ``unreadable`` is left out."""
    return cast(MetadataFields, _ReadableFields(readable, unreadable))


def contradictions(fields: MetadataFields, own_secret: bool) -> list[str]:
    """Return every contradiction between fields, as ``field: text``.

    Args:
        fields: the metadata.
        own_secret: whether an installed application may have a secret (RFC 8252 section 8.4).
    """
    rules = _RULES if own_secret else (*_RULES, *_NOT_OF_STORED)
    texts: list[str] = []
    for rule in rules:
        with suppress(_Unreadable):
            texts += rule(fields)
    for relaxation in RELAXATIONS:
        with suppress(_Unreadable):
            texts += forbidden(relaxation, fields)
    return texts


def _our_scopes(client: MetadataFields) -> list[str]:
    return [name for name in client.scope.split() if name.startswith(SCOPE_PREFIX)]


def _permissions_exist(client: MetadataFields) -> Iterator[str]:
    known = {permission.scope for permission in PERMISSIONS.values()}
    for name in _our_scopes(client):
        if name not in known:
            yield f"scope: {name} is not a permission; see docs/reference/api.md"


def _scope_reasons_are_of_scopes(client: MetadataFields) -> Iterator[str]:
    for name in client.scope_reasons:
        if name not in client.scope.split():
            yield f"scope_reasons: {name} is not among the scopes"


def _claim_reasons_are_of_scopes(client: MetadataFields) -> Iterator[str]:
    for name in client.claim_reasons:
        if name in COMES_WITH:
            yield f"claim_reasons: {name} comes with {COMES_WITH[name]}: give that the reason"
        elif name == WITH_ANY or SCOPE_OF.get(name) not in client.scope.split():
            yield f"claim_reasons: {name} is not a claim of the scopes"


def _mappers_read_what_it_may_have(client: MetadataFields) -> Iterator[str]:
    """A mapper reveals no claim that the application may not have. The claims of attributes are known where the
    application is registered: see :func:`sso.clients.attributes.check_mappers`."""
    scopes, hidden = client.scope.split(), withheld(client.claim_reasons)
    for index, text in mistakes_between(client.claim_mappers):
        yield f"claim_mappers: {index + 1}: {text}"
    for index, mapper in enumerate(client.claim_mappers):
        for source in mapper.reads:
            needed = source if source in (ROLES, GROUPS) else SCOPE_OF.get(source)
            if needed is not None and needed not in scopes:
                yield f"claim_mappers: {index + 1}: {source} needs the scope {needed}, which is not among the scopes"
            elif source in hidden:
                yield f"claim_mappers: {index + 1}: {source} is not among the claims of claim_reasons"


def _permissions_are_for_first_parties(client: MetadataFields) -> Iterator[str]:
    """What administrators may do, applications may only do that are the city's own."""
    ours = _our_scopes(client)
    if ours and not client.first_party:
        yield f"scope: {ours[0]} is only for the city's own: first_party: true"


def _permissions_need_authentication(client: MetadataFields) -> Iterator[str]:
    ours = _our_scopes(client)
    if ours and client.is_public:
        yield f"scope: {ours[0]} needs an application that can authenticate"


def _restricted_data_is_for_first_parties(client: MetadataFields) -> Iterator[str]:
    for name in client.scope.split():
        if (name in FIRST_PARTY_SCOPES or is_restricted_data(name)) and not client.first_party:
            yield f"scope: {name} is only for the city's own: first_party: true"


def _allowed_roles_are_defined(client: MetadataFields) -> Iterator[str]:
    for entry in client.allowed_roles:
        kind, _, name = entry.partition(":")
        if kind == OWN_ROLE and name not in client.application_roles:
            yield f"allowed_roles: {entry}: the application defines no role {name} (application_roles)"


def _redirected(client: MetadataFields) -> list[str]:
    return [kind for kind in ("authorization_code", "implicit") if kind in client.grant_types]


def _redirect_uri_is_there(client: MetadataFields) -> Iterator[str]:
    redirected = _redirected(client)
    if redirected and not client.redirect_uris:
        yield f"redirect_uris: needs at least one for {redirected[0]}"


def _response_types_fit_grant_types(client: MetadataFields) -> Iterator[str]:
    words = {word for response_type in client.response_types for word in response_type.split()}
    if ("authorization_code" in client.grant_types) != ("code" in words):
        yield "response_types: code goes together with the grant type authorization_code"
    if ("implicit" in client.grant_types) != bool(words & {"id_token", "token"}):
        yield "response_types: id_token and token go together with the grant type implicit"


def _refresh_tokens_have_a_source(client: MetadataFields) -> Iterator[str]:
    if "refresh_token" in client.grant_types and not {"authorization_code", DEVICE_CODE} & set(client.grant_types):
        yield "grant_types: refresh_token needs authorization_code"


def _pairwise_has_one_sector(client: MetadataFields) -> Iterator[str]:
    """OpenID Connect Core section 8.1."""
    hosts = {host_of(uri) for uri in client.redirect_uris}
    if client.subject_type == "pairwise" and len(hosts) > 1 and client.sector_identifier_uri is None:
        yield "subject_type: pairwise needs redirect_uris on one host, or a sector_identifier_uri; otherwise use public"
    if client.kept_sector and client.subject_type != "pairwise":
        yield "kept_sector: only for subject_type: pairwise"


def _scope_holds_openid(client: MetadataFields) -> Iterator[str]:
    if _redirected(client) and "openid" not in client.scope.split():
        yield "scope: must hold openid"


def _front_channel_is_at_a_redirect_origin(client: MetadataFields) -> Iterator[str]:
    origins = map(_origin, client.redirect_uris)
    if client.frontchannel_logout_uri and _origin(client.frontchannel_logout_uri) not in origins:
        yield "frontchannel_logout_uri: must be at the origin of a redirect URI (Front-Channel Logout section 2)"


def _assertion_issuers_fit_grant_types(client: MetadataFields) -> Iterator[str]:
    if (JWT_BEARER in client.grant_types) != bool(client.assertion_issuers):
        yield f"assertion_issuers: goes together with the grant type {JWT_BEARER}"


def _installed_keeps_no_secret(client: MetadataFields) -> Iterator[str]:
    if client.has_shared_secret:
        yield (
            "token_endpoint_auth_method: must be none, because everybody who has the application can read what is "
            "in it (RFC 8252 section 8.5). An instance that registers itself may have a secret of its own "
            "(section 8.4)"
        )


def _grants_need_authentication(client: MetadataFields) -> Iterator[str]:
    for grant_type in ("client_credentials", JWT_BEARER):
        if client.is_public and grant_type in client.grant_types:
            yield f"grant_types: {grant_type} needs a client that can authenticate"


def _public_needs_pkce(client: MetadataFields) -> Iterator[str]:
    if client.is_public and not client.require_pkce:
        yield "require_pkce: a public client always needs it (RFC 9700 section 2.1.1)"


def _has_keys(client: MetadataFields) -> bool:
    return client.jwks is not None or client.jwks_uri is not None


def _one_source_of_keys(client: MetadataFields) -> Iterator[str]:
    if client.jwks is not None and client.jwks_uri is not None:
        yield "jwks: either jwks or jwks_uri, not both (Dynamic Client Registration section 2)"


def _keys_are_there(client: MetadataFields) -> Iterator[str]:
    if client.token_endpoint_auth_method == "private_key_jwt" and not _has_keys(client):
        yield "jwks: token_endpoint_auth_method: private_key_jwt needs jwks or jwks_uri"


def _encryption_has_keys(client: MetadataFields) -> Iterator[str]:
    if client.needs_encryption_key and not _has_keys(client):
        yield "jwks: encryption for the application needs jwks or jwks_uri"


def _request_objects_have_keys(client: MetadataFields) -> Iterator[str]:
    if (client.request_object_signing_alg or "none") != "none" and not _has_keys(client):
        yield "jwks: signed request objects need jwks or jwks_uri"


def _signed_requests_can_be_signed(client: MetadataFields) -> Iterator[str]:
    if client.require_signed_request_object and (client.request_object_signing_alg == "none" or not _has_keys(client)):
        yield "require_signed_request_object: needs a signing algorithm and jwks or jwks_uri"


def _assertion_alg_fits_method(client: MetadataFields) -> Iterator[str]:
    method, alg = client.token_endpoint_auth_method, client.token_endpoint_auth_signing_alg
    if method == "private_key_jwt" and alg == "HS256":
        yield f"token_endpoint_auth_signing_alg: must be one of {', '.join(_ASYMMETRIC)} for private_key_jwt"
    if method == "client_secret_jwt" and alg not in (None, "HS256"):
        yield "token_endpoint_auth_signing_alg: must be HS256 for client_secret_jwt"
    if alg and method not in ("private_key_jwt", "client_secret_jwt"):
        yield "token_endpoint_auth_signing_alg: only for private_key_jwt and client_secret_jwt"


def _enc_has_alg(client: MetadataFields) -> Iterator[str]:
    for alg, enc in (
        ("id_token_encrypted_response_alg", "id_token_encrypted_response_enc"),
        ("userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc"),
        ("request_object_encryption_alg", "request_object_encryption_enc"),
    ):
        if getattr(client, enc) is not None and getattr(client, alg) is None:
            yield f"{enc}: needs {alg}"


def _unsigned_id_tokens_only_from_the_token_endpoint(client: MetadataFields) -> Iterator[str]:
    if client.id_token_signed_response_alg == "none" and any(
        "id_token" in response_type for response_type in client.response_types
    ):
        yield (
            "id_token_signed_response_alg: none only where no ID token comes from the authorization endpoint "
            "(Dynamic Client Registration section 2)"
        )


def _android_packages_are_the_citys(client: MetadataFields) -> Iterator[str]:
    """An application that is linked with this service can open its addresses and use what is saved for it."""
    package, fingerprints = client.android_package, client.android_certificate_fingerprints
    if bool(package) != bool(fingerprints):
        missing = "android_certificate_fingerprints" if package else "android_package"
        yield f"{missing}: goes together with {'android_package' if package else 'android_certificate_fingerprints'}"
    if package and client.type != "android":
        yield "android_package: only for type: android"
    if package and not client.first_party:
        yield "android_package: is only for the city's own: first_party: true"


_RULES: tuple[Callable[[MetadataFields], Iterator[str]], ...] = (
    type_and_gate_fit,
    _permissions_exist,
    _scope_reasons_are_of_scopes,
    _claim_reasons_are_of_scopes,
    _permissions_are_for_first_parties,
    _permissions_need_authentication,
    _allowed_roles_are_defined,
    _restricted_data_is_for_first_parties,
    _redirect_uri_is_there,
    _response_types_fit_grant_types,
    _refresh_tokens_have_a_source,
    _pairwise_has_one_sector,
    _scope_holds_openid,
    _front_channel_is_at_a_redirect_origin,
    _assertion_issuers_fit_grant_types,
    _grants_need_authentication,
    _public_needs_pkce,
    _one_source_of_keys,
    _keys_are_there,
    _encryption_has_keys,
    _request_objects_have_keys,
    _signed_requests_can_be_signed,
    _assertion_alg_fits_method,
    _enc_has_alg,
    _unsigned_id_tokens_only_from_the_token_endpoint,
    _android_packages_are_the_citys,
    cas_rules,
    gate_lists_are_distinct,
    roles_of_paths_are_defined,
)

_NOT_OF_STORED = (_installed_keeps_no_secret, _mappers_read_what_it_may_have)
"""Rules that metadata need not keep that an instance registered itself, or that were stored before."""


def _origin(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.scheme, parts.netloc
