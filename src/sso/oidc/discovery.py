"""Provider metadata (OpenID Connect Discovery section 3, RFC 8414), made from what is really registered."""

from __future__ import annotations

from typing import Any

from sso.authn.service import ACR_PASSWORD
from sso.clients.metadata import OIDC_SCOPES
from sso.oidc.authorize import PROMPTS
from sso.oidc.claims import claims_supported
from sso.oidc.client_auth import ASSERTION_ALGS, CLIENT_AUTH_METHODS
from sso.oidc.server import ProviderServer
from sso.settings import SIGNING_ALGS

UI_LOCALES = ["id", "en"]


def metadata(server: ProviderServer) -> dict[str, Any]:
    """Return the document of both well-known addresses."""
    provider = server.provider
    confidential = [method for method in CLIENT_AUTH_METHODS if method != "none"]
    return {
        "issuer": provider.settings.issuer,
        "authorization_endpoint": provider.url("/authorize"),
        "token_endpoint": provider.url("/token"),
        "userinfo_endpoint": provider.url("/userinfo"),
        "jwks_uri": provider.url("/jwks"),
        "introspection_endpoint": provider.url("/introspect"),
        "revocation_endpoint": provider.url("/revoke"),
        "end_session_endpoint": provider.url("/logout"),
        "scopes_supported": list(OIDC_SCOPES),
        "response_types_supported": server.response_types(),
        "response_modes_supported": ["query"],
        "grant_types_supported": server.grant_types(),
        "subject_types_supported": ["public", "pairwise"],
        "acr_values_supported": [ACR_PASSWORD],
        "id_token_signing_alg_values_supported": list(SIGNING_ALGS),
        "token_endpoint_auth_methods_supported": list(CLIENT_AUTH_METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGS),
        "introspection_endpoint_auth_methods_supported": confidential,
        "introspection_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGS),
        "revocation_endpoint_auth_methods_supported": list(CLIENT_AUTH_METHODS),
        "revocation_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGS),
        "prompt_values_supported": list(PROMPTS),
        "display_values_supported": ["page", "popup", "touch"],
        "claim_types_supported": ["normal"],
        "claims_supported": claims_supported(),
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "ui_locales_supported": UI_LOCALES,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }
