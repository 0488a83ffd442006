"""The services that use cases about accounts need. The process has one of each; ``app.py`` builds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sso.identity.authn.factors import Passkeys
from sso.identity.authn.passwords import Passwords
from sso.identity.notifications import MessageServices
from sso.platform.db import Database
from sso.platform.metrics import Usage
from sso.platform.outbox import Worker
from sso.platform.security.encryption import SecretBox
from sso.platform.security.message_limits import MessageLimits
from sso.platform.security.rate_limits import Attempts, CountLimit
from sso.platform.services import HasDatabase
from sso.settings import Settings
from sso.ssf.events import EventServices


class NikServices(MessageServices, Protocol):
    """What storing a NIK needs."""

    @property
    def nik_key(self) -> bytes:
        """The key under which NIKs are found."""


class AccountChanges(NikServices, EventServices, Protocol):
    """What changing an account needs: users are told by messages, applications by events."""


class AccountActions(AccountChanges, HasDatabase, Protocol):
    """What the actions of administrators on accounts need."""


@dataclass(frozen=True, slots=True)
class AccountServices:
    """What sign-up, recovery and the pages of the own account need.

    Args:
        db: the database.
        changes: what changing an account needs.
        passkeys: makes and checks passkeys.
        passwords: hashes and judges passwords.
        usage: counts new accounts.
        worker: sends what is in the outbox.
        attempts: counts guesses.
        messages: counts codes that are sent.
        new_flows: counts sign-ups and recoveries that begin from one IP address.
        contact_codes: counts codes that one account asks for.
    """

    db: Database
    changes: AccountChanges
    passkeys: Passkeys
    passwords: Passwords
    usage: Usage
    worker: Worker
    attempts: Attempts
    messages: MessageLimits
    new_flows: CountLimit
    contact_codes: CountLimit

    @property
    def settings(self) -> Settings:
        """Every setting."""
        return self.changes.settings

    @property
    def box(self) -> SecretBox:
        """Encrypts what is stored."""
        return self.changes.box
