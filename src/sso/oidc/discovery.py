"""Provider metadata (OpenID Connect Discovery section 3, RFC 8414), made from what is really registered."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import orjson

from sso.clients.metadata import OIDC_SCOPES
from sso.clients.profiles import RESPONSE_TYPES, UNSIGNED_ID_TOKENS, UNSIGNED_REQUESTS, permitted
from sso.identity.authn.assurance import ACR_VALUES
from sso.oidc.authorize.authorization_request import DISPLAYS
from sso.oidc.authorize.request import prompts
from sso.oidc.authorize.response import RESPONSE_MODES
from sso.oidc.claims import claims_supported
from sso.oidc.server import ProviderServer
from sso.oidc.token.assertions import ASYMMETRIC_ALGS
from sso.oidc.token.client_auth import ASSERTION_ALGS, CLIENT_AUTH_METHODS
from sso.platform.security.jwe import CONTENT_ENCRYPTIONS, KEY_MANAGEMENT_ALGS
from sso.settings import SIGNING_ALGS, Settings

UI_LOCALES = ["id", "en"]


class Discovery:
    """The document of both well-known addresses, in the form in which it is sent: made once for each set of profiles in
    use, because they decide what is announced."""

    def __init__(self, server: ProviderServer) -> None:
        self._server = server
        self._made: dict[tuple[frozenset[str], int], tuple[bytes, str]] = {}

    def clear(self) -> None:
        """Make the documents anew when they are next asked for: a setting has changed."""
        self._made.clear()

    def current(self) -> tuple[bytes, str]:
        """Return the document of now, and its entity tag."""
        profiles = self._server.provider.profiles()
        key = (profiles, self._server.provider.registry.city.version)
        if key not in self._made:
            body = orjson.dumps(metadata(self._server, profiles))
            self._made[key] = (body, f'"{hashlib.sha256(body).hexdigest()[:24]}"')
        return self._made[key]


def metadata(server: ProviderServer, profiles: Collection[str]) -> dict[str, object]:
    """Return the metadata of the provider (RFC 8414 section 2, OpenID Connect Discovery section 3).

    Args:
        server: the authorization server.
        profiles: the profiles in use: what none of them permits is not announced.
    """
    settings, city = server.provider.settings, server.provider.registry.city
    front_channel = permitted(RESPONSE_TYPES, profiles)
    return {
        "issuer": settings.issuer,
        **_endpoints(settings),
        "scopes_supported": [*OIDC_SCOPES, *city.claims],
        "response_types_supported": [kind for kind in server.response_types() if front_channel or kind == "code"],
        "response_modes_supported": list(RESPONSE_MODES),
        "grant_types_supported": [kind for kind in server.grant_types() if front_channel or kind != "implicit"],
        "subject_types_supported": ["public", "pairwise"],
        "acr_values_supported": list(ACR_VALUES),
        **_algorithms(profiles),
        "prompt_values_supported": prompts(settings),
        "display_values_supported": list(DISPLAYS),
        "claim_types_supported": ["normal"],
        "claims_supported": [*claims_supported(), *city.claim_names()],
        "claims_parameter_supported": True,
        "request_parameter_supported": True,
        "request_uri_parameter_supported": True,
        "require_request_uri_registration": True,
        "ui_locales_supported": UI_LOCALES,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "frontchannel_logout_supported": True,
        "frontchannel_logout_session_supported": True,
    }


def _endpoints(settings: Settings) -> dict[str, str]:
    paths = {
        "authorization_endpoint": "/authorize",
        "token_endpoint": "/token",
        "userinfo_endpoint": "/userinfo",
        "jwks_uri": "/jwks",
        "introspection_endpoint": "/introspect",
        "revocation_endpoint": "/revoke",
        "end_session_endpoint": "/logout",
        "check_session_iframe": "/check_session",
        "pushed_authorization_request_endpoint": "/par",
        "device_authorization_endpoint": "/device_authorization",
    }
    if settings.client_registration != "closed":
        paths["registration_endpoint"] = "/register"
    return {name: settings.issuer + path for name, path in paths.items()}


def _algorithms(profiles: Collection[str]) -> dict[str, list[str]]:
    unsigned_ids = ["none"] if permitted(UNSIGNED_ID_TOKENS, profiles) else []
    unsigned_requests = ["none"] if permitted(UNSIGNED_REQUESTS, profiles) else []
    methods, algs = list(CLIENT_AUTH_METHODS), list(ASSERTION_ALGS)
    key_management, content = list(KEY_MANAGEMENT_ALGS), list(CONTENT_ENCRYPTIONS)
    return {
        "id_token_signing_alg_values_supported": [*SIGNING_ALGS, *unsigned_ids],
        "id_token_encryption_alg_values_supported": key_management,
        "id_token_encryption_enc_values_supported": content,
        "userinfo_signing_alg_values_supported": list(SIGNING_ALGS),
        "userinfo_encryption_alg_values_supported": key_management,
        "userinfo_encryption_enc_values_supported": content,
        "request_object_signing_alg_values_supported": [*ASYMMETRIC_ALGS, *unsigned_requests],
        "request_object_encryption_alg_values_supported": key_management,
        "request_object_encryption_enc_values_supported": content,
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algs,
        "introspection_endpoint_auth_methods_supported": [method for method in methods if method != "none"],
        "introspection_endpoint_auth_signing_alg_values_supported": algs,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algs,
    }
