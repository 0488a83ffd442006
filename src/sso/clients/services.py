"""The registered applications as use cases see them: protocols, which the provider has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sso.clients.registry import Client, Registry


class HasRegistry(Protocol):
    """Has the registered applications."""

    @property
    def registry(self) -> Registry:
        """The registered applications."""


class LiveClients(HasRegistry, Protocol):
    """The registered applications, as this process knows them, and the means to read what other processes changed."""

    async def client(self, client_id: str) -> Client | None:
        """Return an application, also when another process registered or enabled it just now."""

    async def look(self) -> int:
        """Read what changed before a request is refused because of what this process knows."""

    async def refresh(self) -> bool:
        """Read what changed, after a change of this request."""
