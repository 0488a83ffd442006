"""Token introspection (RFC 7662). What was revoked, anywhere, shows at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7662 import IntrospectionEndpoint as AuthlibIntrospectionEndpoint

from sso import clock
from sso.clients.registry import Client
from sso.oidc.claims import access_claims, withheld_from
from sso.oidc.demands import Way
from sso.oidc.enforcement import unmet_by_grant, unmet_by_program
from sso.oidc.requests import Outdated, ProtocolRequest
from sso.oidc.services import TokenLookupServices
from sso.oidc.store import store
from sso.oidc.store.store import LiveGrant
from sso.oidc.store.types import AccessTokenClaims
from sso.oidc.token.client_auth import CLIENT_AUTH_METHODS, ClientRefused
from sso.oidc.token.families import REFRESH_PREFIX
from sso.oidc.token.issue import ACCESS_PREFIX, ACCESS_PREFIX_WITH_ROLES, ACCESS_TOKEN_TYP
from sso.platform.db import Executor
from sso.platform.keys import InvalidToken, UnknownKey
from sso.platform.security.replay import was_seen
from sso.platform.security.tokens import token_hash

REVOKED_JTI = "revoked"
INTROSPECTED_CLAIMS = frozenset(
    {"iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "auth_time", "acr", "amr"}
)
"""The members of an introspection response that come from the token (RFC 7662 section 2.2)."""
END_OF_SECOND = 0.999999
"""``iat`` is in whole seconds: a token counts as issued at the end of its second."""


@dataclass(frozen=True, slots=True)
class FoundToken:
    """A token of ours that is valid now. ``grant`` is nothing where no person is behind it. ``access``: the claims
    ``roles`` and ``groups`` that an introspection response has."""

    kind: str
    claims: AccessTokenClaims
    client_id: str
    grant: LiveGrant | None
    access: Mapping[str, list[str]] = field(default_factory=dict)

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.client_id


def find_token(services: TokenLookupServices, session: Executor, token: str, *, looked: bool) -> FoundToken | None:
    """Return what ``token`` is, where it is valid now: signature and time, client, session and grant, and every demand
    of the application that holds for a token in use.

    One statement; two where the application asks for roles, an identity, or is a sandbox.

    Args:
        services: what this needs of the process.
        session: for reading.
        token: the token.
        looked: whether this process has looked for changes of applications and keys since the request came.

    Raises:
        Outdated: where it has not, and the key or the application of the token is not known.
    """
    issued = find_issued(services, session, token, looked=looked)
    client = services.registry.enabled(issued.client_id) if issued is not None else None
    if issued is not None and client is None and not looked:
        raise Outdated
    if issued is None or client is None:
        return None
    unmet = (
        unmet_by_grant(services.settings, session, Way.IN_USE, client, issued.grant)
        if issued.grant is not None
        else unmet_by_program(services.settings, Way.MACHINE_IN_USE, client)
    )
    return _with_what_is_left(issued, client) if unmet is None else None


def find_issued(services: TokenLookupServices, session: Executor, token: str, *, looked: bool) -> FoundToken | None:
    """Return what ``token`` is, where it is neither over nor revoked, also while a demand of the application is not
    met: such a token can be revoked. Arguments and ``Outdated`` as in :func:`find_token`."""
    try:
        return _find(services, session, token, clock.now())
    except UnknownKey:
        if looked:
            return None
        raise Outdated from None


def _with_what_is_left(valid: FoundToken, client: Client) -> FoundToken | None:
    """Return a token where the application still has each privilege in it. An access token is worth nothing any more
    when one was revoked since; a refresh token holds what is left. Scopes that are not registered any more go."""
    scopes = str(valid.claims.get("scope", "")).split()
    alone = valid.grant is None or valid.grant.asserted
    granted_at = valid.grant.granted_at if valid.grant is not None else None
    if valid.kind == "access_token":
        issued = valid.claims["iat"] + END_OF_SECOND
        granted_at = issued if granted_at is None else min(granted_at, issued)
    held = client.still(scopes, alone=alone, granted_at=granted_at)
    if valid.kind == "access_token" and held != scopes:
        return None
    left = client.get_allowed_scope(" ".join(held))
    return valid if left.split() == scopes else replace(valid, claims={**valid.claims, "scope": left})


def _find(services: TokenLookupServices, session: Executor, token: str, now: datetime) -> FoundToken | None:
    if token.startswith(REFRESH_PREFIX):
        return _find_refresh_token(services, session, token, now)
    if token.startswith(ACCESS_PREFIX):
        return _find_opaque(services.idle, session, token, now)
    try:
        verified = services.keys.verify(token, typ=ACCESS_TOKEN_TYP, issuer=services.settings.issuer)
    except UnknownKey:
        raise
    except InvalidToken:
        return None
    claims = cast(AccessTokenClaims, verified)  # signed here, as an access token
    if "grant_id" not in claims:
        if was_seen(session, REVOKED_JTI, claims["jti"]):
            return None
        return FoundToken("access_token", claims, claims["client_id"], None)
    client = services.registry.get(claims["client_id"])
    with_access = client is not None and client.receives_access
    grant = store.find_grant(session, UUID(claims["grant_id"]), now, now - services.idle, access=with_access)
    return FoundToken("access_token", claims, claims["client_id"], grant) if grant else None


def _find_opaque(idle: timedelta, session: Executor, token: str, now: datetime) -> FoundToken | None:
    with_access = token.startswith(ACCESS_PREFIX_WITH_ROLES)
    row = store.find_access_token(session, token_hash(token), now, now - idle, access=with_access)
    if row is None:
        return None
    client_id, claims, grant = row
    return FoundToken("access_token", claims, client_id, grant)


def _find_refresh_token(
    services: TokenLookupServices, session: Executor, token: str, now: datetime
) -> FoundToken | None:
    row = store.find_unused_refresh_token(session, token_hash(token), now, now - services.idle)
    if row is None:
        return None
    grant, created_at, expires_at = row
    client = services.registry.get(grant.client_id)
    sub = services.subject(client, grant.user_id) if client is not None else ""  # then it is not valid
    claims: AccessTokenClaims = {
        "iss": services.settings.issuer,
        "sub": sub,
        "client_id": grant.client_id,
        "scope": grant.scope,
        "iat": int(created_at.timestamp()),
        "exp": int(expires_at.timestamp()),
    }
    return FoundToken("refresh_token", claims, grant.client_id, grant)


def _with_access(token: FoundToken, client: Client) -> FoundToken:
    """Return an access token with the user's roles and groups of this moment, as its scopes allow: for the application
    that it was issued to, whose roles they are. Another application, the resource server, is not told of them."""
    if token.kind != "access_token" or token.grant is None or not token.check_client(client):
        return token
    hidden = withheld_from(client, token.grant.details, token.grant.granted_at)
    return replace(token, access=access_claims(client, token.grant.access, token.claims["scope"].split(), hidden))


class IntrospectionEndpoint(AuthlibIntrospectionEndpoint):
    """For applications that can authenticate: their own tokens, and those made for the resource that they are."""

    CLIENT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def authenticate_token(self, request: ProtocolRequest, client: Client) -> FoundToken | None:
        if client.meta.is_public:
            raise ClientRefused("Introspection needs client authentication (RFC 7662 section 2.1).")
        token = request.form.get("token")
        if token is None:
            raise InvalidRequestError("token is required.")
        issued = find_token(request.provider, request.session, token, looked=request.looked)
        return _with_access(issued, client) if issued and self.check_permission(issued, client, request) else None

    def check_permission(self, token: FoundToken, client: Client, request: ProtocolRequest) -> bool:
        audience = token.claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        resource = client.meta.resource_identifier
        return token.check_client(client) or (
            token.kind == "access_token" and resource is not None and resource in audiences
        )

    def create_introspection_payload(self, token: FoundToken | None) -> dict[str, object]:
        # A token that was found is valid: the statement that finds it leaves out expired and revoked ones.
        return self.introspect_token(token) if token is not None else {"active": False}

    def introspect_token(self, token: FoundToken) -> dict[str, object]:
        payload = {name: value for name, value in token.claims.items() if name in INTROSPECTED_CLAIMS}
        token_type = {"token_type": "Bearer"} if token.kind == "access_token" else {}
        return {"active": True, **payload, **token_type, **token.access}
