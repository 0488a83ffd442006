"""The implicit flow (OpenID Connect Core section 3.2) and the hybrid flow (section 3.3).

Off by default: an application registers these response types, and the profile that allows them.
"""

from __future__ import annotations

from authlib.oauth2.rfc6749 import BaseGrant, InvalidRequestError
from authlib.oauth2.rfc6749.grants.authorization_code import validate_code_authorization_request
from authlib.oidc.core.grants import OpenIDHybridGrant, OpenIDImplicitGrant

from sso.oidc.authorize.response import words_of
from sso.oidc.grants.front_channel import FrontChannel
from sso.oidc.requests import no_such_scope


def _validate(grant: BaseGrant) -> str:
    """Check client, redirect URI, response type and scope as for a code, and what these flows add to it.

    ``nonce`` is required wherever an ID token comes from the authorization endpoint (sections 3.2.2.1 and 3.3.2.1,
    3.2.2.11): it is what ties the token to the browser that asked.
    """
    redirect_uri: str = validate_code_authorization_request(grant)
    if "openid" not in (grant.request.scope or "").split():
        requested = grant.request.payload.data.get("scope", "")
        raise no_such_scope(grant.request.client, requested, "scope must hold openid.")
    if "id_token" in words_of(grant.request.payload.response_type) and "nonce" not in grant.request.payload.data:
        raise InvalidRequestError("nonce is required with this response_type (OpenID Connect Core section 3.2.2.1).")
    return redirect_uri


class ImplicitGrant(FrontChannel, OpenIDImplicitGrant):
    """Tokens from the authorization endpoint, and nothing else."""

    def validate_authorization_request(self) -> str:
        return _validate(self)


class HybridGrant(FrontChannel, OpenIDHybridGrant):
    """A code and tokens."""

    def validate_authorization_request(self) -> str:
        return _validate(self)
