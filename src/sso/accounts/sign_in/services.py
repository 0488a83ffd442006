"""The services that signing in needs."""

from __future__ import annotations

from typing import Protocol

from sso.identity.authn.passwords import Passwords
from sso.oidc.provider import Provider
from sso.oidc.server import ProviderServer
from sso.platform.outbox import Worker
from sso.platform.security.message_limits import MessageLimits
from sso.platform.security.rate_limits import Attempts, CountLimit
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


class SignInServices(Protocol):
    """What the use cases of this package need, and nothing else."""

    @property
    def settings(self) -> Settings:
        """Every setting."""

    @property
    def provider(self) -> Provider:
        """Database, keys and registered applications."""

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
