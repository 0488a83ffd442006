"""Who calls one of our own APIs: an application with an access token of this server (RFC 6750), and whose it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sso.clients.privileges import Authority
from sso.clients.registry import Client
from sso.errors import Refusal
from sso.identity.users.store import roles_of
from sso.oidc.requests import Outdated
from sso.oidc.services import CallerServices
from sso.oidc.token.introspection import FoundToken, find_token
from sso.platform.db import run_bridged
from sso.platform.permissions import effective_permissions

REALM = 'Bearer realm="sso"'


class TokenRefused(Refusal):
    """The request has no access token that is valid here (RFC 6750 section 3.1).

    Args:
        status: the HTTP status.
        error: the error code; empty where the request has no access token.
        text: the reason.
    """

    def __init__(self, status: int, error: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code, self.error = error or "no_token", error or "invalid_request"
        self._challenge = f'{REALM}, error="{error}", error_description="{text}"' if error else REALM

    @property
    def headers(self) -> dict[str, str]:
        """The challenge (RFC 6750 section 3)."""
        return {"WWW-Authenticate": self._challenge}


@dataclass(frozen=True, slots=True)
class Caller:
    """An application that may call, and the person on whose behalf, if there is one. ``signed_in``: when that person
    did; None: nobody signed in, it is a program, or a token from an assertion."""

    client: Client
    scopes: frozenset[str]
    user_id: UUID | None
    roles: list[str] | None
    signed_in: datetime | None

    @property
    def actor(self) -> str:
        """Who acts, as the audit log names it."""
        return str(self.user_id) if self.user_id is not None else self.client.client_id

    @property
    def authority(self) -> Authority:
        """What they may do with applications."""
        return Authority(effective_permissions(self.roles, self.scopes), person=self.signed_in is not None)


async def caller_of(services: CallerServices, authorization: str, resource: str) -> Caller:
    """Return who calls. At most three statements.

    Args:
        services: what this needs of the process.
        authorization: the header of that name.
        resource: the address of the API, which a token may name as its audience instead of the issuer.

    Raises:
        TokenRefused: when there is no token, or none that is valid for this API.
        DatabaseUnavailable: when there is no database now.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenRefused(401, "", "Send an access token: Authorization: Bearer ...")
    try:
        return await _caller(services, token.strip(), resource, looked=False)
    except Outdated:
        await services.look()
    return await _caller(services, token.strip(), resource, looked=True)


async def _caller(services: CallerServices, token: str, resource: str, *, looked: bool) -> Caller:
    async with services.db.read() as session:
        stored = await run_bridged(session, lambda sync: find_token(services, sync, token, looked=looked))
        if stored is None or stored.kind != "access_token" or not _is_for(stored, services.settings.issuer, resource):
            raise TokenRefused(401, "invalid_token", "The access token is not valid (any more), or not for us.")
        client = services.registry.enabled(stored.client_id)
        if client is None:
            raise TokenRefused(401, "invalid_token", "The application is suspended.")
        alone = stored.grant is None or stored.grant.asserted
        mine = client.scopes_alone if alone else client.scopes
        scopes = frozenset(str(stored.claims.get("scope", "")).split()) & mine
        if stored.grant is None:
            return Caller(client, scopes, None, None, None)
        roles = await roles_of(session, stored.grant.user_id)
        signed_in = None if stored.grant.asserted else stored.grant.auth_time.astimezone(UTC)
        return Caller(client, scopes, stored.grant.user_id, roles, signed_in)


def _is_for(stored: FoundToken, issuer: str, resource: str) -> bool:
    audience = stored.claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    return issuer in audiences or resource in audiences
