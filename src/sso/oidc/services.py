"""What the parts of the protocol need, as protocols that the provider has.

The classes of Authlib get the request, which holds the whole provider; every other function names one of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sso.clients.services import HasRegistry, LiveClients
from sso.platform.services import HasBox, HasDatabase, HasKeys, HasOutbound, HasSettings, Storage

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from sso.clients.registry import Client
    from sso.oidc.token.client_keys import ClientKeys


class HasSubjects(Protocol):
    """Knows the pairwise identifiers."""

    def subject(self, client: Client, user_id: UUID) -> str:
        """Return the ``sub`` by which an application knows a user (OpenID Connect Core section 8)."""


class HasIdle(Protocol):
    """Knows when sessions end that nobody uses."""

    @property
    def idle(self) -> timedelta:
        """How long a session lasts without being used."""


class HasClientKeys(Protocol):
    """Has the public keys of applications."""

    @property
    def client_keys(self) -> ClientKeys:
        """The public keys of applications, fetched where they are registered by URL."""


class SigningServices(HasSettings, HasKeys, HasRegistry, HasSubjects, Protocol):
    """What signing a token for an application needs."""

    def id_token_alg(self, client: Client) -> str:
        """Return the algorithm with which ID tokens for an application are signed."""


class IdTokenServices(HasSettings, HasKeys, HasSubjects, HasClientKeys, Protocol):
    """What an ID token needs."""

    @property
    def id_token_seconds(self) -> int:
        """How long ID tokens are valid, in seconds."""

    def id_token_alg(self, client: Client) -> str:
        """Return the algorithm with which ID tokens for an application are signed."""


class AccessTokenServices(HasSettings, HasSubjects, Protocol):
    """What the claims of an access token need."""

    def access_token_seconds(self, client: Client) -> int:
        """Return how long access tokens for an application are valid, in seconds."""


class TokenLookupServices(HasSettings, HasKeys, HasRegistry, HasSubjects, HasIdle, Protocol):
    """What finding a token of this provider needs."""


class CallerServices(TokenLookupServices, HasDatabase, Protocol):
    """What finding the caller of an API needs."""

    async def look(self) -> int:
        """Read what changed before a request is refused because of what this process knows."""


class UserinfoServices(CallerServices, HasBox, HasClientKeys, Protocol):
    """What the userinfo endpoint needs."""


class ChangeServices(Protocol):
    """What a second attempt after a change by another process needs."""

    @property
    def generation(self) -> int:
        """How often applications or keys were found changed."""

    async def look(self) -> int:
        """Read what changed; return :attr:`generation`."""


class RequestObjectServices(HasSettings, HasDatabase, HasKeys, HasClientKeys, HasOutbound, Protocol):
    """What reading a request object or a pushed request needs."""


class DecisionServices(HasSettings, HasSubjects, Protocol):
    """What the decision about an authorization request needs."""


class DeviceServices(HasSettings, HasRegistry, HasIdle, Protocol):
    """What the decision of a user about a device needs."""


class RegistrationServices(Storage, HasOutbound, LiveClients, Protocol):
    """What dynamic registration needs."""
