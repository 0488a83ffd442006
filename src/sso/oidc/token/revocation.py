"""Token revocation (RFC 7009)."""

from __future__ import annotations

from datetime import UTC, datetime

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint as AuthlibRevocationEndpoint

from sso import clock
from sso.clients.registry import Client
from sso.oidc.requests import ProtocolRequest
from sso.oidc.store import store
from sso.oidc.token.client_auth import CLIENT_AUTH_METHODS
from sso.oidc.token.introspection import REVOKED_JTI, FoundToken, find_issued
from sso.oidc.token.issue import ACCESS_PREFIX
from sso.platform.audit import record
from sso.platform.db import session_of
from sso.platform.security.replay import first_use
from sso.platform.security.tokens import token_hash


class RevocationEndpoint(AuthlibRevocationEndpoint):
    """A refresh token, or a JWT access token, ends its whole grant; an opaque access token ends alone (section 2.1).

    Tokens that are unknown, over, or of another application answer 200 and change nothing.
    """

    CLIENT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def authenticate_token(self, request: ProtocolRequest, client: Client) -> FoundToken | None:
        token = request.form.get("token")
        if token is None:
            raise InvalidRequestError("token is required.")
        issued = find_issued(request.provider, request.session, token, looked=request.looked)
        return issued if issued and issued.check_client(client) else None

    def revoke_token(self, token: FoundToken, request: ProtocolRequest) -> None:
        session, now = request.session, clock.now()
        value = request.form["token"]
        if value.startswith(ACCESS_PREFIX):
            store.revoke_access_token(session, token_hash(value), token.client_id, now)
        elif token.grant is not None:
            store.revoke_grant(session, token.grant.id, now)
        else:
            first_use(session, REVOKED_JTI, token.claims["jti"], datetime.fromtimestamp(token.claims["exp"], UTC))
        record(
            session_of(session),
            "token.revoked",
            client_id=token.client_id,
            subject=str(token.grant.user_id) if token.grant else None,
            address=request.address,
            request_id=request.request_id,
            data={"kind": token.kind},
        )
