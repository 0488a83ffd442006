"""What a request to sign out asks for in the CAS protocol (CAS Protocol 3.0 section 2.3.1): a pure decision."""

from __future__ import annotations

from collections.abc import Mapping

from sso.clients.registry import Client, Registry
from sso.clients.services import HasRegistry
from sso.logout.rp_initiated import LogoutRequest


def check_cas_logout(services: HasRegistry, data: Mapping[str, str]) -> LogoutRequest:
    """Return what a request to sign out asks for: a redirect only to an address that an application of type ``cas``
    registered, exactly, as a service URL or for the way back. Any other address is ignored (section 2.3.1)."""
    address = data.get("service") or data.get("url") or ""
    client = _client_for(services.registry, address)
    if client is None or not client.enabled:
        return LogoutRequest(None, None, None)
    return LogoutRequest(client, None, address)


def _client_for(registry: Registry, address: str) -> Client | None:
    clients = registry.of_service(address) or registry.of_service(address, after_logout=True)
    return clients[0] if len(clients) == 1 else None
