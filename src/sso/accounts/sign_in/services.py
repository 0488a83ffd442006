"""The services that signing in needs."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from sso.accounts.services import AccountActions
from sso.identity.authn.factors import Passkeys
from sso.identity.authn.passwords import Passwords
from sso.oidc.server import ProviderServer
from sso.oidc.services import HasIdle
from sso.platform.outbox import Worker
from sso.platform.security.geoip import Countries
from sso.platform.security.message_limits import MessageLimits
from sso.platform.security.rate_limits import Attempts, CountLimit
from sso.platform.services import HasUsage
from sso.settings import Settings


class SignInLimits(Protocol):
    """The rate limits of signing in."""

    @property
    def attempts(self) -> Attempts:
        """Limits attempts to guess a secret."""

    @property
    def messages(self) -> MessageLimits:
        """Limits the codes that are sent."""

    @property
    def flows(self) -> CountLimit:
        """Limits how many second factors are begun for an account."""

    @property
    def waiting_requests(self) -> CountLimit:
        """Limits how many authorization requests of a network, whose users are not signed in, are answered with a
        page."""

    @property
    def stored_requests(self) -> CountLimit:
        """Limits how many authorization requests are stored for a network."""


class SignInStorage(AccountActions, HasUsage, HasIdle, Protocol):
    """What signing in reads and writes."""

    @property
    def passkeys(self) -> Passkeys:
        """Makes and checks passkeys."""

    def browser_state(self, session_id: UUID) -> str:
        """Return the state of the browser, which changes with its session (Session Management section 3)."""

    @property
    def countries(self) -> Countries:
        """Knows the countries of IP addresses."""


class SignInServices(Protocol):
    """What the use cases of this package need, and nothing else."""

    @property
    def settings(self) -> Settings:
        """Every setting."""

    @property
    def provider(self) -> SignInStorage:
        """Database, encryption, registered applications, and what knows users and devices."""

    @property
    def server(self) -> ProviderServer:
        """Checks authorization requests."""

    @property
    def passwords(self) -> Passwords:
        """Hashes passwords within a bounded number of threads."""

    @property
    def limits(self) -> SignInLimits:
        """Every rate limit."""

    @property
    def worker(self) -> Worker:
        """Sends what is in the outbox."""
