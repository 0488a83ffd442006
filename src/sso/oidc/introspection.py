"""Token introspection (RFC 7662). What was revoked, anywhere, shows at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7662 import IntrospectionEndpoint as AuthlibIntrospectionEndpoint

from sso import clock
from sso.clients.registry import Client
from sso.keys import InvalidToken
from sso.oidc.client_auth import CLIENT_AUTH_METHODS, ClientRefused
from sso.oidc.issue import ACCESS_PREFIX, ACCESS_TOKEN_TYP, REFRESH_PREFIX
from sso.oidc.provider import Provider
from sso.oidc.requests import ProtocolRequest
from sso.security.replay import was_seen
from sso.security.tokens import token_hash
from sso.tokens import store
from sso.tokens.store import Behind

REVOKED_JTI = "revoked"


@dataclass(frozen=True, slots=True)
class FoundToken:
    """A token of ours that is valid now. ``behind`` is nothing where no person is behind it."""

    kind: str
    claims: dict[str, Any]
    client_id: str
    behind: Behind | None

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.client_id


def find_token(provider: Provider, session: Any, token: str) -> FoundToken | None:
    """Return what ``token`` is, where it is valid now: signature and time, client, person, session and grant.

    At most two statements.
    """
    now = clock.now()
    found = _find(provider, session, token, now)
    if found is None or provider.registry.enabled(found.client_id) is None:
        return None
    if found.behind is not None and not found.behind.alive(now, now - provider.idle):
        return None
    return found


def _find(provider: Provider, session: Any, token: str, now: datetime) -> FoundToken | None:
    if token.startswith(REFRESH_PREFIX):
        return _find_refresh_token(provider, session, token, now)
    if token.startswith(ACCESS_PREFIX):
        return _find_opaque(session, token, now)
    try:
        claims = provider.keys.verify(token, typ=ACCESS_TOKEN_TYP, issuer=provider.settings.issuer)
    except InvalidToken:
        return None
    if "grant_id" not in claims:
        if was_seen(session, REVOKED_JTI, claims["jti"]):
            return None
        return FoundToken("access_token", claims, claims["client_id"], None)
    behind = store.find_grant(session, UUID(claims["grant_id"]))
    return FoundToken("access_token", claims, claims["client_id"], behind) if behind else None


def _find_opaque(session: Any, token: str, now: datetime) -> FoundToken | None:
    row = store.find_access_token(session, token_hash(token))
    if row is None or row[0].revoked_at is not None or row[0].expires_at <= now:
        return None
    access, behind = row
    if access.grant_id is not None and behind is None:
        return None
    return FoundToken("access_token", access.claims, access.client_id, behind)


def _find_refresh_token(provider: Provider, session: Any, token: str, now: datetime) -> FoundToken | None:
    row = store.find_refresh_with_grant(session, token_hash(token))
    if row is None or row[0].used_at is not None or row[0].expires_at <= now:
        return None
    refresh, behind = row
    client = provider.registry.get(refresh.client_id)
    if client is None:
        return None
    claims = {
        "iss": provider.settings.issuer,
        "sub": provider.subject(client, behind.grant.user_id),
        "client_id": refresh.client_id,
        "scope": behind.grant.scope,
        "iat": int(refresh.created_at.timestamp()),
        "exp": int(refresh.expires_at.timestamp()),
    }
    return FoundToken("refresh_token", claims, refresh.client_id, behind)


class IntrospectionEndpoint(AuthlibIntrospectionEndpoint):
    """For applications that can authenticate: their own tokens, and those made for the resource that they are."""

    CLIENT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def authenticate_token(self, request: ProtocolRequest, client: Client) -> FoundToken | None:
        if client.meta.is_public:
            raise ClientRefused("Introspection needs client authentication (RFC 7662 section 2.1).")
        token = request.form.get("token")
        if token is None:
            raise InvalidRequestError("token is required.")
        found = find_token(request.provider, request.session, token)
        return found if found and self.check_permission(found, client, request) else None

    def check_permission(self, token: FoundToken, client: Client, request: ProtocolRequest) -> bool:
        audience = token.claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        resource = client.meta.resource_identifier
        return token.check_client(client) or (
            token.kind == "access_token" and resource is not None and resource in audiences
        )

    def introspect_token(self, token: FoundToken) -> dict[str, Any]:
        names = ("iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "auth_time", "acr", "amr")
        payload = {name: token.claims[name] for name in names if name in token.claims}
        if token.kind == "access_token":
            payload["token_type"] = "Bearer"
        return {"active": True, **payload}
