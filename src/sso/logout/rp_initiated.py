"""What a request at the end_session_endpoint asks for (RP-Initiated Logout 1.0): a pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sso.clients.registry import Client, Registry
from sso.clients.services import HasRegistry
from sso.identity.sessions.store import ClientSession
from sso.oidc.authorize.authorization_request import PageError
from sso.oidc.id_token_hint import read_hint
from sso.oidc.requests import with_parameters
from sso.oidc.services import HasSubjects
from sso.platform.keys import InvalidToken
from sso.platform.services import HasKeys, HasSettings
from sso.settings import Settings


class LogoutRequestServices(HasSettings, HasKeys, HasRegistry, Protocol):
    """What checking a logout request needs."""


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """A checked request. ``redirect`` is where to go afterwards; ``hint_sub`` whom a valid id_token_hint names."""

    client: Client | None
    hint_sub: str | None
    redirect: str | None

    def may_end_without_asking(self, services: HasSubjects, user_id: UUID) -> bool:
        """Tell whether the hint proves that the application speaks of this person (section 2)."""
        if self.client is None or self.hint_sub is None:
            return False
        return services.subject(self.client, user_id) == self.hint_sub


def check_logout(services: LogoutRequestServices, data: dict[str, str]) -> LogoutRequest:
    """Check a logout request (RP-Initiated Logout sections 2 and 3).

    A redirect is made only with a valid id_token_hint, to an address that is registered, exactly, by an application
    that is not suspended.

    Raises:
        PageError: when the client, the hint or the address is not right.
    """
    hint, named = data.get("id_token_hint"), data.get("client_id")
    client, hint_sub = _from_hint(services, hint, named or "") if hint else (None, None)
    if named is not None and client is None:
        client = services.registry.get(named)
        if client is None:
            raise PageError("unknown_client", named[:100])
    if client is not None and named is not None and client.client_id != named:
        raise PageError("bad_logout_hint", "client_id", named=client.client_id)
    uri = data.get("post_logout_redirect_uri")
    if uri is None or hint_sub is None or client is None or not client.enabled:
        return LogoutRequest(client, hint_sub, None)
    if not client.check_post_logout_redirect_uri(uri):
        raise PageError("unregistered_logout_uri", uri[:300], named=client.client_id)
    state = [("state", data["state"])] if "state" in data else []
    return LogoutRequest(client, hint_sub, with_parameters(uri, state) if state else uri)


def frontchannel_addresses(
    registry: Registry, settings: Settings, client_sessions: Sequence[ClientSession]
) -> list[str]:
    """Return what the signed-out page frames: of each application that can be told through the browser its address,
    with ``iss`` and ``sid`` (Front-Channel Logout section 2). Those that get a notice too asked for both."""
    addresses = []
    for client_session in client_sessions:
        client = registry.get(client_session.client_id)
        if client is not None and client.meta.frontchannel_logout_uri:
            about = [("iss", settings.issuer), ("sid", client_session.sid)]
            addresses.append(with_parameters(client.meta.frontchannel_logout_uri, about))
    return addresses


def _from_hint(services: LogoutRequestServices, hint: str, named: str) -> tuple[Client, str]:
    try:
        claims = read_hint(services.settings, services.keys, hint)
    except InvalidToken:
        raise PageError("bad_logout_hint", "id_token_hint", named=named) from None
    client = services.registry.get(str(claims.get("aud")))
    if client is None:
        raise PageError("bad_logout_hint", "id_token_hint", named=named)
    return client, str(claims["sub"])
