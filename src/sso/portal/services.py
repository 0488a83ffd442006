"""The services that use cases of the developer portal need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sso.clients.registry import Client, Registry
from sso.logout.end_sessions import LogoutTokenServices
from sso.platform.db import Database
from sso.platform.services import Storage

if TYPE_CHECKING:
    from sso.platform.security.outbound_http import Outbound


class TrialServices(Storage, Protocol):
    """What beginning a trial in the playground needs."""

    async def refresh(self) -> bool:
        """Read what changed in applications and keys."""


class LogoutNoticeServices(LogoutTokenServices, Protocol):
    """What sending a logout token to a sandbox needs."""

    @property
    def db(self) -> Database:
        """The database."""

    @property
    def outbound(self) -> Outbound:
        """Sends requests to applications."""


class PlaygroundServices(TrialServices, LogoutNoticeServices, Protocol):
    """What the playground needs."""


class CheckServices(Storage, Protocol):
    """What the relying-party check needs."""

    @property
    def registry(self) -> Registry:
        """The registered applications."""

    @property
    def outbound(self) -> Outbound:
        """Sends requests to applications."""

    def id_token_alg(self, client: Client) -> str:
        """Return the algorithm with which ID tokens for an application are signed."""

    async def client(self, client_id: str) -> Client | None:
        """Return an application, also when another process registered or enabled it just now."""
