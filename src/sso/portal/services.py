"""The services that use cases of the developer portal need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sso.clients.services import HasRegistry
from sso.oidc.services import SigningServices
from sso.platform.services import HasDatabase, HasOutbound, Storage

if TYPE_CHECKING:
    from sso.clients.registry import Client


class TrialServices(Storage, Protocol):
    """What beginning a trial in the playground needs."""

    async def refresh(self) -> bool:
        """Read what changed in applications and keys."""


class LogoutNoticeServices(HasDatabase, SigningServices, HasOutbound, Protocol):
    """What sending a logout token to a sandbox needs."""


class PlaygroundServices(TrialServices, LogoutNoticeServices, Protocol):
    """What the playground needs."""


class CheckServices(Storage, HasRegistry, HasOutbound, Protocol):
    """What the relying-party check needs."""

    def id_token_alg(self, client: Client) -> str:
        """Return the algorithm with which ID tokens for an application are signed."""

    async def client(self, client_id: str) -> Client | None:
        """Return an application, also when another process registered or enabled it just now."""
