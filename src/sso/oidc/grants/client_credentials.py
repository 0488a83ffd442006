"""The client credentials grant (RFC 6749 section 4.4): a program without a person."""

from __future__ import annotations

from authlib.oauth2.rfc6749 import UnauthorizedClientError
from authlib.oauth2.rfc6749 import grants as authlib_grants

from sso.clients.metadata import OIDC_SCOPES
from sso.oidc.demands import Way
from sso.oidc.enforcement import unmet_by_program
from sso.oidc.requests import ProtocolRequest, check_granted, no_such_scope
from sso.oidc.token.client_auth import CLIENT_AUTH_METHODS
from sso.oidc.token.issue import token_response


class ClientCredentialsGrant(authlib_grants.ClientCredentialsGrant):
    """Authlib's grant with the client's own scopes; no refresh token (section 4.4.3), no ID token."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS
    request: ProtocolRequest

    def validate_requested_scope(self) -> None:
        if self.request.auth_method == "none":
            raise UnauthorizedClientError("client_credentials needs client authentication (RFC 6749 section 4.4).")
        request = self.request
        unmet = unmet_by_program(request.provider.settings, Way.CLIENT_CREDENTIALS, request.client, request.caller)
        if unmet is not None:
            raise UnauthorizedClientError(unmet.text)
        allowed = {scope for scope in request.client.scopes_alone if scope not in OIDC_SCOPES}
        requested = (self.request.payload.data.get("scope") or "").split()
        check_granted(self.request.client, requested, alone=True)
        if not allowed.issuperset(requested):
            description = "The client has not registered one of these scopes."
            raise no_such_scope(self.request.client, " ".join(requested), description)

    def generate_token(self, scope: str | None = None, **_: object) -> dict[str, object]:
        client = self.request.client
        own = [name for name in client.meta.scope.split() if name in client.scopes_alone and name not in OIDC_SCOPES]
        granted = list(dict.fromkeys(scope.split())) if scope else own
        return token_response(self.request, " ".join(granted), refresh_token=None)
