"""What the flows of several pages need of one process."""

from __future__ import annotations

from dataclasses import dataclass

from sso.identity.authn.passwords import Passwords
from sso.oidc.provider import Provider
from sso.platform.security.message_limits import MessageLimits
from sso.platform.security.rate_limits import Attempts, CountLimit
from sso.settings import Settings


@dataclass(frozen=True, slots=True)
class AccountServices:
    """The services of one process that sign-up, recovery and the own account use.

    Args:
        provider: the provider.
        passwords: hashes and judges passwords.
        attempts: counts guesses.
        messages: counts codes that are sent.
        new_flows: counts sign-ups and recoveries that begin from one IP address.
        contact_codes: counts codes that one account asks for.
    """

    provider: Provider
    passwords: Passwords
    attempts: Attempts
    messages: MessageLimits
    new_flows: CountLimit
    contact_codes: CountLimit

    @property
    def settings(self) -> Settings:
        """Every setting."""
        return self.provider.settings
